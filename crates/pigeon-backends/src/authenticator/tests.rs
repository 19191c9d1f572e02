//! Who is let in, and what others learn.

use pigeon_testkit::memory::{MemoryDirectory, MemoryState, TestClock};

use super::*;

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
