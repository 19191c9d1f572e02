//! People of an existing directory as accounts.

use pigeon_backends::directory::ldap::{LdapDirectory, LdapOptions, Mapping};
use pigeon_core::directory::{Account, Change, Lookup, Place, Status, TargetKind};
use pigeon_core::ports::directory::{Administration as _, Directory as _, DirectoryError, Page};
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Pin, Setting};
use pigeon_testkit::peers::Slapd;
use std::sync::Arc;
use std::time::Duration;

use super::{
    SERVICE, add_account, add_domain, apply, found, holds, is_unknown, means, open, options, parse, root,
    server, set_hops, start,
};

const PEOPLE: &str = "ou=people,dc=example,dc=org";

/// A server with people as any site has them, and a directory beside them that uses them.
async fn site(mapping: impl FnOnce(&mut Mapping)) -> Option<(Arc<Slapd>, LdapDirectory, LdapOptions)> {
    let mut server = server();
    let rule = format!(
        "access to dn.subtree=\"{PEOPLE}\" attrs=userPassword by dn.exact=\"{}\" read by * auth",
        SERVICE.0
    );
    server.settings.insert(0, rule);
    let slapd = start(&server)?;
    let person = |uid: &str, more: &str| {
        format!(
            "\ndn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid} Example\nsn: Example\n{more}"
        )
    };
    let people = [
        format!("dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n"),
        person("carol", "mail: Carol@example.org\nuserPassword: {SSHA}x\nemployeeType: 2G\n"),
        person(
            "dave",
            "mail: dave@example.org\nmail: zz-dave@example.org\ndescription: dave@elsewhere.example\n",
        ),
        person("erin", "mail: erin@other.example\nmail: z.erin@example.org\n"),
        person("frank", "mail: frank@example.org\nemployeeType: left\nroomNumber: example.org/f-1\n"),
    ];
    slapd.modify(&people.concat()).unwrap();
    let mut known = Mapping::below(PEOPLE);
    mapping(&mut known);
    let options = LdapOptions { mapping: Some(known), ..options(&slapd.url()) };
    LdapDirectory::create(&options).await.unwrap();
    let directory = open(&options);
    add_domain(&directory, "example.org").await;
    Some((slapd, directory, options))
}

async fn account(directory: &LdapDirectory, address: &str) -> (Account, Vec<Setting>) {
    let target = found(directory, address).await.branches.remove(0);
    match target.to {
        TargetKind::Account(account, _) => (account, target.settings),
        TargetKind::External(address, _) => panic!("{address} is elsewhere"),
    }
}

fn value_of(settings: &[Setting], name: &str) -> String {
    let of_name = settings.iter().find(|setting| setting.name.to_string() == name);
    of_name.map(|setting| format!("{:?} by {}", setting.content, setting.by)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_receive_mail() {
    let Some((slapd, directory, _)) = site(|_| {}).await else { return };
    let (carol, _) = account(&directory, "CAROL+x@example.org").await;
    let uuid = slapd.search(PEOPLE, "(uid=carol)", &["entryUUID"]).unwrap();
    assert!(uuid.contains(&carol.id.0), "{uuid}");
    assert_eq!(
        (carol.address.to_string().as_str(), carol.name.as_str()),
        ("carol@example.org", "carol Example")
    );
    assert_eq!((carol.mailbox.0.as_str(), carol.password.as_deref()), ("example.org/carol", Some("{SSHA}x")));
    // Further addresses lead to the first one, wherever that is.
    assert_eq!(means(&directory, "zz-dave@example.org").await, ["dave@example.org"]);
    assert_eq!(means(&directory, "z.erin@example.org").await, ["erin@other.example"]);
    assert!(means(&directory, "grace@example.org").await.is_empty());
    assert!(means(&directory, "*@example.org").await.is_empty(), "a filter is not what people send");
    // Accounts and aliases of our own stand before them.
    add_account(&directory, "service@example.org").await;
    let (targets, pattern) =
        (vec![parse("carol@example.org"), parse("service@example.org")], "team@example.org");
    apply(&directory, Change::AddAlias { pattern: pattern.parse().unwrap(), targets }).await;
    assert_eq!(means(&directory, "team@example.org").await, ["carol@example.org", "service@example.org"]);
    let page = Page { after: None, limit: 10, with_removed: false };
    let listed = directory.accounts(Some("example.org"), &page).await.unwrap();
    let listed: Vec<String> = listed.iter().map(|account| account.address.local().to_owned()).collect();
    assert_eq!(listed, ["carol", "dave", "frank", "service"]);
    // Under another name of the domain, too.
    let (domain, alias) = ("example.org".to_owned(), "example.com".to_owned());
    apply(&directory, Change::AddDomainAlias { domain, alias }).await;
    assert_eq!(means(&directory, "dave+x@example.com").await, ["dave@example.org"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_written_beside_people_and_not_into_them() {
    let Some((slapd, directory, options)) = site(|_| {}).await else { return };
    let before = slapd.search(PEOPLE, "(uid=carol)", &["*", "+"]).unwrap();
    set_hops(&directory, "carol@example.org", 9).await;
    let other = open(&options);
    let (carol, settings) = account(&other, "carol@example.org").await;
    assert!(value_of(&settings, "trace.max_hops").contains('9'), "{settings:?}");
    let place = Place::Account(parse("carol@example.org"));
    assert_eq!(other.settings(&place).await.unwrap().len(), 1);
    // Roles, too: an administrator who is a person there.
    let change =
        Change::AddGrant { account: parse("carol@example.org"), domain: Some("example.org".to_owned()) };
    apply(&directory, change).await;
    assert_eq!(directory.roles(&carol.id).await.unwrap().len(), 1);
    let content = pigeon_core::setting::Content::Value(7.into());
    let (place, name) = (Place::Domain("example.org".to_owned()), "trace.max_hops".parse().unwrap());
    let set = Change::Set { place, name, content, pin: Pin::Domain, until: None, reason: None };
    directory.apply(&Actor::Account(carol.id), set).await.unwrap();
    for refused in [
        Change::AddAccount { address: parse("carol@example.org"), name: String::new(), password: None },
        Change::EditAccount {
            address: parse("carol@example.org"),
            name: Some("C".to_owned()),
            password: None,
        },
        Change::SetStatus {
            subject: pigeon_core::directory::Subject::Account(parse("carol@example.org")),
            status: Status::Removed,
        },
    ] {
        let shown = format!("{refused:?}");
        let error = directory.apply(&root(), refused).await.unwrap_err();
        let is_said =
            matches!(error, DirectoryError::Exists { .. }) || error.to_string().contains("change it there");
        assert!(is_said, "{shown}: {error}");
    }
    let after = slapd.search(PEOPLE, "(uid=carol)", &["*", "+"]).unwrap();
    assert_eq!(before, after, "a person's entry was written");
    let (entries, _) = directory.export(None, 100).await.unwrap();
    assert_eq!(u64::try_from(entries.len()).unwrap(), directory.count().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_say_more_where_they_are_named() {
    let mapping = |mapping: &mut Mapping| {
        mapping.filter = "(&(objectClass=inetOrgPerson)(|(mail=%s)(uid=%u)))".to_owned();
        mapping.forward = Some("description".to_owned());
        mapping.quota = Some("employeeType".to_owned());
        mapping.mailbox = Some("roomNumber".to_owned());
        mapping.suspended = Some("(employeeType=left)".to_owned());
    };
    let Some((_slapd, directory, _)) = site(mapping).await else { return };
    let (_, settings) = account(&directory, "dave@example.org").await;
    assert!(value_of(&settings, "forward.to").contains("dave@elsewhere.example"), "{settings:?}");
    let (_, settings) = account(&directory, "carol@example.org").await;
    assert!(value_of(&settings, "quota.octets").contains("2G"), "{settings:?}");
    let (frank, _) = account(&directory, "frank@example.org").await;
    assert_eq!((frank.mailbox.0.as_str(), frank.status), ("example.org/f-1", Status::Suspended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_people_are_seen_in_time() {
    let Some((slapd, directory, _)) = site(|_| {}).await else { return };
    for edit in [
        format!("dn: uid=carol,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: caroline@example.org\n"),
        format!("dn: uid=carol,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: carol@example.org\n"),
        format!("dn: uid=carol,{PEOPLE}\nchangetype: delete\n"),
    ] {
        let kept = match super::lookup(&directory, "carol@example.org").await {
            Lookup::Found(found) => (found.seq, found.scopes),
            Lookup::None(nobody) => (nobody.seq, nobody.scopes),
        };
        slapd.modify(&edit).unwrap();
        holds(Duration::from_secs(2), &edit, async || {
            let feed = directory.feed(kept.0).await.unwrap();
            feed.scopes.iter().any(|(scope, at)| *at > kept.0 && kept.1.contains(scope))
        })
        .await;
    }
    assert!(means(&directory, "carol@example.org").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_are_not_there_to_be_read_are_unknown() {
    let Some((slapd, _, options)) = site(|_| {}).await else { return };
    let mut elsewhere = options.clone();
    elsewhere.mapping = Some(Mapping::below("ou=staff,dc=example,dc=org"));
    let answer = open(&elsewhere).lookup(&parse("carol@example.org")).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert!(answer.unwrap_err().to_string().contains("below which people should be"));
    assert!(slapd.directory().is_dir());
}
