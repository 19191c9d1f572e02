//! The directory on OpenLDAP: the contract, and what servers and other programs do to it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails at that spot")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_backends::directory::ldap::{LdapDirectory, LdapOptions};
use pigeon_core::address::Address;
use pigeon_core::directory::{Change, Lookup, Place, Resolution, TargetKind};
use pigeon_core::ports::directory::{Administration, Directory as _, DirectoryError};
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeon_testkit::contracts::directory::{Fixture, catalogue, directory_contract};
use pigeon_testkit::memory::TestClock;
use pigeon_testkit::peers::{Slapd, SlapdOptions, or_skip};

#[path = "ldap/connections.rs"]
mod connections;
#[path = "ldap/mapping.rs"]
mod mapping;
#[path = "ldap/others.rs"]
mod others;
#[path = "ldap/schema.rs"]
mod schema;

/// Where the directory is in the server's tree.
const BASE: &str = "ou=mail,dc=example,dc=org";
/// Whom PigeonDeliver binds as, and its password.
const SERVICE: (&str, &str) = ("cn=pigeon,dc=example,dc=org", "feathers");

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/openldap").join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(packaging(file)).unwrap()
}

/// A server as docs/admin/ldap.md sets it up.
fn server() -> SlapdOptions {
    let lines = text("database.conf");
    // The tests' servers have these already, and the comment belongs to the file.
    let is_missing = |line: &&str| !line.starts_with("index objectClass") && !line.starts_with('#');
    let (indexes, settings) =
        lines.lines().filter(is_missing).partition::<Vec<&str>, _>(|line| line.starts_with("index "));
    SlapdOptions {
        schemas: vec![packaging("pigeondeliver.schema")],
        indexes: indexes.into_iter().map(|index| index.replacen("index ", "", 1)).collect(),
        settings: settings.into_iter().map(str::to_owned).collect(),
        ..SlapdOptions::default()
    }
}

/// The server with the entry that is bound as, and the base, as an administrator makes them.
fn start(options: &SlapdOptions) -> Option<Arc<Slapd>> {
    let slapd = or_skip(Slapd::start(options)).map(Arc::new)?;
    slapd.modify(&text("base.ldif")).unwrap();
    Some(slapd)
}

/// As the service.
fn options(url: &str) -> LdapOptions {
    LdapOptions {
        url: format!("{url}/{BASE}"),
        bind_dn: Some(SERVICE.0.to_owned()),
        password: Some(SERVICE.1.to_owned()),
        ..LdapOptions::default()
    }
}

fn open(options: &LdapOptions) -> LdapDirectory {
    open_at(options, &Arc::new(TestClock::default()))
}

fn open_at(options: &LdapOptions, clock: &Arc<TestClock>) -> LdapDirectory {
    LdapDirectory::open(options.clone(), catalogue(Arc::clone(clock))).unwrap()
}

/// A server with a directory in it, and the directory.
async fn site() -> Option<(Arc<Slapd>, LdapDirectory)> {
    let slapd = start(&server())?;
    let options = options(&slapd.url());
    LdapDirectory::create(&options).await.unwrap();
    let directory = open(&options);
    add_domain(&directory, "example.org").await;
    for address in ["ann@example.org", "bob@example.org"] {
        add_account(&directory, address).await;
    }
    Some((slapd, directory))
}

fn parse(text: &str) -> Address {
    text.parse().unwrap()
}

fn root() -> Actor {
    Actor::System("root".to_owned())
}

async fn apply(directory: &LdapDirectory, change: Change) -> u64 {
    directory.apply(&root(), change).await.unwrap().seq
}

async fn add_domain(directory: &LdapDirectory, name: &str) {
    apply(directory, Change::AddDomain { name: name.to_owned() }).await;
}

async fn add_account(directory: &LdapDirectory, address: &str) {
    let change = Change::AddAccount { address: parse(address), name: String::new(), password: None };
    apply(directory, change).await;
}

async fn set_hops(directory: &LdapDirectory, address: &str, hops: u32) {
    let (place, content) = (Place::Account(parse(address)), Content::Value(hops.into()));
    let name = "trace.max_hops".parse().unwrap();
    apply(directory, Change::Set { place, name, content, pin: Pin::None, until: None, reason: None }).await;
}

async fn lookup(directory: &LdapDirectory, address: &str) -> Lookup {
    directory.lookup(&parse(address)).await.unwrap_or_else(|error| panic!("{address}: {error}"))
}

async fn found(directory: &LdapDirectory, address: &str) -> Resolution {
    match lookup(directory, address).await {
        Lookup::Found(resolution) => resolution,
        Lookup::None(_) => panic!("{address} is nobody"),
    }
}

/// What an address means: where its mail goes.
async fn means(directory: &LdapDirectory, address: &str) -> Vec<String> {
    match lookup(directory, address).await {
        Lookup::None(_) => Vec::new(),
        Lookup::Found(resolution) => {
            let shown = |target: &TargetKind| match target {
                TargetKind::Account(account, _) => account.address.to_string(),
                TargetKind::External(address, _) => address.to_string(),
            };
            resolution.branches.iter().map(|branch| shown(&branch.to)).collect()
        }
    }
}

/// Asks until it holds, for at most so long; says how long it took.
async fn holds(limit: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < limit, "{what} does not hold after {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

/// Runs from outside any task: the contract's way to make a directory is no future.
fn create(options: &LdapOptions) {
    let options = options.clone();
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(LdapDirectory::create(&options))
    });
    made.join().unwrap().unwrap();
}

fn fixture(clock: Arc<TestClock>) -> Fixture {
    let slapd = start(&server()).unwrap();
    let options = options(&slapd.url());
    create(&options);
    let for_destroy = Arc::clone(&slapd);
    let open = move || {
        assert!(slapd.directory().is_dir(), "the server lives as long as the fixture");
        Arc::new(open_at(&options, &clock)) as Arc<dyn Administration>
    };
    let destroy = move || for_destroy.stop().unwrap();
    Fixture { open: Box::new(open), sql: None, destroy: Some(Box::new(destroy)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_directory_keeps_the_contract() {
    if start(&server()).is_some() {
        directory_contract(fixture).await;
    }
}

fn is_unknown<T>(answer: &Result<T, DirectoryError>) -> bool {
    matches!(answer, Err(DirectoryError::Unavailable { .. }))
}
