//! Dovecot and Courier read what was delivered: folders, octets, sizes, quota.

use std::path::Path;

use pigeon_testkit::peers::{
    Courier, CourierOptions, Dovecot, DovecotOptions, DovecotQuota, ImapClient, MailUser, Mailboxes, or_skip,
};

use crate::node::{FRESHNESS, MAIL_ID, Node, Stored, is_root};

const ANN: &str = "ann@example.org";
/// The folder of `ann+Büro@`, and of `ann+Listen/Rüst@`, in modified UTF-7 (RFC 3501 §5.1.3).
const FOLDERS: [&str; 3] = ["B&APw-ro", "Listen.R&APw-st", "Lists.Rust"];

/// A mailbox with mail in INBOX and in two folders, delivered by the binary.
fn delivered() -> Node {
    let mut node = Node::new(&[ANN]);
    let settings = ["subaddress.enabled=yes", "subaddress.create=yes", "subaddress.case=keep"];
    node.set(ANN, &settings);
    node.set(ANN, &["quota.enabled=yes", "quota.octets=10M", "quota.messages=100"]);
    node.start();
    let mut client = node.lmtp();
    let long = format!("Subject: long\r\n\r\n{}", "0123456789abcdef\r\n".repeat(3000));
    for (recipient, data) in [
        (ANN, "Subject: one\r\n\r\nbody\r\n".as_bytes()),
        (ANN, long.as_bytes()),
        (ANN, b"Subject: raw\r\n\r\n.dots\r\n\xe4\xf6\xfc no line end"),
        ("ann+Büro@example.org", b"Subject: office\r\n\r\nin a folder\r\n"),
        ("ann+Listen/Rüst@example.org", b"Subject: list\r\n\r\ntwo levels\r\n"),
        ("ann+Lists/Rust@example.org", b"Subject: list\r\n\r\ntwo levels in ASCII\r\n"),
    ] {
        let submission = client.send("sam@example.com", &[recipient], data).unwrap();
        assert!(submission.is_accepted(), "{recipient}: {submission:?}\n{}", node.log());
    }
    node
}

fn wire(stored: &Stored) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in stored.bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => wire.extend([line.strip_suffix(b"\r").unwrap_or(line), b"\r\n"].concat()),
            None => wire.extend_from_slice(line),
        }
    }
    wire
}

/// The open folder shows exactly these messages, and its sizes are those in the file names.
fn check_folder(client: &mut ImapClient, folder: &str, stored: &[Stored]) {
    assert_eq!(client.select(folder).unwrap() as usize, stored.len(), "{folder}");
    let mut shown: Vec<Vec<u8>> =
        client.fetch_all().unwrap().into_iter().map(|message| message.body).collect();
    let mut expected: Vec<Vec<u8>> = stored.iter().map(wire).collect();
    shown.sort();
    expected.sort();
    assert!(shown == expected, "{folder}: {shown:?}\n{expected:?}");

    let responses = client.command("UID FETCH 1:* (RFC822.SIZE)").unwrap();
    let number = |text: &str| text.trim_matches(['(', ')']).parse::<u64>().ok();
    let mut sizes: Vec<u64> = responses
        .iter()
        .filter_map(|values| {
            let texts = format!("{values:?}");
            let (_, after) = texts.split_once("\"RFC822.SIZE\"), Atom(\"")?;
            number(after.split('"').next()?)
        })
        .collect();
    let mut named: Vec<u64> = stored.iter().map(|stored| size_in_name(&stored.path, "W=")).collect();
    sizes.sort_unstable();
    named.sort_unstable();
    assert_eq!(sizes, named, "{folder}");
    let lengths: u64 = stored.iter().map(|stored| size_in_name(&stored.path, "S=")).sum();
    assert_eq!(lengths, stored.iter().map(|stored| stored.bytes.len() as u64).sum::<u64>(), "{folder}");
}

fn size_in_name(path: &Path, key: &str) -> u64 {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let size = name.split([',', ':']).find_map(|part| part.strip_prefix(key)?.parse().ok());
    size.unwrap_or_else(|| panic!("no {key} in {name}"))
}

/// Everything that was delivered, as a reader shows it; `shown` is the reader's name of a folder on disk.
fn check_mailbox(client: &mut ImapClient, node: &Node, shown: impl Fn(&str) -> String) {
    let names: Vec<String> = client.list().unwrap().into_iter().map(|folder| folder.name).collect();
    let mut everything = node.inbox(ANN);
    assert_eq!(everything.len(), 3);
    check_folder(client, "INBOX", &everything);
    for folder in FOLDERS {
        let name = shown(folder);
        assert!(names.contains(&name), "{name} is not in {names:?}");
        let stored = node.folder(ANN, &format!(".{folder}"));
        assert_eq!(stored.len(), 1, "{folder}");
        check_folder(client, &name, &stored);
        everything.extend(stored);
    }
    let quotas = client.quotas("INBOX").unwrap();
    let quota = |resource: &str| {
        let quota = quotas.iter().find(|quota| quota.resource == resource);
        quota.map_or_else(|| panic!("no {resource} in {quotas:?}"), |quota| (quota.usage, quota.limit))
    };
    assert_eq!(quota("MESSAGE"), (everything.len() as u64, 100));
    let octets: u64 = everything.iter().map(|stored| stored.bytes.len() as u64).sum();
    let (usage, limit) = quota("STORAGE");
    assert_eq!(limit, 10 * 1024);
    // RFC 2087 §3: in units of 1024 octets; one rounds up, the other down.
    assert!(usage == octets / 1024 || usage == octets.div_ceil(1024), "{usage} for {octets} octets");
}

/// Delivers mail with the flags that a setting names; returns the flags of the newest mail as a reader shows them.
fn deliver_flagged(node: &Node, client: &mut ImapClient) -> Vec<String> {
    node.set(ANN, &["mailbox.flags=\\Seen,\\Flagged,$Junk,work"]);
    std::thread::sleep(FRESHNESS);
    let sent = node.lmtp().send("sam@example.com", &[ANN], b"Subject: flagged\r\n\r\nx\r\n").unwrap();
    assert!(sent.is_accepted(), "{sent:?}\n{}", node.log());
    client.select("INBOX").unwrap();
    let shown = client.fetch_all().unwrap();
    let is_it = |body: &[u8]| body.windows(18).any(|part| part == b"\r\nSubject: flagged");
    let (flagged, others): (Vec<_>, Vec<_>) = shown.into_iter().partition(|message| is_it(&message.body));
    assert!(others.iter().all(|message| message.flags.is_empty()), "{others:?}");
    flagged.into_iter().next().expect("the mail").flags
}

fn owner() -> (u32, u32) {
    if is_root() { (MAIL_ID, MAIL_ID) } else { (0, 0) }
}

#[test]
fn dovecot_shows_what_was_delivered() {
    let node = delivered();
    let users = vec![MailUser::new(ANN, &node.maildir(ANN))];
    let mut options = DovecotOptions::new(Mailboxes::Users(users));
    (options.uid, options.gid) = owner();
    options.quota = DovecotQuota::FromMaildirSize;
    let Some(dovecot) = or_skip(Dovecot::start(&options)) else { return };
    let mut client = dovecot.login(ANN, "secret").unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    check_mailbox(&mut client, &node, str::to_owned);
    let subscribed: Vec<String> =
        client.subscriptions().unwrap().into_iter().map(|folder| folder.name).collect();
    assert!(FOLDERS.iter().all(|folder| subscribed.contains(&(*folder).to_owned())), "{subscribed:?}");
    let complaints: Vec<String> = dovecot
        .log()
        .lines()
        .filter(|line| line.contains("Error") || line.contains("Warning"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");

    // Mail that comes while the mailbox is open is seen, and counts.
    node.lmtp().send("sam@example.com", &[ANN], b"Subject: later\r\n\r\nx\r\n").unwrap();
    client.command("NOOP").unwrap();
    assert_eq!(client.select("INBOX").unwrap(), 4, "{}", dovecot.log());
    let quotas = client.quotas("INBOX").unwrap();
    assert!(quotas.iter().any(|quota| quota.resource == "MESSAGE" && quota.usage == 7), "{quotas:?}");

    assert_eq!(deliver_flagged(&node, &mut client), ["$Junk", "\\Flagged", "\\Seen", "work"]);
}

#[test]
fn courier_shows_what_was_delivered() {
    let node = delivered();
    let users = vec![MailUser::new(ANN, &node.maildir(ANN))];
    let mut options = CourierOptions::new(users);
    (options.uid, options.gid) = owner();
    let Some(courier) = or_skip(Courier::start(&options)) else { return };
    let mut client = courier.login(ANN, "secret").unwrap_or_else(|error| panic!("{error} {}", courier.log()));
    // Since its version 5 Courier names folders on disk in UTF-8: it takes the modified UTF-7 of Dovecot and of its own
    // older versions literally. The mail is there all the same, under a name with `&-` for every `&`.
    check_mailbox(&mut client, &node, |folder| format!("INBOX.{}", folder.replace('&', "&-")));
    // Courier keeps keywords in files of its own, and shows none of those in Dovecot's.
    assert_eq!(deliver_flagged(&node, &mut client), ["\\Flagged", "\\Seen"]);
}

/// What the readers change is respected by the next delivery.
#[test]
fn deliveries_count_what_a_reader_deleted() {
    let node = delivered();
    node.set(ANN, &["quota.messages=6", "quota.over=reject"]);
    std::thread::sleep(FRESHNESS);
    let full = node.lmtp().send("sam@example.com", &[ANN], b"Subject: no\r\n\r\nx\r\n").unwrap();
    let refused = full.recipients.iter().chain(&full.outcomes).find(|reply| !reply.is_positive());
    assert_eq!(refused.map(|reply| reply.code), Some(552), "{full:?}");

    let users = vec![MailUser::new(ANN, &node.maildir(ANN))];
    let mut options = DovecotOptions::new(Mailboxes::Users(users));
    (options.uid, options.gid) = owner();
    options.quota = DovecotQuota::FromMaildirSize;
    let Some(dovecot) = or_skip(Dovecot::start(&options)) else { return };
    let mut client = dovecot.login(ANN, "secret").unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    client.select("INBOX").unwrap();
    client.command("STORE 1:2 +FLAGS (\\Deleted)").unwrap();
    client.command("EXPUNGE").unwrap();
    let accepted = node.lmtp().send("sam@example.com", &[ANN], b"Subject: yes\r\n\r\nx\r\n").unwrap();
    assert!(accepted.is_accepted(), "{accepted:?}\n{}", dovecot.log());
    assert_eq!(client.select("INBOX").unwrap(), 2, "{}", dovecot.log());
}
