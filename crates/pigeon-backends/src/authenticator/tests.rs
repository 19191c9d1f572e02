//! Who is let in, and what others learn.

use pigeon_core::directory::{Change, Subject};
use pigeon_testkit::contracts::directory::catalogue;
use pigeon_testkit::memory::{MemoryDirectory, MemoryState, TestClock};

use super::*;
use crate::blocking::Blocking;
use crate::directory::sqlite::SqliteDirectory;

struct Site {
    directory: Arc<MemoryDirectory>,
    state: Arc<MemoryState>,
}

impl Site {
    fn new() -> Self {
        let site = Self { directory: Arc::default(), state: Arc::default() };
        let scram = passwords::hash_scram("pencil").unwrap();
        let slow = "{SHA512}BQhpVWpMLbFR6p3RNw/L62zYNJbPOl4mZhlZ7wnFBJsEOn9ufm0Bmd5gPx2mXEuB1cqIXHxpEVvN3iABdSg1rw==";
        site.account("plain@example.org", Some("{PLAIN}pencil"));
        site.account("scram@example.org", Some(&scram));
        site.account("slow@example.org", Some(slow));
        site.account("none@example.org", None);
        site.account("broken@example.org", Some("{SHA}!"));
        site.account("gone@example.org", Some("{PLAIN}pencil"));
        site.directory.set_status(&"gone@example.org".parse().unwrap(), Status::Suspended);
        site.directory
            .add_alias("alias@example.org".parse().unwrap(), vec!["plain@example.org".parse().unwrap()]);
        site
    }

    fn account(&self, address: &str, password: Option<&str>) {
        let address = address.parse().unwrap();
        self.directory.add_account(&address, "");
        self.directory.set_password(&address, password);
    }

    fn authenticator(&self) -> DirectoryAuthenticator {
        let state = Arc::clone(&self.state) as Arc<dyn State>;
        DirectoryAuthenticator::new(Arc::clone(&self.directory) as _, state, Arc::new(TestClock::default()))
    }
}

#[tokio::test]
async fn passwords_let_their_owners_in() {
    let site = Site::new();
    let authenticator = site.authenticator();
    for login in ["plain@example.org", "PLAIN@Example.ORG", "scram@example.org"] {
        let identity = authenticator.check_password(login, "pencil").await.unwrap();
        assert_eq!(identity.address.to_string(), login.to_lowercase());
        assert_eq!(authenticator.check_password(login, "pencils").await, Err(LoginError::Refused));
    }
    for login in [
        "none@example.org",
        "gone@example.org",
        "alias@example.org",
        "plain+x@example.org",
        "nobody@example.org",
        "plain@example.net",
        "plain",
        "",
    ] {
        for password in ["pencil", "nobody", ""] {
            let refused = authenticator.check_password(login, password).await;
            assert_eq!(refused, Err(LoginError::Refused), "{login} {password}");
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_no_wrong_password() {
    let site = Site::new();
    let authenticator = site.authenticator();
    let unknown = |refused: &LoginError| matches!(refused, LoginError::Unavailable(_));
    assert!(unknown(&authenticator.check_password("broken@example.org", "x").await.unwrap_err()));
    assert!(unknown(&authenticator.scram_sha_256("broken@example.org").await.unwrap_err()));
    site.directory.set_down(true);
    for login in ["plain@example.org", "nobody@example.org"] {
        assert!(unknown(&authenticator.check_password(login, "pencil").await.unwrap_err()));
        assert!(unknown(&authenticator.scram_sha_256(login).await.unwrap_err()));
    }
}

#[tokio::test]
async fn every_name_has_keys_that_stay_the_same() {
    let site = Site::new();
    let (one, other) = (site.authenticator(), site.authenticator());
    for (login, is_somebody) in [
        ("plain@example.org", true),
        ("scram@example.org", true),
        ("slow@example.org", false),
        ("none@example.org", false),
        ("gone@example.org", false),
        ("nobody@example.org", false),
        ("nobody", false),
    ] {
        let account = one.scram_sha_256(login).await.unwrap();
        assert_eq!(account.keys.iterations, DEFAULT_ITERATIONS, "{login}");
        assert_eq!(account.keys.salt.len(), SALT_OCTETS, "{login}");
        assert_eq!(account.holder.is_some(), is_somebody, "{login}");
        assert_eq!(account.keys.verify("pencil"), is_somebody, "{login}");
        let again = other.scram_sha_256(&login.to_uppercase()).await.unwrap();
        assert_eq!(again.keys, account.keys, "{login}");
    }
    let salts = [
        one.scram_sha_256("a@example.org").await.unwrap(),
        one.scram_sha_256("b@example.org").await.unwrap(),
    ];
    assert_ne!(salts[0].keys.salt, salts[1].keys.salt);
}

/// Administrators act for the accounts that their grants reach, and nobody for anyone else.
#[tokio::test]
async fn grants_say_who_acts_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let (path, clock) = (folder.path().join("directory.sqlite"), Arc::new(TestClock::default()));
    SqliteDirectory::create(&path).unwrap();
    let opened = SqliteDirectory::open(&path, catalogue(Arc::clone(&clock)), Blocking::Pool).unwrap();
    let directory = Arc::new(opened);
    let apply = async |change| directory.apply(&Actor::System("root".to_owned()), change).await.unwrap();
    for domain in ["example.org", "example.net"] {
        apply(Change::AddDomain { name: domain.to_owned() }).await;
    }
    let parse = |address: &str| address.parse::<Address>().unwrap();
    for address in
        ["ann@example.org", "bob@example.org", "eve@example.net", "admin@example.org", "root@example.net"]
    {
        let (address, password) = (parse(address), Some("{PLAIN}pencil".to_owned()));
        apply(Change::AddAccount { address, name: String::new(), password }).await;
    }
    let domain = Some("example.org".to_owned());
    apply(Change::AddGrant { account: parse("admin@example.org"), domain }).await;
    apply(Change::AddGrant { account: parse("root@example.net"), domain: None }).await;
    let targets = vec![parse("ann@example.org")];
    apply(Change::AddAlias { pattern: "alias@example.org".parse().unwrap(), targets }).await;
    let status = |address: &str, status| {
        let subject = Subject::Account(parse(address));
        Change::SetStatus { subject, status }
    };
    apply(status("bob@example.org", Status::Suspended)).await;
    let shared = || Arc::clone(&directory);
    let alone =
        DirectoryAuthenticator::new(shared(), Arc::new(MemoryState::default()), Arc::clone(&clock) as _);
    let granted =
        DirectoryAuthenticator::new(shared(), Arc::new(MemoryState::default()), clock).with_grants(shared());
    let check = async |authenticator: &DirectoryAuthenticator, login: &str, acts_as: &str, expect: bool| {
        let actor = authenticator.check_password(login, "pencil").await.unwrap();
        let owner = authenticator.account_to_act_for(&actor, acts_as).await;
        let expect =
            if expect { Ok(acts_as.to_lowercase()) } else { Err(LoginError::MayNotAct(actor.address)) };
        assert_eq!(owner.map(|owner| owner.address.to_string()), expect, "{login} for {acts_as}");
    };
    let (ann, admin, root) = ("ann@example.org", "admin@example.org", "root@example.net");
    check(&granted, ann, "Ann@Example.ORG", true).await;
    check(&granted, ann, "bob@example.org", false).await;
    check(&granted, ann, admin, false).await;
    check(&granted, admin, ann, true).await;
    // A suspended account gets no mail program in, but an administrator may put its scripts in order.
    check(&granted, admin, "bob@example.org", true).await;
    for acts_as in
        ["eve@example.net", "nobody@example.org", "alias@example.org", "ann+x@example.org", "ann", ""]
    {
        check(&granted, admin, acts_as, false).await;
    }
    for acts_as in [ann, "eve@example.net", admin] {
        check(&granted, root, acts_as, true).await;
    }
    check(&alone, root, root, true).await;
    check(&alone, root, ann, false).await;
    // Whoever lost their rights meanwhile has none any more.
    let actor = granted.check_password(admin, "pencil").await.unwrap();
    apply(status(admin, Status::Suspended)).await;
    let refused = granted.account_to_act_for(&actor, ann).await;
    assert_eq!(refused, Err(LoginError::MayNotAct(actor.address)));
}
