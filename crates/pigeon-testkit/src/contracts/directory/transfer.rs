//! Export and import.

use pigeon_core::directory::{Change, Entry, Status};
use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::Pin;
use serde_json::json;

use super::{Site, actor, at, grant, limit, parse, root, set, status};

async fn fill(site: &Site) {
    for domain in ["example.org", "example.net"] {
        site.domain(domain).await;
        for local in ["ann", "bob", "eve"] {
            site.account(&format!("{local}@{domain}")).await;
        }
        site.alias(&format!("*@{domain}"), &[&format!("ann@{domain}"), "out@example.com"]).await;
        site.apply(set(at(domain), "trace.max_hops", 9, Pin::Domain)).await;
        site.apply(limit(at(domain), "trace.max_hops", json!({"max": 30}), Pin::None)).await;
        site.apply(grant(&format!("ann@{domain}"), Some(domain))).await;
    }
    site.apply(Change::AddDomainAlias { domain: "example.org".to_owned(), alias: "example.com".to_owned() })
        .await;
    let (address, password) = (parse("ann@example.org"), Some("{PLAIN}secret".to_owned()));
    site.apply(Change::EditAccount { address, name: Some("Ann".to_owned()), password }).await;
    site.apply(grant("ann@example.org", None)).await;
    site.set(at("system"), "address.separators", "+-").await;
    site.set(at("ann@example.org"), "trace.delivered_to", "never").await;
    site.apply(status("bob@example.net", Status::Removed)).await;
    site.apply(super::rename("eve@example.org", "eva@example.org")).await;
}

async fn export(site: &Site, limit: u32) -> Vec<Entry> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (entries, next) = site.directory.export(cursor, limit).await.expect("a page");
        if entries.is_empty() {
            return all;
        }
        assert!(
            entries.len() <= limit.try_into().expect("a size"),
            "{} entries on a page of {limit}",
            entries.len()
        );
        all.extend(entries);
        cursor = next;
    }
}

pub(super) async fn an_export_makes_the_same_directory(site: &Site, copy: &Site) {
    fill(site).await;
    let entries = export(site, 3).await;
    assert_eq!(entries, export(site, 1000).await, "pages of another size hold something else");
    assert_eq!(site.directory.count().await.expect("a count"), entries.len() as u64);
    let lines: Vec<String> =
        entries.iter().map(|entry| serde_json::to_string(entry).expect("JSON")).collect();
    let read = lines.iter().map(|line| serde_json::from_str(line).expect("an entry")).collect::<Vec<Entry>>();
    assert_eq!(read, entries);
    copy.lookup("ann@example.org").await;
    for batch in read.chunks(5) {
        copy.directory.import(&root(), batch.to_vec()).await.unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(export(copy, 7).await, entries);
    for text in ["ann@example.com", "eva-x@example.org", "bob@example.net", "any@example.net"] {
        assert_eq!(
            super::describe(&copy.lookup(text).await),
            super::describe(&site.lookup(text).await),
            "{text}"
        );
    }
    // A second time overwrites with the same.
    copy.directory.import(&root(), entries.clone()).await.expect("a second import");
    assert_eq!(export(copy, 1000).await, entries);
    let log = copy.directory.changes(0, 100).await.expect("the log");
    assert!(log.len() > 1 && log.iter().all(|row| row.change["change"] == "import"), "{log:?}");
}

pub(super) async fn imports_are_checked(site: &Site) {
    fill(site).await;
    let entries = export(site, 1000).await;
    let ann = site.directory.account(&parse("ann@example.net")).await.expect("ann");
    let refused = site.directory.import(&actor(&ann), entries.clone()).await;
    assert!(matches!(refused, Err(DirectoryError::Forbidden(_))), "{refused:?}");
    let before = site.lookup("ann@example.net").await;
    let seq = super::seq_of(&before);
    let renamed = pigeon_core::directory::Account { name: "Changed".to_owned(), ..ann.clone() };
    let bad: [(Entry, &str); 5] = [
        (Entry::Account(account(&ann, |ann| ann.mailbox = MailboxPath("../../etc".to_owned()))), "mailbox"),
        (Entry::Account(account(&ann, |ann| ann.address = parse("bob@example.net"))), "exists already"),
        (
            Entry::Account(account(&ann, |ann| ann.domain = pigeon_core::directory::Id("x".to_owned()))),
            "does not exist",
        ),
        (Entry::Account(account(&ann, |ann| ann.password = Some("clear".to_owned()))), "scheme"),
        (
            Entry::Grant(pigeon_core::directory::Grant {
                account: pigeon_core::directory::Id("x".to_owned()),
                role: pigeon_core::directory::Role::System,
            }),
            "does not exist",
        ),
    ];
    for (entry, word) in bad {
        let batch = vec![Entry::Account(renamed.clone()), entry];
        let Err(error) = site.directory.import(&root(), batch).await else { panic!("{word}: it was taken") };
        assert!(error.to_string().contains("entry 2") && error.to_string().contains(word), "{error}");
    }
    assert_eq!(export(site, 1000).await, entries, "a refused import left something behind");
    site.directory.import(&root(), vec![Entry::Account(renamed)]).await.expect("an import");
    let feed = site.directory.feed(seq).await.expect("the feed");
    let is_touched = feed.scopes.iter().any(|(scope, _)| super::scopes_of(&before).contains(scope));
    assert!(is_touched, "an import did not say what it touched: {feed:?}");
    assert_eq!(super::account_of(&site.target("ann@example.net").await).name, "Changed");
}

fn account(
    like: &pigeon_core::directory::Account,
    edit: impl FnOnce(&mut pigeon_core::directory::Account),
) -> pigeon_core::directory::Account {
    let mut account = like.clone();
    edit(&mut account);
    account
}
