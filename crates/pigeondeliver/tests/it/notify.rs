//! Webhooks through the outbox of a real node: signed, tried again, told once, and not told inside the site.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use pigeon_core::timestamp::Timestamp;
use pigeon_services::web::{SIGNATURE, signature};
use pigeon_testkit::hooks::{HookAnswer, HookRequest, HookServer};
use pigeon_testkit::peers::wait_until;
use serde_json::Value;

use crate::node::{Node, PATIENCE};

const ANN: &str = "ann@example.org";
const MAIL: &str = "From: eve@example.net\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";

fn node(url: &str) -> Node {
    let node = Node::new(&[ANN]);
    node.run(&["settings", "set", "--system", "notify.networks=[\"127.0.0.1\"]", "notify.enabled=true"]);
    node.set(ANN, &[&format!("notify.url={url}"), "notify.secret=a secret"]);
    node
}

fn deliver(node: &Node) {
    let output = node.deliver(&["-f", "eve@example.net", "-d", ANN], MAIL.as_bytes());
    assert!(output.status.success(), "{output:?}");
}

/// The one entry of the outbox, whatever its state.
fn entry(node: &Node, status: &str) -> Value {
    let listed = node.json(&["outbox", "list", "--status", status]);
    let entries = listed["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{listed}");
    entries[0].clone()
}

fn check_signature(request: &HookRequest) {
    let value = request.field(SIGNATURE).unwrap();
    let seconds = value.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(value, signature("a secret", Timestamp::from_seconds(seconds), request.body.as_bytes()));
}

#[test]
fn a_server_that_fails_is_told_again() {
    let server = HookServer::start(vec![HookAnswer::new(500, ""), HookAnswer::new(200, "thanks")]);
    let node = node(&server.url());
    deliver(&node);
    assert_eq!(server.requests().len(), 1, "a process that delivers one message sends at once");
    let waiting = entry(&node, "ready");
    assert_eq!((&waiting["recipient"], &waiting["attempts"]), (&Value::from(server.url()), &Value::from(1)));
    assert!(waiting["last_error"].as_str().unwrap().contains("it answered 500"), "{waiting}");
    node.run(&["outbox", "flush", "--all"]);
    node.run(&["outbox", "flush", "--all"]);
    entry(&node, "sent");
    let [first, second] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
    assert_eq!((&first.body, first.field("X-Pigeon-Event")), (&second.body, second.field("X-Pigeon-Event")));
    check_signature(first);
    check_signature(second);
    let told: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(
        (&told["kind"], &told["stored"][0]["folder"]),
        (&Value::from("stored"), &Value::from("INBOX"))
    );
}

#[test]
fn a_killed_server_tells_once_after_its_start() {
    // A port where nobody listens yet.
    let address: SocketAddr = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let mut node = node(&format!("http://{address}/hook"));
    node.start();
    let mail = MAIL.replace('\n', "\r\n");
    let submission = node.lmtp().send("eve@example.net", &[ANN], mail.as_bytes()).unwrap();
    assert!(submission.is_accepted(), "{submission:?}");
    let tried = || {
        let listed = node.json(&["outbox", "list", "--status", "ready"]);
        (listed["entries"][0]["attempts"] == 1).then_some(())
    };
    wait_until(PATIENCE, tried).expect("it is tried once");
    node.kill9();
    let server = HookServer::start_on(address, vec![HookAnswer::new(200, "")]);
    node.start();
    node.run(&["outbox", "flush", "--all"]);
    wait_until(PATIENCE, || (server.requests().len() == 1).then_some(())).expect("it is told");
    entry(&node, "sent");
    // The mail server did not hear that the mail was taken, and sends it again.
    deliver(&node);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
    check_signature(&server.requests()[0]);
}

#[test]
fn servers_inside_and_redirects_are_given_up() {
    let server = HookServer::start(vec![]);
    let redirect =
        HookAnswer { fields: format!("Location: {}\r\n", server.url()), ..HookAnswer::new(307, "") };
    let elsewhere = HookServer::start(vec![redirect]);
    let node = node(&elsewhere.url());
    deliver(&node);
    assert!(entry(&node, "failed")["last_error"].as_str().unwrap().contains("redirects are not followed"));
    node.run(&["settings", "set", "--system", "notify.networks=[]"]);
    node.set(ANN, &[&format!("notify.url={}", server.url())]);
    deliver(&node);
    let failed = node.json(&["outbox", "list", "--status", "failed"]).to_string();
    assert!(failed.contains("127.0.0.1 is no public address"), "{failed}");
    assert!(server.requests().is_empty());
}

#[test]
fn what_is_posted_is_what_the_documentation_says() {
    let server = HookServer::start(vec![]);
    let node = node(&server.url());
    deliver(&node);
    let told: Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin/notify.md");
    let page = std::fs::read_to_string(page).unwrap();
    let shown: Value =
        serde_json::from_str(page.split_once("```json\n").unwrap().1.split_once("```").unwrap().0).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&told), keys(&shown));
    assert_eq!(keys(&told["stored"][0]), keys(&shown["stored"][0]));
}
