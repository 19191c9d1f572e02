//! What one node does, another goes on with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pigeon_backends::outbox::{Flushed, OutboxStatus, OutboxStore as _, Which};
use pigeon_backends::state::sql::SqlState;
use pigeon_backends::state::{Mode, StateOptions};
use pigeon_core::headers::HeaderEdits;
use pigeon_core::message::Message;
use pigeon_core::ports::state::{Memory, OutboxContent, OutboxEntry, ReceiptQuery, State as _, StateChanges};
use pigeon_testkit::contracts::state::{NOW, entry, receipt, state_contract};
use pigeon_testkit::memory::TestClock;
use pigeon_testkit::peers::SmtpSink;

use super::database::{Database, Node, PACE, on_both};

const SENDER: &str = "sender@example.net";
const AWAY: &str = "away@example.com";
const FLUSHED: Flushed = Flushed { sent: 0, deferred: 0, failed: 0 };

on_both!(
    the_contract_is_kept,
    an_entry_of_a_node_that_died_is_released_and_sent_by_another,
    nodes_that_send_at_once_send_each_entry_once,
    nodes_that_stage_one_mail_at_once_make_one_entry,
    large_contents_come_out_as_they_went_in,
    a_refusal_is_told_to_the_sender_once,
    what_is_no_longer_needed_is_forgotten,
    receipts_are_forgotten_with_their_words,
    administrators_look_retry_and_cancel,
);

async fn the_contract_is_kept(database: &Database) {
    for mode in [Mode::Server, Mode::OneShot] {
        let directories = std::sync::Mutex::new(Vec::new());
        let make = async || {
            database.clear().await;
            let node = Node::new(database, "mx1", mode);
            let state = Arc::clone(&node.state);
            directories.lock().unwrap().push(node.directory);
            drop(node.state);
            Arc::into_inner(state).unwrap()
        };
        state_contract(make).await.unwrap();
    }
}

async fn an_entry_of_a_node_that_died_is_released_and_sent_by_another(database: &Database) {
    let sink = SmtpSink::smtp().unwrap();
    let (one, other) = (Node::new(database, "mx1", Mode::OneShot), Node::new(database, "mx2", Mode::OneShot));
    // It dies behind the staging; the MTA's retry goes through another node.
    one.stage(vec![entry("a", SENDER, AWAY).unwrap()]).await;
    drop(one);
    assert_eq!(other.outbox(&sink).flush_once(Which::Due).await.unwrap(), FLUSHED, "it is held");
    other.stage(vec![entry("a", SENDER, AWAY).unwrap()]).await;
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 1, "the content is there already");
    other.release(&["a"]).await;

    // Now a third one takes it for sending, and dies too.
    let dying = Node::new(database, "mx3", Mode::OneShot);
    let leased = dying.state.lease(Which::Due, 10, PACE.lease).await.unwrap();
    assert_eq!(leased.len(), 1);
    let seen = other.state.entries(None, 10).await.unwrap();
    assert_eq!((seen[0].status, seen[0].node.as_deref()), (OutboxStatus::Sending, Some("mx3")));
    drop(dying);
    assert_eq!(other.outbox(&sink).flush_once(Which::Due).await.unwrap(), FLUSHED, "its lease still holds");
    let began = Instant::now();
    while other.outbox(&sink).flush_once(Which::Due).await.unwrap().sent == 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let messages = sink.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text(), "Subject: a\r\n\r\nbody of a\r\n");
    assert_eq!(other.entries().await, [("a".to_owned(), OutboxStatus::Sent)]);
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 0);
    // A retry of the MTA that is late does not send it again.
    other.stage(vec![entry("a", SENDER, AWAY).unwrap()]).await;
    other.release(&["a"]).await;
    assert_eq!(other.outbox(&sink).flush_once(Which::Due).await.unwrap(), FLUSHED);
}

async fn nodes_that_send_at_once_send_each_entry_once(database: &Database) {
    const ENTRIES: usize = 120;
    let sink = SmtpSink::smtp().unwrap();
    let nodes: Vec<Node> =
        ["mx1", "mx2", "mx3"].map(|name| Node::new(database, name, Mode::OneShot)).into_iter().collect();
    let keys: Vec<String> = (0..ENTRIES).map(|n| format!("key-{n}")).collect();
    let staged = keys.iter().map(|key| entry(key, SENDER, AWAY).unwrap()).collect();
    nodes[0].stage(staged).await;
    nodes[1].release(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let outboxes: Vec<_> = nodes.iter().map(|node| node.outbox(&sink)).collect();
    let flushes = outboxes.iter().map(|outbox| outbox.flush_once(Which::Due));
    let flushed = futures_util::future::join_all(flushes).await;
    let sent: Vec<u32> = flushed.into_iter().map(|flushed| flushed.unwrap().sent).collect();
    assert_eq!(sent.iter().sum::<u32>() as usize, ENTRIES, "{sent:?}");
    assert_eq!(sink.messages().len(), ENTRIES);
    assert!(sent.iter().all(|sent| *sent > 0), "every node took part: {sent:?}");
}

async fn nodes_that_stage_one_mail_at_once_make_one_entry(database: &Database) {
    let nodes = ["mx1", "mx2"].map(|name| Node::new(database, name, Mode::Server));
    for round in 0..20 {
        let staged =
            || (0..5).map(|n| entry(&format!("{round}-{n}"), SENDER, AWAY).unwrap()).collect::<Vec<_>>();
        tokio::join!(nodes[0].stage(staged()), nodes[1].stage(staged()), nodes[1].stage(staged()));
        let keys: Vec<String> = (0..5).map(|n| format!("{round}-{n}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        tokio::join!(nodes[0].release(&keys), nodes[1].release(&keys));
    }
    assert_eq!(database.count("SELECT count(*) FROM state_outbox WHERE status = 'ready'"), 100);
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 100, "one content for each");
}

async fn large_contents_come_out_as_they_went_in(database: &Database) {
    let (node, sink) = (Node::new(database, "mx1", Mode::OneShot), SmtpSink::smtp().unwrap());
    let lines = (0..60_000).map(|n| format!(".{n} {}\n", "x".repeat(n % 60)));
    let text = std::iter::once("Subject: large ü\n\n".to_owned()).chain(lines).collect::<String>();
    let message = Arc::new(Message::from_bytes(Bytes::from(text.clone())));
    let mut edits = HeaderEdits::default();
    edits.prepend("Delivered-To", "user@example.org");
    let content = OutboxContent::Message { head: edits.render(message.head()), message };
    let one = OutboxEntry { content: content.clone(), ..entry("one", SENDER, AWAY).unwrap() };
    let two = OutboxEntry { content, ..entry("two", SENDER, AWAY).unwrap() };
    node.stage(vec![one, two]).await;
    assert_eq!(database.count("SELECT count(DISTINCT id) FROM state_contents"), 1, "they share the octets");
    node.release(&["one", "two"]).await;
    let expect = format!("Delivered-To: user@example.org\r\n{}", text.replace('\n', "\r\n"));
    let sizes: Vec<u64> =
        node.state.entries(None, 9).await.unwrap().iter().map(|record| record.octets).collect();
    assert_eq!(sizes, [expect.len() as u64; 2]);
    assert_eq!(node.outbox(&sink).flush_once(Which::Due).await.unwrap().sent, 2);
    assert!(sink.messages().iter().all(|message| message.data == expect.as_bytes()));
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 0);
    assert_eq!(std::fs::read_dir(node.directory.path()).unwrap().count(), 0, "nothing is left on the node");
}

async fn a_refusal_is_told_to_the_sender_once(database: &Database) {
    let (node, sink) = (Node::new(database, "mx1", Mode::OneShot), SmtpSink::smtp().unwrap());
    sink.refuse(AWAY, "550 5.1.1 no such user");
    node.stage(vec![entry("k", SENDER, AWAY).unwrap()]).await;
    node.release(&["k"]).await;
    let flushed = node.outbox(&sink).flush_once(Which::Due).await.unwrap();
    assert_eq!(flushed, Flushed { failed: 1, sent: 1, ..FLUSHED });
    assert!(sink.messages()[0].text().contains("Status: 5.1.1\r\n"));
    assert!(sink.messages()[0].text().contains("\r\nSubject: k\r\n"), "{}", sink.messages()[0].text());
    assert_eq!(node.outbox(&sink).flush_once(Which::Due).await.unwrap(), FLUSHED);
}

async fn what_is_no_longer_needed_is_forgotten(database: &Database) {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let day = Duration::from_secs(24 * 3600);
    let tidied = async || {
        database.sql("UPDATE state_chores SET due = 0");
        let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_mode(Mode::OneShot);
        let state = SqlState::open(options, &database.url()).unwrap();
        state.tidy().await.unwrap();
        state
    };
    let state = tidied().await;
    let now = || pigeon_core::clock::Clock::now(&*clock);
    let staged = ["held", "wanted"].map(|key| entry(key, "", AWAY).unwrap());
    state.stage(staged.to_vec(), now()).await.unwrap();
    let (account, service, key) = ("a".to_owned(), "s".to_owned(), "k".to_owned());
    let memory = Memory { account, service, key, value: "v".into(), expires: now().plus(day) };
    let changes =
        StateChanges { memories: vec![memory], finished: vec!["f".into()], ..StateChanges::default() };
    state.commit(changes, now()).await.unwrap();

    clock.advance(day * 6);
    state.stage(vec![entry("wanted", "", AWAY).unwrap()], now()).await.unwrap();
    clock.advance(day * 2);
    let state = tidied().await;
    let left = state.entries(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["wanted"]);
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 1);
    assert_eq!(state.finished(&["f".to_owned()]).await.unwrap(), ["f"]);
    assert_eq!(database.count("SELECT count(*) FROM state_memory"), 0);

    clock.advance(day * 30);
    let state = tidied().await;
    assert!(state.finished(&["f".to_owned()]).await.unwrap().is_empty());
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 0);
    // One node does it for all, and not all the time.
    state.stage(vec![entry("old", "", AWAY).unwrap()], now().minus(day * 30)).await.unwrap();
    state.tidy().await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM state_outbox"), 1);
}

async fn receipts_are_forgotten_with_their_words(database: &Database) {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_keep_days(7);
    let state = SqlState::open(options.with_mode(Mode::OneShot), &database.url()).unwrap();
    let all = ReceiptQuery { limit: 10_000, ..ReceiptQuery::default() };
    let old: Vec<_> = (0..700)
        .map(|n| Arc::new(receipt(&format!("old-{n}"), NOW, "ann@example.org", &["bob@example.org"])))
        .collect();
    state.record(&old);
    assert_eq!(state.receipts(&all).await.unwrap().len(), 700);
    let about = ReceiptQuery { address: Some("bob@example.org".into()), ..all.clone() };
    assert_eq!(state.receipts(&about).await.unwrap().len(), 700, "more than one page");
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    let now = pigeon_core::clock::Clock::now(&*clock);
    state.record(&[Arc::new(receipt("new", now, "ann@example.org", &["bob@example.org"]))]);
    assert_eq!(state.receipts(&all).await.unwrap().len(), 701);
    state.tidy().await.unwrap();
    let left = state.receipts(&all).await.unwrap();
    assert_eq!(left.iter().map(|receipt| receipt.id.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(database.count("SELECT count(*) FROM state_words"), 3);
}

async fn administrators_look_retry_and_cancel(database: &Database) {
    let (node, sink) = (Node::new(database, "mx1", Mode::OneShot), SmtpSink::smtp().unwrap());
    sink.refuse(AWAY, "550 5.1.1 no such user");
    node.stage(vec![entry("first", "", AWAY).unwrap(), entry("second", "", "b@example.com").unwrap()]).await;
    node.release(&["first", "second"]).await;
    let waiting = node.state.entries(Some(OutboxStatus::Ready), 10).await.unwrap();
    let second = waiting.iter().find(|record| record.key == "second").unwrap();
    assert!(node.state.cancel(second.id).await.unwrap());
    assert!(!node.state.cancel(second.id).await.unwrap(), "it has ended");
    assert!(!node.state.retry(second.id).await.unwrap(), "its content is gone");
    assert_eq!(database.count("SELECT count(*) FROM state_contents"), 1);
    let outbox = node.outbox(&sink);
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { failed: 1, ..FLUSHED });
    let first = waiting.iter().find(|record| record.key == "first").unwrap();
    assert!(node.state.retry(first.id).await.unwrap());
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { failed: 1, ..FLUSHED });
    let record = node.state.entries(Some(OutboxStatus::Failed), 10).await.unwrap().pop().unwrap();
    assert_eq!((record.last_error.as_str(), record.attempts), ("550 5.1.1 no such user", 1), "tried anew");
    assert!(!node.state.cancel(4711).await.unwrap());
}
