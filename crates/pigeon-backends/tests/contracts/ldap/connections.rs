//! Servers that go, come back, stand still or are somebody else's; and how they are reached.

use std::fs;
use std::time::{Duration, Instant};

use pigeon_backends::directory::ldap::{LdapDirectory, LdapOptions};
use pigeon_core::directory::{Change, Lookup};
use pigeon_core::ports::directory::{Administration as _, Directory as _};
use pigeon_testkit::peers::{PeerTls, SlapdOptions};

use super::{
    BASE, add_account, add_domain, holds, is_unknown, lookup, means, open, options, parse, root, server,
    set_hops, site, start,
};

/// What a delivery may lose to a server that is known to be down.
const NOTHING: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again() {
    let Some((slapd, directory)) = site().await else { return };
    for _ in 0..3 {
        slapd.kill();
        let begun = Instant::now();
        let answer = directory.lookup(&parse("ann@example.org")).await;
        assert!(is_unknown(&answer), "{answer:?}");
        for _ in 0..20 {
            assert!(is_unknown(&directory.lookup(&parse("ann@example.org")).await));
            assert!(is_unknown(&directory.feed(0).await));
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        slapd.restart().unwrap();
        holds(SOON, "a look-up", async || directory.lookup(&parse("ann@example.org")).await.is_ok()).await;
        // At once, without a look-up that fails: the connection is dialled anew where it was merely cut.
        slapd.restart().unwrap();
        assert_eq!(means(&directory, "ann@example.org").await, ["ann@example.org"]);
        slapd.restart().unwrap();
        set_hops(&directory, "ann@example.org", 9).await;
    }
    assert_eq!(directory.changes(0, 100).await.unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_costs_one_wait_and_no_more() {
    let Some((slapd, _)) = site().await else { return };
    let options = LdapOptions { timeout_ms: 500, ..options(&slapd.url()) };
    let directory = open(&options);
    assert_eq!(means(&directory, "ann@example.org").await, ["ann@example.org"]);
    slapd.pause().unwrap();
    let begun = Instant::now();
    let answer = directory.lookup(&parse("ann@example.org")).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert!(answer.unwrap_err().to_string().contains("within 500 ms"));
    let waited = begun.elapsed();
    assert!((400..1500).contains(&waited.as_millis()), "{waited:?}");
    let begun = Instant::now();
    for _ in 0..10 {
        assert!(is_unknown(&directory.lookup(&parse("bob@example.org")).await));
    }
    assert!(begun.elapsed() < NOTHING, "{:?}", begun.elapsed());
    slapd.resume().unwrap();
    holds(SOON, "a look-up", async || directory.lookup(&parse("ann@example.org")).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_answer_while_the_provider_is_down() {
    let Some((slapd, provider)) = site().await else { return };
    let consumer = slapd.consumer().unwrap();
    let replicas = vec![consumer.url()];
    let directory = open(&LdapOptions { replicas, ..options(&slapd.url()) });
    let is_there = async |address: &str| !means(&directory, address).await.is_empty();
    holds(SOON, "replication", async || {
        directory.lookup(&parse("bob@example.org")).await.is_ok_and(|found| matches!(found, Lookup::Found(_)))
    })
    .await;
    // Changes go to the provider and come back through the replica; whoever keeps look-ups is told.
    let kept = seq(&lookup(&directory, "eve@example.org").await);
    add_account(&directory, "eve@example.org").await;
    let took = holds(Duration::from_secs(2), "a change", async || is_there("eve@example.org").await).await;
    assert!(took < Duration::from_secs(2));
    holds(Duration::from_secs(2), "the feed", async || directory.feed(kept).await.unwrap().seq > kept).await;
    // By another program, too.
    let kept = seq(&lookup(&directory, "ann@example.org").await);
    let ann = slapd.search(BASE, "(pigeonLocalPart=ann)", &["1.1"]).unwrap();
    slapd.modify(&format!("{}\nchangetype: modify\nreplace: cn\ncn: Ann\n", ann.trim())).unwrap();
    holds(Duration::from_secs(2), "ldapmodify", async || directory.feed(kept).await.unwrap().seq > kept)
        .await;
    slapd.stop().unwrap();
    for address in ["ann@example.org", "eve@example.org"] {
        assert_eq!(means(&directory, address).await, [address]);
    }
    assert!(means(&directory, "nobody@example.org").await.is_empty());
    directory.feed(0).await.unwrap();
    assert_eq!(directory.count().await.unwrap(), 4, "listings come from the replica");
    let refused = directory.apply(&root(), Change::AddDomain { name: "example.net".to_owned() }).await;
    assert!(is_unknown(&refused), "{refused:?}");
    slapd.restart().unwrap();
    holds(SOON, "a change", async || {
        directory.apply(&root(), Change::AddDomain { name: "example.net".to_owned() }).await.is_ok()
    })
    .await;
    // The replica goes: the provider answers.
    consumer.kill();
    for address in ["ann@example.org", "eve@example.org", "ann@example.org"] {
        assert_eq!(means(&directory, address).await, [address]);
    }
    set_hops(&provider, "ann@example.org", 9).await;
    let now = seq(&lookup(&directory, "ann@example.org").await);
    assert!(now > kept, "positions never go back: {now} after {kept}");
}

fn seq(lookup: &Lookup) -> u64 {
    match lookup {
        Lookup::Found(found) => found.seq,
        Lookup::None(nobody) => nobody.seq,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_in_the_url_says_where_changes_go() {
    let Some((slapd, directory)) = site().await else { return };
    let consumer = slapd.consumer().unwrap();
    let replica = open(&options(&consumer.url()));
    holds(SOON, "replication", async || {
        replica.lookup(&parse("bob@example.org")).await.is_ok_and(|found| matches!(found, Lookup::Found(_)))
    })
    .await;
    let refused =
        replica.apply(&root(), Change::AddDomain { name: "example.net".to_owned() }).await.unwrap_err();
    assert!(refused.to_string().contains("name the provider in the URL"), "{refused}");
    add_domain(&directory, "example.net").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_system_user_is_known_over_the_unix_socket() {
    let Some((slapd, _)) = site().await else { return };
    let url = format!("{}/{BASE}", slapd.socket_url());
    let directory = open(&LdapOptions { url: url.clone(), ..LdapOptions::default() });
    add_account(&directory, "eve@example.org").await;
    assert_eq!(means(&directory, "eve@example.org").await, ["eve@example.org"]);
    // With a name and a password, too.
    let named = LdapOptions { url, ..options(&slapd.url()) };
    assert_eq!(means(&open(&named), "eve@example.org").await, ["eve@example.org"]);
    // Over TCP nobody is known without them: nothing of the directory may be read.
    let unknown = LdapOptions { url: format!("{}/{BASE}", slapd.url()), ..LdapOptions::default() };
    let answer = open(&unknown).lookup(&parse("ann@example.org")).await;
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_connections_are_verified() {
    let offered = SlapdOptions { tls: Some(PeerTls::required()), ..server() };
    let (Some(slapd), Some(stranger)) = (start(&offered), start(&offered)) else { return };
    let (starting, whole) = (slapd.url(), slapd.tls_url().unwrap());
    let good = LdapOptions { start_tls: true, ca_file: slapd.authority(), ..options(&starting) };
    LdapDirectory::create(&good).await.unwrap();
    let directory = open(&good);
    add_domain(&directory, "example.org").await;
    add_account(&directory, "ann@example.org").await;
    let ldaps = LdapOptions { start_tls: false, ..good.clone() };
    let ldaps = LdapOptions { url: options(&whole).url, ..ldaps };
    for options in [&good, &ldaps] {
        assert_eq!(means(&open(options), "ann@example.org").await, ["ann@example.org"], "{options:?}");
        for ca_file in [stranger.authority(), None] {
            let answer =
                open(&LdapOptions { ca_file, ..options.clone() }).lookup(&parse("ann@example.org")).await;
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("certificate"), "{error}");
        }
        let missing = LdapOptions { ca_file: Some("/missing.pem".into()), ..options.clone() };
        let error = open(&missing).lookup(&parse("ann@example.org")).await.unwrap_err().to_string();
        assert!(error.contains("ca_file"), "{error}");
    }
    let plain = LdapOptions { start_tls: false, ..good.clone() };
    let error = open(&plain).lookup(&parse("ann@example.org")).await.unwrap_err().to_string();
    assert!(error.contains("encrypted"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_file_is_read_at_each_connection() {
    let Some((slapd, _)) = site().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "wrong\n").unwrap();
    let password_file = Some(file.clone());
    let directory = open(&LdapOptions { password: None, password_file, ..options(&slapd.url()) });
    let answer = directory.lookup(&parse("ann@example.org")).await;
    assert!(answer.unwrap_err().to_string().contains("does not take this bind DN"));
    fs::write(&file, "feathers\n").unwrap();
    holds(SOON, "a look-up", async || directory.lookup(&parse("ann@example.org")).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_recipient_costs_one_search() {
    let Some((slapd, directory)) = site().await else { return };
    let searches = || slapd.log().lines().filter(|line| line.contains(" SRCH base=")).count();
    assert_eq!(means(&directory, "ann@example.org").await, ["ann@example.org"]);
    let before = searches();
    for address in ["bob@example.org", "ann+x-y@example.org", "nobody@example.org"] {
        lookup(&directory, address).await;
    }
    holds(SOON, "the log", async || searches() >= before + 3).await;
    assert_eq!(searches(), before + 3);
    // With settings of its own it is two the first time, and one from then on.
    set_hops(&directory, "bob@example.org", 9).await;
    lookup(&directory, "bob@example.org").await;
    let before = searches();
    lookup(&directory, "bob@example.org").await;
    lookup(&directory, "bob+y@example.org").await;
    holds(SOON, "the log", async || searches() >= before + 2).await;
    assert_eq!(searches(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let Some((slapd, _)) = site().await else { return };
    let options = options(&slapd.url());
    let makers = (0..3).map(|maker| {
        let directory = open(&options);
        tokio::spawn(async move {
            let mut made = Vec::new();
            for count in 0..40 {
                let address = format!("u{maker}-{count}@example.org");
                let change =
                    Change::AddAccount { address: parse(&address), name: String::new(), password: None };
                if directory.apply(&root(), change).await.is_ok() {
                    made.push(address);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            made
        })
    });
    let makers: Vec<_> = makers.collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(350)).await;
        slapd.kill();
        slapd.restart().unwrap();
    }
    let directory = open(&options);
    let mut made = 0;
    for maker in makers {
        for address in maker.await.unwrap() {
            made += 1;
            assert_eq!(means(&directory, &address).await, [address.as_str()], "it was acknowledged");
        }
    }
    assert!(made > 15, "{made} changes were made");
    // Whatever was begun is finished now, and the log knows of each account that is there.
    add_domain(&directory, "example.net").await;
    let log = directory.changes(0, 1000).await.unwrap();
    let last = u64::try_from(log.len()).unwrap();
    assert!(log.iter().map(|row| row.seq).eq(1..=last), "the log has gaps");
    let page = pigeon_core::ports::directory::Page { after: None, limit: 1000, with_removed: true };
    let accounts = directory.accounts(None, &page).await.unwrap().len();
    let added = log.iter().filter(|row| row.change["change"] == "add-account").count();
    assert_eq!(accounts, added);
    assert!(accounts >= made + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_on_when_nobody_waits_for_it() {
    let Some((slapd, directory)) = site().await else { return };
    let actor = root();
    for count in 0..20 {
        let address = format!("u{count}@example.org");
        let change = Change::AddAccount { address: parse(&address), name: String::new(), password: None };
        let given_up =
            tokio::time::timeout(Duration::from_millis(count % 8), directory.apply(&actor, change));
        given_up.await.ok();
    }
    let begun = Instant::now();
    add_domain(&directory, "example.net").await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(slapd.search(BASE, "(pigeonPending=*)", &["1.1"]).unwrap().is_empty());
}
