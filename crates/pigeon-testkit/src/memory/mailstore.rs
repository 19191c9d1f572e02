//! A mail store in memory, with failures and fullness on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pigeon_core::effect::Flags;
use pigeon_core::folder::Folder;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{Copy, MailStore, MailboxPath, Quota, StoreError, Stored, Usage};

use super::{lock, text_of};

/// A stored message, as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// The folder.
    pub folder: Folder,
    /// The flags.
    pub flags: Flags,
    /// The whole message as it lies there, bytes that are not UTF-8 replaced.
    pub text: String,
}

/// What makes a mailbox fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailboxFailure {
    /// The file system is full.
    Full,
    /// It cannot be written or read.
    Unwritable,
}

#[derive(Debug, Default)]
struct Mailbox {
    mails: Vec<StoredMail>,
    folders: Vec<Folder>,
    /// What is there besides `mails`.
    before: Usage,
    failure: Option<MailboxFailure>,
    quota: Option<Quota>,
}

/// A mail store in memory.
#[derive(Debug, Default)]
pub struct MemoryMailStore {
    mailboxes: Mutex<BTreeMap<String, Mailbox>>,
}

impl MemoryMailStore {
    fn with<T>(&self, mailbox: &MailboxPath, act: impl FnOnce(&mut Mailbox) -> T) -> T {
        act(lock(&self.mailboxes).entry(mailbox.0.clone()).or_default())
    }

    /// The messages in a mailbox, in the order in which they were stored.
    #[must_use]
    pub fn mails(&self, mailbox: &MailboxPath) -> Vec<StoredMail> {
        self.with(mailbox, |mailbox| mailbox.mails.clone())
    }

    /// How many messages all mailboxes hold.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.mailboxes).values().map(|mailbox| mailbox.mails.len()).sum()
    }

    /// Says what a mailbox holds besides the messages stored here.
    pub fn set_usage(&self, mailbox: &MailboxPath, usage: Usage) {
        self.with(mailbox, |mailbox| mailbox.before = usage);
    }

    /// Makes a folder.
    pub fn add_folder(&self, mailbox: &MailboxPath, folder: Folder) {
        self.with(mailbox, |mailbox| mailbox.folders.push(folder));
    }

    /// Makes a mailbox fail from now on, or (with none) work again.
    pub fn set_failure(&self, mailbox: &MailboxPath, failure: Option<MailboxFailure>) {
        self.with(mailbox, |mailbox| mailbox.failure = failure);
    }

    /// The limits that were last written down with a mailbox.
    #[must_use]
    pub fn quota(&self, mailbox: &MailboxPath) -> Option<Quota> {
        self.with(mailbox, |mailbox| mailbox.quota)
    }
}

impl Mailbox {
    fn check(&self, path: &MailboxPath) -> Result<(), StoreError> {
        let (mailbox, what) = (path.0.clone(), "the test says so".to_owned());
        match self.failure {
            Some(MailboxFailure::Full) => Err(StoreError::Full { mailbox, what }),
            Some(MailboxFailure::Unwritable) => Err(StoreError::Unwritable { mailbox, what }),
            None => Ok(()),
        }
    }

    fn keep(&mut self, copy: Copy, message: &Message) -> Result<Stored, StoreError> {
        self.check(&copy.mailbox)?;
        if !self.folders.contains(&copy.store.folder) {
            self.folders.push(copy.store.folder.clone());
        }
        self.quota = copy.quota.or(self.quota);
        let text = text_of(&copy.head, message);
        self.mails.push(StoredMail { folder: copy.store.folder, flags: copy.store.flags, text });
        Ok(Stored { name: format!("{}", self.mails.len()) })
    }
}

#[async_trait]
impl MailStore for MemoryMailStore {
    async fn store(&self, message: &Arc<Message>, copies: Vec<Copy>) -> Vec<Result<Stored, StoreError>> {
        let keep = |copy: Copy| {
            let path = copy.mailbox.clone();
            self.with(&path, |mailbox| mailbox.keep(copy, message))
        };
        copies.into_iter().map(keep).collect()
    }

    async fn usage(&self, mailbox: &MailboxPath, quota: Quota) -> Result<Usage, StoreError> {
        self.with(mailbox, |held| {
            held.check(mailbox)?;
            held.quota = Some(quota);
            let octets = held.mails.iter().map(|mail| mail.text.len() as u64).sum::<u64>();
            Ok(Usage {
                octets: held.before.octets + octets,
                messages: held.before.messages + held.mails.len() as u64,
            })
        })
    }

    async fn folders(&self, mailbox: &MailboxPath) -> Result<Vec<Folder>, StoreError> {
        self.with(mailbox, |held| {
            held.check(mailbox)?;
            let mut folders = held.folders.clone();
            folders.sort();
            Ok(folders)
        })
    }

    async fn purge(&self, mailbox: &MailboxPath) -> Result<(), StoreError> {
        lock(&self.mailboxes).remove(&mailbox.0);
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
