//! The directory on SQLite: the contract, several processes at once, and files that are not what they should be.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails at that spot")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pigeon_backends::blocking::Blocking;
use pigeon_backends::directory::sqlite::SqliteDirectory;
use pigeon_core::address::Address;
use pigeon_core::directory::{Change, Lookup, Scope};
use pigeon_core::ports::directory::{Administration, Directory, DirectoryError, Feed};
use pigeon_core::rights::Actor;
use pigeon_testkit::contracts::directory::{Fixture, catalogue, directory_contract};
use pigeon_testkit::memory::TestClock;

const FILE: &str = "directory.sqlite";
/// Says to this test program, started again as another process, which folder to work in.
const FOLDER: &str = "PIGEON_TEST_FOLDER";

fn fixture(clock: Arc<TestClock>, blocking: Blocking) -> Fixture {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    SqliteDirectory::create(&folder.path().join(FILE)).unwrap();
    let (for_sql, for_destroy) = (Arc::clone(&folder), Arc::clone(&folder));
    let open = move || {
        let path = folder.path().join(FILE);
        let opened = SqliteDirectory::open(&path, catalogue(Arc::clone(&clock)), blocking).unwrap();
        Arc::new(opened) as Arc<dyn Administration>
    };
    let sql = move |statement: &str| {
        let connection = rusqlite::Connection::open(for_sql.path().join(FILE)).unwrap();
        assert!(connection.execute(statement, []).unwrap() > 0, "{statement} changed no row");
    };
    let destroy = move || std::fs::remove_file(for_destroy.path().join(FILE)).unwrap();
    Fixture { open: Box::new(open), sql: Some(Box::new(sql)), destroy: Some(Box::new(destroy)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_directory_keeps_the_contract_on_the_pool() {
    directory_contract(|clock| fixture(clock, Blocking::Pool)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_directory_keeps_the_contract_inline() {
    directory_contract(|clock| fixture(clock, Blocking::Inline)).await;
}

fn open(path: &Path) -> Result<SqliteDirectory, DirectoryError> {
    SqliteDirectory::open(path, catalogue(Arc::new(TestClock::default())), Blocking::Inline)
}

fn parse(text: &str) -> Address {
    text.parse().unwrap()
}

fn root() -> Actor {
    Actor::System("root".to_owned())
}

fn add_account(text: &str) -> Change {
    Change::AddAccount { address: parse(text), name: String::new(), password: None }
}

/// Not a test of its own: what each of several processes does. Does nothing when it was not started for that.
#[tokio::test]
async fn worker() {
    const EACH: u32 = 25;
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&folder).join(FILE);
    SqliteDirectory::create(&path).unwrap();
    for count in 0..EACH {
        // Each turn opens anew, as the command line and one-shot deliveries do.
        let directory = open(&path).unwrap();
        let address = format!("u{}-{count}@example.org", std::process::id());
        directory.apply(&root(), add_account(&address)).await.unwrap();
        for text in [address.as_str(), "nobody@example.org"] {
            let found = matches!(directory.lookup(&parse(text)).await.unwrap(), Lookup::Found(_));
            assert_eq!(found, text == address);
        }
        directory.feed(0).await.unwrap();
    }
}

#[tokio::test]
async fn processes_never_see_a_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    SqliteDirectory::create(&path).unwrap();
    let server = open(&path).unwrap();
    server.apply(&root(), Change::AddDomain { name: "example.org".to_owned() }).await.unwrap();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "sqlite::worker"]).env(FOLDER, folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let workers: Vec<_> = (0..5).map(|_| start()).collect();
    for count in 0..25 {
        server.apply(&root(), add_account(&format!("server-{count}@example.org"))).await.unwrap();
        server.lookup(&parse("server-0@example.org")).await.unwrap();
        server.feed(0).await.unwrap();
    }
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        let shown =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}");
        assert!(shown.contains("1 passed"), "the worker did not run: {shown}");
    }
    assert_eq!(server.feed(0).await.unwrap().seq, 1 + 6 * 25);
}

#[tokio::test]
async fn files_that_are_no_directory_are_unknown_and_never_empty() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, word: &str| {
        let error = open(path).map(drop).unwrap_err();
        assert!(matches!(error, DirectoryError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    };
    check(&folder.path().join("missing"), "cannot be opened");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    check(&empty, "pigeon init");
    let text = folder.path().join("text");
    std::fs::write(&text, "this is no database, and long enough to have a header of one".repeat(20)).unwrap();
    check(&text, "not a database");
    let newer = folder.path().join("newer");
    SqliteDirectory::create(&newer).unwrap();
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    check(&newer, "newer version");
    assert!(SqliteDirectory::create(&newer).unwrap_err().to_string().contains("newer version"));
}

#[tokio::test]
async fn a_file_that_breaks_while_open_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    SqliteDirectory::create(&path).unwrap();
    let directory = open(&path).unwrap();
    directory.apply(&root(), Change::AddDomain { name: "example.org".to_owned() }).await.unwrap();
    directory.lookup(&parse("ann@example.org")).await.unwrap();
    // Another file takes its place: the answer comes from the new one, at once.
    let other = folder.path().join("other");
    std::fs::write(&other, "x".repeat(8192)).unwrap();
    std::fs::rename(&other, &path).unwrap();
    for text in ["ann@example.org", "ann@example.com"] {
        let answer = directory.lookup(&parse(text)).await;
        assert!(matches!(answer, Err(DirectoryError::Unavailable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn the_file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    SqliteDirectory::create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
}

#[tokio::test]
async fn whoever_lies_far_behind_is_told_that_everything_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    SqliteDirectory::create(&path).unwrap();
    let directory = open(&path).unwrap();
    directory.apply(&root(), Change::AddDomain { name: "example.org".to_owned() }).await.unwrap();
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10001)
                INSERT INTO accounts (domain, local, id, mailbox)
                SELECT (SELECT id FROM domains), 'u' || n, 'id-' || n, 'example.org/u' || n FROM n";
    assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(many, []).unwrap(), 10_001);
    let feed = directory.feed(1).await.unwrap();
    assert_eq!(feed, Feed { seq: 10_002, scopes: vec![(Scope::System, 10_002)] });
    let near = directory.feed(10_001).await.unwrap();
    assert_eq!(near.scopes.len(), 2, "{near:?}");
}
