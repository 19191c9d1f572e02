//! The names of other delivery agents, in the lines that Postfix' stock configurations have for them.

use pigeon_testkit::peers::{Postfix, PostfixOptions, Transport, or_skip};

use crate::node::{Node, PATIENCE, Stored};

const MESSAGE: &[u8] = b"From: Sam <sam@example.com>\r\nSubject: names\r\n\r\nhello\r\n";

/// Sends one message through a Postfix with these lines; returns when its queue is empty.
fn deliver_by(node: &Node, main_cf: &[&str], master_cf: &str, recipient: &str) -> Option<Postfix> {
    let mut options = PostfixOptions::new(Transport::LmtpTcp(9));
    options.domains = vec!["virtual.example.org".to_owned()];
    options.main_cf = main_cf.iter().map(|line| (*line).to_owned()).collect();
    let environment = format!("TZ MAIL_CONFIG LANG PIGEON_CONFIG={}", node.config().display());
    options.main_cf.push(format!("export_environment = {environment}"));
    options.master_cf = vec![master_cf.to_owned()];
    let postfix = or_skip(Postfix::start(&options))?;
    let submission = postfix.submit_smtp("sam@example.com", &[recipient], MESSAGE);
    let submission = submission.unwrap_or_else(|error| panic!("{error:?}\n{}", postfix.maillog()));
    assert!(submission.is_accepted(), "{submission:?}");
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{}", postfix.maillog());
    Some(postfix)
}

/// What selects a transport for the domain of the tests, as a stock configuration does.
const STOCK: [&str; 4] = [
    "virtual_mailbox_domains = example.org",
    "virtual_transport = stock:",
    "stock_destination_recipient_limit = 1",
    "recipient_delimiter = +",
];

fn check_copy(copies: &[Stored], postfix: &Postfix) {
    let [stored] = copies else { panic!("{} copies\n{}", copies.len(), postfix.maillog()) };
    let text = stored.text();
    assert_eq!(stored.body(), b"hello\n", "{text}");
    assert!(text.starts_with("Return-Path: <sam@example.com>\n"), "{text}");
    // Neither an mbox line nor a second Return-Path, whatever the flags of pipe(8) put there.
    assert!(!text.contains("\nFrom sam@example.com"), "{text}");
    assert_eq!(text.matches("Return-Path:").count(), 1, "{text}");
}

#[test]
fn maildrop() {
    let node = Node::new(&["ann@example.org"]);
    let entry = format!(
        "stock unix - n n - - pipe\n  flags=DRXhu user=mail argv={} -d ${{recipient}}",
        node.linked("maildrop").display()
    );
    let Some(postfix) = deliver_by(&node, &STOCK, &entry, "Ann@example.org") else { return };
    check_copy(&node.inbox("ann@example.org"), &postfix);
}

#[test]
fn dovecot_lda() {
    let node = Node::new(&["ann@example.org"]);
    node.set("ann@example.org", &["subaddress.enabled=yes", "subaddress.create=yes"]);
    let entry = format!(
        "stock unix - n n - - pipe\n  flags=DRhu user=mail:mail argv={} -f ${{sender}} \
         -a ${{original_recipient}} -d ${{user}}@${{nexthop}} -m ${{extension}}",
        node.linked("dovecot-lda").display()
    );
    let Some(postfix) = deliver_by(&node, &STOCK, &entry, "ann+shop@example.org") else { return };
    check_copy(&node.folder("ann@example.org", ".shop"), &postfix);
}

#[test]
fn dovecot_deliver() {
    let node = Node::new(&["ann@example.org"]);
    let entry = format!(
        "stock unix - n n - - pipe\n  flags=DRhu user=mail:mail argv={} -f ${{sender}} -d ${{recipient}}",
        node.linked("deliver").display()
    );
    let Some(postfix) = deliver_by(&node, &STOCK, &entry, "ann@example.org") else { return };
    check_copy(&node.inbox("ann@example.org"), &postfix);
}

/// local(8) runs `mailbox_command` as the Unix user and says in the environment whose mail it is.
fn check_procmail(recipient: &str, folder: &str) {
    let node = Node::new(&["mail@example.org"]);
    node.set("mail@example.org", &["subaddress.enabled=yes", "subaddress.create=yes"]);
    let command = format!("mailbox_command = {} -a \"$EXTENSION\"", node.linked("procmail").display());
    let main_cf =
        ["mydestination = example.org", "recipient_delimiter = +", "mailbox_size_limit = 0", &command];
    let Some(postfix) = deliver_by(&node, &main_cf, "local unix - n n - - local", recipient) else { return };
    let copies = if folder.is_empty() {
        node.inbox("mail@example.org")
    } else {
        node.folder("mail@example.org", folder)
    };
    check_copy(&copies, &postfix);
}

#[test]
fn procmail_as_mailbox_command() {
    check_procmail("mail@example.org", "");
}

#[test]
fn procmail_as_mailbox_command_with_an_extension() {
    check_procmail("mail+shop@example.org", ".shop");
}
