//! What every mail store must do, whatever keeps the mail.
//!
//! A backend's test makes an empty store, says how its mail can be read back, and runs [`mailstore_contract`].

#![expect(clippy::expect_used, clippy::panic, reason = "a broken promise fails the test at the spot")]

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use pigeon_core::effect::{Flags, Store};
use pigeon_core::folder::Folder;
use pigeon_core::headers::RenderedHead;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{Copy, MailStore, MailboxPath, Quota, Usage};

/// A store under test.
pub trait Subject {
    /// The store, empty at first.
    fn store(&self) -> &dyn MailStore;
    /// The bytes of all messages in a folder, in any order; empty when there is no such folder.
    fn read(&self, mailbox: &MailboxPath, folder: &Folder) -> Vec<Vec<u8>>;
}

/// Runs the whole suite.
///
/// # Panics
/// At the first promise that the store breaks.
pub async fn mailstore_contract(subject: &dyn Subject) {
    what_does_not_exist_is_empty(subject).await;
    bytes_are_kept(subject).await;
    each_recipient_gets_the_right_head(subject).await;
    folders_are_made(subject).await;
    one_bad_mailbox_hurts_no_other(subject).await;
    concurrent_copies_are_all_kept(subject).await;
    a_purge_leaves_nothing(subject).await;
    assert!(subject.store().check().await.is_ok(), "a store that works must pass its check");
}

/// The mailbox of that name.
#[must_use]
pub fn mailbox(name: &str) -> MailboxPath {
    MailboxPath(format!("example.org/{name}"))
}

/// A copy of `message` for `name`'s folder, with `prefix` before its header.
#[must_use]
pub fn copy(message: &Message, name: &str, folder: &str, prefix: &str) -> Copy {
    Copy {
        mailbox: mailbox(name),
        store: Store { folder: parse(folder), flags: Flags::default(), content: None },
        head: RenderedHead { prefix: Bytes::from(prefix.to_owned()), head: message.head().clone() },
        quota: None,
    }
}

fn parse(folder: &str) -> Folder {
    Folder::parse(folder).expect("a folder name")
}

fn message(text: impl Into<Bytes>) -> Arc<Message> {
    Arc::new(Message::from_bytes(text))
}

async fn keep(subject: &dyn Subject, message: &Arc<Message>, copies: Vec<Copy>) -> Vec<String> {
    let results = subject.store().store(message, copies).await;
    results.into_iter().map(|result| result.unwrap_or_else(|error| panic!("{error}")).name).collect()
}

fn read_sorted(subject: &dyn Subject, name: &str, folder: &str) -> Vec<String> {
    let read = subject.read(&mailbox(name), &parse(folder));
    let mut texts: Vec<String> =
        read.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    texts.sort();
    texts
}

async fn usage(subject: &dyn Subject, name: &str) -> Usage {
    let quota = Quota { octets: Some(1_000_000), messages: Some(1000) };
    subject.store().usage(&mailbox(name), quota).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn folders(subject: &dyn Subject, name: &str) -> Vec<String> {
    let folders = subject.store().folders(&mailbox(name)).await.unwrap_or_else(|error| panic!("{error}"));
    folders.iter().map(ToString::to_string).collect()
}

async fn what_does_not_exist_is_empty(subject: &dyn Subject) {
    assert_eq!(usage(subject, "nobody").await, Usage::default());
    assert_eq!(folders(subject, "nobody").await, [""; 0]);
    subject.store().purge(&mailbox("nobody")).await.expect("nothing to purge is no error");
    assert_eq!(subject.store().store(&message("A: 1\n\n"), Vec::new()).await.len(), 0);
}

async fn bytes_are_kept(subject: &dyn Subject) {
    let every_byte: Vec<u8> =
        b"A: 1\r\nB: \xff\0\n\n".iter().copied().chain(0..=255).chain(*b"\r\n.\r\nno end").collect();
    for bytes in [every_byte, b"\n".to_vec(), b"A: 1\n".to_vec(), Vec::new()] {
        let sent = message(bytes.clone());
        let before = usage(subject, "bytes").await;
        keep(subject, &sent, vec![copy(&sent, "bytes", "INBOX", "P: 1\n")]).await;
        let expect = [b"P: 1\n".to_vec(), bytes].concat();
        assert!(
            subject.read(&mailbox("bytes"), &Folder::inbox()).contains(&expect),
            "bytes changed: {expect:?}"
        );
        let after = usage(subject, "bytes").await;
        assert_eq!(after.messages, before.messages + 1);
        assert_eq!(after.octets, before.octets + expect.len() as u64);
    }
}

async fn each_recipient_gets_the_right_head(subject: &dyn Subject) {
    let sent = message("S: x\n\nbody\n");
    let to = |name, prefix| copy(&sent, name, "INBOX", prefix);
    let copies = vec![to("h1", "P: 1\n"), to("h2", "P: 2\n"), to("h3", "P: 1\n"), to("h1", "P: 1\n")];
    let names = keep(subject, &sent, copies).await;
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 4, "names must differ: {names:?}");
    let (one, two) = ("P: 1\nS: x\n\nbody\n", "P: 2\nS: x\n\nbody\n");
    assert_eq!(read_sorted(subject, "h1", "INBOX"), [one, one], "named twice is stored twice");
    assert_eq!(read_sorted(subject, "h2", "INBOX"), [two]);
    assert_eq!(read_sorted(subject, "h3", "INBOX"), [one]);
}

async fn folders_are_made(subject: &dyn Subject) {
    let sent = message("S: x\n\n");
    let names = ["INBOX", "Archive/2026", "Entwürfe & mehr", "v1.2", "Archive"];
    let copies = names.iter().map(|folder| copy(&sent, "folders", folder, "")).collect();
    keep(subject, &sent, copies).await;
    for folder in names {
        assert_eq!(read_sorted(subject, "folders", folder), ["S: x\n\n"], "{folder}");
    }
    let found = folders(subject, "folders").await;
    assert_eq!(found.first().map(String::as_str), Some("INBOX"));
    assert_eq!(found.iter().map(String::as_str).collect::<HashSet<_>>(), HashSet::from(names));
    assert_eq!(usage(subject, "folders").await, Usage { octets: 30, messages: 5 }, "all folders count");
}

async fn one_bad_mailbox_hurts_no_other(subject: &dyn Subject) {
    let sent = message("S: x\n\n");
    for path in
        ["", "..", "../out", "/etc", "example.org/../../out", "example.org//x", "a\0b", "example.org/"]
    {
        let before = read_sorted(subject, "good", "INBOX").len();
        let mut bad = copy(&sent, "bad", "INBOX", "");
        bad.mailbox = MailboxPath(path.to_owned());
        let copies = vec![copy(&sent, "good", "INBOX", ""), bad.clone(), copy(&sent, "good", "INBOX", "")];
        let results = subject.store().store(&sent, copies).await;
        let is_stored: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(is_stored, [true, false, true], "{path:?}");
        assert_eq!(read_sorted(subject, "good", "INBOX").len(), before + 2);
        assert!(subject.store().purge(&bad.mailbox).await.is_err(), "{path:?} must not be purged");
        assert!(subject.store().usage(&bad.mailbox, Quota::default()).await.is_err(), "{path:?}");
    }
}

async fn concurrent_copies_are_all_kept(subject: &dyn Subject) {
    let sent: Vec<Arc<Message>> = (0..40).map(|number| message(format!("N: {number:02}\n\n"))).collect();
    let stores = sent.iter().map(|sent| keep(subject, sent, vec![copy(sent, "busy", "INBOX", "")]));
    let names: HashSet<String> = join_all(stores).await.into_iter().flatten().collect();
    assert_eq!(names.len(), 40);
    let expect: Vec<String> = (0..40).map(|number| format!("N: {number:02}\n\n")).collect();
    assert_eq!(read_sorted(subject, "busy", "INBOX"), expect);
}

async fn a_purge_leaves_nothing(subject: &dyn Subject) {
    let sent = message("S: x\n\n");
    for _ in 0..2 {
        let copies = vec![copy(&sent, "gone", "INBOX", ""), copy(&sent, "gone", "a/b", "")];
        keep(subject, &sent, copies).await;
        assert_eq!(usage(subject, "gone").await.messages, 2);
        subject.store().purge(&mailbox("gone")).await.expect("a mailbox can be purged");
        assert_eq!(usage(subject, "gone").await, Usage::default());
        assert_eq!(folders(subject, "gone").await, [""; 0]);
        assert_eq!(read_sorted(subject, "gone", "INBOX"), [""; 0]);
    }
    assert_eq!(read_sorted(subject, "busy", "INBOX").len(), 40, "a purge touches no other mailbox");
}
