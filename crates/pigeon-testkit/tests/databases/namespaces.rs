//! Several nodes on one network.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pigeon_testkit::peers::{Link, Namespaces, Postgres, PostgresOptions, or_skip, wait_until};

use super::{PATIENCE, said};

/// What every test's node serves.
const PORT: u16 = 4242;
/// How long a node that is out of reach is waited for.
const IN_VAIN: Duration = Duration::from_millis(700);

/// A server in a node that takes connections and says nothing; killed when dropped.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Runs this test program again, in a node, as the test `child`, with this task.
fn task(network: &Namespaces, node: u8, task: &str) -> std::io::Result<Command> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["--exact", "namespaces::child", "--nocapture"]).env(TASK, task);
    Ok(network.run_in(node, &child))
}

/// The environment variable with what the test `child` is to do: `listen`, or an address to connect to.
const TASK: &str = "PIGEON_TEST_TASK";

#[test]
fn child() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task = task.to_string_lossy();
    if task == "listen" {
        let listener = std::net::TcpListener::bind(("0.0.0.0", PORT)).unwrap();
        for _ in listener.incoming() {}
    }
    let address: SocketAddr = task.parse().unwrap();
    match TcpStream::connect_timeout(&address, IN_VAIN) {
        Ok(_) => println!("reached"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

fn listen(network: &Namespaces, node: u8) -> std::io::Result<Listener> {
    let mut command = task(network, node, "listen")?;
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Listener)
}

/// Whether a program in one node gets a connection to another one's.
fn reaches(network: &Namespaces, from: u8, to: u8) -> bool {
    let address = SocketAddr::new(IpAddr::V4(network.address(to)), PORT).to_string();
    let answer = task(network, from, &address).map(|mut command| said(&mut command));
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.contains("reached")))
}

/// Whether this program, in no node, gets a connection.
fn reached_from_outside(network: &Namespaces, to: u8) -> bool {
    let address = SocketAddr::new(IpAddr::V4(network.address(to)), PORT);
    TcpStream::connect_timeout(&address, IN_VAIN).is_ok()
}

#[test]
fn nodes_reach_each_other_until_parted() {
    let Some(network) = or_skip(Namespaces::start(3)) else { return };
    let listeners: Vec<Listener> = (0..3).map(|node| listen(&network, node).unwrap()).collect();
    for node in 0..3 {
        let is_up = wait_until(PATIENCE, || reached_from_outside(&network, node).then_some(()));
        assert!(is_up.is_some(), "node {node} is out of reach");
    }
    let all = |expect: [[bool; 3]; 3]| {
        for (from, row) in (0..).zip(expect) {
            for (to, expect) in (0..).zip(row) {
                assert_eq!(reaches(&network, from, to), expect, "from {from} to {to}");
            }
        }
    };
    let whole = [[true; 3]; 3];
    all(whole);
    network.isolate(0).unwrap();
    all([[true, false, false], [false, true, true], [false, true, true]]);
    assert!(!reached_from_outside(&network, 0) && reached_from_outside(&network, 1));
    network.split(&[0, 1]).unwrap();
    all([[true, true, false], [true, true, false], [false, false, true]]);
    assert!(!reached_from_outside(&network, 0) && reached_from_outside(&network, 2));
    network.heal().unwrap();
    all(whole);
    drop(listeners);
}

#[test]
fn they_leave_nothing() {
    let Some(first) = or_skip(Namespaces::start(5)) else { return };
    let Some(second) = or_skip(Namespaces::start(1)) else { return };
    assert_ne!(first.host(), second.host());
    let mut hello = Command::new("sh");
    hello.args(["-c", "echo $GREETING from $PWD; grep -c eth0 /proc/net/dev"]);
    hello.env("GREETING", "hello").current_dir("/usr");
    assert_eq!(said(&mut first.run_in(1, &hello)).unwrap(), "hello from /usr\n1");
    // Another test may take the same network as soon as it is free, but none has as many nodes.
    let last = Path::new("/run/netns").join(first.name(4));
    assert!(last.exists());
    drop(first);
    assert!(!last.exists(), "{} is left behind", last.display());
}

#[test]
fn nodes_use_a_server_of_the_machine() {
    let Some(network) = or_skip(Namespaces::start(2)) else { return };
    let Some(postgres) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let local = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), postgres.port());
    let link = Link::start_on(IpAddr::V4(network.host()), local).unwrap();
    let url = postgres.url_through(link.port()).replace("127.0.0.1", &network.host().to_string());
    let query = |node| {
        let mut psql = postgres.client("psql");
        psql.args(["-At", "-c", "SELECT 'here'", &url]).env("PGCONNECT_TIMEOUT", "2");
        said(&mut network.run_in(node, &psql))
    };
    assert_eq!((query(0).unwrap(), query(1).unwrap()), ("here".to_owned(), "here".to_owned()));
    network.isolate(1).unwrap();
    assert_eq!(query(0).unwrap(), "here");
    assert!(query(1).unwrap_err().contains("timeout expired"));
    network.heal().unwrap();
    assert_eq!(query(1).unwrap(), "here");
}
