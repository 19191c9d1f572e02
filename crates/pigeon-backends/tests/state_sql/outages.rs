//! The database stops, hangs and comes back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pigeon_backends::outbox::{Outbox, OutboxStatus, OutboxStore as _, Outgoing, Refusal, Submit};
use pigeon_backends::state::sql::SqlState;
use pigeon_backends::state::{Mode, NodeState as _, StateOptions};
use pigeon_core::ports::state::{ReceiptQuery, State, StateChanges};
use pigeon_core::receipt::Receipt;
use pigeon_testkit::contracts::state::{NOW, entry, receipt};
use pigeon_testkit::peers::wait_until;

use super::database::{Database, Node, PACE, RealClock, on_both, open};

const PATIENCE: Duration = Duration::from_secs(20);

on_both!(
    receipts_wait_for_a_database_that_is_down,
    receipts_that_wait_are_bounded_and_the_lost_ones_counted,
    a_database_that_hangs_is_an_error_in_time,
    an_acceptance_is_noted_when_the_database_is_back,
    a_process_for_one_message_leaves_its_receipts_to_the_server,
);

fn some(prefix: &str, count: usize) -> Vec<Arc<Receipt>> {
    let make = |n| receipt(&format!("{prefix}-{n}"), NOW, "ann@example.org", &["ann@example.org"]);
    (0..count).map(|n| Arc::new(make(n))).collect()
}

async fn found(state: &impl State) -> usize {
    let all = ReceiptQuery { limit: 100_000, ..ReceiptQuery::default() };
    state.receipts(&all).await.unwrap().len()
}

fn spooled(directory: &Path) -> bool {
    let mut names = std::fs::read_dir(directory).unwrap();
    names.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("receipts.spool"))
}

async fn finished(state: &SqlState, key: &str) -> bool {
    let changes = StateChanges { finished: vec![key.to_owned()], ..StateChanges::default() };
    state.commit(changes, NOW).await.is_ok()
}

async fn receipts_wait_for_a_database_that_is_down(database: &Database) {
    let node = Node::new(database, "mx1", Mode::Server);
    node.state.record(&some("before", 100));
    assert_eq!(found(&*node.state).await, 100);
    assert!(!spooled(node.directory.path()));

    database.stop();
    let began = Instant::now();
    for n in 0..20 {
        node.state.record(&some(&format!("down-{n}"), 25));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(2), "nothing waits for the database");
    assert!(!finished(&node.state, "a").await);
    assert!(node.state.receipts(&ReceiptQuery { limit: 1, ..ReceiptQuery::default() }).await.is_err());
    let tally = node.state.tally();
    assert_eq!((tally.deliveries, tally.receipts_waiting, tally.receipts_lost), (600, 500, 0));
    assert!(spooled(node.directory.path()));
    // Another start of the node finds what is left.
    let Node { directory, state } = node;
    state.finish().await;
    drop(state);
    let state = open(directory.path(), &database.url(), "mx1", Mode::Server);
    assert_eq!(
        wait_until(Duration::from_secs(5), || Some(state.tally().receipts_waiting).filter(|n| *n > 0)),
        Some(500)
    );

    database.restart();
    let is_empty = || (state.tally().receipts_waiting == 0 && !spooled(directory.path())).then_some(());
    assert!(wait_until(PATIENCE, is_empty).is_some(), "{:?}", state.tally());
    assert_eq!(found(&state).await, 600, "each is kept once");
    assert!(finished(&state, "a").await);
}

async fn receipts_that_wait_are_bounded_and_the_lost_ones_counted(database: &Database) {
    let directory = tempfile::tempdir().unwrap();
    let options = StateOptions::new(directory.path(), RealClock::shared()).with_spool_octets(50_000);
    let state = SqlState::open(options, &database.url()).unwrap();
    database.stop();
    for n in 0..40 {
        state.record(&some(&format!("{n}"), 10));
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    let settled = || {
        let tally = state.tally();
        (tally.receipts_waiting + tally.receipts_lost == 400).then_some(tally)
    };
    let tally = wait_until(Duration::from_secs(5), settled).unwrap();
    assert!(tally.receipts_lost > 200 && tally.receipts_waiting > 40, "{tally:?}");
    database.restart();
    let is_empty = || (state.tally().receipts_waiting == 0).then_some(());
    assert!(wait_until(PATIENCE, is_empty).is_some());
    assert_eq!(found(&state).await as u64, 400 - tally.receipts_lost, "the oldest are kept");
    state.record(&some("after", 10));
    assert_eq!(found(&state).await as u64, 410 - tally.receipts_lost, "there is room again");
}

async fn a_database_that_hangs_is_an_error_in_time(database: &Database) {
    let node = Node::new(database, "mx1", Mode::Server);
    assert!(finished(&node.state, "a").await);
    database.pause();
    let began = Instant::now();
    assert!(!finished(&node.state, "b").await);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // From now on it is known to be down: the next one need not find that out.
    let began = Instant::now();
    assert!(node.state.recall("a", "s", "k", NOW).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    node.state.record(&some("paused", 10));
    database.resume();
    let began = Instant::now();
    while !finished(&node.state, "b").await {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let is_empty = || (node.state.tally().receipts_waiting == 0).then_some(());
    assert!(wait_until(PATIENCE, is_empty).is_some());
    assert_eq!(found(&*node.state).await, 10);
}

/// A way out that takes its time and counts.
#[derive(Default)]
struct Slow {
    begun: AtomicU32,
    ended: AtomicU32,
}

#[async_trait]
impl Submit for Slow {
    async fn submit(&self, _: &Outgoing) -> Result<String, Refusal> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(800)).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        Ok("250 taken".into())
    }
}

async fn an_acceptance_is_noted_when_the_database_is_back(database: &Database) {
    let (node, slow) = (Node::new(database, "mx1", Mode::Server), Arc::new(Slow::default()));
    node.stage(vec![entry("k", "", "away@example.com").unwrap()]).await;
    node.release(&["k"]).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let submit = Arc::clone(&slow) as _;
    let outbox = Outbox::with_submit(Arc::clone(&node.state) as _, submit, "mx.example.org".into(), PACE);
    let running = tokio::spawn(async move { outbox.run(async { drop(stopped.await) }).await });
    let is_one = |counted: &AtomicU32| (counted.load(Ordering::Relaxed) == 1).then_some(());
    assert!(wait_until(PATIENCE, || is_one(&slow.begun)).is_some());
    database.stop();
    assert!(wait_until(PATIENCE, || is_one(&slow.ended)).is_some());
    database.restart();
    let began = Instant::now();
    loop {
        let records = node.state.entries(Some(OutboxStatus::Sent), 10).await;
        if records.is_ok_and(|records| records.len() == 1) {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(slow.begun.load(Ordering::Relaxed), 1, "it is not sent again");
}

async fn a_process_for_one_message_leaves_its_receipts_to_the_server(database: &Database) {
    let server = Node::new(database, "mx1", Mode::Server);
    let one_shot = open(server.directory.path(), &database.url(), "mx1", Mode::OneShot);
    database.stop();
    one_shot.record(&some("a", 2));
    assert!(one_shot.tidy().await.is_err(), "there is nobody to take them");
    drop(one_shot);
    assert!(spooled(server.directory.path()));
    database.restart();
    let taken = || (!spooled(server.directory.path())).then_some(());
    assert!(wait_until(PATIENCE, taken).is_some());
    assert_eq!(found(&*server.state).await, 2);
}
