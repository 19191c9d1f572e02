//! Databases, nodes and networks fail under mail: what goes on, what waits, how soon it recovers, and that nothing
//! acknowledged is lost. Real servers, real faults; each test prints what it counted and measured.

mod changes;
mod database;
mod ldap;
mod limits;
mod network;
mod nodes;
mod replica;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{
    MailClient, MariaDb, MariaDbOptions, Postgres, PostgresOptions, Reply, or_skip, wait_until,
};
use serde_json::Value;

use crate::crash::load::{Ledger, Load, count_copies, reconcile};
use crate::node::{FRESHNESS, Node, NodeOptions, PATIENCE};

/// How long a recipient that the node knows may wait for its reply, whatever the database does.
const KNOWN: Duration = Duration::from_secs(2);
/// How long one that it does not know may wait for its 451.
const UNKNOWN: Duration = Duration::from_secs(10);
/// How long after its database is back a node may take until everything is as before.
const RECOVERY: Duration = Duration::from_secs(5);
/// Accounts that the load goes to.
const ACCOUNTS: usize = 6;
/// An account that the node knows, for probes.
const PROBE: &str = "probe@example.org";
/// Accounts that no node looked up before the outage.
const LATE: [&str; 2] = ["late@example.org", "later@example.org"];
/// Nobody has this address.
const NOBODY: &str = "nobody@example.org";

/// A database server with the directory and the State of all nodes.
#[derive(Debug)]
enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Database {
    fn postgres() -> Option<Self> {
        or_skip(Postgres::start(&PostgresOptions::default())).map(Self::Postgres)
    }

    fn mariadb() -> Option<Self> {
        // What the server demands before a user without all rights may make triggers while there is a binary log.
        let settings = vec!["log_bin_trust_function_creators=ON".to_owned()];
        or_skip(MariaDb::start(&MariaDbOptions { settings, ..MariaDbOptions::default() })).map(Self::MariaDb)
    }

    fn replica(&self) -> Self {
        match self {
            Self::Postgres(server) => Self::Postgres(server.replica().unwrap()),
            Self::MariaDb(server) => Self::MariaDb(server.replica().unwrap()),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::MariaDb(server) => server.port(),
        }
    }

    fn url(&self) -> String {
        self.url_through(self.port())
    }

    fn url_through(&self, port: u16) -> String {
        match self {
            Self::Postgres(server) => server.url_through(port),
            Self::MariaDb(server) => server.url_through(port),
        }
    }

    fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
        }
    }

    fn restart(&self) {
        match self {
            Self::Postgres(server) => server.restart().unwrap(),
            Self::MariaDb(server) => server.restart().unwrap(),
        }
    }

    fn sql(&self, text: &str) -> String {
        match self {
            Self::Postgres(server) => server.psql(text).unwrap(),
            Self::MariaDb(server) => server.sql(text).unwrap(),
        }
    }

    fn count(&self, table: &str) -> usize {
        self.sql(&format!("SELECT count(*) FROM {table};")).trim().parse().unwrap()
    }
}

/// The accounts that the load goes to.
fn accounts() -> Vec<String> {
    (0..ACCOUNTS).map(|number| format!("u{number}@example.org")).collect()
}

/// A node on this directory, with every account that the tests here need.
fn node_on(url: &str, name: &str) -> Node {
    let (directory, name) = (Some(url.to_owned()), Some(name.to_owned()));
    let accounts = accounts();
    let all: Vec<&str> = accounts.iter().map(String::as_str).chain([PROBE]).chain(LATE).collect();
    Node::with(&NodeOptions { directory, name, ..NodeOptions::default() }, &all)
}

/// One more node on the directory of another, with the same mail root.
fn beside(first: &Node, url: &str, name: &str) -> Node {
    let (directory, name) = (Some(url.to_owned()), Some(name.to_owned()));
    let node = Node::with(&NodeOptions { directory, name, ..NodeOptions::default() }, &[]);
    let root = |node: &Node| format!("root = \"{}\"", node.path().join("mail").display());
    let text = fs::read_to_string(node.config()).unwrap();
    assert!(text.contains(&root(&node)), "{text}");
    fs::write(node.config(), text.replace(&root(&node), &root(first))).unwrap();
    node
}

/// Makes recipients known to a node: it looks them up.
fn introduce(node: &Node, recipients: &[String]) {
    let mut client = node.lmtp();
    client.hello().unwrap();
    assert!(client.command("MAIL FROM:<sam@example.com>").unwrap().is_positive());
    for recipient in recipients.iter().map(String::as_str).chain([PROBE]) {
        let reply = client.command(&format!("RCPT TO:<{recipient}>")).unwrap();
        assert!(reply.is_positive(), "{recipient}: {reply}\n{}", node.log());
    }
}

/// What became of one message for one recipient: the last reply, and how long everything took.
#[derive(Debug)]
struct Probed {
    reply: Reply,
    took: Duration,
}

impl fmt::Display for Probed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} after {:?}", self.reply, self.took)
    }
}

/// Sends one message over a connection of its own.
fn probe(node: &Node, recipient: &str) -> Probed {
    let began = Instant::now();
    probe_over(&mut node.lmtp(), recipient, began)
}

fn probe_over(client: &mut MailClient, recipient: &str, began: Instant) -> Probed {
    let mut sent = client.send("sam@example.com", &[recipient], b"Subject: probe\r\n\r\nprobe\r\n").unwrap();
    let reply = sent.outcomes.pop().or(sent.recipients.pop()).unwrap_or(sent.sender);
    Probed { reply, took: began.elapsed() }
}

/// What was seen while something was down.
#[derive(Debug, Default)]
struct Seen {
    known: usize,
    slowest_known: Duration,
    unknown: usize,
    slowest_unknown: Duration,
}

impl Seen {
    /// Probes a node for this long: recipients that it knows get their mail in time, and of the others nothing is
    /// known.
    fn watch(node: &Node, span: Duration) -> Self {
        let mut seen = Self::default();
        let end = Instant::now() + span;
        while Instant::now() < end {
            seen.known(node);
            for recipient in [LATE[0], LATE[1], NOBODY] {
                seen.unknown(node, recipient);
            }
            thread::sleep(Duration::from_millis(100));
        }
        seen
    }

    fn known(&mut self, node: &Node) {
        let probed = probe(node, PROBE);
        assert!(probed.reply.code == 250 && probed.took < KNOWN, "{probed}\n{}", node.log());
        self.known += 1;
        self.slowest_known = self.slowest_known.max(probed.took);
    }

    fn unknown(&mut self, node: &Node, recipient: &str) {
        let probed = probe(node, recipient);
        assert!(probed.reply.code == 451 && probed.took < UNKNOWN, "{recipient}: {probed}\n{}", node.log());
        self.unknown += 1;
        self.slowest_unknown = self.slowest_unknown.max(probed.took);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known, slowest_known, unknown, slowest_unknown } = self;
        write!(
            formatter,
            "{known} probes to a known recipient taken, the slowest within {slowest_known:?}; {unknown} to unknown \
             ones put off with 451, the slowest within {slowest_unknown:?}"
        )
    }
}

/// How long it takes from now until a message to this recipient is taken.
fn until_taken(node: &Node, recipient: &str, patience: Duration) -> Duration {
    let began = Instant::now();
    let taken = wait_until(patience, || {
        let probed = probe(node, recipient);
        assert!(!probed.reply.is_permanent(), "{recipient}: {probed}\n{}", node.log());
        probed.reply.is_positive().then(|| began.elapsed())
    });
    taken.unwrap_or_else(|| panic!("{recipient} is not taken within {patience:?}\n{}", node.log()))
}

/// Waits until so many more copies are acknowledged.
fn more_acknowledged(load: &Load, count: usize, node: &Node) {
    let before = load.acknowledged();
    let enough = || (load.acknowledged() >= before + count).then_some(());
    assert!(wait_until(PATIENCE, enough).is_some(), "the load stands still\n{}", node.log());
}

/// Ends the load; everything that was ever sent is acknowledged and there, whole, once.
fn settle(load: Load, node: &Node) -> Ledger {
    let ledger = load.finish();
    let unfinished: Vec<_> = ledger.iter().filter(|(_, fate)| !fate.is_acknowledged).collect();
    assert!(unfinished.is_empty(), "never taken: {unfinished:?}\n{}", node.log());
    reconcile(&ledger, &count_copies(node, &accounts()));
    ledger
}

/// Octets of receipts that wait on a node's disk.
fn spooled(node: &Node) -> u64 {
    let files = fs::read_dir(node.path().join("state")).unwrap().map(Result::unwrap);
    let spools = files.filter(|file| file.file_name().to_string_lossy().starts_with("receipts.spool"));
    // One that is taken in meanwhile counts for nothing.
    spools.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// How long it takes from now until no receipt of the node waits on its disk any more.
fn until_receipts_are_kept(node: &Node, patience: Duration) -> Duration {
    let began = Instant::now();
    let kept = wait_until(patience, || (spooled(node) == 0).then(|| began.elapsed()));
    kept.unwrap_or_else(|| panic!("{} octets of receipts wait\n{}", spooled(node), node.log()))
}

/// The ages of the snapshots that mail to a recipient was delivered by, as far as there are any: in milliseconds.
fn snapshot_ages(node: &Node, recipient: &str) -> Vec<u64> {
    let found = node.json(&["receipts", recipient, "--limit", "1000"]);
    let receipts = found["receipts"].as_array().unwrap();
    receipts.iter().filter_map(|receipt| receipt["snapshot_age_ms"].as_u64()).collect()
}

/// How a node sees another one in the registry.
fn registered(node: &Node, name: &str) -> Option<Value> {
    let list = node.json(&["node", "list"]);
    list["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).cloned()
}

/// The LMTP sockets of nodes.
fn sockets(nodes: &[&Node]) -> Vec<PathBuf> {
    nodes.iter().map(|node| node.socket()).collect()
}
