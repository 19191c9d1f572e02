//! Exim hands mail over: a pipe transport whose command finds the envelope in its environment, and LMTP.

use std::fs;

use pigeon_testkit::peers::{Exim, EximOptions, Relay, SmtpSink, Transport, or_skip, wait_until};

use crate::node::{Node, PATIENCE, PIGEON};

const MESSAGE: &[u8] = b"From: Sam <sam@example.com>\r\nSubject: exim\r\n\r\n.dot\r\n\r\n\xe4 last\r\n";
const RECIPIENTS: [&str; 4] =
    ["ann+shop@example.org", "nobody@example.org", "bob@example.org", "carl@example.org"];

fn check(transport: impl FnOnce(&Node) -> Transport, with_server: bool) {
    let mut node = Node::new(&["ann@example.org", "bob@example.org", "carl@example.org"]);
    node.set("ann@example.org", &["subaddress.enabled=yes", "subaddress.create=yes"]);
    node.set(
        "bob@example.org",
        &["quota.enabled=yes", "quota.octets=10", "quota.grace=0%", "quota.over=reject"],
    );
    let obstacle = node.block("carl@example.org");
    let outside = SmtpSink::smtp().unwrap();
    let mut options = EximOptions::new(transport(&node));
    options.relay = Relay::Port(outside.port());
    let Some(exim) = or_skip(Exim::start(&options)) else { return };
    if with_server {
        node.start();
    }
    let state = |what: &str| format!("{what}\n{}\n{}", exim.mainlog(), node.log());

    assert!(exim.submit_smtp("sam@example.com", &RECIPIENTS, MESSAGE).unwrap().is_accepted());
    let stored = wait_until(PATIENCE, || node.folder("ann@example.org", ".shop").pop());
    let stored = stored.unwrap_or_else(|| panic!("{}", state("not delivered")));
    assert_eq!(stored.body(), b".dot\n\n\xe4 last\n", "{}", stored.text());
    assert!(stored.text().starts_with("Return-Path: <sam@example.com>\n"), "{}", stored.text());
    let bounces = || outside.messages().iter().map(|bounce| bounce.text()).collect::<String>();
    let bounced = wait_until(PATIENCE, || Some(bounces()).filter(|text| text.contains("nobody@example.org")));
    assert!(bounced.is_some(), "{}", state("no bounce"));
    let queue = wait_until(PATIENCE, || exim.queue().ok().filter(|queue| queue.contains("carl@example.org")));
    assert!(queue.is_some(), "{}", state("not in the queue"));

    fs::remove_file(obstacle).unwrap();
    // Exim looks at its queue every two seconds, and at a recipient again when its retry time has come.
    let carl = wait_until(PATIENCE * 2, || node.inbox("carl@example.org").pop());
    assert!(carl.is_some(), "{}", state("not delivered after all"));
    let counts = [
        node.folder("ann@example.org", ".shop").len(),
        node.inbox("bob@example.org").len(),
        node.inbox("carl@example.org").len(),
    ];
    assert_eq!(counts, [1, 0, 1], "{}", state("wrong copies"));
    if with_server {
        assert!(bounces().contains("bob@example.org"), "{}", bounces());
    }
}

#[test]
fn a_pipe_transport_without_arguments() {
    let argv =
        |node: &Node| [PIGEON, "deliver", "-c", node.config().to_str().unwrap()].map(str::to_owned).to_vec();
    check(|node| Transport::Pipe { argv: argv(node), user: "mail".to_owned() }, false);
}

#[test]
fn lmtp_over_a_unix_socket() {
    check(|node| Transport::LmtpUnix(node.socket()), true);
}

#[test]
fn lmtp_over_tcp() {
    check(|node| Transport::LmtpTcp(node.tcp_port()), true);
}
