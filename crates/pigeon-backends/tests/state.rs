//! State in SQLite: the contract, the spool of processes that do not stay, and what survives a kill.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that spot")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pigeon_backends::outbox::{OutboxStatus, OutboxStore as _};
use pigeon_backends::state::nodes::{Heard, LOST_AFTER, NodeReport, NodeStatus, Nodes as _};
use pigeon_backends::state::sqlite::SqliteState;
use pigeon_backends::state::{Mode, StateOptions};
use pigeon_core::clock::Clock as _;
use pigeon_core::ports::state::{Memory, ReceiptQuery, State as _, StateChanges};
use pigeon_core::receipt::Receipt;
use pigeon_testkit::contracts::state::{NOW, entry, receipt, state_contract};
use pigeon_testkit::memory::TestClock;

fn open(directory: &Path, mode: Mode) -> SqliteState {
    let options = StateOptions::new(directory, Arc::new(TestClock::default())).with_mode(mode);
    SqliteState::open(options).unwrap()
}

async fn contract(mode: Mode) {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let make = async || {
        let empty = directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&empty).unwrap();
        open(&empty, mode)
    };
    state_contract(make).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_keeps_the_contract() {
    contract(Mode::Server).await;
}

#[tokio::test]
async fn a_process_for_one_message_keeps_the_contract() {
    contract(Mode::OneShot).await;
}

fn all() -> ReceiptQuery {
    ReceiptQuery { limit: 100_000, ..ReceiptQuery::default() }
}

fn some(prefix: &str, count: usize) -> Vec<Arc<Receipt>> {
    let make = |n| receipt(&format!("{prefix}-{n}"), NOW, "ann@example.org", &["ann@example.org"]);
    (0..count).map(|n| Arc::new(make(n))).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_process_for_one_message_leaves_receipts_without_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let state = open(directory.path(), Mode::OneShot);
    state.record(&some("a", 2));
    assert_eq!(names(directory.path()), ["receipts.spool"]);
    let spool = std::fs::read_to_string(directory.path().join("receipts.spool")).unwrap();
    assert_eq!(spool.lines().count(), 2);

    let server = open(directory.path(), Mode::Server);
    assert_eq!(server.receipts(&all()).await.unwrap().len(), 2);
    assert_eq!(server.receipts(&all()).await.unwrap().len(), 2, "none is taken in twice");
    assert!(!names(directory.path()).iter().any(|name| name.starts_with("receipts.spool")));
}

#[tokio::test]
async fn a_spool_file_whose_taker_died_is_taken_in_once() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("receipts.spool.0001");
    let mut lines: Vec<u8> = Vec::new();
    for receipt in some("a", 3) {
        serde_json::to_writer(&mut lines, &*receipt).unwrap();
        lines.push(b'\n');
    }
    lines.extend_from_slice(b"{\"id\":\"cut off");
    for _ in 0..2 {
        // The second time as after a crash between the commit and the deletion.
        std::fs::write(&left, &lines).unwrap();
        let state = open(directory.path(), Mode::OneShot);
        assert_eq!(state.receipts(&all()).await.unwrap().len(), 3);
        assert!(!left.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_spool_and_its_takers_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let path = path.clone();
            std::thread::spawn(move || {
                let state = open(&path, Mode::OneShot);
                for n in 0..200 {
                    state.record(&some(&format!("{writer}-{n}"), 1));
                }
            })
        })
        .collect();
    let reader = open(directory.path(), Mode::OneShot);
    while writers.iter().any(|writer| !writer.is_finished()) {
        reader.receipts(&ReceiptQuery { limit: 1, ..ReceiptQuery::default() }).await.unwrap();
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(reader.receipts(&all()).await.unwrap().len(), 800);
}

#[tokio::test]
async fn receipts_are_kept_at_the_end_and_counted_when_they_are_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let state = open(directory.path(), Mode::Server);
    state.record(&some("too many", 10_001));
    state.record(&some("a", 500));
    state.close();
    state.record(&some("after the end", 1));
    drop(state);
    let state = open(directory.path(), Mode::OneShot);
    assert_eq!(state.receipts(&all()).await.unwrap().len(), 500);
}

#[tokio::test]
async fn old_receipts_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let day = Duration::from_secs(24 * 3600);
    let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_keep_days(7);
    let state = SqliteState::open(options.with_mode(Mode::OneShot)).unwrap();
    state.record(&some("old", 1500));
    clock.advance(day * 5);
    let new = receipt("new", clock.now(), "ann@example.org", &["bob@example.org"]);
    state.record(&[Arc::new(new)]);
    state.tidy().await.unwrap();
    assert_eq!(state.receipts(&all()).await.unwrap().len(), 1501);
    clock.advance(day * 3);
    state.tidy().await.unwrap();
    let left = state.receipts(&all()).await.unwrap();
    assert_eq!(left.iter().map(|receipt| receipt.id.as_str()).collect::<Vec<_>>(), ["new"]);
    let receipts = rusqlite::Connection::open(directory.path().join("receipts.sqlite")).unwrap();
    let words: i64 = receipts.query_row("SELECT count(*) FROM words", [], |row| row.get(0)).unwrap();
    assert_eq!(words, 3, "recipient, target and Message-ID of the one that is left");
}

#[tokio::test]
async fn what_is_no_longer_needed_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let state = SqliteState::open(
        StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_mode(Mode::OneShot),
    )
    .unwrap();
    let day = Duration::from_secs(24 * 3600);
    let staged = [entry("held", "", "away@example.net"), entry("wanted", "", "away@example.net")];
    state.stage(staged.into_iter().map(Result::unwrap).collect(), clock.now()).await.unwrap();
    let (account, service, key) = ("a".to_owned(), "s".to_owned(), "k".to_owned());
    let memory = Memory { account, service, key, value: "v".into(), expires: clock.now().plus(day) };
    let changes =
        StateChanges { memories: vec![memory], finished: vec!["f".into()], ..StateChanges::default() };
    state.commit(changes, clock.now()).await.unwrap();

    clock.advance(day * 6);
    let again = entry("wanted", "", "away@example.net").unwrap();
    state.stage(vec![again], clock.now()).await.unwrap();
    clock.advance(day * 2);
    state.tidy().await.unwrap();
    let left = state.entries(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["wanted"]);
    assert_eq!(names(&directory.path().join("outbox")), [left[0].file.clone().unwrap()]);
    assert_eq!(state.finished(&["f".to_owned()]).await.unwrap(), ["f"]);

    clock.advance(day * 30);
    state.tidy().await.unwrap();
    assert!(state.finished(&["f".to_owned()]).await.unwrap().is_empty());
    assert!(names(&directory.path().join("outbox")).is_empty());
    let database = rusqlite::Connection::open(directory.path().join("state.sqlite")).unwrap();
    let memories: i64 = database.query_row("SELECT count(*) FROM memory", [], |row| row.get(0)).unwrap();
    assert_eq!(memories, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_other_processes_write_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let (server, other) = (open(directory.path(), Mode::Server), open(directory.path(), Mode::OneShot));
    let commit = async |state: &SqliteState, name: &str| {
        for n in 0..100 {
            let finished = vec![format!("{name}-{n}")];
            state.commit(StateChanges { finished, ..StateChanges::default() }, NOW).await.unwrap();
        }
    };
    tokio::join!(commit(&server, "a"), commit(&server, "b"), commit(&other, "c"));
    let keys: Vec<String> =
        ["a", "b", "c"].iter().flat_map(|name| (0..100).map(move |n| format!("{name}-{n}"))).collect();
    assert_eq!(server.finished(&keys).await.unwrap().len(), 300);
}

#[tokio::test]
async fn the_node_is_in_the_registry_and_its_name_is_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_mode(Mode::OneShot);
    let state = SqliteState::open(options).unwrap();
    let report = |id: &str, is_stopped: bool| NodeReport {
        name: "mx1".to_owned(),
        id: id.to_owned(),
        deliveries_per_minute: 7,
        is_stopped,
        ..NodeReport::default()
    };
    let heard = async |id: &str| state.heartbeat(&report(id, false)).await.unwrap();
    let status = async || state.nodes().await.unwrap().first().unwrap().status();
    assert_eq!(heard("first").await, Heard::Registered);
    assert_eq!(state.nodes().await.unwrap().first().unwrap().report, report("first", false));
    clock.advance(Duration::from_secs(10));
    assert_eq!(heard("second").await, Heard::Taken(Duration::from_secs(10)));
    clock.advance(LOST_AFTER);
    assert_eq!(status().await, NodeStatus::Lost);
    assert_eq!(heard("second").await, Heard::Registered);
    assert_eq!(status().await, NodeStatus::Running);
    state.heartbeat(&report("second", true)).await.unwrap();
    assert_eq!(status().await, NodeStatus::Stopped);
    assert_eq!(heard("third").await, Heard::Registered);
    assert!(state.remove_node("mx1").await.unwrap() && !state.remove_node("mx1").await.unwrap());
}

/// Starts this test binary again as another process, in `directory`, to run one of its ignored tests.
fn start(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the tests of kills"]
async fn child_that_commits_until_it_is_killed() {
    // Ends by itself when the test that started it is gone.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
    let state = Arc::new(open(&std::env::current_dir().unwrap(), Mode::Server));
    let id = std::process::id();
    let work = |worker: u32| {
        let state = Arc::clone(&state);
        async move {
            for n in 0.. {
                let key = format!("{id}-{worker}-{n}");
                let staged = entry(&key, "sender@example.net", "away@example.net").unwrap();
                state.stage(vec![staged], NOW).await.unwrap();
                let changes = StateChanges {
                    released: vec![key.clone()],
                    finished: vec![key.clone()],
                    ..StateChanges::default()
                };
                state.commit(changes, NOW).await.unwrap();
                println!("acknowledged {key}");
            }
        }
    };
    tokio::join!(work(0), work(1), work(2));
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..12_u64 {
        let mut child = start("child_that_commits_until_it_is_killed", directory.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut killed = Some(child);
        let mut count = 0;
        for line in lines {
            if let Some(key) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged.push(key.to_owned());
                count += 1;
            }
            // SIGKILL somewhere behind the first acknowledgement, later with each round.
            if count > 0
                && let Some(mut child) = killed.take()
            {
                std::thread::sleep(Duration::from_micros(700 * round * round));
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        assert!(count > 0, "the child acknowledged something before it was killed");
    }
    let state = open(directory.path(), Mode::OneShot);
    let left = state.entries(None, u32::MAX).await.unwrap();
    for key in &acknowledged {
        let record = left.iter().find(|record| record.key == *key).unwrap_or_else(|| panic!("{key} is lost"));
        assert_eq!(record.status, OutboxStatus::Ready, "{key}");
        let file = directory.path().join("outbox").join(record.file.as_ref().unwrap());
        let content = std::fs::read_to_string(file).unwrap();
        assert_eq!(content, format!("Subject: {key}\n\nbody of {key}\n"));
    }
    assert_eq!(state.finished(&acknowledged).await.unwrap().len(), acknowledged.len());
}
