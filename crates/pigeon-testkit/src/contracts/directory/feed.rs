//! The change feed: whoever keeps look-ups forgets those that a change touches, and only those.

use pigeon_core::directory::{Change, Lookup, Scope, Status};
use pigeon_core::ports::directory::Feed;
use pigeon_core::setting::Pin;

use super::{
    Site, add_account, add_alias, at, describe, grant, parse, pin, purge, rename, scopes_of, seq_of, set,
    status, unset,
};

/// The addresses that are kept.
const WATCHED: [&str; 10] = [
    "ann@example.org",
    "ann+x@example.org",
    "ann@example.com",
    "bob@example.org",
    "team@example.org",
    "new@example.org",
    "sales-1@example.org",
    "eve@example.net",
    "out@example.net",
    "any@missing.example.org",
];

const HOPS: &str = "trace.max_hops";

/// Changes in their order, each with the addresses that it must leave alone.
fn changes() -> Vec<(Change, &'static [&'static str])> {
    let (ann, bob, eve) = ("ann@example.org", "bob@example.org", "eve@example.net");
    let domain_alias =
        Change::AddDomainAlias { domain: "example.org".to_owned(), alias: "example.com".to_owned() };
    let edited = Change::EditAccount { address: parse(ann), name: Some("Ann".to_owned()), password: None };
    let retargeted = Change::EditAlias { pattern: parse("team@example.org"), targets: vec![parse(bob)] };
    vec![
        (add_account("new@example.org"), &["ann@example.org", "bob@example.org", "eve@example.net"]),
        (edited, &["bob@example.org", "new@example.org", "eve@example.net"]),
        (set(at(ann), HOPS, 9, Pin::None), &["bob@example.org", "new@example.org", "eve@example.net"]),
        (pin(at(ann), HOPS, Pin::Domain), &["bob@example.org", "eve@example.net"]),
        (set(at("example.org"), HOPS, 9, Pin::None), &["eve@example.net", "any@missing.example.org"]),
        (set(at("system"), HOPS, 9, Pin::None), &[]),
        (unset(at("system"), HOPS), &[]),
        (set(at("example.org"), "address.separators", "", Pin::None), &["eve@example.net"]),
        (unset(at("example.org"), "address.separators"), &["eve@example.net"]),
        (add_alias("sales-*@example.org", &[ann]), &["eve@example.net"]),
        (retargeted, &["ann@example.org", "bob@example.org", "eve@example.net"]),
        (domain_alias, &["eve@example.net"]),
        (rename(ann, "anna@example.org"), &["bob@example.org", "new@example.org", "eve@example.net"]),
        (add_account(ann), &["bob@example.org", "new@example.org", "eve@example.net"]),
        (status(bob, Status::Suspended), &["ann@example.org", "new@example.org", "eve@example.net"]),
        (status(bob, Status::Removed), &["ann@example.org", "new@example.org", "eve@example.net"]),
        (purge(bob), &["ann@example.org", "new@example.org", "eve@example.net"]),
        (grant(eve, Some("example.org")), &WATCHED),
        (status("example.org", Status::Suspended), &["eve@example.net", "any@missing.example.org"]),
        (rename("example.org", "missing.example.org"), &["eve@example.net"]),
        (status("missing.example.org", Status::Removed), &["eve@example.net"]),
        (purge("missing.example.org"), &["eve@example.net"]),
        (
            Change::AddDomain { name: "example.org".to_owned() },
            &["eve@example.net", "any@missing.example.org"],
        ),
    ]
}

/// Everything in an answer but its position.
fn content(lookup: &Lookup) -> String {
    let settings = match lookup {
        Lookup::None(_) => String::new(),
        Lookup::Found(resolution) => {
            let mut rows: Vec<String> = Vec::new();
            for target in &resolution.branches {
                rows.push(format!("{:?}", target.to));
                let mut settings: Vec<String> =
                    target.settings.iter().map(|setting| format!("{setting:?}")).collect();
                settings.sort();
                rows.extend(settings);
            }
            format!("{:?} {rows:?}", resolution.broken)
        }
    };
    format!("{} {settings}", describe(lookup))
}

fn is_touched(lookup: &Lookup, feed: &Feed) -> bool {
    let is_later = |at: u64| at > seq_of(lookup);
    feed.scopes.iter().any(|(scope, at)| is_later(*at) && scopes_of(lookup).contains(scope))
}

async fn watch(site: &Site) -> Vec<(&'static str, Lookup)> {
    let mut kept = Vec::new();
    for text in WATCHED {
        kept.push((text, site.lookup(text).await));
    }
    kept
}

async fn fill(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    site.account("ann@example.org").await;
    site.account("bob@example.org").await;
    site.account("eve@example.net").await;
    site.alias("team@example.org", &["ann@example.org", "new@example.org"]).await;
    site.alias("out@example.net", &["any@missing.example.org", "ann@example.org"]).await;
}

/// Another process makes the changes; this one keeps what it looked up.
pub(super) async fn every_change_tells_exactly_what_it_touched(site: &Site) {
    fill(site).await;
    let other = (site.fixture.open)();
    for (change, untouched) in changes() {
        let kept = watch(site).await;
        let since = seq_of(&kept[0].1);
        let shown = format!("{change:?}");
        let applied =
            other.apply(&super::root(), change).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let feed = site.directory.feed(since).await.expect("the feed");
        assert_eq!(feed.seq, applied.seq, "{shown}");
        for (text, before) in &kept {
            let after = site.lookup(text).await;
            let is_changed = content(before) != content(&after);
            assert!(
                !is_changed || is_touched(before, &feed),
                "{shown} changed {text} and did not say so: {feed:?}"
            );
            assert!(
                !(untouched.contains(text) && is_touched(before, &feed)),
                "{shown} says it touched {text}, which it did not: {feed:?}"
            );
        }
    }
}

pub(super) async fn a_quiet_feed_is_empty(site: &Site) {
    let empty = site.directory.feed(0).await.expect("the feed");
    assert_eq!(empty, Feed { seq: 0, scopes: Vec::new() });
    fill(site).await;
    let feed = site.directory.feed(0).await.expect("the feed");
    assert_eq!(feed.seq, 7);
    assert!(feed.scopes.contains(&(Scope::DomainName("example.net".to_owned()), 2)), "{feed:?}");
    for _ in 0..3 {
        let quiet = site.directory.feed(feed.seq).await.expect("the feed");
        assert_eq!(quiet, Feed { seq: 7, scopes: Vec::new() });
    }
    // A cursor further back is answered from there again.
    assert_eq!(site.directory.feed(0).await.expect("the feed"), feed);
    site.set(at("system"), HOPS, 9).await;
    let next = site.directory.feed(feed.seq).await.expect("the feed");
    assert_eq!(next, Feed { seq: 8, scopes: vec![(Scope::System, 8)] });
    // A change that is refused is not one.
    site.refused(add_account("ann@example.org")).await;
    assert_eq!(site.directory.feed(8).await.expect("the feed"), Feed { seq: 8, scopes: Vec::new() });
}

pub(super) async fn plain_sql_edits_are_seen(site: &Site) {
    let Some(sql) = &site.fixture.sql else { return };
    fill(site).await;
    site.set(at("ann@example.org"), HOPS, 9).await;
    let edits: [(&str, &[&str]); 4] = [
        (
            "UPDATE settings SET content = '{\"value\":12}' WHERE key = 'max_hops'",
            &["bob@example.org", "eve@example.net"],
        ),
        ("UPDATE accounts SET local = 'new' WHERE local = 'ann'", &["bob@example.org", "eve@example.net"]),
        (
            "UPDATE accounts SET status = 'suspended' WHERE local = 'bob'",
            &["eve@example.net", "new@example.org"],
        ),
        ("DELETE FROM accounts WHERE local = 'bob'", &["eve@example.net", "new@example.org"]),
    ];
    for (edit, untouched) in edits {
        let kept = watch(site).await;
        let since = seq_of(&kept[0].1);
        sql(edit);
        let feed = site.directory.feed(since).await.expect("the feed");
        assert!(feed.seq > since, "{edit} was not seen");
        let mut changed = 0;
        for (text, before) in &kept {
            let is_changed = content(before) != content(&site.lookup(text).await);
            changed += usize::from(is_changed);
            assert!(!is_changed || is_touched(before, &feed), "{edit} changed {text} and did not say so");
            assert!(!(untouched.contains(text) && is_touched(before, &feed)), "{edit} touched {text}");
        }
        assert!(changed > 0, "{edit} changed nothing");
        let log = site.directory.changes(since, 10).await.expect("the log");
        assert_eq!(log.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(), ["sql"], "{log:?}");
    }
}
