//! The network between nodes and their database is cut: each side goes on, and they agree again afterwards.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Link, Namespaces, or_skip, wait_until};

use super::{
    Database, FRESHNESS, LATE, PROBE, RECOVERY, Seen, accounts, beside, introduce, more_acknowledged,
    node_on, probe, settle, snapshot_ages, sockets, until_receipts_are_kept, until_taken,
};
use crate::crash::load::Load;
use crate::node::Node;

fn start_in(network: &Namespaces, number: u8, node: &mut Node) {
    let mut inside = network.run_in(number, &node.serve_command());
    node.log_into(&mut inside);
    node.launch_as(&mut inside);
    node.wait_until_ready();
}

fn is_cut(database: &Database) {
    let Some(network) = or_skip(Namespaces::start(2)) else { return };
    let server = SocketAddr::from(([127, 0, 0, 1], database.port()));
    let link = Link::start_on(IpAddr::V4(network.host()), server).unwrap();
    let url = database.url().replace(&server.to_string(), &link.address().to_string());
    let mut near = node_on(&url, "mx1");
    let mut far = beside(&near, &url, "mx2");
    start_in(&network, 0, &mut near);
    start_in(&network, 1, &mut far);
    introduce(&near, &accounts());
    introduce(&far, &accounts());
    let load = Load::start_on(&sockets(&[&near, &far]), &accounts(), 4, 20 * 1024);
    more_acknowledged(&load, 40, &near);

    let began = Instant::now();
    network.split(&[1]).unwrap();
    let before = load.acknowledged();
    let mut seen = Seen::default();
    seen.unknown(&far, LATE[0]);
    for _ in 0..20 {
        seen.known(&far);
        thread::sleep(Duration::from_millis(50));
    }
    seen.unknown(&far, LATE[0]);
    // The other side of the cut works as always, changes too.
    let late = probe(&near, LATE[1]);
    assert!(late.reply.is_positive(), "{late}\n{}", near.log());
    near.run(&["account", "suspend", PROBE]);
    let began_change = Instant::now();
    let held = wait_until(FRESHNESS, || (probe(&near, PROBE).reply.code == 450).then_some(()));
    assert!(held.is_some(), "a change does not hold on its own side after {:?}", began_change.elapsed());
    seen.known(&far);
    more_acknowledged(&load, 20, &near);
    println!(
        "cut for {:?}: {} copies of the load on both sides; beyond the cut {seen}",
        began.elapsed(),
        load.acknowledged() - before
    );

    network.heal().unwrap();
    let healed = Instant::now();
    let holds = wait_until(RECOVERY, || (probe(&far, PROBE).reply.code == 450).then(|| healed.elapsed()));
    let holds = holds.unwrap_or_else(|| panic!("the change does not hold beyond the cut\n{}", far.log()));
    let taken = until_taken(&far, LATE[0], RECOVERY);
    println!(
        "healed: the change of the other side holds after {holds:?}; a new recipient is taken after {taken:?} more"
    );
    settle(load, &near);
    until_receipts_are_kept(&far, RECOVERY);
    near.run(&["account", "resume", PROBE]);
    assert!(!snapshot_ages(&near, PROBE).is_empty(), "mail beyond the cut went by a snapshot");
}

#[test]
fn a_node_cut_off_from_postgresql_goes_on() {
    Database::postgres().iter().for_each(is_cut);
}

#[test]
fn a_node_cut_off_from_mariadb_goes_on() {
    Database::mariadb().iter().for_each(is_cut);
}
