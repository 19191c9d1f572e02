//! Dovecot and Courier read what the store wrote: folders, flags, keywords, subscriptions, sizes, quota.

use std::fs;
use std::path::Path;

use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::{FolderNames, Maildir, MaildirOptions, Owner};
use pigeon_core::effect::Flags;
use pigeon_core::ports::mailstore::{Copy, MailStore as _, Quota};
use pigeon_testkit::contracts::mailstore::{copy, mailbox};
use pigeon_testkit::peers::{
    Courier, CourierOptions, Dovecot, DovecotOptions, DovecotQuota, ImapClient, MailUser, Mailboxes, imap,
    or_skip,
};

use super::disk::is_root;
use super::hello;

/// A mailbox with mail in every kind of place, that belongs to user and group `mail`.
async fn fill(root: &Path, folder_names: FolderNames) -> Maildir {
    let owner = Some(Owner { uid: 8, gid: 8 });
    let options = MaildirOptions { owner, folder_names, ..MaildirOptions::default() };
    let store = Maildir::open(root.to_owned(), &options, Blocking::Inline).unwrap();
    let with = |folder: &str, flags: Flags| {
        let mut copy = copy(&hello(), "ann", folder, "Delivered-To: ann@example.org\n");
        copy.store.flags = flags;
        copy.quota = Some(Quota { octets: Some(1_024_000), messages: Some(100) });
        copy
    };
    let keywords = vec!["$Label1".to_owned(), "work".to_owned()];
    let flagged = Flags { is_seen: true, is_flagged: true, keywords, ..Flags::default() };
    let copies: Vec<Copy> = vec![
        with("INBOX", Flags::default()),
        with("INBOX", flagged),
        with("Archive/2026", Flags::default()),
        with("Entwürfe", Flags::default()),
        with("v1.2", Flags::default()),
    ];
    for result in store.store(&hello(), copies).await {
        result.unwrap();
    }
    store
}

/// Where another user can reach the mail.
fn open_root() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), mode).unwrap();
    fs::create_dir(directory.path().join("example.org")).unwrap();
    std::os::unix::fs::chown(directory.path().join("example.org"), Some(8), Some(8)).unwrap();
    directory
}

fn names(folders: Vec<imap::Folder>) -> Vec<String> {
    let mut names: Vec<String> = folders.into_iter().map(|folder| folder.name).collect();
    names.sort();
    names
}

/// The bodies and flags of the INBOX, and that each folder holds its message.
fn look(client: &mut ImapClient, folders: &[&str]) -> Vec<Vec<String>> {
    let body = b"Delivered-To: ann@example.org\r\nSubject: hello\r\n\r\nworld\r\n";
    for folder in folders {
        assert_eq!(client.select(folder).unwrap(), 1, "{folder}");
        assert_eq!(client.fetch_all().unwrap().remove(0).body, body, "{folder}");
    }
    assert_eq!(client.select("INBOX").unwrap(), 2);
    let messages = client.fetch_all().unwrap();
    assert!(messages.iter().all(|message| message.body == body), "{messages:?}");
    messages.into_iter().map(|message| message.flags).collect()
}

#[tokio::test]
async fn dovecot_reads_it_all() {
    if !is_root("mail cannot be given to the reader's user") {
        return;
    }
    let root = open_root();
    let store = fill(root.path(), FolderNames::ModifiedUtf7).await;
    let user = MailUser::new("ann@example.org", &root.path().join("example.org/ann"));
    let mut options = DovecotOptions::new(Mailboxes::Users(vec![user]));
    options.quota = DovecotQuota::FromMaildirSize;
    let Some(dovecot) = or_skip(Dovecot::start(&options)) else { return };
    let mut client = dovecot.login("ann@example.org", "secret").unwrap();
    let folders = ["Archive.2026", "Entw&APw-rfe", "v1&ICQ-2"];
    let listed = names(client.list().unwrap());
    for folder in folders {
        assert!(listed.iter().any(|name| name == folder), "{folder} is not in {listed:?}");
    }
    assert_eq!(names(client.subscriptions().unwrap()), folders);
    let mut flags = look(&mut client, &folders);
    flags.sort();
    assert_eq!(
        flags,
        [vec![], vec!["$Label1".to_owned(), "\\Flagged".into(), "\\Seen".into(), "work".into()]]
    );
    let quotas = client.quotas("INBOX").unwrap();
    let count = quotas.iter().find(|quota| quota.resource == "MESSAGE").unwrap();
    assert_eq!((count.usage, count.limit), (5, 100), "{quotas:?}");
    let usage = store.usage(&mailbox("ann"), Quota::default()).await.unwrap();
    assert_eq!((usage.messages, usage.octets), (5, 5 * 52));
    // What Dovecot finds wrong with names, sizes or lists it says in its log.
    let log = dovecot.log();
    assert!(!log.contains("Error:") && !log.contains("Warning:") && !log.contains("Panic:"), "{log}");
}

#[tokio::test]
async fn courier_reads_it_all() {
    if !is_root("mail cannot be given to the reader's user") {
        return;
    }
    let root = open_root();
    fill(root.path(), FolderNames::Utf8).await;
    let user = MailUser::new("ann@example.org", &root.path().join("example.org/ann"));
    let Some(courier) = or_skip(Courier::start(&CourierOptions::new(vec![user]))) else { return };
    let mut client = courier.login("ann@example.org", "secret").unwrap();
    let folders = ["INBOX.Archive.2026", "INBOX.Entw&APw-rfe", "INBOX.v1&ICQ-2"];
    let listed = names(client.list().unwrap());
    for folder in folders {
        assert!(listed.iter().any(|name| name == folder), "{folder} is not in {listed:?}");
    }
    let subscribed = names(client.subscriptions().unwrap());
    assert!(folders.iter().all(|folder| subscribed.iter().any(|name| name == folder)), "{subscribed:?}");
    let flags = look(&mut client, &folders);
    assert!(flags.iter().any(|flags| flags.contains(&"\\Flagged".to_owned())), "{flags:?}");
    let quotas = client.quotas("INBOX").unwrap();
    let count = quotas.iter().find(|quota| quota.resource == "MESSAGE").unwrap();
    assert_eq!((count.usage, count.limit), (5, 100), "{quotas:?}");
}
