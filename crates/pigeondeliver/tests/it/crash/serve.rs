//! `kill -9` of the server, again and again, while clients send.

use std::time::Duration;

use super::load::{Load, Random, count_copies, reconcile};
use crate::node::Node;

/// How often the server is killed.
const KILLS: u32 = 100;
/// Concurrent sessions.
const CLIENTS: u64 = 6;
const LARGEST: u64 = 200 * 1024;

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_100_times() {
    let accounts: Vec<String> = (0..8).map(|number| format!("u{number}@example.org")).collect();
    let mut node = Node::new(&accounts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut random = Random::any();
    node.start();
    let load = Load::start(&node.socket(), &accounts, CLIENTS, LARGEST);
    for number in 0..KILLS {
        // One kill in ten may hit the start itself, for none of them waits until the server is ready.
        let wait_ms = if number % 10 == 0 { random.between(1, 60) } else { random.between(60, 500) };
        std::thread::sleep(Duration::from_millis(wait_ms));
        node.kill9();
        node.launch();
    }
    node.wait_until_ready();
    let ledger = load.finish();

    let unfinished: Vec<_> = ledger.iter().filter(|(_, fate)| !fate.is_acknowledged).collect();
    assert!(
        unfinished.is_empty(),
        "a restarted server takes all that is left: {unfinished:?}\n{}",
        node.log()
    );
    reconcile(&ledger, &count_copies(&node, &accounts));
    let hits = ledger.values().filter(|fate| fate.unanswered > 0).count();
    assert!(hits > 20, "only {hits} deliveries were under way at a kill: the load was too small");
    assert!(ledger.len() > 500, "only {} copies in the whole test", ledger.len());
    // What a crash left in tmp/ is removed when it is old, not now: it may be somebody's delivery under way.
    let (status, _) = node.stop();
    assert!(status.success(), "{status}\n{}", node.log());
}
