//! A change made anywhere, in any way, holds on every node for the next mail.

use std::path::{Path, PathBuf};
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
fn until_it_holds(nodes: &[&Node], maildir: &Path, changed: Instant, bound: Duration) -> Duration {
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
            assert!(asked < bound, "an old setting holds {asked:?} after its change\n{}", node.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
    slowest
}

/// Two nodes on a directory, and an alias that they know; its mail goes to the second one of the Maildirs.
pub(super) struct Site {
    /// The first one's command line makes changes.
    pub(super) nodes: [Node; 2],
    maildirs: [PathBuf; 2],
    bound: Duration,
}

impl Site {
    /// Changes are to hold within `bound`.
    pub(super) fn on(url: &str, bound: Duration) -> Self {
        let mut one = node_on(url, "mx1");
        let mut other = beside(&one, url, "mx2");
        one.run(&["alias", "add", DESK, &target(1)]);
        for node in [&mut one, &mut other] {
            node.start();
            assert_eq!(probe(node, DESK).reply.code, 250);
        }
        let maildirs = [0, 1].map(|number| one.maildir(&target(number)));
        Self { nodes: [one, other], maildirs, bound }
    }

    /// By the command line of the first node.
    pub(super) fn by_command(&self) {
        self.measure("by the command line of one node", |to| {
            self.nodes[0].run(&["alias", "set", DESK, &target(to)]);
        });
    }

    /// Changes the alias to and fro, at moments that have nothing to do with when nodes ask; prints the slowest.
    pub(super) fn measure(&self, way: &str, change: impl Fn(usize)) {
        measure(way, self, change);
    }
}

/// The accounts that the alias leads to.
pub(super) fn target(number: usize) -> String {
    accounts()[number].clone()
}

fn measure(way: &str, site: &Site, change: impl Fn(usize)) {
    let (nodes, maildirs) = (site.nodes.each_ref(), &site.maildirs);
    let mut random = Random::any();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            thread::sleep(Duration::from_millis(random.between(0, 250)));
            change(round % 2);
            until_it_holds(&nodes, &maildirs[round % 2], Instant::now(), site.bound)
        })
        .collect();
    times.sort_unstable();
    println!(
        "{way}: {ROUNDS} changes on {} nodes, median {:?}, slowest {:?}",
        nodes.len(),
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
    assert!(times[ROUNDS - 1] < site.bound, "{times:?}");
}

fn hold_at_once(database: &Database) {
    let site = Site::on(&database.url(), FRESHNESS);
    site.by_command();
    site.measure("by plain SQL", |to| {
        let sql = format!("UPDATE aliases SET targets = '[\"{}\"]' WHERE local = 'desk';", target(to));
        database.sql(&sql);
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
