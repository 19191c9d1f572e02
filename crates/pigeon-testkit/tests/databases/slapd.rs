//! `OpenLDAP`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{PeerTls, Slapd, SlapdOptions, or_skip, wait_until};
use tempfile::TempDir;

use super::{PATIENCE, answers, assert_gone, listens, said};

const BASE: &str = "dc=example,dc=org";
/// Asks for an answer: an anonymous bind.
const BIND: [u8; 14] = [0x30, 0x0c, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];

fn person(name: &str) -> String {
    format!(
        "dn: uid={name},{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.org\nuserPassword: {name}-secret\n"
    )
}

/// The names of the people that are there, in order.
fn people(slapd: &Slapd) -> anyhow::Result<String> {
    let ldif = slapd.search(BASE, "(objectClass=inetOrgPerson)", &["uid"])?;
    let mut names: Vec<&str> = ldif.lines().filter_map(|line| line.strip_prefix("uid: ")).collect();
    names.sort_unstable();
    Ok(names.join(" "))
}

/// What `ldapwhoami` answers with these arguments.
fn who_am_i(slapd: &Slapd, arguments: &[&str]) -> Result<String, String> {
    said(slapd.client("ldapwhoami").args(arguments))
}

#[test]
fn it_starts_soon_and_leaves_nothing() {
    let Some(first) = or_skip(Slapd::start(&SlapdOptions::default())) else { return };
    let started = Instant::now();
    let Some(second) = or_skip(Slapd::start(&SlapdOptions::default())) else { return };
    let (took, directory) = (started.elapsed(), second.directory().to_owned());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_ne!(first.port(), second.port());
    first.modify(&format!("{}\n{}", person("ada"), person("bo"))).unwrap();
    assert_eq!(people(&first).unwrap(), "ada bo");
    assert_eq!(people(&second).unwrap(), "");
    first
        .modify(&format!("dn: uid=ada,{BASE}\nchangetype: modify\nreplace: mail\nmail: a@example.org\n"))
        .unwrap();
    assert!(first.search(BASE, "(mail=a@example.org)", &["uid"]).unwrap().contains("uid: ada"));
    let refused = first.modify(&person("ada")).unwrap_err();
    assert!(format!("{refused:#}").contains("Already exists"), "{refused:#}");
    let port = second.port();
    drop(second);
    assert_gone(&directory);
    assert!(!listens(port));
}

#[test]
fn it_knows_who_asks() {
    let Some(slapd) = or_skip(Slapd::start(&SlapdOptions::default())) else { return };
    slapd.modify(&person("ada")).unwrap();
    let (url, socket) = (slapd.url(), slapd.socket_url());
    assert_eq!(
        who_am_i(&slapd, &["-Q", "-Y", "EXTERNAL", "-H", &socket]).unwrap(),
        "dn:cn=admin,dc=example,dc=org"
    );
    let ada = format!("uid=ada,{BASE}");
    let bind = |dn: &str, password: &str| who_am_i(&slapd, &["-x", "-H", &url, "-D", dn, "-w", password]);
    assert_eq!(bind(&ada, "ada-secret").unwrap(), format!("dn:{ada}"));
    assert_eq!(bind(&slapd.options().root_dn, "secret").unwrap(), "dn:cn=admin,dc=example,dc=org");
    let refused = bind(&ada, "wrong").unwrap_err();
    assert!(refused.contains("Invalid credentials (49)"), "{refused}");
    // Nobody but the root DN writes.
    let mut write = slapd.client("ldapdelete");
    let refused = said(write.args(["-x", "-H", &url, "-D", &ada, "-w", "ada-secret", &ada])).unwrap_err();
    assert!(refused.contains("Insufficient access (50)"), "{refused}");
}

#[test]
fn it_speaks_tls_that_clients_can_verify() {
    let with = |tls| SlapdOptions { tls: Some(tls), ..SlapdOptions::default() };
    let Some(required) = or_skip(Slapd::start(&with(PeerTls::required()))) else { return };
    let elsewhere = PeerTls { names: vec!["other.example.org".to_owned()], ..PeerTls::offered() };
    let Some(offered) = or_skip(Slapd::start(&with(elsewhere))) else { return };
    let bind = |slapd: &Slapd, arguments: &[&str]| {
        who_am_i(slapd, &[&["-x", "-D", "cn=admin,dc=example,dc=org", "-w", "secret"], arguments].concat())
    };
    let (url, tls_url) = (required.url(), required.tls_url().unwrap());
    bind(&required, &["-ZZ", "-H", &url]).unwrap();
    bind(&required, &["-H", &tls_url]).unwrap();
    let refused = bind(&required, &["-H", &url]).unwrap_err();
    assert!(refused.contains("Confidentiality required (13)"), "{refused}");
    bind(&offered, &["-H", &offered.url()]).unwrap();
    // Another name, then another authority.
    for (slapd, url) in [(&offered, offered.tls_url().unwrap()), (&offered, tls_url)] {
        let refused = bind(slapd, &["-H", &url]).unwrap_err();
        assert!(refused.contains("Can't contact LDAP server"), "{refused}");
    }
}

const ATTRIBUTE: &str = "( 1.3.6.1.4.1.32473.1.1 NAME 'nest' EQUALITY caseIgnoreMatch \
                         SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )";
const CLASS: &str = "( 1.3.6.1.4.1.32473.2.1 NAME 'pigeon' SUP top AUXILIARY MAY nest )";

/// The same schema in both forms.
fn schemas(directory: &TempDir) -> anyhow::Result<[PathBuf; 2]> {
    let (schema, ldif) = (directory.path().join("nest.schema"), directory.path().join("nest.ldif"));
    fs::write(&schema, format!("# nests\nattributetype {ATTRIBUTE}\nobjectclass {CLASS}\n"))?;
    let entry = "dn: cn=nest,cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: nest";
    fs::write(&ldif, format!("{entry}\nolcAttributeTypes: {ATTRIBUTE}\nolcObjectClasses: {CLASS}\n"))?;
    Ok([schema, ldif])
}

#[test]
fn it_takes_own_schemas_in_both_forms() {
    let directory = TempDir::new().unwrap();
    for schema in schemas(&directory).unwrap() {
        let indexes = vec!["nest,mail eq".to_owned()];
        let options = SlapdOptions { schemas: vec![schema.clone()], indexes, ..SlapdOptions::default() };
        let Some(slapd) = or_skip(Slapd::start(&options)) else { return };
        slapd.modify(&format!("{}objectClass: pigeon\nnest: left\n", person("ada"))).unwrap();
        slapd.restart().unwrap();
        let found = slapd.search(BASE, "(nest=LEFT)", &["nest"]).unwrap();
        assert!(found.ends_with("nest: left"), "{found}");
        let indexes = slapd.search("cn=config", "(olcDbIndex=*)", &["olcDbIndex"]).unwrap();
        assert!(indexes.contains("olcDbIndex: nest,mail eq"), "{} {indexes}", schema.display());
        let refused = slapd.modify(&format!("{}nest: left\n", person("bo"))).unwrap_err();
        assert!(format!("{refused:#}").contains("Object class violation (65)"), "{refused:#}");
    }
}

#[test]
fn consumers_follow_and_refer() {
    let options = SlapdOptions { tls: Some(PeerTls::required()), ..SlapdOptions::default() };
    let Some(provider) = or_skip(Slapd::start(&options)) else { return };
    provider.modify(&person("ada")).unwrap();
    let consumer = provider.consumer().unwrap();
    let follows = |expect: &str| {
        let seen = wait_until(PATIENCE, || people(&consumer).ok().filter(|seen| seen == expect));
        assert!(seen.is_some(), "{:?}\n{}", people(&consumer), consumer.log());
    };
    follows("ada");
    provider.modify(&person("bo")).unwrap();
    follows("ada bo");
    let refused = format!("{:#}", consumer.modify(&person("cy")).unwrap_err());
    assert!(refused.contains("Referral (10)") && refused.contains(&provider.url()), "{refused}");
    consumer.kill();
    provider.modify(&person("cy")).unwrap();
    provider.modify(&format!("dn: uid=ada,{BASE}\nchangetype: delete\n")).unwrap();
    consumer.restart().unwrap();
    follows("bo cy");
    provider.kill();
    follows("bo cy");
    provider.restart().unwrap();
    provider.modify(&person("di")).unwrap();
    follows("bo cy di");
}

#[test]
fn it_keeps_what_is_written() {
    let Some(slapd) = or_skip(Slapd::start(&SlapdOptions::default())) else { return };
    let ends: [fn(&Slapd); 3] = [|it| it.kill(), |it| it.stop().unwrap(), |_| ()];
    let mut expect = Vec::new();
    for (number, end) in ends.iter().enumerate() {
        let port = slapd.port();
        expect.push(format!("person{number}"));
        slapd.modify(&person(&format!("person{number}"))).unwrap();
        end(&slapd);
        assert_eq!(listens(port), number == 2);
        slapd.restart().unwrap();
        assert_eq!(slapd.port(), port);
        assert_eq!(people(&slapd).unwrap(), expect.join(" "));
    }
}

#[test]
fn it_stalls_while_paused() {
    let Some(slapd) = or_skip(Slapd::start(&SlapdOptions::default())) else { return };
    slapd.pause().unwrap();
    assert!(!answers(slapd.port(), &BIND, Duration::from_secs(1)).unwrap());
    slapd.resume().unwrap();
    assert!(answers(slapd.port(), &BIND, PATIENCE).unwrap());
    slapd.pause().unwrap();
    let directory = slapd.directory().to_owned();
    drop(slapd);
    assert_gone(&directory);
}
