//! Storage that nodes do not share: mail finds the node that keeps the mailbox, and the mailbox moves while mail arrives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{MailClient, Postgres, PostgresOptions, or_skip, wait_until};

use crate::node::{Node, NodeOptions, PATIENCE};

const ANN: &str = "ann@example.org";

/// Two running nodes, each with a mail root of its own; the first one keeps ann's mailbox.
fn nodes(database: &Postgres) -> (Node, Node) {
    let make = |name: &str, accounts: &[&str]| {
        let trusted = vec!["trusted = [\"local\", \"127.0.0.0/8\"]".to_owned()];
        let (directory, name) = (Some(database.url()), Some(name.to_owned()));
        let mut node =
            Node::with(&NodeOptions { directory, name, lmtp: trusted, ..NodeOptions::default() }, accounts);
        node.start();
        node
    };
    let (one, other) = (make("mx1", &[ANN]), make("mx2", &[]));
    one.set(ANN, &["storage.node=mx1"]);
    let both = || (one.json(&["node", "list"])["nodes"].as_array().unwrap().len() == 2).then_some(());
    assert!(wait_until(PATIENCE, both).is_some(), "{}{}", one.log(), other.log());
    (one, other)
}

fn mail_root(node: &Node) -> PathBuf {
    node.path().join("mail")
}

fn message(id: &str) -> Vec<u8> {
    format!("From: bob@example.net\r\nMessage-ID: <{id}>\r\nSubject: x\r\n\r\nbody of {id}\r\n").into_bytes()
}

/// Sends one message; whether it was acknowledged, and the reply.
fn send(client: &mut MailClient, id: &str) -> (bool, String) {
    match client.send("bob@example.net", &[ANN], &message(id)) {
        Ok(submission) => {
            let replies: Vec<String> = submission.outcomes.iter().map(ToString::to_string).collect();
            (replies.iter().any(|reply| reply.starts_with("250")), replies.concat())
        }
        Err(error) => (false, error.to_string()),
    }
}

/// How often each Message-ID lies in a node's copy of the mailbox.
fn found(node: &Node) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for stored in node.inbox(ANN) {
        let text = stored.text();
        let id =
            text.lines().find_map(|line| line.strip_prefix("Message-ID: <")).unwrap().trim_end_matches('>');
        assert!(text.ends_with(&format!("body of {id}\n")), "{id} is not whole: {text:?}");
        *found.entry(id.to_owned()).or_default() += 1;
    }
    found
}

#[test]
fn mail_is_handed_over_to_the_node_that_keeps_the_mailbox() {
    let Some(database) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let (mut one, mut other) = nodes(&database);
    for id in ["1@x", "2@x", "3@x"] {
        let (is_taken, reply) = send(&mut other.lmtp(), id);
        assert!(is_taken, "{reply}{}", other.log());
    }
    assert_eq!((found(&one).len(), found(&other).len()), (3, 0));
    let text = one.inbox(ANN)[0].text();
    assert_eq!(text.matches("Received: ").count(), 2, "each hop writes its field: {text}");
    let shown = other.run(&["receipts", "<1@x>"]);
    assert!(shown.contains("handed over to mx1") && shown.contains("stored in INBOX"), "{shown}");

    // While its home is down the mail waits at the MTA, and nothing is bounced.
    one.kill9();
    let began = Instant::now();
    let (is_taken, reply) = send(&mut other.lmtp(), "4@x");
    assert!(!is_taken && reply.starts_with("451 4.4.1"), "{reply}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    one.start();
    let again = || send(&mut other.lmtp(), "4@x").0.then_some(());
    assert!(wait_until(PATIENCE, again).is_some(), "{}", other.log());
    assert_eq!(found(&one).get("4@x"), Some(&1));

    assert!(one.stop().0.success() && other.stop().0.success());
}

#[test]
fn a_mailbox_moves_while_mail_arrives() {
    let Some(database) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let (one, other) = nodes(&database);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (is_over, deferred) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = [one.lmtp(), other.lmtp()]
        .into_iter()
        .enumerate()
        .map(|(sender, mut client)| {
            let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
            let deferred = Arc::clone(&deferred);
            std::thread::spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let id = format!("{sender}-{number}@x");
                    number += 1;
                    // A temporary refusal is tried again, as an MTA does.
                    for _ in 0..200 {
                        let (is_taken, reply) = send(&mut client, &id);
                        if is_taken {
                            acknowledged.lock().unwrap().push(id);
                            break;
                        }
                        assert!(reply.starts_with('4'), "{id}: {reply}");
                        deferred.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
            })
        })
        .collect();
    let count = || acknowledged.lock().unwrap().len();
    assert!(wait_until(PATIENCE, || (count() > 100).then_some(())).is_some(), "{}", one.log());
    let root = mail_root(&other).display().to_string();
    let planned = one.run(&["account", "move", ANN, "--to", "mx2", "--mail-root", &root, "--dry-run"]);
    assert!(planned.starts_with("would move "), "{planned}");
    let began = Instant::now();
    let moved = one.run(&["account", "move", ANN, "--to", "mx2", "--mail-root", &root]);
    let took = began.elapsed();
    let before = count();
    assert!(wait_until(PATIENCE, || (count() > before + 50).then_some(())).is_some(), "{}", other.log());
    is_over.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.join().unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let there = found(&other);
    let lost = acknowledged.iter().filter(|id| !there.contains_key(*id)).count();
    let twice = there.values().filter(|count| **count > 1).count();
    println!(
        "acknowledged {}, found {}, lost {lost}, twice {twice}, deferred {}, moved in {took:?}",
        acknowledged.len(),
        there.len(),
        deferred.load(Ordering::SeqCst)
    );
    assert!(moved.contains("is kept by mx2 now"), "{moved}");
    assert_eq!((lost, twice), (0, 0), "{}", one.log());
    assert!(found(&one).is_empty(), "something was left behind");
    let names: Vec<_> = std::fs::read_dir(mail_root(&one).join("example.org")).unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
    // Once more is nothing more.
    assert!(one.run(&["account", "move", ANN, "--to", "mx2", "--mail-root", &root]).contains("0 messages"));
}
