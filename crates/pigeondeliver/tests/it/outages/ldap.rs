//! The directory in OpenLDAP: its provider stops, with and without a consumer left; changes hold on every node.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Slapd, SlapdOptions, or_skip, wait_until};

use super::changes::{Site, target};
use super::{
    LATE, NOBODY, PROBE, RECOVERY, Seen, UNKNOWN, accounts, introduce, more_acknowledged, node_on, probe,
    settle, snapshot_ages, until_taken,
};
use crate::crash::load::Load;
use crate::node::PATIENCE;

const BASE: &str = "ou=mail,dc=example,dc=org";
/// How soon a change in LDAP holds.
const FRESHNESS: Duration = Duration::from_secs(2);
const OUTAGE: Duration = Duration::from_secs(4);

fn packaged(file: &str) -> String {
    std::fs::read_to_string(packaging(file)).unwrap()
}

fn packaging(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/openldap").join(file)
}

/// A server as docs/admin/ldap.md sets it up; the tests' servers have some of the lines already.
fn provider() -> Option<Slapd> {
    let text = packaged("database.conf");
    let lines = text.lines().filter(|line| !line.starts_with("index objectClass") && !line.starts_with('#'));
    let (indexes, settings) = lines.partition::<Vec<&str>, _>(|line| line.starts_with("index "));
    let options = SlapdOptions {
        schemas: vec![packaging("pigeondeliver.schema")],
        indexes: indexes.into_iter().map(|index| index.replacen("index ", "", 1)).collect(),
        settings: settings.into_iter().map(str::to_owned).collect(),
        ..SlapdOptions::default()
    };
    let slapd = or_skip(Slapd::start(&options))?;
    slapd.modify(&packaged("base.ldif")).unwrap();
    Some(slapd)
}

fn url(slapd: &Slapd) -> String {
    let bind = "bindname=cn=pigeon%2Cdc=example%2Cdc=org,x-bindpw=feathers";
    format!("{}/{BASE}????{bind}", slapd.url())
}

#[test]
fn changes_in_ldap_hold_on_every_node_within_two_seconds() {
    let Some(slapd) = provider() else { return };
    let site = Site::on(&url(&slapd), FRESHNESS);
    site.by_command();
    let found = slapd.search(BASE, "(pigeonLocalPart=desk)", &["1.1"]).unwrap();
    let dn = found.lines().find(|line| line.starts_with("dn: ")).unwrap();
    site.measure("by ldapmodify", |to| {
        let change = "changetype: modify\nreplace: pigeonTarget\npigeonTarget";
        slapd.modify(&format!("{dn}\n{change}: {}\n", target(to))).unwrap();
    });
}

#[test]
fn mail_goes_on_while_the_ldap_provider_is_stopped() {
    let Some(slapd) = provider() else { return };
    let mut node = node_on(&url(&slapd), "mx1");
    node.start();
    introduce(&node, &accounts());
    let load = Load::start(&node.socket(), &accounts(), 2, 20 * 1024);
    more_acknowledged(&load, 40, &node);

    slapd.kill();
    let before = load.acknowledged();
    let seen = Seen::watch(&node, OUTAGE);
    let during = load.acknowledged() - before;
    println!("down for {OUTAGE:?}: {during} copies of the load acknowledged; {seen}");
    assert!(during > 20, "{}", node.log());
    slapd.restart().unwrap();
    let taken = until_taken(&node, LATE[0], RECOVERY);
    println!("back: an account that was unknown gets mail after {taken:?}");
    assert_eq!(probe(&node, NOBODY).reply.code, 550);
    settle(load, &node);
    let ages = snapshot_ages(&node, PROBE);
    println!("{} of {} probes went by a snapshot", ages.len(), seen.known);
    assert!(!ages.is_empty() && ages.len() <= seen.known, "{ages:?}");
}

#[test]
fn a_consumer_is_left_when_the_ldap_provider_is_lost() {
    let Some(slapd) = provider() else { return };
    let consumer = slapd.consumer().unwrap();
    let mut node = node_on(&url(&slapd), "mx1");
    let mut config = OpenOptions::new().append(true).open(node.config()).unwrap();
    writeln!(config, "[directory_ldap]\nreplicas = [\"{}\"]", consumer.url()).unwrap();
    let dump = |slapd: &Slapd| slapd.search(BASE, "(objectClass=pigeonAccount)", &["entryCSN"]).ok();
    let all = dump(&slapd);
    assert!(wait_until(PATIENCE, || (dump(&consumer) == all).then_some(())).is_some());
    node.start();
    introduce(&node, &accounts());
    let load = Load::start(&node.socket(), &accounts(), 2, 20 * 1024);
    more_acknowledged(&load, 40, &node);

    slapd.kill();
    let before = load.acknowledged();
    for recipient in LATE {
        let late = probe(&node, recipient);
        assert!(late.reply.code == 250 && late.took < UNKNOWN, "{recipient}: {late}\n{}", node.log());
        println!("provider lost: {recipient} was looked up at the consumer: {late}");
    }
    let mut seen = Seen::default();
    for _ in 0..15 {
        seen.known(&node);
        thread::sleep(Duration::from_millis(50));
    }
    more_acknowledged(&load, 20, &node);
    println!("{} copies of the load meanwhile; {seen}", load.acknowledged() - before);
    let change = node.command().args(["account", "suspend", PROBE]).output().unwrap();
    assert!(!change.status.success(), "{change:?}");

    slapd.restart().unwrap();
    let began = Instant::now();
    let suspend = || node.command().args(["account", "suspend", PROBE]).output().unwrap().status.success();
    assert!(wait_until(RECOVERY, || suspend().then_some(())).is_some(), "no change is taken");
    let changed = Instant::now();
    let held = wait_until(RECOVERY, || (probe(&node, PROBE).reply.code == 450).then(|| changed.elapsed()));
    let held = held.unwrap_or_else(|| panic!("the change does not hold\n{}", node.log()));
    println!("provider back: a change is taken after {:?} and holds after {held:?}", changed - began);
    settle(load, &node);
}
