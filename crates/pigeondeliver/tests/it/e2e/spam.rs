//! Spam from the mail server to the mailbox, and what people say about it by moving mail in Dovecot, learned by the
//! real scanners.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use pigeon_testkit::peers::{
    Dovecot, DovecotOptions, ImapClient, MailUser, Mailboxes, PATIENCE, Rspamd, Spamd, or_skip, wait_until,
};
use serde_json::{Value, json};

use crate::node::{MAIL_ID, Node, feed, is_root};

const ANN: &str = "ann@example.org";
const SPAM: &str = "cheap pills casino winner lottery millions prince transfer urgent";
const HAM: &str = "meeting agenda project review please bring the printed slides";

/// A running scanner of either kind.
enum Scanner {
    Rspamd(Rspamd),
    Spamd(Spamd),
}

impl Scanner {
    fn settings(&self) -> Vec<String> {
        match self {
            Self::Rspamd(rspamd) => vec![
                "antispam.engine=rspamd".to_owned(),
                format!("antispam.servers=unix:{}", rspamd.socket()),
                format!("antispam.learn_servers=127.0.0.1:{}", rspamd.controller_port()),
                format!("antispam.learn_password={}", rspamd.password()),
            ],
            Self::Spamd(spamd) => vec![
                "antispam.engine=spamassassin".to_owned(),
                format!("antispam.servers=unix:{}", spamd.socket()),
            ],
        }
    }
}

/// Ann on a node that takes mail.
fn node(scanner: &Scanner) -> Node {
    let mut node = Node::new(&[ANN]);
    for setting in scanner.settings() {
        node.run(&["settings", "set", "--system", &setting]);
    }
    node.run(&["settings", "set", "--system", "antispam.enabled=yes"]);
    node.start();
    node
}

/// A mail whose words differ from those of all others in one.
fn send(node: &Node, number: u32, subject: &str, words: &str) {
    let data = format!(
        "From: Eve <eve@example.net>\r\nSubject: {subject}\r\nDate: Tue, 24 Nov 2026 03:00:00 +0000\r\n\
         Message-ID: <{number}@example.net>\r\n\r\n{words} a{number} {number}\r\n"
    );
    let sent = node.lmtp().send("eve@example.net", &[ANN], data.as_bytes()).unwrap();
    assert!(sent.is_accepted(), "{sent:?}\n{}", node.log());
}

fn dovecot(node: &Node, extra: Vec<String>) -> Option<Dovecot> {
    let users = vec![MailUser::new(ANN, &node.maildir(ANN))];
    let mut options = DovecotOptions::new(Mailboxes::Users(users));
    (options.uid, options.gid) = if is_root() { (MAIL_ID, MAIL_ID) } else { (0, 0) };
    options.extra = extra;
    or_skip(Dovecot::start(&options))
}

/// Moves every mail of a folder, as a mail program does.
fn move_all(client: &mut ImapClient, from: &str, to: &str) {
    client.select(from).unwrap();
    client.command(&format!("UID MOVE 1:* {to}")).unwrap();
}

/// What one run learns: spam, ham, known.
fn learn(node: &Node, arguments: &[&str]) -> [u64; 3] {
    let document = node.json(&[&["spam", "learn", "--moved"], arguments].concat());
    let account = &document["accounts"][0];
    assert_eq!(account["account"], json!(ANN), "{document}");
    ["spam", "ham", "known"].map(|key| account[key].as_u64().unwrap())
}

/// What became of a mail, and why; its receipt is kept a moment after the reply.
fn fate(node: &Node, number: u32) -> (String, String) {
    let find = || {
        let receipts = node.json(&["receipts", ANN]);
        let id = json!(format!("{number}@example.net"));
        let found = receipts["receipts"].as_array()?.iter().find(|receipt| receipt["message_id"] == id)?;
        Some(found["branches"][0].clone())
    };
    let branch = wait_until(PATIENCE, find).unwrap_or_else(|| panic!("no receipt for {number}"));
    let step = branch["steps"].as_array().unwrap().iter().find(|step| step["service"] == "antispam");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&branch["what"]), step.map(|step| text(&step["reason"])).unwrap_or_default())
}

fn mail_is_learned_as_it_is_moved(scanner: &Scanner) {
    let node = node(scanner);
    for number in 1..=3 {
        send(&node, number, "offer", SPAM);
        send(&node, 10 + number, "TEST-SPAM", HAM);
    }
    assert_eq!((node.inbox(ANN).len(), node.folder(ANN, ".Junk").len()), (3, 3));
    assert_eq!(learn(&node, &["--all"]), [0, 0, 0], "nobody has moved anything");
    let Some(dovecot) = dovecot(&node, Vec::new()) else { return };
    let mut client = dovecot.login(ANN, "secret").unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    client.command("CREATE Later").unwrap();
    move_all(&mut client, "Junk", "Later");
    move_all(&mut client, "INBOX", "Junk");
    assert_eq!(learn(&node, &[ANN, "--dry-run"]), [3, 3, 0]);
    assert_eq!(learn(&node, &["--all"]), [3, 3, 0], "a dry run learns nothing");
    assert_eq!(learn(&node, &["--all"]), [0, 0, 0], "nothing is learned twice");
    assert_eq!(learn(&node, &["--all", "--again"]), [0, 0, 0], "not when all is looked at, either");
    send(&node, 20, "offer", SPAM);
    let (what, reason) = fate(&node, 20);
    assert!(what == "stored in Junk" && reason.contains("BAYES_SPAM"), "{what}: {reason}");
    send(&node, 21, "minutes", HAM);
    let (what, reason) = fate(&node, 21);
    assert!(what == "stored in INBOX" && reason.contains("BAYES_HAM"), "{what}: {reason}");
    // Thrown away, mail says nothing; moved back, it is unlearned.
    client.command("CREATE Trash").unwrap();
    move_all(&mut client, "Later", "Trash");
    assert_eq!(learn(&node, &["--all"]), [0, 0, 0], "Trash says nothing");
    move_all(&mut client, "Junk", "INBOX");
    assert_eq!(
        learn(&node, &["--all"])[..2],
        [0, 4],
        "three that were learned as spam, and one that was filed"
    );
    // A record that a sender wrote stays where antispam is off; it teaches nothing.
    node.run(&["settings", "set", "--account", ANN, "antispam.enabled=no"]);
    let mail = format!("Message-ID: <30@example.net>\nX-Pigeon-Spam: spam filed id=1abc\n\n{SPAM}\n");
    let output = node.deliver(&["-f", "eve@example.net", ANN], mail.as_bytes());
    assert!(output.status.success(), "{output:?}");
    node.run(&["settings", "set", "--account", ANN, "antispam.enabled=yes"]);
    assert_eq!(learn(&node, &["--all"]), [0, 0, 0], "a forged record");
}

#[test]
fn spamd_learns_from_moved_mail() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    mail_is_learned_as_it_is_moved(&Scanner::Spamd(spamd));
}

#[test]
fn rspamd_learns_from_moved_mail() {
    let Some(rspamd) = or_skip(Rspamd::start()) else { return };
    mail_is_learned_as_it_is_moved(&Scanner::Rspamd(rspamd));
}

/// A message that lies in a spool file is sent on from there, whole: what tells is in its last line.
#[test]
fn spooled_messages_are_scanned_to_their_end() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    let scanner = Scanner::Spamd(spamd);
    let node = node(&scanner);
    node.run(&["settings", "set", "--system", "antispam.largest=8M"]);
    let line =
        "ninety-nine letters and a line end make a hundred octets of text, and many of them fill a spool\r\n";
    let lines = line.repeat(40_000);
    send(&node, 1, "large", &lines);
    send(&node, 2, "large", &format!("{lines}TEST-SPAM-AT-THE-END\r\n"));
    let (what, reason) = fate(&node, 1);
    assert!(what == "stored in INBOX" && reason.starts_with("score 0.0 of 6.0"), "{what}: {reason}");
    let (what, reason) = fate(&node, 2);
    assert!(what == "stored in Junk" && reason == "score 8.0 of 6.0: PIGEON_END", "{what}: {reason}");
}

/// The block of the manual that begins with these words.
fn recipe(beginning: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/admin/antispam.md");
    let text = fs::read_to_string(page).unwrap();
    let block = text.split("```\n").skip(1).step_by(2).find(|block| block.starts_with(beginning));
    block.unwrap_or_else(|| panic!("no block begins with {beginning}")).to_owned()
}

/// The manual's recipe, run as it stands there but for the places of its files.
#[test]
fn dovecot_teaches_in_the_moment_of_the_move() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    let scanner = Scanner::Spamd(spamd);
    let node = node(&scanner);
    let place = node.path().join("sieve");
    fs::create_dir(&place).unwrap();
    let command = node.command();
    let program =
        format!("env PIGEON_CONFIG={} {}", node.config().display(), command.get_program().display());
    let pipe = "require [\"vnd.dovecot.pipe\"";
    for (name, text) in [
        (
            "learn-spam.sieve",
            recipe(&format!(
                "{pipe}, \"copy\", \"imapsieve\", \"environment\", \"variables\"];\nif environment :matches \"imap.user\""
            )),
        ),
        (
            "learn-ham.sieve",
            recipe(&format!(
                "{pipe}, \"copy\", \"imapsieve\", \"environment\", \"variables\"];\nif environment :matches \"imap.mailbox\""
            )),
        ),
        ("learn.sh", recipe("#!/bin/sh").replace("/usr/local/bin/pigeon", &program)),
    ] {
        fs::write(place.join(name), text).unwrap();
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let configuration = recipe("protocol imap {").replace("/etc/dovecot/sieve", &place.to_string_lossy());
    for number in 1..=3 {
        send(&node, number, "offer", SPAM);
        send(&node, 10 + number, "TEST-SPAM", HAM);
    }
    assert_eq!((node.inbox(ANN).len(), node.folder(ANN, ".Junk").len()), (3, 3), "{}", fate(&node, 1).1);
    let Some(dovecot) = dovecot(&node, vec![configuration]) else { return };
    let mut client = dovecot.login(ANN, "secret").unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    client.command("CREATE Later").unwrap();
    move_all(&mut client, "Junk", "Later");
    move_all(&mut client, "INBOX", "Junk");
    send(&node, 20, "offer", SPAM);
    let (what, reason) = fate(&node, 20);
    assert!(what == "stored in Junk" && reason.contains("BAYES_SPAM"), "{what}: {reason}\n{}", dovecot.log());
    send(&node, 21, "minutes", HAM);
    let (what, reason) = fate(&node, 21);
    assert!(what == "stored in INBOX" && reason.contains("BAYES_HAM"), "{what}: {reason}\n{}", dovecot.log());
}

fn file(node: &Node, name: &str, words: &str) -> PathBuf {
    let path = node.path().join(name);
    fs::write(
        &path,
        format!("From: eve@example.net\r\nSubject: x\r\nMessage-ID: <{name}>\r\n\r\n{words} {name}\r\n"),
    )
    .unwrap();
    path
}

#[test]
fn messages_are_learned_by_command() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    let scanner = Scanner::Spamd(spamd);
    let node = node(&scanner);
    for kind in ["spam", "ham"] {
        let words = if kind == "spam" { SPAM } else { HAM };
        let files: Vec<String> = (1..=3)
            .map(|number| file(&node, &format!("{kind}{number}"), words).display().to_string())
            .collect();
        let option = format!("--{kind}");
        let mut arguments = vec!["spam", "learn", &option];
        arguments.extend(files.iter().map(String::as_str));
        let document = node.json(&arguments);
        let counts = |document: &Value| (document["learned"].clone(), document["known"].clone());
        assert_eq!(counts(&document), (json!(3), json!(0)), "{document}");
        assert_eq!(counts(&node.json(&arguments)), (json!(0), json!(3)));
    }
    // The one-shot delivery asks the scanner, too.
    let mail = format!("From: eve@example.net\nSubject: x\nMessage-ID: <9>\n\n{SPAM} 9\n");
    let output = node.deliver(&["-f", "eve@example.net", ANN], mail.as_bytes());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(node.folder(ANN, ".Junk").len(), 1);
    let mut command = node.command();
    let output = feed(command.args(["spam", "learn", "--ham", "--address", ANN]), mail.as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 message learned as ham\n", "{output:?}");
    // What goes wrong is said, with status 1.
    let refused = |arguments: &[&str]| {
        let output = feed(node.command().args(arguments), mail.as_bytes());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["spam", "learn", "--ham", "/nonexistent"]).contains("/nonexistent cannot be opened"));
    assert!(refused(&["spam", "learn"]).contains("--ham|--spam|--moved"), "{}", refused(&["spam", "learn"]));
    assert!(refused(&["spam", "learn", "--moved"]).contains("whose mail?"));
    assert!(refused(&["spam", "learn", "--spam", "--as", ANN]).contains("for that account only"));
    let Scanner::Spamd(spamd) = &scanner else { return };
    spamd.stop().unwrap();
    let said = refused(&["spam", "learn", "--spam"]);
    assert!(
        said.contains("the scanner does not learn it: unix:") && said.contains("cannot be reached"),
        "{said}"
    );
}
