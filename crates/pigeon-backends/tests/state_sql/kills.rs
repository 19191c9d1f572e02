//! Nodes and the database are killed again and again: what was acknowledged is there, and sent.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_backends::outbox::smtp::Smtp;
use pigeon_backends::outbox::{Outbox, OutboxStatus, OutboxStore as _};
use pigeon_backends::state::Mode;
use pigeon_core::ports::state::{ReceiptQuery, State as _, StateChanges};
use pigeon_testkit::contracts::state::{NOW, entry, receipt};
use pigeon_testkit::peers::SmtpSink;

use super::database::{Database, Node, PACE, on_both, open};

on_both!(
    what_was_acknowledged_survives_kills_of_nodes_and_of_the_database,
    senders_that_are_killed_again_and_again_lose_nothing,
    receipts_of_a_node_that_is_killed_are_kept_once,
);

/// Starts this test binary again as another process, in `directory`, to run one of its ignored tests on a database.
fn start(test: &str, directory: &Path, database: &Database) -> Child {
    let url = match database {
        Database::Postgres(server) => server.url(),
        Database::MariaDb(server) => server.url(),
    };
    std::fs::write(directory.join("url"), url).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("kills::{test}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// In the child: ends by itself when the test that started it is gone.
fn end_with_the_test() {
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the tests of kills"]
async fn child_that_commits_until_it_is_killed() {
    end_with_the_test();
    let url = std::fs::read_to_string("url").unwrap().parse().unwrap();
    let name = std::process::id().to_string();
    let state = Arc::new(open(&std::env::current_dir().unwrap(), &url, &name, Mode::Server));
    let work = |worker: u32| {
        let (state, name) = (Arc::clone(&state), name.clone());
        async move {
            for n in 0.. {
                let key = format!("{name}-{worker}-{n}");
                // The MTA tries again until it is told that all is well.
                loop {
                    let staged = entry(&key, "sender@example.net", "away@example.com").unwrap();
                    let changes = StateChanges {
                        released: vec![key.clone()],
                        finished: vec![key.clone()],
                        ..StateChanges::default()
                    };
                    if state.stage(vec![staged], NOW).await.is_ok()
                        && state.commit(changes, NOW).await.is_ok()
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                println!("acknowledged {key}");
            }
        }
    };
    tokio::join!(work(0), work(1), work(2));
}

async fn what_was_acknowledged_survives_kills_of_nodes_and_of_the_database(database: &Database) {
    let node = Node::new(database, "mx1", Mode::OneShot);
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..10_u64 {
        let mut child = start("child_that_commits_until_it_is_killed", directory.path(), database);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut killed = Some(child);
        let (mut count, mut is_crashed) = (0, false);
        for line in lines {
            if let Some(key) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged.push(key.to_owned());
                count += 1;
            }
            // Each third time the database crashes first, and the node goes on when it is back.
            if round % 3 == 2 && count == 5 && !is_crashed {
                database.kill();
                database.restart();
                is_crashed = true;
            }
            let is_time = if round % 3 == 2 { count > 20 } else { count > 0 };
            if is_time && let Some(mut child) = killed.take() {
                std::thread::sleep(Duration::from_micros(900 * round * round));
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        assert!(count > 0, "the child acknowledged something before it was killed");
    }
    let left: HashMap<String, OutboxStatus> = node.entries().await.into_iter().collect();
    for key in &acknowledged {
        assert_eq!(left.get(key), Some(&OutboxStatus::Ready), "{key}");
    }
    assert_eq!(node.state.finished(&acknowledged).await.unwrap().len(), acknowledged.len());
    let orphans = "SELECT count(*) FROM state_outbox WHERE content NOT IN (SELECT id FROM state_contents)";
    assert_eq!(database.count(orphans), 0, "every entry has its content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the tests of kills"]
async fn child_that_sends_until_it_is_killed() {
    end_with_the_test();
    let url = std::fs::read_to_string("url").unwrap().parse().unwrap();
    let port = std::fs::read_to_string("port").unwrap().parse().unwrap();
    let name = std::process::id().to_string();
    let state = open(&std::env::current_dir().unwrap(), &url, &name, Mode::Server);
    let smtp = Arc::new(Smtp::new("127.0.0.1", port, "mx.example.org"));
    let outbox = Outbox::with_submit(Arc::new(state), smtp, "mx.example.org".into(), PACE);
    outbox.run(std::future::pending()).await;
}

async fn senders_that_are_killed_again_and_again_lose_nothing(database: &Database) {
    const ENTRIES: usize = 200;
    let (node, sink) = (Node::new(database, "mx1", Mode::OneShot), SmtpSink::smtp().unwrap());
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for directory in &directories {
        std::fs::write(directory.path().join("port"), sink.port().to_string()).unwrap();
    }
    let keys: Vec<String> = (0..ENTRIES).map(|n| format!("key-{n}")).collect();
    let staged = |key: &String| entry(key, "sender@example.net", "away@example.com").unwrap();
    node.stage(keys.iter().map(staged).collect()).await;
    node.release(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let (began, mut kills) = (Instant::now(), 0_u64);
    let start = |n: usize| start("child_that_sends_until_it_is_killed", directories[n].path(), database);
    let mut children = [start(0), start(1)];
    while kills < 10 && sink.messages().len() < ENTRIES * 3 / 4 {
        drop(sink.wait_for(sink.messages().len() + 8, Duration::from_secs(5)));
        let n = usize::try_from(kills).unwrap() % 2;
        children[n].kill().unwrap();
        children[n].wait().unwrap();
        children[n] = start(n);
        kills += 1;
    }
    let count_sent = || database.count("SELECT count(*) FROM state_outbox WHERE status = 'sent'");
    while count_sent() < ENTRIES as u64 {
        assert!(began.elapsed() < Duration::from_secs(90), "{} of {ENTRIES} are sent", count_sent());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for message in sink.messages() {
        *times.entry(message.text().lines().next().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), ENTRIES, "every entry arrived");
    // Sent again at most: what the server had taken at the moment of a kill and was not noted yet.
    let again: usize = times.values().map(|count| count - 1).sum();
    assert!(again <= usize::try_from(kills).unwrap() * PACE.at_once, "{again} in {kills} kills");
    assert!(kills >= 3, "the test killed {kills} times");
    // Killed between the note and the deletion, a sender leaves a content behind: it is swept up.
    database.sql("UPDATE state_chores SET due = 0");
    node.state.tidy().await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the tests of kills"]
async fn child_that_records_until_it_is_killed() {
    end_with_the_test();
    let url = std::fs::read_to_string("url").unwrap().parse().unwrap();
    let state = open(&std::env::current_dir().unwrap(), &url, "mx1", Mode::Server);
    let id = std::process::id();
    for n in 0.. {
        state.record(&[Arc::new(receipt(
            &format!("{id}-{n}"),
            NOW,
            "ann@example.org",
            &["ann@example.org"],
        ))]);
        if n % 50 == 0 {
            // What a reader has seen is kept, whatever happens then.
            let query = ReceiptQuery { limit: 1, ..ReceiptQuery::default() };
            if state.receipts(&query).await.is_ok() {
                println!("recorded {id} {n}");
            }
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

async fn receipts_of_a_node_that_is_killed_are_kept_once(database: &Database) {
    let directory = tempfile::tempdir().unwrap();
    let mut seen: HashMap<u32, u32> = HashMap::new();
    for round in 0..6_u64 {
        let mut child = start("child_that_records_until_it_is_killed", directory.path(), database);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut killed = Some(child);
        for line in lines {
            let line = line.unwrap();
            let Some(rest) = line.strip_prefix("recorded ") else { continue };
            let (id, n) = rest.split_once(' ').unwrap();
            seen.insert(id.parse().unwrap(), n.parse().unwrap());
            if n != "0"
                && let Some(mut child) = killed.take()
            {
                std::thread::sleep(Duration::from_millis(17 * round));
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
    let state = open(directory.path(), &database.url(), "mx1", Mode::OneShot);
    let all = ReceiptQuery { limit: 100_000, ..ReceiptQuery::default() };
    let mut counts: HashMap<String, u32> = HashMap::new();
    for receipt in state.receipts(&all).await.unwrap() {
        *counts.entry(receipt.id).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "none is there twice");
    assert!(!seen.is_empty());
    for (id, last) in seen {
        for n in 0..=last {
            assert!(counts.contains_key(&format!("{id}-{n}")), "{id}-{n} of {last} is lost");
        }
    }
}
