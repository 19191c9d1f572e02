//! Disks that are full, read-only, forbidden or several. Needs root, to mount them.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::SyncMode;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{MailStore as _, StoreError};
use pigeon_testkit::contracts::mailstore::{copy, mailbox};

use super::processes::child;
use super::{Yard, hello, names};

/// A file system that is there as long as this lives.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    /// Mounts; nothing (and a line that says so) when that is not allowed.
    pub(crate) fn new(arguments: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(arguments).arg(directory.path()).status();
        if is_root("nothing can be mounted") && status.is_ok_and(|status| status.success()) {
            return Some(Self(directory));
        }
        eprintln!("SKIPPED: mount {arguments:?} is not possible here");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

pub(crate) fn is_root(why: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: without root {why}");
    }
    is_root
}

fn tmpfs(options: &str) -> Option<Mounted> {
    Mounted::new(&["-t", "tmpfs", "-o", options, "tmpfs"])
}

fn assert_nothing_partial(place: &Path, whole: usize) {
    assert_eq!(names(&place.join("new")).len(), whole);
    assert_eq!(names(&place.join("tmp")), [""; 0], "the failed file is removed");
}

#[tokio::test]
async fn a_full_disk_is_full_and_nothing_is_partial() {
    let Some(disk) = tmpfs("size=256k") else { return };
    let yard = Yard::at(disk.path(), Blocking::Inline, SyncMode::Automatic);
    let large = Arc::new(Message::from_bytes(format!("S: x\n\n{}", "0123456789abcdef\n".repeat(9000))));
    let large_copy = || copy(&large, "ann", "INBOX", "");
    yard.store.store(&large, vec![large_copy()]).await.remove(0).unwrap();
    let results = yard.store.store(&large, vec![large_copy(), copy(&large, "bob", "INBOX", "")]).await;
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(error.to_string().contains("free space"), "{error}");
    }
    assert_nothing_partial(&yard.path("ann"), 1);
    yard.keep_one("ann", "INBOX").await;
    assert_nothing_partial(&yard.path("ann"), 2);
}

#[tokio::test]
async fn a_disk_without_inodes_is_full() {
    let Some(disk) = tmpfs("size=1m,nr_inodes=12") else { return };
    let yard = Yard::at(disk.path(), Blocking::Inline, SyncMode::Automatic);
    let mut stored = 0;
    let error = loop {
        match yard.keep(vec![copy(&hello(), "ann", "INBOX", "")]).await.remove(0) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 20, "twelve inodes cannot hold so many");
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_nothing_partial(&yard.path("ann"), stored);
    assert!(matches!(yard.store.check().await, Err(StoreError::Full { .. })));
}

#[tokio::test]
async fn a_read_only_disk_is_unwritable() {
    let Some(disk) = tmpfs("size=1m") else { return };
    let yard = Yard::at(disk.path(), Blocking::Inline, SyncMode::Automatic);
    yard.keep_one("ann", "INBOX").await;
    let remount =
        |how: &str| Command::new("mount").args(["-o", how]).arg(disk.path()).status().unwrap().success();
    assert!(remount("remount,ro"));
    let error = yard.keep(vec![copy(&hello(), "ann", "INBOX", "")]).await.remove(0).unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(yard.store.check().await.is_err());
    assert!(remount("remount,rw"));
    yard.keep_one("ann", "INBOX").await;
    assert_nothing_partial(&yard.path("ann"), 2);
}

#[tokio::test]
async fn a_forbidden_mailbox_fails_alone_and_names_the_user() {
    if !is_root("no process can be started as another user") {
        return;
    }
    let yard = Yard::new();
    yard.keep_one("ann", "INBOX").await;
    fs::create_dir_all(yard.path("open")).unwrap();
    let open_to_all = ["-R", "a+rwX"].map(str::to_owned);
    let allow = |path: &Path| Command::new("chmod").args(&open_to_all).arg(path).status().unwrap().success();
    assert!(allow(&yard.path("open")));
    for path in [yard.root.clone(), yard.root.join("example.org")] {
        assert!(Command::new("chmod").arg("a+rx").arg(path).status().unwrap().success());
    }
    // Another user may not reach the build directory.
    let program = yard.root.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = child(&program, &yard.root, "forbidden").uid(65534).gid(65534).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("open: stored"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("ann: the mailbox example.org/ann cannot be written"), "{text}");
    assert!(text.contains("Permission denied") && text.contains("user id 65534"), "{text}");
    assert_nothing_partial(&yard.path("open"), 1);
}

#[tokio::test]
async fn mailboxes_on_several_disks_get_a_file_each() {
    let Some(disk) = tmpfs("size=1m") else { return };
    let yard = Yard::new();
    fs::create_dir_all(yard.path("far")).unwrap();
    let bind =
        |path: &Path| Command::new("mount").args(["--bind"]).arg(disk.path()).arg(path).status().unwrap();
    assert!(bind(&yard.path("far")).success());
    let copies = ["near", "far", "near2"].map(|name| copy(&hello(), name, "INBOX", "")).to_vec();
    let results = yard.keep(copies).await;
    let found = ["near", "far", "near2"].map(|name| names(&yard.path(name).join("new")).len());
    let usage = yard.store.usage(&mailbox("far"), pigeon_core::ports::mailstore::Quota::default()).await;
    // The bound directory keeps the mount in use as long as the store has it open.
    drop(yard.store);
    assert!(Command::new("umount").arg(yard.root.join("example.org/far")).status().unwrap().success());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(found, [1, 1, 1]);
    assert_eq!(usage.unwrap().messages, 1);
}
