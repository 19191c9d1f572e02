//! Identity, names, removal and the change log.

use std::collections::HashSet;

use pigeon_core::directory::{Change, Entry, Status};
use pigeon_core::ports::directory::{DirectoryError, Page};

use super::{Site, account_of, add_account, add_alias, at, grant, parse, purge, rename, root, status};

fn all() -> Page {
    Page { after: None, limit: 1000, with_removed: false }
}

pub(super) async fn ids_and_mailboxes_outlive_names(site: &Site) {
    site.domain("example.org").await;
    let ann = site.account("ann@example.org").await;
    assert_eq!(ann.mailbox.0, "example.org/ann");
    let applied = site.apply(rename("ann@example.org", "Anna@example.org")).await;
    assert!(applied.notes.concat().contains("ann@example.org"), "{:?}", applied.notes);
    site.apply(rename("example.org", "example.net")).await;
    site.check(&[
        ("anna@example.net", "anna@example.net"),
        ("ann@example.net", "nobody"),
        ("anna@example.org", "not ours"),
    ])
    .await;
    let target = site.target("anna@example.net").await;
    let found = account_of(&target);
    assert_eq!((&found.id, &found.mailbox, &found.domain), (&ann.id, &ann.mailbox, &ann.domain));
    // The old name is free again, its mailbox is not.
    let second = site.account("ann@example.net").await;
    assert_ne!(second.mailbox, ann.mailbox);
    site.domain("example.org").await;
    let third = site.account("ann@example.org").await;
    assert_ne!(third.mailbox, ann.mailbox);
    assert!(third.mailbox.0.starts_with("example.org/ann-"), "{}", third.mailbox.0);
    // An account may move to another domain; another name of a domain may become its own.
    site.apply(rename("anna@example.net", "anna@example.org")).await;
    assert_eq!(account_of(&site.target("anna@example.org").await).id, ann.id);
    site.apply(Change::AddDomainAlias { domain: "example.org".to_owned(), alias: "example.com".to_owned() })
        .await;
    site.apply(rename("example.org", "example.com")).await;
    site.check(&[("anna@example.com", "anna@example.com"), ("anna@example.org", "not ours")]).await;
}

pub(super) async fn names_are_unique_and_reserved(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    site.apply(Change::AddDomainAlias { domain: "example.org".to_owned(), alias: "example.com".to_owned() })
        .await;
    site.account("ann@example.org").await;
    site.account("bob@example.org").await;
    site.alias("team@example.org", &["ann@example.org"]).await;
    let taken = [
        Change::AddDomain { name: "EXAMPLE.org".to_owned() },
        Change::AddDomain { name: "example.com".to_owned() },
        Change::AddDomainAlias { domain: "example.net".to_owned(), alias: "example.com".to_owned() },
        rename("example.net", "example.org"),
        add_account("Ann@example.org"),
        add_account("ann@example.com"),
        add_account("team@example.org"),
        add_alias("ann@example.org", &["bob@example.org"]),
        add_alias("team@example.com", &["bob@example.org"]),
        rename("ann@example.org", "bob@example.org"),
        rename("ann@example.org", "team@example.org"),
    ];
    for change in taken {
        let error = site.refused(change).await;
        assert!(matches!(error, DirectoryError::Exists { .. }), "{error}");
    }
    site.apply(status("ann@example.org", Status::Removed)).await;
    for change in [add_account("ann@example.org"), rename("bob@example.org", "ann@example.org")] {
        let error = site.refused(change).await.to_string();
        assert!(error.contains("restore or purge it"), "{error}");
    }
    let missing = [
        rename("ann@example.org", "anna@example.org"),
        Change::EditAccount {
            address: parse("ann@example.org"),
            name: Some("Ann".to_owned()),
            password: None,
        },
        add_account("ann@missing.example.org"),
        purge("eve@example.org"),
        Change::RemoveDomainAlias { alias: "missing.example.org".to_owned() },
    ];
    for change in missing {
        let error = site.refused(change).await;
        assert!(matches!(error, DirectoryError::NotFound { .. }), "{error}");
    }
    let senseless = [
        Change::AddDomain { name: "not a domain".to_owned() },
        Change::RemoveDomainAlias { alias: "example.org".to_owned() },
        add_alias("empty@example.org", &[]),
        add_account("a*@example.org"),
        status("example.com", Status::Removed),
        Change::EditAccount {
            address: parse("bob@example.org"),
            name: None,
            password: Some("secret".to_owned()),
        },
    ];
    for change in senseless {
        let error = site.refused(change).await;
        assert!(matches!(error, DirectoryError::Invalid(_)), "{error}");
    }
}

pub(super) async fn purge_deletes_for_good(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    let ann = site.account("ann@example.org").await;
    site.account("bob@example.org").await;
    site.account("eve@example.net").await;
    site.alias("team@example.org", &["ann@example.org"]).await;
    site.set(at("ann@example.org"), "trace.max_hops", 9).await;
    site.set(at("example.org"), "trace.max_hops", 8).await;
    site.apply(grant("ann@example.org", None)).await;
    site.apply(grant("eve@example.net", Some("example.org"))).await;
    for change in [purge("ann@example.org"), purge("example.org")] {
        let error = site.refused(change).await;
        assert!(
            matches!(&error, DirectoryError::Invalid(text) if text.contains("remove it first")),
            "{error}"
        );
    }
    site.apply(status("ann@example.org", Status::Removed)).await;
    let applied = site.apply(purge("ann@example.org")).await;
    assert_eq!(applied.orphans, std::slice::from_ref(&ann.mailbox));
    let again = site.account("ann@example.org").await;
    assert!(again.id != ann.id && again.mailbox != ann.mailbox, "a purged mailbox was given out again");
    assert_eq!(site.directory.settings(&at("ann@example.org")).await.expect("settings"), []);
    assert_eq!(site.directory.roles(&ann.id).await.expect("roles"), []);
    site.apply(status("example.org", Status::Removed)).await;
    let orphans = site.apply(purge("example.org")).await.orphans;
    let orphans: HashSet<&str> = orphans.iter().map(|path| path.0.as_str()).collect();
    assert_eq!(orphans, HashSet::from([again.mailbox.0.as_str(), "example.org/bob"]));
    site.check(&[("bob@example.org", "not ours")]).await;
    let (entries, _) = site.directory.export(None, 1000).await.expect("an export");
    let is_left = |entry: &Entry| {
        matches!(entry, Entry::Domain(domain) if domain.name == "example.net")
            || matches!(entry, Entry::Account(account) if account.address.local() == "eve")
    };
    assert!(entries.len() == 2 && entries.iter().all(is_left), "left behind: {entries:?}");
    site.domain("example.org").await;
    let bob = site.account("bob@example.org").await;
    assert_ne!(bob.mailbox.0, "example.org/bob");
}

pub(super) async fn odd_names_are_kept(site: &Site) {
    site.domain("bücher.example").await;
    let odd = ["\"a b\"", "jürgen", "..", "\"../../etc/passwd\"", "a%b_c", "o'neil", "\"x@y\"", "-rf"];
    let mut paths = HashSet::new();
    for local in odd {
        let account = site.account(&format!("{local}@xn--bcher-kva.example")).await;
        let path = account.mailbox.0.clone();
        let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.len() <= 200;
        assert!(path.split('/').count() == 2 && path.split('/').all(is_part), "{path}");
        assert!(paths.insert(path), "{local}");
        let target = site.target(&format!("{local}@BÜCHER.example")).await;
        assert_eq!(account_of(&target).id, account.id, "{local}");
    }
    let long = format!("{}@xn--bcher-kva.example", "ü".repeat(128));
    let path = site.account(&long).await.mailbox.0;
    assert!(path.split('/').all(|part| part.len() <= 200), "{path}");
    let listed = site.directory.accounts(None, &all()).await.expect("a list");
    assert_eq!(listed.len(), odd.len() + 1);
}

pub(super) async fn changes_are_logged_without_passwords(site: &Site) {
    const SECRET: &str = "{PLAIN}hunter2-hunter2";
    site.domain("example.org").await;
    let (address, name) = (parse("ann@example.org"), "Ann".to_owned());
    let added = Change::AddAccount { address, name, password: Some(SECRET.to_owned()) };
    let seq = site.apply(added).await.seq;
    let address = parse("ann@example.org");
    site.apply(Change::EditAccount { address, name: None, password: Some(SECRET.to_owned()) }).await;
    let ann = site.directory.account(&parse("ann@example.org")).await.expect("ann");
    assert_eq!((ann.password.as_deref(), ann.name.as_str()), (Some(SECRET), "Ann"));
    assert!(site.try_as(&super::actor(&ann), purge("example.org")).await.is_err());
    site.apply(status("ann@example.org", Status::Removed)).await;
    site.apply(purge("ann@example.org")).await;
    let log = site.directory.changes(0, 100).await.expect("the log");
    let shown = serde_json::to_string(&log).expect("JSON");
    assert!(!shown.contains("hunter2"), "a password is in the log: {shown}");
    let seqs: Vec<u64> = log.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=5).collect::<Vec<_>>(), "a refused change left a row, or one is missing");
    let added = log.iter().find(|row| row.seq == seq).expect("the row");
    assert_eq!((added.actor.as_str(), &added.before), ("root", &None));
    assert_eq!(added.change["change"], "add-account");
    assert_eq!(added.after.as_ref().map(|row| &row["address"]), Some(&"ann@example.org".into()));
    let last = log.last().expect("a row");
    assert!(last.after.is_none() && last.before.is_some(), "{last:?}");
    assert_eq!(site.directory.changes(3, 1).await.expect("the log").len(), 1);
}

pub(super) async fn lists_come_in_pages(site: &Site) {
    for domain in ["example.org", "example.net", "example.com"] {
        site.domain(domain).await;
        for local in ["ann", "bob", "eve"] {
            site.account(&format!("{local}@{domain}")).await;
            site.alias(&format!("{local}-*@{domain}"), &[&format!("{local}@{domain}")]).await;
        }
    }
    site.apply(status("bob@example.net", Status::Removed)).await;
    let mut page = Page { after: None, limit: 2, with_removed: false };
    let mut seen = Vec::new();
    loop {
        let accounts = site.directory.accounts(None, &page).await.expect("a page");
        let Some(last) = accounts.last() else { break };
        assert!(accounts.len() <= 2);
        page.after = Some(last.address.to_string());
        seen.extend(accounts.into_iter().map(|account| account.address.to_string()));
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 8, "{seen:?}");
    assert!(!seen.contains(&"bob@example.net".to_owned()));
    let removed = Page { with_removed: true, ..all() };
    assert_eq!(site.directory.accounts(Some("example.net"), &removed).await.expect("a page").len(), 3);
    let after = Page { after: Some("ann-*@example.org".to_owned()), ..all() };
    let aliases = site.directory.aliases(Some("example.org"), &after).await.expect("a page");
    let aliases: Vec<String> = aliases.iter().map(|alias| alias.pattern.to_string()).collect();
    assert_eq!(aliases, ["bob-*@example.org", "eve-*@example.org"]);
    let names = |domains: Vec<pigeon_core::directory::Domain>| -> Vec<String> {
        domains.into_iter().map(|domain| domain.name).collect()
    };
    let after = Page { after: Some("example.com".to_owned()), ..all() };
    let domains = names(site.directory.domains(&after).await.expect("a page"));
    assert_eq!(domains, ["example.net", "example.org"]);
    site.apply(grant("ann@example.org", Some("example.net"))).await;
    site.try_as(&root(), grant("bob@example.org", None)).await.expect("a grant");
    let grants = site.directory.grants(None).await.expect("grants");
    assert_eq!(grants.len(), 2);
    assert!(grants.contains(&(parse("ann@example.org"), Some("example.net".to_owned()))), "{grants:?}");
    let own = site.directory.grants(Some(&parse("bob@example.org"))).await.expect("grants");
    assert_eq!(own, [(parse("bob@example.org"), None)]);
    let missing = site.directory.accounts(Some("missing.example.org"), &all()).await;
    assert!(matches!(missing, Err(DirectoryError::NotFound { .. })), "{missing:?}");
}
