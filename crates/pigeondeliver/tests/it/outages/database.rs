//! The database stops under load and comes back.

use std::thread;
use std::time::{Duration, Instant};

use super::{
    Database, LATE, NOBODY, PROBE, RECOVERY, Seen, accounts, introduce, more_acknowledged, node_on, probe,
    registered, settle, snapshot_ages, spooled, until_receipts_are_kept, until_taken,
};
use crate::crash::load::Load;

/// How long the database is away.
const OUTAGE: Duration = Duration::from_secs(4);

fn stops_and_comes_back(database: &Database) {
    let mut node = node_on(&database.url(), "mx1");
    node.start();
    introduce(&node, &accounts());
    let load = Load::start(&node.socket(), &accounts(), 3, 20 * 1024);
    more_acknowledged(&load, 40, &node);

    let began = Instant::now();
    database.kill();
    let before = load.acknowledged();
    let seen = Seen::watch(&node, OUTAGE);
    let (during, waiting) = (load.acknowledged() - before, spooled(&node));
    println!("down for {:?}: {during} copies of the load acknowledged; {seen}", began.elapsed());
    println!("{waiting} octets of receipts wait on the node's disk");
    assert!(during > 20 && waiting > 0, "{during} copies, {waiting} octets\n{}", node.log());

    let outage = began.elapsed();
    database.restart();
    let back = Instant::now();
    let taken = until_taken(&node, LATE[0], RECOVERY);
    until_receipts_are_kept(&node, RECOVERY);
    let kept = back.elapsed();
    println!("back: an account that was unknown gets mail after {taken:?}, receipts are kept after {kept:?}");
    assert_eq!(probe(&node, NOBODY).reply.code, 550);
    let ledger = settle(load, &node);
    until_receipts_are_kept(&node, RECOVERY);

    // Each copy has its receipt, those of the outage too, and they say how old the snapshot was.
    let put_off: usize = ledger.values().map(|fate| (fate.deferred + fate.unanswered) as usize).sum();
    let probes = node.inbox(PROBE).len() + node.inbox(LATE[0]).len();
    assert_eq!(probes, seen.known + 1);
    assert_eq!(database.count("state_receipts"), ledger.len() + put_off + probes);
    let mut ages = snapshot_ages(&node, PROBE);
    ages.sort_unstable();
    println!(
        "{} receipts in the database; {} of {probes} probes went by a snapshot, at most {} ms old",
        ledger.len() + put_off + probes,
        ages.len(),
        ages.last().unwrap()
    );
    // What the directory said last is trusted for up to a second.
    assert!(ages.len() <= seen.known && ages.len() + 10 >= seen.known, "{} probes: {ages:?}", seen.known);
    assert!(u128::from(*ages.last().unwrap()) <= outage.as_millis() + 1000, "{ages:?} in {outage:?}");
    assert!(u128::from(*ages.last().unwrap()) + 1500 >= OUTAGE.as_millis(), "{ages:?} in {outage:?}");
    assert_eq!(registered(&node, "mx1").unwrap()["receipts_lost"], 0);
    let (status, _) = node.stop();
    assert!(status.success(), "{status}\n{}", node.log());
}

/// A node may start while its database is away: nobody is known, so everybody is told to come again.
fn starts_without_it(database: &Database) {
    let mut node = node_on(&database.url(), "mx1");
    database.kill();
    node.start();
    let mut seen = Seen::default();
    for recipient in [PROBE, LATE[0], NOBODY] {
        seen.unknown(&node, recipient);
    }
    thread::sleep(Duration::from_secs(1));
    database.restart();
    let taken = until_taken(&node, PROBE, RECOVERY);
    let began = Instant::now();
    while registered(&node, "mx1").is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", node.log());
        thread::sleep(Duration::from_millis(100));
    }
    println!("{seen}; back: taken after {taken:?}, in the registry after {:?}", taken + began.elapsed());
    assert_eq!(probe(&node, NOBODY).reply.code, 550);
    assert_eq!(node.inbox(PROBE).len(), 1);
}

#[test]
fn mail_goes_on_while_postgresql_is_stopped() {
    Database::postgres().iter().for_each(stops_and_comes_back);
}

#[test]
fn mail_goes_on_while_mariadb_is_stopped() {
    Database::mariadb().iter().for_each(stops_and_comes_back);
}

#[test]
fn a_node_starts_while_postgresql_is_stopped() {
    Database::postgres().iter().for_each(starts_without_it);
}

#[test]
fn a_node_starts_while_mariadb_is_stopped() {
    Database::mariadb().iter().for_each(starts_without_it);
}
