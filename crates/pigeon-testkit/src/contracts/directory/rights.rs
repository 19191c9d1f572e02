//! The right to write.

use pigeon_core::directory::{Account, Change, Role, Status};
use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::rights::{Actor, Authority, Reach};
use pigeon_core::setting::Pin;

use super::{
    Site, actor, add_account, add_alias, at, grant, parse, pin, purge, rename, root, set, status, unset,
};

const HOPS: &str = "trace.max_hops";

fn edit(text: &str, password: Option<&str>) -> Change {
    let (name, password) = (Some("Name".to_owned()), password.map(str::to_owned));
    Change::EditAccount { address: parse(text), name, password }
}

/// Who may do what: a system administrator, one of example.org, one of example.net, the user ann.
fn table() -> Vec<(Change, [bool; 4])> {
    let (ann, org) = ("ann@example.org", "example.org");
    let system = [true, false, false, false];
    let both = [true, true, false, false];
    let org_and_ann = [true, true, false, true];
    vec![
        (set(at("system"), HOPS, 9, Pin::None), system),
        (set(at("system"), HOPS, 9, Pin::System), system),
        (set(at(org), HOPS, 9, Pin::None), both),
        (set(at(org), HOPS, 9, Pin::Domain), both),
        (set(at(org), HOPS, 9, Pin::System), system),
        (set(at(ann), HOPS, 9, Pin::None), org_and_ann),
        (set(at(ann), HOPS, 9, Pin::Domain), both),
        (set(at(ann), HOPS, 9, Pin::System), system),
        (set(at("pinned@example.org"), HOPS, 9, Pin::None), both),
        (unset(at("pinned@example.org"), HOPS), both),
        (unset(at("locked@example.org"), HOPS), system),
        (pin(at("locked@example.org"), HOPS, Pin::None), system),
        (pin(at("pinned@example.org"), HOPS, Pin::None), both),
        (edit(ann, None), org_and_ann),
        (edit(ann, Some("{PLAIN}x")), org_and_ann),
        (edit("bob@example.org", None), both),
        (add_account("new@example.org"), both),
        (add_alias("new-*@example.org", &[ann]), both),
        (rename("bob@example.org", "bob2@example.org"), both),
        (rename("bob@example.org", "bob@example.net"), system),
        (rename(ann, "anna@example.org"), both),
        (status(ann, Status::Suspended), both),
        (status("bob@example.org", Status::Removed), both),
        (purge("gone@example.org"), both),
        (Change::AddDomain { name: "example.com".to_owned() }, system),
        (Change::AddDomainAlias { domain: org.to_owned(), alias: "example.com".to_owned() }, system),
        (rename(org, "example.com"), system),
        (status(org, Status::Suspended), system),
        (grant(ann, None), system),
        (grant(ann, Some(org)), both),
        (Change::RemoveGrant { account: parse("admin@example.org"), domain: Some(org.to_owned()) }, both),
    ]
}

fn account_reach(account: &Account) -> Reach {
    Reach::Account { account: account.id.clone(), domain: account.domain.clone() }
}

async fn people(site: &Site) -> [Actor; 4] {
    site.domain("example.org").await;
    site.domain("example.net").await;
    let system = site.account("root@example.org").await;
    let org = site.account("admin@example.org").await;
    let net = site.account("admin@example.net").await;
    let ann = site.account("ann@example.org").await;
    site.apply(grant("root@example.org", None)).await;
    site.apply(grant("admin@example.org", Some("example.org"))).await;
    site.apply(grant("admin@example.net", Some("example.net"))).await;
    for local in ["bob", "pinned", "locked", "gone"] {
        site.account(&format!("{local}@example.org")).await;
    }
    site.apply(set(at("pinned@example.org"), HOPS, 7, Pin::Domain)).await;
    site.apply(set(at("locked@example.org"), HOPS, 7, Pin::System)).await;
    site.apply(status("gone@example.org", Status::Removed)).await;
    assert_eq!(site.directory.roles(&system.id).await.expect("roles"), [Role::System]);
    assert_eq!(site.directory.roles(&ann.id).await.expect("roles"), []);
    [actor(&system), actor(&org), actor(&net), actor(&ann)]
}

/// Refusals first, for all rows; then each permitted change by the weakest who may make it.
pub(super) async fn everyone_stays_inside_their_grants(site: &Site) {
    let people = people(site).await;
    let before = site.directory.changes(0, 1000).await.expect("the log").len();
    for (change, rights) in table() {
        for (person, may) in people.iter().zip(rights) {
            if !may {
                let shown = format!("{change:?}");
                let refused = site.try_as(person, change.clone()).await;
                assert!(
                    matches!(refused, Err(DirectoryError::Forbidden(_))),
                    "{shown} by {person:?}: {refused:?}"
                );
            }
        }
    }
    assert_eq!(
        site.directory.changes(0, 1000).await.expect("the log").len(),
        before,
        "a refusal left a trace"
    );
    let reach = account_reach(&site.directory.account(&parse("ann@example.org")).await.expect("ann"));
    let held = [Some(Pin::System), Some(Pin::Domain), None, Some(Pin::None)];
    for (person, held) in people.iter().zip(held) {
        assert_eq!(
            site.directory.authority(person).await.expect("an authority").at(&reach),
            held,
            "{person:?}"
        );
    }
    assert_eq!(site.directory.authority(&root()).await.expect("the system's"), Authority::system());
    for place in ["system", "example.org", "ann@example.org"] {
        let place = at(place);
        site.try_as(&people[0], set(place.clone(), HOPS, 5, Pin::None)).await.expect("a setting");
        site.try_as(&people[0], unset(place, HOPS)).await.expect("a setting");
    }
    let allowed = [
        (1, set(at("example.org"), HOPS, 9, Pin::None)),
        (3, set(at("ann@example.org"), HOPS, 9, Pin::None)),
        (1, set(at("ann@example.org"), HOPS, 9, Pin::Domain)),
        (1, set(at("pinned@example.org"), HOPS, 8, Pin::None)),
        (3, edit("ann@example.org", Some("{PLAIN}x"))),
        (1, edit("bob@example.org", Some("{PLAIN}x"))),
        (1, add_account("new@example.org")),
        (1, add_alias("new-*@example.org", &["ann@example.org"])),
        (1, rename("bob@example.org", "bob2@example.org")),
        (1, status("bob2@example.org", Status::Removed)),
        (1, purge("gone@example.org")),
        (1, grant("ann@example.org", Some("example.org"))),
        (3, set(at("example.org"), HOPS, 10, Pin::Domain)),
        (0, Change::AddDomain { name: "example.com".to_owned() }),
        (0, grant("ann@example.org", None)),
        (3, set(at("system"), HOPS, 11, Pin::System)),
    ];
    for (person, change) in allowed {
        let shown = format!("{change:?}");
        let done = site.try_as(&people[person], change).await;
        done.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    let log = site.directory.changes(0, 1000).await.expect("the log");
    assert_eq!(log.last().map(|row| row.actor.as_str()), Some("ann@example.org"));
}

pub(super) async fn nobody_takes_over_a_stronger_account(site: &Site) {
    let people = people(site).await;
    let root = "root@example.org";
    let takeovers =
        [edit(root, Some("{PLAIN}mine")), status(root, Status::Suspended), rename(root, "old@example.org")];
    for change in takeovers {
        let refused = site.try_as(&people[1], change).await;
        assert!(matches!(refused, Err(DirectoryError::Forbidden(_))), "{refused:?}");
    }
    // A person who is not active any more has no rights left, nor has one who is gone.
    let change = || set(at("example.org"), HOPS, 9, Pin::None);
    site.apply(status("admin@example.org", Status::Suspended)).await;
    assert!(matches!(site.try_as(&people[1], change()).await, Err(DirectoryError::Forbidden(_))));
    let authority = site.directory.authority(&people[1]).await;
    assert!(matches!(authority, Err(DirectoryError::Forbidden(_))), "{authority:?}");
    site.apply(status("admin@example.org", Status::Removed)).await;
    site.apply(purge("admin@example.org")).await;
    assert!(matches!(site.try_as(&people[1], change()).await, Err(DirectoryError::Forbidden(_))));
    let revoke = Change::RemoveGrant { account: parse(root), domain: None };
    site.apply(revoke).await;
    assert!(matches!(site.try_as(&people[0], change()).await, Err(DirectoryError::Forbidden(_))));
}
