//! Sendmail hands mail over: a program mailer, and LMTP on a program's standard input and output.

use std::fs;

use pigeon_testkit::peers::{Relay, Sendmail, SendmailOptions, SmtpSink, Transport, or_skip, wait_until};

use crate::node::{Node, PATIENCE, PIGEON};

const MESSAGE: &[u8] = b"From: Sam <sam@example.com>\r\nSubject: sendmail\r\n\r\n.dot\r\n\r\n\xe4 last\r\n";

fn check(argv: &[&str], into: impl FnOnce(Vec<String>, String) -> Transport) {
    let node = Node::new(&["ann@example.org", "carl@example.org"]);
    node.set("ann@example.org", &["subaddress.enabled=yes", "subaddress.create=yes"]);
    let obstacle = node.block("carl@example.org");
    let outside = SmtpSink::smtp().unwrap();
    let config = node.config().display().to_string();
    let argv = argv.iter().map(|word| word.replace("CONFIG", &config)).collect();
    let mut options = SendmailOptions::new(into(argv, "mail:mail".to_owned()));
    options.relay = Relay::Port(outside.port());
    let Some(sendmail) = or_skip(Sendmail::start(&options)) else { return };
    let state = |what: &str| format!("{what}\n{}", sendmail.trace());

    let recipients = ["ann+shop@example.org", "nobody@example.org", "carl@example.org"];
    assert!(sendmail.submit_smtp("sam@example.com", &recipients, MESSAGE).unwrap().is_accepted());
    let stored = wait_until(PATIENCE, || node.folder("ann@example.org", ".shop").pop());
    let stored = stored.unwrap_or_else(|| panic!("{}", state("not delivered")));
    assert_eq!(stored.body(), b".dot\n\n\xe4 last\n", "{}", stored.text());
    assert!(stored.text().starts_with("Return-Path: <sam@example.com>\n"), "{}", stored.text());
    let bounce = wait_until(PATIENCE, || {
        outside.messages().into_iter().find(|bounce| bounce.text().contains("nobody@example.org"))
    });
    let bounce = bounce.unwrap_or_else(|| panic!("{}", state("no bounce")));
    assert_eq!((bounce.sender.as_str(), &bounce.recipients[..]), ("", &["sam@example.com".to_owned()][..]));
    let queue =
        wait_until(PATIENCE, || sendmail.queue().ok().filter(|queue| queue.contains("carl@example.org")));
    assert!(queue.is_some(), "{}", state("not in the queue"));

    fs::remove_file(obstacle).unwrap();
    let carl = wait_until(PATIENCE * 2, || node.inbox("carl@example.org").pop());
    assert!(carl.is_some(), "{}", state("not delivered after all"));
    assert_eq!(node.folder("ann@example.org", ".shop").len(), 1, "{}", state("delivered again"));
    assert_eq!(node.inbox("carl@example.org").len(), 1);
}

#[test]
fn a_program_mailer() {
    check(&[PIGEON, "deliver", "-c", "CONFIG", "-f", "$g", "-d", "$u"], |argv, user| Transport::Pipe {
        argv,
        user,
    });
}

#[test]
fn lmtp_on_standard_input_and_output() {
    check(&[PIGEON, "lmtp", "--stdio", "--config", "CONFIG"], |argv, user| Transport::LmtpStdio {
        argv,
        user,
    });
}
