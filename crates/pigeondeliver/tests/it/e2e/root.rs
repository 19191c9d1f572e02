//! Root at work: what it leaves belongs to the mail user, so that the server can go on with it.

use std::os::unix::fs::MetadataExt as _;

use pigeon_testkit::peers::{SinkStage, SmtpSink};

use super::leaving::let_leave;
use crate::node::{MAIL_ID, Node, NodeOptions, is_root};

const ANN: &str = "ann@example.org";

/// Root delivers by command, say to try something out, while nobody takes what is to leave.
#[test]
fn what_root_delivered_is_the_mail_users() {
    if !is_root() {
        eprintln!("SKIPPED: only root can start a command that becomes the mail user");
        return;
    }
    let node = Node::new(&[ANN]);
    let_leave(&node);
    let message = b"From: sam@example.com\nTo: ann@example.org\nSubject: x\n\nx\n";
    let output = node.deliver(&["-f", "sam@example.com", ANN], message);
    assert!(output.status.success(), "{output:?}");
    let waiting = node.json(&["outbox", "list"]);
    assert_eq!(waiting["entries"].as_array().map(Vec::len), Some(2), "{waiting}");
    check_owners(&node);
}

/// A notice about what is refused for good is written by the flush itself.
#[test]
fn what_root_flushed_is_the_mail_users() {
    if !is_root() {
        eprintln!("SKIPPED: only root can start a command that becomes the mail user");
        return;
    }
    let server = SmtpSink::smtp().unwrap();
    server.fail_next(SinkStage::Recipient, 2, "451 4.3.0 Later");
    let submit = Some(format!("smtp://127.0.0.1:{}", server.port()));
    let node = Node::with(&NodeOptions { submit, ..NodeOptions::default() }, &[ANN]);
    let_leave(&node);
    let message = b"From: sam@example.com\nTo: ann@example.org\nSubject: x\n\nx\n";
    let output = node.deliver(&["-f", "sam@example.com", ANN], message);
    assert!(output.status.success(), "{output:?}");
    // The redirect is refused for good; what tells its sender has to wait, and so does the answer.
    server.refuse("ann@example.com", "550 5.1.1 Nobody there");
    server.refuse("sam@example.com", "451 4.3.0 Later");
    let flushed = node.json(&["outbox", "flush", "--all"]);
    assert_eq!((&flushed["failed"], &flushed["sent"]), (&1.into(), &0.into()), "{flushed}");
    let waiting = node.json(&["outbox", "list", "--status", "ready"]);
    assert_eq!(waiting["entries"].as_array().map(Vec::len), Some(2), "{waiting}");
    check_owners(&node);
}

/// Everything that the node has written belongs to the mail user.
fn check_owners(node: &Node) {
    let mut places = vec![node.path().join("state"), node.path().join("data"), node.path().join("mail")];
    while let Some(place) = places.pop() {
        let metadata = std::fs::metadata(&place).unwrap();
        assert_eq!(metadata.uid(), MAIL_ID, "{}", place.display());
        if metadata.is_dir() {
            places.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}
