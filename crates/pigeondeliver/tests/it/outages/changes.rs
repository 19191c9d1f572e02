//! A change made anywhere, in any way, holds on every node for the next mail.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::{Database, accounts, beside, node_on, probe};
use crate::crash::load::Random;
use crate::node::{FRESHNESS, Node, stored_in};

/// How often each way of changing is tried.
const ROUNDS: usize = 12;
/// The alias that changes its target.
const DESK: &str = "desk@example.org";

/// How long it takes from now until mail to the alias at each node goes to this Maildir. Mail that goes to the old one
/// later than the bound is a failure.
fn until_it_holds(nodes: &[&Node], maildir: &PathBuf, changed: Instant) -> Duration {
    let mut slowest = Duration::ZERO;
    for node in nodes {
        loop {
            let (asked, before) = (changed.elapsed(), stored_in(maildir).len());
            let probed = probe(node, DESK);
            assert!(probed.reply.is_positive(), "{probed}\n{}", node.log());
            if stored_in(maildir).len() == before + 1 {
                slowest = slowest.max(asked);
                break;
            }
            assert!(asked < FRESHNESS, "an old setting holds {asked:?} after its change\n{}", node.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
    slowest
}

/// Changes the alias on and off, at moments that have nothing to do with when nodes ask; prints the slowest.
fn measure(way: &str, nodes: &[&Node], maildirs: &[PathBuf; 2], change: impl Fn(usize)) {
    let mut random = Random::any();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            thread::sleep(Duration::from_millis(random.between(0, 250)));
            change(round % 2);
            until_it_holds(nodes, &maildirs[round % 2], Instant::now())
        })
        .collect();
    times.sort_unstable();
    println!(
        "{way}: {ROUNDS} changes on {} nodes, median {:?}, slowest {:?}",
        nodes.len(),
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
    assert!(times[ROUNDS - 1] < FRESHNESS, "{times:?}");
}

fn hold_at_once(database: &Database) {
    let mut one = node_on(&database.url(), "mx1");
    let mut other = beside(&one, &database.url(), "mx2");
    one.start();
    other.start();
    let targets = [accounts()[0].clone(), accounts()[1].clone()];
    let maildirs = [one.maildir(&targets[0]), one.maildir(&targets[1])];
    one.run(&["alias", "add", DESK, &targets[1]]);
    for node in [&one, &other] {
        assert_eq!(probe(node, DESK).reply.code, 250);
    }
    measure("by the command line of one node", &[&one, &other], &maildirs, |to| {
        one.run(&["alias", "set", DESK, &targets[to]]);
    });
    measure("by plain SQL", &[&one, &other], &maildirs, |to| {
        database.sql(&format!("UPDATE aliases SET targets = '[\"{}\"]' WHERE local = 'desk';", targets[to]));
    });
}

#[test]
fn changes_on_postgresql_hold_on_every_node_within_a_second() {
    Database::postgres().iter().for_each(hold_at_once);
}

#[test]
fn changes_on_mariadb_hold_on_every_node_within_a_second() {
    Database::mariadb().iter().for_each(hold_at_once);
}
