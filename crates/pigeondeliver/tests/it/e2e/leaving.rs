//! What leaves on behalf of a recipient: a forward and a vacation answer, through a real Postfix.

use pigeon_testkit::peers::{Postfix, PostfixOptions, SinkMessage, SmtpSink, Transport, or_skip, wait_until};

use crate::node::{Node, NodeOptions, PATIENCE};

const ANN: &str = "ann@example.org";
const MESSAGE: &[u8] = b"From: Sam <sam@example.com>\r\nTo: ann@example.org\r\nSubject: lunch\r\n\
    Message-ID: <lunch@example.com>\r\n\r\nToday?\r\n.\xe4\r\n";

/// Lets ann's mail be sent on to her other address, and answers it.
pub(crate) fn let_leave(node: &Node) {
    node.set(ANN, &["forward.enabled=yes", "forward.to=ann@example.com"]);
    node.set(ANN, &["vacation.enabled=yes", "vacation.text=Gone fishing."]);
}

/// What is a redirect of the test's mail, and what is an answer to it.
pub(crate) fn sorted(messages: Vec<SinkMessage>) -> (Vec<SinkMessage>, Vec<SinkMessage>) {
    messages.into_iter().partition(|message| message.recipients == ["ann@example.com"])
}

fn check(submit: impl FnOnce(&Postfix) -> String) {
    let outside = SmtpSink::smtp().unwrap();
    // The one needs to know where the other is: Postfix starts before the node that it delivers to.
    let directory = tempfile::Builder::new().prefix("pigeon-test-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let socket = directory.path().join("lmtp.sock");
    let options = PostfixOptions::new(Transport::LmtpUnix(socket.clone())).with_relay(outside.port());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };
    let submit = submit(&postfix);
    // To enter the namespace in which the sendmail command is needs the rights of root.
    let is_user_kept = submit.starts_with("sendmail:");
    let mut node =
        Node::with(&NodeOptions { submit: Some(submit), is_user_kept, ..NodeOptions::default() }, &[ANN]);
    std::os::unix::fs::symlink(node.socket(), socket).unwrap();
    let_leave(&node);
    let srs = ["redirect.srs_domain=example.org", "redirect.srs_secrets=one-secret-of-the-tests"];
    node.run(&[&["settings", "set", "--domain", "example.org"], &srs[..]].concat());
    node.start();
    let state = |what: &str| format!("{what}\n{}\n{}", postfix.maillog(), node.log());

    assert!(postfix.submit_smtp("sam@example.com", &[ANN], MESSAGE).unwrap().is_accepted());
    let messages = outside.wait_for(2, PATIENCE);
    let (redirects, answers) = sorted(messages);
    let [redirect] = &redirects[..] else { panic!("{}", state("not one redirect")) };
    let [answer] = &answers[..] else { panic!("{}", state("not one answer")) };
    assert!(redirect.data.ends_with(b"\r\n\r\nToday?\r\n.\xe4\r\n"), "{}", redirect.text());
    assert!(
        redirect.sender.starts_with("SRS0=") && redirect.sender.ends_with("@example.org"),
        "{}",
        redirect.sender
    );
    assert!(redirect.text().contains("Delivered-To: ann@example.org\r\n"), "{}", redirect.text());
    assert_eq!((answer.sender.as_str(), &answer.recipients[..]), ("", &["sam@example.com".to_owned()][..]));
    let text = answer.text();
    for part in ["Gone fishing.", "Auto-Submitted: auto-replied", "In-Reply-To: <lunch@example.com>"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(node.inbox(ANN).len(), 1);

    // A second mail of the same sender is sent on, but not answered.
    let second = String::from_utf8_lossy(MESSAGE).replace("lunch", "dinner");
    assert!(postfix.submit_smtp("sam@example.com", &[ANN], second.as_bytes()).unwrap().is_accepted());
    let messages = outside.wait_for(3, PATIENCE);
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{}", state("the queue does not empty"));
    let (redirects, answers) = sorted(messages);
    assert_eq!((redirects.len(), answers.len()), (2, 1), "{}", state("wrong counts"));

    // A bounce to the rewritten sender finds its way back to Sam.
    let bounce = b"From: MAILER-DAEMON@example.com\r\nSubject: bounce\r\n\r\nno\r\n";
    postfix.submit_smtp("", &[&redirects[0].sender], bounce).unwrap();
    let returned = wait_until(PATIENCE, || {
        outside.messages().into_iter().find(|message| message.text().contains("Subject: bounce"))
    });
    let returned = returned.unwrap_or_else(|| panic!("{}", state("the bounce did not come back")));
    assert_eq!(returned.recipients, ["sam@example.com"]);
}

#[test]
fn a_forward_and_an_answer_leave_over_smtp() {
    check(|postfix| format!("smtp://127.0.0.1:{}", postfix.port()));
}

#[test]
fn a_forward_and_an_answer_leave_by_the_sendmail_command() {
    check(|postfix| format!("sendmail:{}", postfix.sendmail_command().unwrap().display()));
}

#[test]
fn what_a_command_delivered_leaves_without_a_server() {
    let outside = SmtpSink::smtp().unwrap();
    let submit = Some(format!("smtp://127.0.0.1:{}", outside.port()));
    let node = Node::with(&NodeOptions { submit, ..NodeOptions::default() }, &[ANN]);
    let_leave(&node);
    let output = node.deliver(&["-f", "sam@example.com", ANN], MESSAGE);
    assert!(output.status.success(), "{output:?}");
    let (redirects, answers) = sorted(outside.wait_for(2, PATIENCE));
    assert_eq!((redirects.len(), answers.len()), (1, 1));
    // The same message once more, as an MTA sends it that did not hear the answer: nothing leaves again.
    let output = node.deliver(&["-f", "sam@example.com", ANN], MESSAGE);
    assert!(output.status.success(), "{output:?}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(outside.messages().len(), 2);
}
