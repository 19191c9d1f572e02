//! What other programs change: seen within two seconds by whoever keeps look-ups.

use std::time::Duration;

use pigeon_core::directory::{Id, Scope};
use pigeon_core::ports::directory::Feed;
use pigeon_testkit::peers::Slapd;

use super::{
    BASE, SERVICE, add_domain, apply, found, holds, is_unknown, lookup, means, open, options, parse, root,
    server, set_hops, site, start,
};
use pigeon_backends::directory::ldap::{LdapDirectory, LdapOptions};
use pigeon_core::directory::{Change, Lookup, Place, TargetKind};
use pigeon_core::ports::directory::{Administration as _, Directory as _};
use pigeon_core::setting::ContentKind;

const IN_TIME: Duration = Duration::from_secs(2);

/// The distinguished name of the entry that a filter finds.
fn dn(slapd: &Slapd, filter: &str) -> String {
    let found = slapd.search(BASE, filter, &["1.1"]).unwrap();
    found
        .lines()
        .find_map(|line| line.strip_prefix("dn: "))
        .unwrap_or_else(|| panic!("no {filter}"))
        .to_owned()
}

fn value(slapd: &Slapd, filter: &str, attribute: &str) -> String {
    let found = slapd.search(BASE, filter, &[attribute]).unwrap();
    let value = found.lines().find_map(|line| line.strip_prefix(attribute)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {attribute} in {found}")).to_owned()
}

/// Keeps one look-up, as a planner does, and says whether the feed has touched it since.
async fn is_touched(directory: &LdapDirectory, kept: &Lookup) -> bool {
    let (scopes, seq) = match kept {
        Lookup::Found(found) => (&found.scopes, found.seq),
        Lookup::None(nobody) => (&nobody.scopes, nobody.seq),
    };
    let feed: Feed = directory.feed(seq).await.unwrap();
    feed.scopes.iter().any(|(scope, at)| *at > seq && scopes.contains(scope))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_by_ldapmodify_are_seen_in_time() {
    let Some((slapd, directory)) = site().await else { return };
    set_hops(&directory, "ann@example.org", 9).await;
    set_hops(&directory, "bob@example.org", 9).await;
    let (ann, bob) = (dn(&slapd, "(pigeonLocalPart=ann)"), dn(&slapd, "(pigeonLocalPart=bob)"));
    let domain = value(&slapd, "(pigeonDomainName=example.org)", "pigeonId");
    let hops = format!("pigeonSettingKind=value+pigeonSettingName=trace.max_hops,{ann}");
    let new = format!("pigeonId=by-hand,pigeonId={domain},ou=domains,{BASE}");
    let replace = |dn: &str, attribute: &str, value: &str| {
        format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")
    };
    let add_alias = format!(
        "dn: {new}\nobjectClass: pigeonAlias\npigeonId: by-hand\npigeonDomain: {domain}\npigeonPattern: sales-*\n\
         pigeonTarget: {{1}}bob@example.org\npigeonTarget: {{0}}ann@example.org\n"
    );
    // What is changed, whose look-up it changes, and whose it must leave alone.
    let edits = [
        (replace(&hops, "pigeonContent", "12"), "ann@example.org", Some("bob@example.org")),
        (replace(&bob, "cn", "Bob"), "bob@example.org", Some("ann@example.org")),
        (replace(&bob, "pigeonLocalPart", "rob"), "bob@example.org", Some("ann@example.org")),
        (replace(&bob, "pigeonLocalPart", "bob"), "bob@example.org", Some("ann@example.org")),
        (add_alias, "sales-eu@example.org", None),
        (replace(&new, "pigeonTarget", "bob@example.org"), "sales-eu@example.org", None),
        (replace(&ann, "pigeonStatus", "suspended"), "ann@example.org", Some("bob@example.org")),
        (format!("dn: {hops}\nchangetype: delete\n"), "ann@example.org", None),
        (format!("dn: {new}\nchangetype: delete\n"), "sales-eu@example.org", None),
    ];
    for (edit, changed, untouched) in edits {
        let kept = lookup(&directory, changed).await;
        let other = match untouched {
            Some(address) => Some(lookup(&directory, address).await),
            None => None,
        };
        slapd.modify(&edit).unwrap();
        let took = holds(IN_TIME, &edit, async || is_touched(&directory, &kept).await).await;
        assert!(took < IN_TIME, "{took:?}");
        if let Some(other) = other {
            assert!(!is_touched(&directory, &other).await, "{edit} touched {untouched:?}");
        }
        let now = lookup(&directory, changed).await;
        assert_ne!(format!("{kept:?}"), format!("{now:?}"), "{edit}");
        assert!(!is_touched(&directory, &now).await, "{edit}: what was read behind it counts as old");
    }
    // What is done in order goes on being told exactly.
    let kept = found(&directory, "bob@example.org").await;
    set_hops(&directory, "ann@example.org", 7).await;
    assert!(!is_touched(&directory, &Lookup::Found(kept)).await);
    let log = directory.changes(0, 100).await.unwrap();
    assert!(log.iter().all(|row| row.actor == "root"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_between_two_changes_is_seen() {
    let Some((slapd, directory)) = site().await else { return };
    set_hops(&directory, "ann@example.org", 9).await;
    let kept = lookup(&directory, "ann@example.org").await;
    directory.feed(0).await.unwrap();
    let hops = dn(&slapd, "(pigeonSettingName=trace.max_hops)");
    slapd.modify(&format!("dn: {hops}\nchangetype: delete\n")).unwrap();
    // A change by us follows before anybody asks: the contextCSN is that of an entry again.
    add_domain(&directory, "example.net").await;
    assert!(is_touched(&directory, &kept).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_made_by_hand_are_taken_as_they_are() {
    let Some((slapd, directory)) = site().await else { return };
    let domain = value(&slapd, "(pigeonDomainName=example.org)", "pigeonId");
    let below = format!("pigeonId={domain},ou=domains,{BASE}");
    slapd
        .modify(&format!(
            "dn: pigeonId=eve,{below}\nobjectClass: pigeonAccount\npigeonId: eve\npigeonDomain: {domain}\n\
             pigeonLocalPart: Eve\npigeonMailbox: example.org/eve\nuserPassword: {{SSHA}}x\n\n\
             dn: pigeonSettingKind=value+pigeonSettingName=trace.max_hops,pigeonId=eve,{below}\n\
             objectClass: pigeonSetting\npigeonOwner: eve\npigeonSettingName: trace.max_hops\n\
             pigeonSettingKind: value\npigeonContent: 5\npigeonPin: domain\n\n\
             dn: pigeonId=club,{below}\nobjectClass: pigeonAlias\npigeonId: club\npigeonDomain: {domain}\n\
             pigeonLocalPart: club\npigeonTarget: eve@example.org\npigeonTarget: ann@example.net\n"
        ))
        .unwrap();
    let resolution = found(&directory, "eve+x@example.org").await;
    let target = &resolution.branches[0];
    let TargetKind::Account(account, detail) = &target.to else { panic!("{target:?}") };
    assert_eq!((account.id.0.as_str(), detail.as_deref()), ("eve", Some("x")));
    assert_eq!(account.password.as_deref(), Some("{SSHA}x"));
    let hops = target.settings.iter().find(|setting| setting.name.key == "max_hops").unwrap();
    assert_eq!((hops.pin.to_string().as_str(), hops.by.as_str()), ("domain", "ldap"));
    let mut to = means(&directory, "club@example.org").await;
    to.sort();
    assert_eq!(to, ["ann@example.net", "eve@example.org"]);
    // Servers hold letters of another form for the same; mail does not.
    for other in ["\u{ff25}ve@example.org", "\"e\u{ad}ve\"@example.org"] {
        assert!(means(&directory, other).await.is_empty(), "{other:?}");
    }
    // What others added to our entries outlives our changes.
    let eve = format!("pigeonId=eve,{below}");
    slapd
        .modify(&format!("dn: {eve}\nchangetype: modify\nadd: description\ndescription: On leave\n"))
        .unwrap();
    let rename = Change::Rename {
        subject: pigeon_core::directory::Subject::Account(parse("eve@example.org")),
        to: "eva@example.org".to_owned(),
    };
    apply(&directory, rename).await;
    assert_eq!(value(&slapd, "(pigeonId=eve)", "description"), "On leave");
    assert_eq!(value(&slapd, "(pigeonId=eve)", "mail"), "eva@example.org");
    assert_eq!(means(&directory, "eva@example.org").await, ["eva@example.org"]);
    let unset = Change::Unset {
        place: Place::Account(parse("eva@example.org")),
        name: "trace.max_hops".parse().unwrap(),
        kind: ContentKind::Value,
    };
    apply(&directory, unset).await;
    let left = slapd.search(BASE, "(&(objectClass=pigeonSetting)(pigeonOwner=eve))", &["1.1"]).unwrap();
    assert_eq!(left, "", "not set is no entry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_contradict_each_other_are_unknown_and_never_guessed() {
    let Some((slapd, directory)) = site().await else { return };
    let domain = value(&slapd, "(pigeonDomainName=example.org)", "pigeonId");
    let second = format!("pigeonId=twin,pigeonId={domain},ou=domains,{BASE}");
    slapd
        .modify(&format!(
            "dn: {second}\nobjectClass: pigeonAccount\npigeonId: twin\npigeonDomain: {domain}\n\
             pigeonLocalPart: ann\npigeonMailbox: example.org/twin\n"
        ))
        .unwrap();
    let answer = directory.lookup(&parse("ann@example.org")).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert!(answer.unwrap_err().to_string().contains("another entry of its domain"));
    assert_eq!(means(&directory, "bob@example.org").await, ["bob@example.org"], "others go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_maker_is_gone_is_finished_by_the_next() {
    let Some((slapd, directory)) = site().await else { return };
    let position: u64 = value(&slapd, "(objectClass=pigeonDirectory)", "pigeonSequence").parse().unwrap();
    let bob = dn(&slapd, "(pigeonLocalPart=bob)");
    let (id, mailbox) = (
        value(&slapd, "(pigeonLocalPart=bob)", "pigeonId"),
        value(&slapd, "(pigeonLocalPart=bob)", "pigeonMailbox"),
    );
    let domain = value(&slapd, "(pigeonDomainName=example.org)", "pigeonId");
    // As it is left behind by a process that was killed before it wrote anything else.
    let account = serde_json::json!({
        "kind": "account", "id": id, "domain": domain, "address": "rob@example.org", "mailbox": mailbox
    });
    let pending = serde_json::json!([{ "put": account }]);
    let seq = position + 1;
    slapd
        .modify(&format!(
            "dn: pigeonSequence={seq},ou=changes,{BASE}\nobjectClass: pigeonChange\npigeonSequence: {seq}\n\
             pigeonTime: 20260131235959Z\npigeonActor: gone\npigeonRequest: {{\"change\":\"rename\"}}\n\
             pigeonTouched: account:{id}\npigeonPending: {pending}\n"
        ))
        .unwrap();
    assert_eq!(means(&directory, "bob@example.org").await, ["bob@example.org"], "it does not count yet");
    let done = directory.apply(&root(), Change::AddDomain { name: "example.net".to_owned() }).await.unwrap();
    assert_eq!(done.seq, seq + 1);
    assert_eq!(means(&directory, "rob@example.org").await, ["rob@example.org"]);
    assert_eq!(means(&directory, "bob@example.org").await, Vec::<String>::new());
    let rows = directory.changes(position, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(), ["gone", "root"]);
    let left = slapd.search(BASE, "(pigeonPending=*)", &["1.1"]).unwrap();
    assert_eq!((left.as_str(), value(&slapd, "(pigeonLocalPart=rob)", "pigeonId")), ("", id));
    assert_eq!(dn(&slapd, "(pigeonLocalPart=rob)"), bob);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_shows_changes_everything_is_read_anew() {
    let mut server = server();
    let hidden = format!("access to attrs=contextCSN by dn.exact=\"{}\" none by * read", SERVICE.0);
    server.settings.insert(0, hidden);
    let Some(slapd) = start(&server) else { return };
    let options = options(&slapd.url());
    LdapDirectory::create(&options).await.unwrap();
    let directory = open(&options);
    add_domain(&directory, "example.org").await;
    super::add_account(&directory, "ann@example.org").await;
    let kept = lookup(&directory, "ann@example.org").await;
    let ann = dn(&slapd, "(pigeonLocalPart=ann)");
    slapd.modify(&format!("dn: {ann}\nchangetype: delete\n")).unwrap();
    holds(IN_TIME, "a deletion", async || is_touched(&directory, &kept).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_entries_of_the_database_touch_nothing() {
    let Some((slapd, directory)) = site().await else { return };
    let kept = lookup(&directory, "ann@example.org").await;
    let add = "dn: ou=printers,dc=example,dc=org\nobjectClass: organizationalUnit\nou: printers\n";
    slapd.modify(add).unwrap();
    let feed = directory.feed(0).await.unwrap();
    assert!(!feed.scopes.iter().any(|(scope, _)| *scope == Scope::System), "{feed:?}");
    assert!(!is_touched(&directory, &kept).await);
    assert!(feed.scopes.iter().any(|(scope, _)| matches!(scope, Scope::Account(Id(_)))));
}

/// Whoever keeps look-ups asks the provider, or a replica, while changes are made: none is taken for one of another program.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn changes_in_order_are_told_exactly_while_they_are_made() {
    const CHANGES: u32 = 100;
    let Some((slapd, _)) = site().await else { return };
    let consumer = slapd.consumer().unwrap();
    let near = open(&options(&slapd.url()));
    let far = open(&LdapOptions { replicas: vec![consumer.url()], ..options(&slapd.url()) });
    holds(IN_TIME * 4, "replication", async || {
        far.lookup(&parse("bob@example.org")).await.is_ok_and(|found| matches!(found, Lookup::Found(_)))
    })
    .await;
    let kept = lookup(&far, "bob@example.org").await;
    let maker = open(&options(&slapd.url()));
    let making = tokio::spawn(async move {
        for count in 0..CHANGES / 2 {
            set_hops(&maker, "ann@example.org", count + 1).await;
            let (place, name) = (Place::Account(parse("ann@example.org")), "trace.max_hops".parse().unwrap());
            apply(&maker, Change::Unset { place, name, kind: ContentKind::Value }).await;
        }
    });
    let mut since = [near.feed(3).await.unwrap().seq, far.feed(3).await.unwrap().seq];
    let mut is_over = false;
    while !is_over {
        is_over = making.is_finished();
        if is_over {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        for (directory, since) in [&near, &far].into_iter().zip(&mut since) {
            let feed = directory.feed(*since).await.unwrap();
            *since = feed.seq;
            let others = feed.scopes.iter().filter(|(scope, _)| !matches!(scope, Scope::Account(_)));
            assert_eq!(others.count(), 0, "{feed:?}");
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    making.await.unwrap();
    assert_eq!(since, [u64::from(3 + CHANGES); 2]);
    assert!(!is_touched(&far, &kept).await);
}
