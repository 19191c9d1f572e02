//! `kill -9` of `pigeon deliver`: exit status 0 means that the copy is there, and nothing else means it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::load::{Fate, Ledger, Random, check_message, checked_message, count_copies, reconcile};
use crate::node::Node;

/// How many messages.
const MESSAGES: u32 = 30;
/// How often one is tried, the last time without a kill.
const ATTEMPTS: u32 = 4;
const WARM_UPS: u32 = 5;
const ANN: &str = "ann@example.org";

/// Runs one delivery; kills it after `lifetime` if it still lives. Whether it ended with status 0.
fn attempt(node: &Node, message: &[u8], lifetime: Option<Duration>) -> Option<bool> {
    let mut child = node
        .command()
        .args(["deliver", "-f", "load@example.net", "-d", ANN])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let message = message.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&message).unwrap_or_default());
    if let Some(lifetime) = lifetime {
        std::thread::sleep(lifetime);
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let is_killed = output.status.code().is_none();
    assert!(is_killed || output.status.success(), "{output:?}");
    (!is_killed).then(|| output.status.success())
}

#[test]
fn a_killed_delivery_command_loses_nothing_that_it_acknowledged() {
    let node = Node::new(&[ANN]);
    let mut random = Random::any();
    let mut ledger = Ledger::new();
    // The shortest of some runs, so that nearly every kill finds the process alive, wherever it is.
    let mut usual = Duration::MAX;
    for number in 0..WARM_UPS {
        let id = format!("warm-up-{number}");
        let message = checked_message(&id, 40 * 1024, &mut random);
        let began = Instant::now();
        assert_eq!(attempt(&node, message.as_bytes(), None), Some(true));
        usual = usual.min(began.elapsed());
        ledger.insert((id, ANN.to_owned()), Fate { is_acknowledged: true, ..Fate::default() });
    }
    for number in 0..MESSAGES {
        let id = format!("d{number}");
        let size = random.between(1024, 200 * 1024);
        let message = checked_message(&id, size, &mut random);
        let fate = ledger.entry((id, ANN.to_owned())).or_default();
        for round in 1..=ATTEMPTS {
            let lifetime =
                Duration::from_micros(random.between(0, u64::try_from(usual.as_micros()).unwrap()));
            match attempt(&node, message.as_bytes(), (round < ATTEMPTS).then_some(lifetime)) {
                Some(is_acknowledged) => {
                    fate.is_acknowledged = is_acknowledged;
                    break;
                }
                None => fate.unanswered += 1,
            }
        }
    }

    let accounts = [ANN.to_owned()];
    let copies: BTreeMap<_, _> = count_copies(&node, &accounts);
    assert!(ledger.values().all(|fate| fate.is_acknowledged), "{ledger:?}");
    reconcile(&ledger, &copies);
    let kills: u32 = ledger.values().map(|fate| fate.unanswered).sum();
    assert!(kills > MESSAGES / 2, "only {kills} kills");
}

#[test]
fn an_incomplete_message_is_recognised_by_these_tests() {
    let message = checked_message("x", 4096, &mut Random::new(7));
    let (bytes, length) = (message.as_bytes(), message.len());
    assert_eq!(check_message(bytes), Ok("x".to_owned()));
    assert!(check_message(&bytes[..length - 1]).is_err());
    assert!(check_message(&[&bytes[..length - 2], b"!\n"].concat()).is_err());
    assert!(check_message(b"Subject: x\n\n").is_err());
}
