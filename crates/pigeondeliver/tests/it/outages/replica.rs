//! The primary is lost and a replica is left; or both say nothing.

use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Link, wait_until};

use super::{
    Database, LATE, NOBODY, PATIENCE, PROBE, RECOVERY, Seen, UNKNOWN, accounts, introduce, more_acknowledged,
    node_on, probe, settle, until_receipts_are_kept, until_taken,
};
use crate::crash::load::Load;
use crate::node::Node;

fn with_replica(database: &Database, primary: u16, replica: u16) -> String {
    format!("{}?replica=127.0.0.1:{replica}", database.url_through(primary))
}

/// Waits until the replica knows what the primary does.
fn follow(database: &Database, replica: &Database) {
    let position = "SELECT seq FROM change_position;";
    let head = database.sql(position);
    // The tables themselves may still be on their way.
    let has_all = || match replica {
        Database::Postgres(server) => server.psql(position).ok(),
        Database::MariaDb(server) => server.sql(position).ok(),
    };
    assert!(wait_until(PATIENCE, || has_all().filter(|seen| *seen == head)).is_some());
}

fn primary_is_lost(database: &Database) {
    let replica = database.replica();
    let url = with_replica(database, database.port(), replica.port());
    let mut node = node_on(&url, "mx1");
    follow(database, &replica);
    node.start();
    introduce(&node, &accounts());
    let load = Load::start(&node.socket(), &accounts(), 3, 20 * 1024);
    more_acknowledged(&load, 40, &node);

    database.kill();
    let before = load.acknowledged();
    let (first, second) = (probe(&node, LATE[0]), probe(&node, LATE[1]));
    for late in [&first, &second] {
        assert!(late.reply.code == 250 && late.took < KNOWN_TO_REPLICA, "{late}\n{}", node.log());
    }
    let nobody = probe(&node, NOBODY);
    assert_eq!(nobody.reply.code, 550, "the replica knows that nobody has it: {nobody}");
    let mut seen = Seen::default();
    for _ in 0..20 {
        seen.known(&node);
    }
    more_acknowledged(&load, 20, &node);
    let during = load.acknowledged() - before;
    println!(
        "primary lost: {during} copies of the load; looked up at the replica: {first}, {second}; {seen}"
    );
    // A change has nowhere to go, and says so.
    let change = node.command().args(["account", "suspend", PROBE]).output().unwrap();
    assert!(!change.status.success(), "{change:?}");

    database.restart();
    let back = Instant::now();
    wait_until(RECOVERY, || change_is_taken(&node).then_some(())).expect("no change is taken");
    println!("primary back: a change is taken after {:?}", back.elapsed());
    let began = Instant::now();
    let holds = wait_until(RECOVERY, || (probe(&node, PROBE).reply.code == 450).then(|| began.elapsed()));
    println!("it holds after {:?}", holds.expect("the change does not hold"));
    settle(load, &node);
    until_receipts_are_kept(&node, RECOVERY);
}

/// How long a look-up may take when its first server is gone.
const KNOWN_TO_REPLICA: Duration = Duration::from_secs(4);

fn change_is_taken(node: &Node) -> bool {
    node.command().args(["account", "suspend", PROBE]).output().unwrap().status.success()
}

/// Two servers that say nothing are no longer waited for than one.
fn both_are_silent(database: &Database) {
    let replica = database.replica();
    let links = [Link::start(database.port()).unwrap(), Link::start(replica.port()).unwrap()];
    let mut node = node_on(&with_replica(database, links[0].port(), links[1].port()), "mx1");
    follow(database, &replica);
    node.start();
    introduce(&node, &accounts());
    links.iter().for_each(Link::stall);
    let mut seen = Seen::default();
    seen.unknown(&node, LATE[0]);
    for _ in 0..10 {
        seen.known(&node);
    }
    seen.unknown(&node, NOBODY);
    links.iter().for_each(|link| link.heal().unwrap());
    let taken = until_taken(&node, LATE[0], RECOVERY);
    println!("primary and replica silent: {seen}; healed: taken after {taken:?}");
    assert!(seen.slowest_unknown < UNKNOWN);
}

#[test]
fn a_replica_is_left_when_the_postgresql_primary_is_lost() {
    Database::postgres().iter().for_each(primary_is_lost);
}

#[test]
fn a_replica_is_left_when_the_mariadb_primary_is_lost() {
    Database::mariadb().iter().for_each(primary_is_lost);
}

#[test]
fn a_silent_postgresql_replica_does_not_make_waits_longer() {
    Database::postgres().iter().for_each(both_are_silent);
}

#[test]
fn a_silent_mariadb_replica_does_not_make_waits_longer() {
    Database::mariadb().iter().for_each(both_are_silent);
}
