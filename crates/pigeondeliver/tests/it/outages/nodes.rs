//! Several nodes deliver at once; one dies, one is new.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use pigeon_testkit::peers::{MailClient, Port, wait_until};

use super::{
    Database, PROBE, accounts, beside, introduce, more_acknowledged, node_on, registered, settle, sockets,
};
use crate::crash::load::{Load, Random};
use crate::node::{Node, PATIENCE, PIGEON, stored_in};

/// How often a node is killed.
const KILLS: u64 = 12;

/// The names of all files in the INBOXes; panics if two are the same.
fn distinct_names(node: &Node) -> usize {
    let mut names = BTreeSet::new();
    for account in accounts() {
        for stored in stored_in(&node.maildir(&account)) {
            // One message for several accounts is one file with several links, of one name each.
            let name = stored.path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(names.insert((account.clone(), name.clone())), "{name} twice for {account}");
        }
    }
    names.len()
}

fn one_is_killed(database: &Database) {
    let mut one = node_on(&database.url(), "mx1");
    let mut other = beside(&one, &database.url(), "mx2");
    one.start();
    other.start();
    let load = Load::start_on(&sockets(&[&one, &other]), &accounts(), 4, 100 * 1024);
    more_acknowledged(&load, 40, &one);
    let mut random = Random::any();
    for number in 0..KILLS {
        thread::sleep(Duration::from_millis(random.between(100, 500)));
        let node = if number % 2 == 0 { &mut one } else { &mut other };
        node.kill9();
        // The other one goes on meanwhile.
        more_acknowledged(&load, 10, &one);
        let node = if number % 2 == 0 { &mut one } else { &mut other };
        node.launch();
    }
    one.wait_until_ready();
    other.wait_until_ready();
    let ledger = settle(load, &one);
    let unanswered = ledger.values().filter(|fate| fate.unanswered > 0).count();
    println!("{KILLS} kills of two nodes in turn, {unanswered} copies were under way at one");
    assert!(unanswered > 0, "no delivery was under way at a kill: the load was too small");
}

/// Nothing tells the two nodes apart: neither their host name nor the number of their process.
fn both_deliver_into_one_root(database: &Database) {
    let mut one = node_on(&database.url(), "mx1");
    let mut other = beside(&one, &database.url(), "mx2");
    for node in [&mut one, &mut other] {
        let mut serve = Command::new("unshare");
        // As in two containers: each server is process 1 of its own world.
        serve.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
        serve.args([PIGEON, "serve"]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        serve.env("PIGEON_CONFIG", node.config());
        node.log_into(&mut serve);
        node.launch_as(&mut serve);
        node.wait_until_ready();
    }
    let load = Load::start_on(&sockets(&[&one, &other]), &accounts(), 4, 50 * 1024);
    thread::sleep(Duration::from_secs(4));
    let ledger = settle(load, &one);
    let names = distinct_names(&one);
    let (first, second) = (delivered(&one), delivered(&other));
    println!(
        "{names} files with {names} names for {} copies; the nodes delivered {first} and {second}",
        ledger.len()
    );
    assert_eq!(names, ledger.len());
    assert!(first > 20 && second > 20, "one node did all the work");
}

/// How many copies a node delivered: the lines of its log.
fn delivered(node: &Node) -> usize {
    node.log().lines().filter(|line| line.contains("delivered")).count()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// What a new machine needs: where the directory is, where mail comes in, and where the mailboxes are.
fn three_lines_make_a_node(database: &Database) {
    let mut first = node_on(&database.url(), "mx1");
    first.start();
    introduce(&first, &accounts());

    let machine = tempfile::tempdir_in("/tmp").unwrap();
    let (config, port) = (machine.path().join("pigeondeliver.toml"), Port::free().unwrap());
    let (url, root) = (database.url(), first.path().join("mail"));
    let text = format!(
        "directory = \"{url}\"\nmail.root = \"{}\"\nlmtp = [{{ listen = \"127.0.0.1:{}\" }}]\n",
        root.display(),
        port.number()
    );
    fs::write(&config, &text).unwrap();
    let log = fs::File::create(machine.path().join("log")).unwrap();
    // A machine on which nothing of ours ever was.
    let script = "mount -t tmpfs tmpfs /var/lib && hostname mx-new.example.org && exec \"$0\" serve";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private", "sh", "-c", script, PIGEON]);
    command.env("PIGEON_CONFIG", &config).current_dir("/").stdout(log.try_clone().unwrap()).stderr(log);
    let server = Running(command.spawn().unwrap());
    let said = || fs::read_to_string(machine.path().join("log")).unwrap();
    let client = wait_until(PATIENCE, || MailClient::lmtp_tcp(port.number()).ok());
    let mut client = client.unwrap_or_else(|| panic!("it takes no mail:\n{}", said()));
    let sent = client.send("sam@example.com", &[PROBE], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert!(sent.is_accepted(), "{sent:?}\n{}", said());
    assert_eq!(first.inbox(PROBE).len(), 1);
    let seen = wait_until(PATIENCE, || registered(&first, "mx-new.example.org"));
    let seen = seen.unwrap_or_else(|| panic!("it is in no registry:\n{}", said()));
    assert_eq!(seen["status"], "running");
    println!("a node of {} lines takes mail and is in the registry", text.lines().count());
    drop(server);
}

#[test]
fn nothing_is_lost_when_nodes_on_postgresql_are_killed() {
    Database::postgres().iter().for_each(one_is_killed);
}

#[test]
fn nothing_is_lost_when_nodes_on_mariadb_are_killed() {
    Database::mariadb().iter().for_each(one_is_killed);
}

#[test]
fn two_nodes_deliver_into_one_root() {
    Database::postgres().iter().for_each(both_deliver_into_one_root);
}

#[test]
fn three_lines_make_a_node_on_postgresql() {
    Database::postgres().iter().for_each(three_lines_make_a_node);
}

#[test]
fn three_lines_make_a_node_on_mariadb() {
    Database::mariadb().iter().for_each(three_lines_make_a_node);
}
