//! Many at once, and a directory that is broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::join_all;
use pigeon_core::directory::{Change, Lookup};
use pigeon_core::ports::directory::{Administration, DirectoryError, Page};
use pigeon_core::setting::{Content, Pin};
use serde_json::Value;

use super::{Site, account_of, add_account, at, parse, rename, root, set};

/// While an account and its domain are renamed to and fro, one of the names means it at every moment.
pub(super) async fn names_change_under_load(site: &Site) {
    site.domain("one.example.org").await;
    let ann = site.account("ann@one.example.org").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let lookups = Arc::new(AtomicU32::new(0));
    let readers = (0..4).map(|_| {
        let directory = (site.fixture.open)();
        let (is_over, lookups) = (Arc::clone(&is_over), Arc::clone(&lookups));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                check_one_name(&*directory, &ann_names()).await;
                lookups.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for _ in 0..15 {
        site.apply(rename("ann@one.example.org", "bea@one.example.org")).await;
        site.apply(rename("one.example.org", "two.example.org")).await;
        site.apply(rename("bea@two.example.org", "ann@two.example.org")).await;
        site.apply(rename("two.example.org", "one.example.org")).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("a reader");
    }
    assert!(lookups.load(Ordering::Relaxed) > 0);
    let after = site.target("ann@one.example.org").await;
    assert_eq!((&account_of(&after).id, &account_of(&after).mailbox), (&ann.id, &ann.mailbox));
}

fn ann_names() -> Vec<String> {
    let name = |local: &str, domain: &str| format!("{local}@{domain}.example.org");
    vec![name("ann", "one"), name("bea", "one"), name("bea", "two"), name("ann", "two")]
}

/// Answers are of one moment each: the newest position at which the account was found, or not, decides nothing here;
/// what was found must be whole.
async fn check_one_name(directory: &dyn Administration, names: &[String]) {
    for name in names {
        let lookup = directory.lookup(&parse(name)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Lookup::Found(resolution) = lookup {
            let target = resolution.branches.first().expect("a branch");
            let account = account_of(target);
            assert_eq!(account.address.to_string(), *name, "an answer mixes two moments");
            assert_eq!(account.mailbox.0, "one.example.org/ann");
        }
    }
}

/// Command lines and servers write and read at the same time; none is told that the database is locked.
pub(super) async fn many_handles_write_at_once(site: &Site) {
    const WRITERS: u32 = 6;
    const EACH: u32 = 10;
    site.domain("example.org").await;
    let writers = (0..WRITERS).map(|writer| {
        let directory = (site.fixture.open)();
        tokio::spawn(async move {
            for count in 0..EACH {
                let text = format!("u{writer}-{count}@example.org");
                directory
                    .apply(&root(), add_account(&text))
                    .await
                    .unwrap_or_else(|error| panic!("{text}: {error}"));
                let seen =
                    directory.lookup(&parse(&text)).await.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(matches!(seen, Lookup::Found(_)), "{text} is not there after it was added");
                directory.feed(0).await.unwrap_or_else(|error| panic!("{text}: {error}"));
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let page = Page { after: None, limit: 1000, with_removed: true };
    let accounts = site.directory.accounts(Some("example.org"), &page).await.expect("a list");
    assert_eq!(accounts.len(), usize::try_from(WRITERS * EACH).expect("a size"));
    let log = site.directory.changes(0, 1000).await.expect("the log");
    let seqs: Vec<u64> = log.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=u64::from(WRITERS * EACH) + 1).collect::<Vec<_>>(), "the log has gaps");
    // Two who want the same name: one gets it.
    let (one, two) = ((site.fixture.open)(), (site.fixture.open)());
    let root = root();
    let both =
        join_all([&one, &two].map(|directory| directory.apply(&root, add_account("same@example.org")))).await;
    assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1, "{both:?}");
    assert!(both.iter().any(|result| matches!(result, Err(DirectoryError::Exists { .. }))), "{both:?}");
}

/// Many count one value up at the same time: whoever depends on what they saw loses nobody's step.
pub(super) async fn no_step_is_lost(site: &Site) {
    const WRITERS: u32 = 4;
    const EACH: u32 = 5;
    site.domain("example.org").await;
    site.account("ann@example.org").await;
    let writers = (0..WRITERS).map(|_| {
        let directory = (site.fixture.open)();
        tokio::spawn(async move {
            for _ in 0..EACH {
                while !count_up(&*directory).await {}
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(counted(&*site.directory).await, Some((WRITERS * EACH).into()));
}

async fn counted(directory: &dyn Administration) -> Option<Value> {
    let written = directory.settings(&at("ann@example.org")).await.expect("settings");
    let setting = written.into_iter().find(|setting| setting.name == parse("span.from"))?;
    match setting.content {
        Content::Value(value) => Some(value),
        Content::Range(_) => None,
    }
}

/// Whether nobody else was quicker.
async fn count_up(directory: &dyn Administration) -> bool {
    let seen = counted(directory).await;
    let next = seen.as_ref().and_then(Value::as_u64).unwrap_or_default() + 1;
    let then = Box::new(set(at("ann@example.org"), "span.from", next, Pin::None));
    let seen = vec![(parse("span.from"), seen)];
    match directory.apply(&root(), Change::IfWritten { place: at("ann@example.org"), seen, then }).await {
        Ok(_) => true,
        Err(DirectoryError::Changed(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Unknown is not "nobody".
pub(super) async fn a_broken_directory_knows_nothing(site: &Site) {
    let Some(destroy) = &site.fixture.destroy else { return };
    site.domain("example.org").await;
    site.account("ann@example.org").await;
    destroy();
    for text in ["ann@example.org", "nobody@example.org", "ann@example.com"] {
        let answer = site.directory.lookup(&parse(text)).await;
        assert!(matches!(answer, Err(DirectoryError::Unavailable { .. })), "{text}: {answer:?}");
    }
    let changed = site.directory.apply(&root(), Change::AddDomain { name: "example.com".to_owned() }).await;
    assert!(matches!(changed, Err(DirectoryError::Unavailable { .. })), "{changed:?}");
    let settings = site.directory.settings(&at("system")).await;
    assert!(matches!(settings, Err(DirectoryError::Unavailable { .. })), "{settings:?}");
    let feed = site.directory.feed(0).await;
    assert!(matches!(feed, Err(DirectoryError::Unavailable { .. })), "{feed:?}");
}
