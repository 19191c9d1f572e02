//! Several nodes on one database: each of them a real server with files of its own.

use std::time::Duration;

use pigeon_testkit::peers::{
    MariaDb, MariaDbOptions, Postgres, PostgresOptions, SmtpSink, or_skip, wait_until,
};
use serde_json::Value;

use crate::node::{Node, NodeOptions, PATIENCE};

const ANN: &str = "ann@example.org";
const AWAY: &str = "away@example.net";
/// Two heartbeats, and some patience.
const HEARTBEATS: Duration = Duration::from_secs(20);

/// A database server, and how it is asked something.
struct Database {
    url: String,
    sql: Box<dyn Fn(&str) -> String>,
}

fn postgres() -> Option<Database> {
    let server = or_skip(Postgres::start(&PostgresOptions::default()))?;
    let url = server.url();
    Some(Database { url, sql: Box::new(move |text| server.psql(text).unwrap()) })
}

fn mariadb() -> Option<Database> {
    // What an administrator allows where the server writes a binary log.
    let settings = vec!["log_bin_trust_function_creators = 1".to_owned()];
    let server = or_skip(MariaDb::start(&MariaDbOptions { settings, ..MariaDbOptions::default() }))?;
    let url = server.url();
    Some(Database { url, sql: Box::new(move |text| server.sql(text).unwrap()) })
}

fn node(database: &Database, name: &str, submit: Option<String>, accounts: &[&str]) -> Node {
    let (directory, name) = (Some(database.url.clone()), Some(name.to_owned()));
    Node::with(&NodeOptions { directory, name, submit, ..NodeOptions::default() }, accounts)
}

fn deliver(node: &Node, message_id: &str) -> String {
    let message = format!("From: bob@example.net\nMessage-ID: <{message_id}>\nSubject: x\n\nbody\n");
    let submission = node.lmtp().send("bob@example.net", &[ANN], message.as_bytes()).unwrap();
    submission.outcomes.iter().map(ToString::to_string).collect()
}

/// The node of that name as another one sees it, once it is as wanted.
fn seen(by: &Node, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || {
        let list = by.json(&["node", "list"]);
        let nodes = list["nodes"].as_array().unwrap().clone();
        nodes.into_iter().find(|node| node["name"] == name).filter(&is_wanted)
    };
    wait_until(HEARTBEATS, look).unwrap_or_else(|| panic!("{}", by.run(&["node", "list"])))
}

fn nodes_see_each_other(database: &Database) {
    let (mut one, mut other) = (node(database, "mx1", None, &[ANN]), node(database, "mx2", None, &[]));
    one.start();
    other.start();
    for node in [&one, &other] {
        for name in ["mx1", "mx2"] {
            let node = seen(node, name, |node| node["status"] == "running");
            assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
            assert!(node["listeners"].as_array().unwrap().len() == 2 && node["schema"] == 1, "{node}");
        }
    }
    // What one does, the other knows.
    let reply = deliver(&other, "1@example.net");
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(other.inbox(ANN).len(), 1);
    let receipts = || {
        let found = one.json(&["receipts", "<1@example.net>"]);
        (found["receipts"].as_array().unwrap().len() == 1).then_some(())
    };
    assert!(wait_until(PATIENCE, receipts).is_some(), "{}", other.log());
    let busy = seen(&one, "mx2", |node| !node["last_mail"].is_null());
    assert_eq!((busy["deliveries_per_minute"].as_u64(), busy["receipts_lost"].as_u64()), (Some(1), Some(0)));
    assert!(busy["feed"]["position"].as_u64().unwrap() > 0, "{busy}");
    let shown = one.run(&["node", "show", "mx2"]);
    assert!(shown.contains("1 in a minute") && shown.contains("all seen"), "{shown}");

    // One dies without a word, the other ends in order.
    other.kill9();
    (database.sql)("UPDATE state_nodes SET heard = heard - 31000000 WHERE name = 'mx2'");
    seen(&one, "mx2", |node| node["status"] == "lost");
    let check = one.command().args(["check"]).output().unwrap();
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(text.contains("1 node running; lost: mx2"), "{text}");
    one.run(&["node", "remove", "mx2"]);
    assert!(!one.command().args(["node", "remove", "mx2"]).output().unwrap().status.success());
    let (status, _) = one.stop();
    assert!(status.success());
    assert_eq!(seen(&one, "mx1", |_| true)["status"], "stopped");
}

fn what_a_node_leaves_behind_is_sent_by_another(database: &Database) {
    let sink = SmtpSink::smtp().unwrap();
    let submit = Some(format!("smtp://127.0.0.1:{}", sink.port()));
    // Nothing takes mail on the host of the second one.
    let (mut one, mut other) = (node(database, "mx1", submit, &[ANN]), node(database, "mx2", None, &[]));
    one.set(ANN, &["forward.to=[\"away@example.net\"]", "forward.enabled=true"]);
    other.start();
    let reply = deliver(&other, "2@example.net");
    assert!(reply.starts_with("250"), "{reply}");
    let entry = || {
        let list = one.json(&["outbox", "list"]);
        let entry = list["entries"].as_array().unwrap().first().cloned();
        entry.filter(|entry| entry["status"] == "ready" && entry["attempts"] == 1)
    };
    let entry = wait_until(PATIENCE, entry).unwrap_or_else(|| panic!("{}", other.log()));
    other.kill9();
    one.start();
    one.run(&["outbox", "retry", &entry["id"].to_string()]);
    let messages = sink.wait_for(1, PATIENCE);
    assert_eq!(messages.len(), 1, "{}", one.log());
    assert_eq!(messages[0].recipients, [AWAY]);
    assert!(messages[0].text().contains("Message-ID: <2@example.net>"));
    // The MTA that had no reply hands the mail over again, to whichever node.
    let reply = deliver(&one, "2@example.net");
    assert!(reply.starts_with("250"), "{reply}");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(sink.messages().len(), 1, "it was sent once");
    assert_eq!((database.sql)("SELECT count(*) FROM state_outbox").lines().last().unwrap().trim(), "1");
}

fn a_process_for_one_message_shares_the_state(database: &Database) {
    let one = node(database, "mx1", None, &[ANN]);
    let message = b"From: bob@example.net\nMessage-ID: <3@example.net>\n\nbody\n";
    let output = one.deliver(&["-f", "bob@example.net", ANN], message);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(one.inbox(ANN).len(), 1);
    let found = one.json(&["receipts", ANN]);
    assert_eq!(found["receipts"].as_array().unwrap().len(), 1, "{found}");
    let other = node(database, "mx2", None, &[]);
    let found = other.json(&["receipts", ANN]);
    assert_eq!(found["receipts"].as_array().unwrap().len(), 1, "{found}");
}

#[test]
fn nodes_on_postgresql_see_each_other() {
    postgres().iter().for_each(nodes_see_each_other);
}

#[test]
fn nodes_on_mariadb_see_each_other() {
    mariadb().iter().for_each(nodes_see_each_other);
}

#[test]
fn what_a_node_on_postgresql_leaves_behind_is_sent_by_another() {
    postgres().iter().for_each(what_a_node_leaves_behind_is_sent_by_another);
}

#[test]
fn what_a_node_on_mariadb_leaves_behind_is_sent_by_another() {
    mariadb().iter().for_each(what_a_node_leaves_behind_is_sent_by_another);
}

#[test]
fn a_process_for_one_message_shares_the_state_on_postgresql() {
    postgres().iter().for_each(a_process_for_one_message_shares_the_state);
}

#[test]
fn a_process_for_one_message_shares_the_state_on_mariadb() {
    mariadb().iter().for_each(a_process_for_one_message_shares_the_state);
}

#[test]
fn a_node_by_itself_is_in_its_own_registry() {
    let mut node = Node::new(&[ANN]);
    assert!(node.run(&["node", "list"]).contains("No node is known"));
    node.start();
    let own = seen(&node, "mx.example.org", |node| node["status"] == "running");
    assert!(own["mail_root"].as_str().unwrap().ends_with("/mail"), "{own}");
    node.stop();
    assert!(node.run(&["node", "list"]).contains("stopped"));
    assert!(node.run(&["node", "show", "mx.example.org"]).contains("listens to"));
    node.run(&["node", "remove", "mx.example.org"]);
}
