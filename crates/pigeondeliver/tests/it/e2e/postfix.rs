//! Postfix hands mail over: LMTP over a Unix socket and TCP, and pipe(8).

use std::fs;
use std::time::Duration;

use pigeon_testkit::peers::{Postfix, PostfixOptions, SmtpSink, Transport, or_skip, wait_until};

use crate::node::{Node, PATIENCE, PIGEON};

const SENDER: &str = "sam@example.com";
const MESSAGE: &[u8] =
    b"From: Sam <sam@example.com>\r\nTo: undisclosed-recipients:;\r\nSubject: four fates\r\n\
    Message-ID: <fates@example.com>\r\n\r\nFirst line\r\n.a line with a dot\r\n";

/// pipe(8) with the command line that the manual gives.
pub(crate) fn pipe(node: &Node) -> Transport {
    let config = node.config().display().to_string();
    let words = [PIGEON, "deliver", "-c", &config, "-f", "${sender}", "-d", "${recipient}"];
    Transport::Pipe { argv: words.map(str::to_owned).to_vec(), user: "mail".to_owned() }
}

/// One message to somebody who gets it, somebody unknown, somebody over quota and somebody whose mailbox is broken.
fn check_four_fates(transport: impl FnOnce(&Node) -> Transport, with_server: bool) {
    let mut node = Node::new(&["ann@example.org", "bob@example.org", "carl@example.org"]);
    node.set(
        "bob@example.org",
        &["quota.enabled=yes", "quota.octets=100", "quota.grace=0%", "quota.over=reject"],
    );
    let obstacle = node.block("carl@example.org");
    let outside = SmtpSink::smtp().unwrap();
    let options = PostfixOptions::new(transport(&node)).with_relay(outside.port());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    if with_server {
        node.start();
    }
    let state = |what: &str| format!("{what}\n{}\n{}", postfix.maillog(), node.log());

    let recipients = ["ann@example.org", "nobody@example.org", "bob@example.org", "carl@example.org"];
    let submission = postfix.submit_smtp(SENDER, &recipients, MESSAGE).unwrap();
    assert!(submission.is_accepted(), "{submission:?}");

    // Delivered.
    let sent = postfix.wait_for_log(&["to=<ann@example.org>", "status=sent"], PATIENCE);
    assert!(sent.is_some(), "{}", state("not delivered"));
    let [stored] = &node.inbox("ann@example.org")[..] else { panic!("{}", state("not one copy")) };
    assert_eq!(stored.body(), b"First line\n.a line with a dot\n", "{}", stored.text());
    assert!(stored.text().starts_with("Return-Path: <sam@example.com>\n"), "{}", stored.text());

    // Bounced, both of them, for the right reasons.
    let bounces = || outside.messages().iter().map(|bounce| bounce.text()).collect::<String>();
    let is_bounced = |text: &str| text.contains("nobody@example.org") && text.contains("bob@example.org");
    let bounced = wait_until(PATIENCE, || Some(bounces()).filter(|text| is_bounced(text)));
    let bounced = bounced.unwrap_or_else(|| panic!("{}", state("no bounce")));
    assert!(bounced.contains("Status: 5.1.1") && bounced.contains("Status: 5.2.2"), "{bounced}");
    let senders: Vec<String> = outside.messages().iter().map(|bounce| bounce.sender.clone()).collect();
    assert!(senders.iter().all(String::is_empty), "{senders:?}");

    // Waiting.
    let deferred = postfix.wait_for_log(&["to=<carl@example.org>", "status=deferred"], PATIENCE);
    assert!(deferred.is_some(), "{}", state("not deferred"));
    let queue = wait_until(PATIENCE, || postfix.queue().ok().filter(|queue| queue.len() == 1));
    let queue = queue.unwrap_or_else(|| panic!("{}", state("nothing or too much in the queue")));
    let waiting: Vec<&str> = queue[0].recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    assert_eq!(waiting, ["carl@example.org"]);

    // Mended: delivered exactly once, and nobody gets it again.
    fs::remove_file(obstacle).unwrap();
    postfix.flush().unwrap();
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{}", state("the queue does not empty"));
    let counts = ["ann@example.org", "bob@example.org", "carl@example.org"].map(|who| node.inbox(who).len());
    assert_eq!(counts, [1, 0, 1], "{}", state("wrong copies"));
    assert!(!bounces().contains("carl@example.org"), "{}", bounces());
}

#[test]
fn four_fates_over_a_unix_socket() {
    check_four_fates(|node| Transport::LmtpUnix(node.socket()), true);
}

#[test]
fn four_fates_over_tcp() {
    check_four_fates(|node| Transport::LmtpTcp(node.tcp_port()), true);
}

#[test]
fn four_fates_by_pipe() {
    check_four_fates(pipe, false);
}

/// What the wire allows and programs like to spoil; lines end in LF.
fn awkward_body() -> Vec<u8> {
    let mut body = Vec::new();
    for line in
        [&b"."[..], b"..", b".dot", b"", b"From here", b"\xe4\xf6\xfc \xc3\xa4 \xff\x01\x7f", b" ", b"\t."]
    {
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    for length in [77, 997, 998, 2048, 5000] {
        body.extend(std::iter::repeat_n(b"0123456789".as_slice(), length / 10).flatten());
        body.extend_from_slice(b"\n");
    }
    // Blocks of programs end somewhere in here, line ends and dots too.
    for number in 0..9000 {
        body.extend_from_slice(format!(".{number}\n").as_bytes());
    }
    body.extend_from_slice(b"last");
    body.push(b'\n');
    body
}

fn check_octets(transport: impl FnOnce(&Node) -> Transport, with_server: bool) {
    let mut node = Node::new(&["ann@example.org"]);
    let mut options = PostfixOptions::new(transport(&node));
    // Otherwise Postfix itself breaks lines above 998 octets.
    options.main_cf.push("lmtp_line_length_limit = 0".to_owned());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    if with_server {
        node.start();
    }
    let body = awkward_body();
    let mut wire = b"Subject: octets\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".to_vec();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        wire.extend_from_slice(line.strip_suffix(b"\n").unwrap());
        wire.extend_from_slice(b"\r\n");
    }
    assert!(postfix.submit_smtp(SENDER, &["ann@example.org"], &wire).unwrap().is_accepted());
    let sent = postfix.wait_for_log(&["to=<ann@example.org>", "status="], PATIENCE).unwrap_or_default();
    assert!(sent.contains("status=sent"), "{}\n{}", postfix.maillog(), node.log());
    let [stored] = &node.inbox("ann@example.org")[..] else { panic!("{}", postfix.maillog()) };
    let difference = stored.body().iter().zip(&body).position(|(left, right)| left != right);
    assert_eq!((difference, stored.body().len()), (None, body.len()));
}

#[test]
fn octets_are_kept_over_lmtp() {
    check_octets(|node| Transport::LmtpUnix(node.socket()), true);
}

#[test]
fn octets_are_kept_by_pipe() {
    check_octets(pipe, false);
}

#[test]
fn one_recipient_named_twice_by_alias_expansion_is_answered_each_time() {
    let mut node = Node::new(&["ann@example.org", "bob@example.org"]);
    let mut options = PostfixOptions::new(Transport::LmtpUnix(node.socket()));
    let aliases = "virtual_alias_maps = inline:{ { team@example.org = ann@example.org, bob@example.org }, \
                   { all@example.org = ann@example.org } }";
    options.main_cf.push(aliases.to_owned());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    node.start();

    let recipients = ["team@example.org", "all@example.org", "ann@example.org"];
    assert!(postfix.submit_smtp(SENDER, &recipients, MESSAGE).unwrap().is_accepted());
    // Postfix keeps recipients apart whose original recipients differ: RCPT TO:<ann@example.org> comes three times.
    let sent = wait_until(PATIENCE, || {
        let log = postfix.maillog();
        let is_sent = |line: &&str| line.contains("to=<ann@example.org>") && line.contains("status=sent");
        (log.lines().filter(is_sent).count() == 3).then_some(())
    });
    assert!(sent.is_some(), "{}\n{}", postfix.maillog(), node.log());
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{:?}", postfix.queue());
    let log = postfix.maillog();
    let sessions: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("postfix/lmtp") && line.contains("to=<ann@example.org>"))
        .filter_map(|line| line.split("postfix/lmtp[").nth(1)?.split(']').next())
        .collect();
    assert!(sessions.iter().all(|session| *session == sessions[0]), "not in one transaction: {log}");
    assert_eq!(node.inbox("bob@example.org").len(), 1);
    // One message, one mailbox: one copy is enough for three replies.
    assert_eq!(node.inbox("ann@example.org").len(), 1, "{}", node.log());
}

#[test]
fn bounces_and_addresses_in_unicode_are_delivered() {
    let mut node = Node::new(&["ann@example.org", "jörg@example.org"]);
    let options = PostfixOptions::new(Transport::LmtpUnix(node.socket()));
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    node.start();

    postfix.submit_smtp("", &["ann@example.org"], MESSAGE).unwrap();
    let header = "From: Jörg <jörg@example.com>\r\nSubject: Grüße\r\n\r\nHallo\r\n";
    let submission =
        postfix.submit_smtp("jörg@example.com", &["jörg@example.org"], header.as_bytes()).unwrap();
    assert!(submission.is_accepted(), "{submission:?}");
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{}\n{}", postfix.maillog(), node.log());
    let text = |who: &str| node.inbox(who).first().map(|stored| stored.text()).unwrap_or_default();
    assert!(text("ann@example.org").starts_with("Return-Path: <>\n"), "{}", postfix.maillog());
    let umlauts = text("jörg@example.org");
    assert!(umlauts.starts_with("Return-Path: <jörg@example.com>\n"), "{umlauts}\n{}", postfix.maillog());
    assert!(umlauts.contains("\nSubject: Grüße\n"), "{umlauts}");
}

#[test]
fn mail_waits_while_the_server_is_down_and_comes_when_it_is_back() {
    let mut node = Node::new(&["ann@example.org"]);
    let options = PostfixOptions::new(Transport::LmtpUnix(node.socket()));
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };

    for _ in 0..10 {
        postfix.submit_smtp(SENDER, &["ann@example.org"], MESSAGE).unwrap();
    }
    let deferred = postfix.wait_for_log(&["to=<ann@example.org>", "status=deferred"], PATIENCE);
    assert!(deferred.is_some(), "{}", postfix.maillog());
    node.start();
    postfix.flush().unwrap();
    assert!(postfix.wait_for_empty_queue(Duration::from_secs(40)), "{}", postfix.maillog());
    assert_eq!(node.inbox("ann@example.org").len(), 10);
}
