//! The Maildir store: each message a file, each mailbox a directory, no locks.
//!
//! A mailbox is the Maildir at its path below the mail root, with `new/`, `cur/` and `tmp/` right in it; its folders
//! are Maildir++ directories, `.Archive.2026`. It is made at the first delivery. When a copy is reported as stored,
//! its data and its name survive a loss of power (`docs/decisions/002-maildir-durability.md`).
//!
//! Start reading at `shelf.rs`, where a message comes in. Beside it: `tree.rs` opens and makes directories safely,
//! `folders.rs` keeps them open, `durable.rs` syncs.
//!
//! All mail belongs to one system user. Copies of one message with the same bytes share one file by hard links.

pub mod browse;
mod durable;
mod folder_name;
mod folders;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod keywords;
mod name;
mod problem;
mod purge;
mod quota;
mod replace;
mod shelf;
mod subscriptions;
pub mod transfer;
mod tree;
mod utf7;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pigeon_core::folder::Folder;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{Copy, MailStore, MailboxPath, Quota, StoreError, Stored, Usage};
use rustix::fs::{AtFlags, Dir, unlinkat};
use rustix::io::Errno;

use crate::blocking::{Blocking, Workplace};
use durable::Durability;
use folders::Folders;
use name::Names;
use problem::Problem;
use shelf::Shelf;
use tree::Tree;

/// Folders that are kept open, if the process may open so many files.
const DEFAULT_CAPACITY: usize = 4096;

/// The user and group that all mail belongs to, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// How mail is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    /// The quickest way that is safe on the file system at hand; may sync the whole file system when a message
    /// goes to many mailboxes.
    #[default]
    Automatic,
    /// Each file and each directory by itself: for a disk that other programs write much to.
    Each,
}

/// How the names of folders are written in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FolderNames {
    /// Modified UTF-7 (RFC 3501 §5.1.3): what Dovecot reads unless told otherwise, and Courier before 5.0.
    #[default]
    ModifiedUtf7,
    /// UTF-8: what Courier reads since 5.0, and Dovecot with `:UTF-8` in its `mail_location`.
    Utf8,
}

/// How a [`Maildir`] store writes.
#[derive(Debug, Clone)]
pub struct MaildirOptions {
    /// Who gets the files. Used only when the process runs as root; otherwise they belong to the process's user.
    pub owner: Option<Owner>,
    /// Permission bits of directories.
    pub directory_mode: u32,
    /// Permission bits of files.
    pub file_mode: u32,
    /// The host's name in file names; by default the system's. Nodes that share storage should differ in it.
    pub hostname: Option<String>,
    /// How the names of folders are written.
    pub folder_names: FolderNames,
    /// How mail is made durable.
    pub sync: SyncMode,
    /// Folders kept open at most, three file descriptors each; never more than half of what the process may open.
    pub capacity: usize,
}

impl Default for MaildirOptions {
    fn default() -> Self {
        Self {
            owner: None,
            directory_mode: 0o700,
            file_mode: 0o600,
            hostname: None,
            folder_names: FolderNames::ModifiedUtf7,
            sync: SyncMode::Automatic,
            capacity: DEFAULT_CAPACITY,
        }
    }
}

/// Mailboxes as Maildirs below one directory.
pub struct Maildir {
    shelf: Arc<Shelf>,
    blocking: Blocking,
    storing: Workplace,
}

impl Maildir {
    /// Opens the mail root, which must exist.
    ///
    /// # Errors
    /// When the root cannot be opened; the text says what to do.
    pub fn open(root: PathBuf, options: &MaildirOptions, blocking: Blocking) -> Result<Self, StoreError> {
        let shown = MailboxPath(root.display().to_string());
        let tree = Tree::open(root, options).map_err(|problem| problem.into_error(&shown))?;
        let host = options.hostname.clone().unwrap_or_else(system_hostname);
        let shelf = Shelf {
            tree,
            folders: Folders::new(options.capacity, options.folder_names),
            names: Names::new(&host),
            durability: Durability::new(options.sync),
        };
        Ok(Self { shelf: Arc::new(shelf), blocking, storing: Workplace::default() })
    }

    /// Runs `work` for one mailbox where blocking work runs.
    async fn run<T: Send + 'static>(
        &self,
        mailbox: &MailboxPath,
        work: impl FnOnce(&Shelf, &str) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (shelf, place) = (Arc::clone(&self.shelf), mailbox.0.clone());
        let done = self.blocking.run(move || work(&shelf, &place)).await;
        let done = done.unwrap_or_else(|interrupted| Err(Problem::text(interrupted.to_string())));
        done.map_err(|problem| problem.into_error(mailbox))
    }

    /// Servers clean up what crashes left in `tmp/`, beside their work.
    fn sweep(&self) {
        if self.blocking == Blocking::Pool
            && let Some(folder) = self.shelf.folders.take_unswept()
        {
            drop(tokio::task::spawn_blocking(move || purge::sweep(&folder)));
        }
    }
}

#[async_trait]
impl MailStore for Maildir {
    async fn store(&self, message: &Arc<Message>, copies: Vec<Copy>) -> Vec<Result<Stored, StoreError>> {
        let copies = Arc::new(copies);
        let work = {
            let (shelf, message, copies) =
                (Arc::clone(&self.shelf), Arc::clone(message), Arc::clone(&copies));
            move || shelf.store(&message, &copies)
        };
        let stored = self.storing.run(self.blocking, work).await.unwrap_or_else(|interrupted| {
            let problem = Problem::text(interrupted.to_string());
            copies.iter().map(|copy| Err(problem.clone().into_error(&copy.mailbox))).collect()
        });
        self.sweep();
        stored
    }

    async fn usage(&self, mailbox: &MailboxPath, quota: Quota) -> Result<Usage, StoreError> {
        let work = move |shelf: &Shelf, place: &str| {
            let opened = match shelf.folders.mailbox(&shelf.tree, place, false) {
                Err(problem) if problem.is(Errno::NOENT) => return Ok(Usage::default()),
                opened => opened?,
            };
            let usage = quota::usage(&shelf.tree, &opened, &shelf.names, quota);
            usage.map_err(|error| failed(shelf, "counting the mail in", place, &error))
        };
        self.run(mailbox, work).await
    }

    async fn folders(&self, mailbox: &MailboxPath) -> Result<Vec<Folder>, StoreError> {
        self.run(mailbox, list_folders).await
    }

    async fn purge(&self, mailbox: &MailboxPath) -> Result<(), StoreError> {
        let work = |shelf: &Shelf, place: &str| {
            shelf.folders.forget_all(place);
            purge::purge(&shelf.tree, place)
        };
        self.run(mailbox, work).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let root = MailboxPath(self.shelf.tree.show(""));
        self.run(&root, |shelf, _| probe(shelf)).await
    }
}

fn list_folders(shelf: &Shelf, place: &str) -> Result<Vec<Folder>, Problem> {
    let opened = match shelf.folders.mailbox(&shelf.tree, place, false) {
        Err(problem) if problem.is(Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let entries = Dir::read_from(&opened.dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|errno| shelf.tree.refused("listing", place, errno))?;
    let names = entries.iter().filter(|entry| is_folder(&opened.dir, entry.file_name()));
    let mut folders: Vec<Folder> = names
        .filter_map(|entry| folder_name::folder(entry.file_name().to_str().ok()?, shelf.folders.names))
        .collect();
    folders.sort();
    folders.insert(0, Folder::inbox());
    Ok(folders)
}

/// Maildir++: a folder is a directory whose name begins with a dot and that holds a Maildir.
fn is_folder(dir: &std::os::fd::OwnedFd, name: &std::ffi::CStr) -> bool {
    let Ok(name) = name.to_str() else { return false };
    let cur = format!("{name}/cur");
    name.starts_with('.')
        && !matches!(name, "." | "..")
        && rustix::fs::openat(dir, cur, tree::DIRECTORY, rustix::fs::Mode::empty()).is_ok()
}

/// Writes a file into the root and deletes it.
fn probe(shelf: &Shelf) -> Result<(), Problem> {
    let name = format!(".check-{}", shelf.names.next());
    let refused = |errno| shelf.tree.refused("writing to", "", errno);
    let mut file = shelf.tree.make_file(shelf.tree.fd(), &name).map_err(refused)?;
    let written = io::Write::write_all(&mut file, b"probe\n");
    unlinkat(shelf.tree.fd(), &*name, AtFlags::empty()).map_err(refused)?;
    written.map_err(|error| failed(shelf, "writing to", "", &error))
}

fn failed(shelf: &Shelf, step: &str, place: &str, error: &io::Error) -> Problem {
    match Errno::from_io_error(error) {
        Some(errno) => shelf.tree.refused(step, place, errno),
        None => Problem::text(format!("{step} {}: {error}", shelf.tree.show(place))),
    }
}

fn system_hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| String::new(), |name| name.trim().to_owned())
}
