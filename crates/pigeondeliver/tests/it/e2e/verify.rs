//! Postfix asks at RCPT whether a recipient exists, so that it need not bounce.

use pigeon_testkit::peers::{Postfix, PostfixOptions, Transport, or_skip};

use crate::node::{Node, PATIENCE};

#[test]
fn unknown_recipients_are_refused_before_the_message() {
    let mut node = Node::new(&["ann@example.org", "bob@example.org"]);
    node.set("bob@example.org", &["subaddress.enabled=yes"]);
    let mut options = PostfixOptions::new(Transport::LmtpUnix(node.socket()));
    options.main_cf = [
        "smtpd_recipient_restrictions = reject_unauth_destination, reject_unverified_recipient",
        "unverified_recipient_reject_code = 550",
        "unverified_recipient_defer_code = 450",
        // In memory: the tests keep no table on disk.
        "address_verify_map =",
        "address_verify_poll_delay = 1s",
    ]
    .map(str::to_owned)
    .to_vec();
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    node.start();
    let message = b"Subject: asked\r\n\r\nx\r\n";
    let recipients = ["ann@example.org", "nobody@example.org", "bob+shop@example.org"];
    let submission = postfix.submit_smtp("sam@example.com", &recipients, message).unwrap();
    let codes: Vec<u16> = submission.recipients.iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [250, 550, 250], "{submission:?}\n{}\n{}", postfix.maillog(), node.log());
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{}", postfix.maillog());
    // Asking leaves nothing behind.
    assert_eq!((node.inbox("ann@example.org").len(), node.inbox("bob@example.org").len()), (1, 1));

    // A server that does not answer makes nobody unknown.
    node.stop();
    let recipients = ["new@example.org"];
    let submission = postfix.submit_smtp("sam@example.com", &recipients, message).unwrap();
    assert_eq!(submission.recipients.first().map(|reply| reply.code), Some(450), "{submission:?}");
}
