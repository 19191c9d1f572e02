//! The database is slow, or says nothing: every wait has an end, and who needs no answer gets none of it.

use std::thread;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Link, MailClient};

use super::{
    Database, KNOWN, LATE, NOBODY, PROBE, Probed, RECOVERY, Seen, UNKNOWN, accounts, introduce,
    more_acknowledged, node_on, probe, probe_over, settle, snapshot_ages, until_receipts_are_kept,
    until_taken,
};
use crate::crash::load::Load;

/// What the network adds in each direction: more than a delivery waits for news of the directory.
const SLOW: Duration = Duration::from_millis(135);
/// An alias with two targets: what became of each is remembered in the database.
const TEAM: &str = "team@example.org";
const MATES: [&str; 2] = ["mate1@example.org", "mate2@example.org"];
/// Sessions that wait for a database that says nothing; many more than there are connections to it.
const WAITING: usize = 30;

fn is_slow_and_then_silent(database: &Database) {
    let link = Link::start(database.port()).unwrap();
    let mut node = node_on(&database.url_through(link.port()), "mx1");
    node.start();
    MATES.iter().for_each(|mate| drop(node.run(&["account", "add", mate])));
    node.run(&[&["alias", "add", TEAM], &MATES[..]].concat());
    introduce(&node, &[accounts(), vec![TEAM.to_owned()]].concat());
    let load = Load::start(&node.socket(), &accounts(), 2, 20 * 1024);
    more_acknowledged(&load, 20, &node);

    link.delay(SLOW);
    let mut slow = Seen::default();
    let before = load.acknowledged();
    for _ in 0..5 {
        slow.known(&node);
        thread::sleep(Duration::from_millis(100));
    }
    let late = probe(&node, LATE[0]);
    assert!(late.reply.code == 250 && late.took < UNKNOWN, "{late}\n{}", node.log());
    println!(
        "{SLOW:?} slower in each direction: {} copies of the load; {slow}; {} to one that had to be looked up",
        load.acknowledged() - before,
        late
    );

    link.stall();
    // They come by one listener, the load and the probes by the other one.
    let port = node.tcp_port();
    let waiting: Vec<_> = (0..WAITING)
        .map(|number| thread::spawn(move || wait_at(port, [LATE[1], NOBODY][number % 2], number)))
        .collect();
    let before = load.acknowledged();
    let team = probe(&node, TEAM);
    assert!(team.reply.code == 250 && team.took < KNOWN, "{team}\n{}", node.log());
    println!("silent: an alias with two targets: {team}");
    let mut silent = Seen::default();
    for _ in 0..30 {
        silent.known(&node);
        thread::sleep(Duration::from_millis(100));
    }
    for session in waiting {
        let probed = session.join().unwrap();
        assert!(probed.reply.code == 451 && probed.took < UNKNOWN, "{probed}\n{}", node.log());
        silent.unknown += 1;
        silent.slowest_unknown = silent.slowest_unknown.max(probed.took);
    }
    let during = load.acknowledged() - before;
    println!("silent: {during} copies of the load at the other listener; {silent}");
    assert!(during > 20, "{during} copies\n{}", node.log());

    link.heal().unwrap();
    let taken = until_taken(&node, LATE[1], RECOVERY);
    println!("healed: an account that was unknown gets mail after {taken:?}");
    assert_eq!(probe(&node, NOBODY).reply.code, 550);
    settle(load, &node);
    until_receipts_are_kept(&node, RECOVERY);
    let ages = snapshot_ages(&node, PROBE);
    println!("{} of {} probes went by a snapshot", ages.len(), slow.known + silent.known);
    // What the directory said last is trusted for up to a second.
    assert!(ages.len() + 10 >= silent.known, "{ages:?}");
    assert_eq!(node.inbox(PROBE).len(), slow.known + silent.known);
}

fn wait_at(port: u16, recipient: &str, number: usize) -> Probed {
    // Not all at once: some come while others wait already.
    thread::sleep(Duration::from_millis(50 * u64::try_from(number).unwrap()));
    let mut client = MailClient::lmtp_tcp(port).unwrap();
    probe_over(&mut client, recipient, Instant::now())
}

#[test]
fn waits_for_postgresql_have_an_end() {
    Database::postgres().iter().for_each(is_slow_and_then_silent);
}

#[test]
fn waits_for_mariadb_have_an_end() {
    Database::mariadb().iter().for_each(is_slow_and_then_silent);
}
