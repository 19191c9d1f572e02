//! Where mail is kept for its recipients.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::effect::{Flags, Store};
use crate::folder::Folder;
use crate::headers::RenderedHead;
use crate::message::Message;

/// The place of a mailbox below the mail root, as the directory assigned it: relative, `/` between its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxPath(pub String);

/// One copy of the message to keep.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Whose mailbox.
    pub mailbox: MailboxPath,
    /// Which folder, which flags.
    pub store: Store,
    /// The header as this recipient sees it. Copies with an equal head may share one file.
    pub head: RenderedHead,
    /// The mailbox's limits, for stores that write them down (`maildirsize`).
    pub quota: Option<Quota>,
}

/// Limits of one mailbox; a missing one is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quota {
    /// Octets.
    pub octets: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

/// How full a mailbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Octets of all messages.
    pub octets: u64,
    /// Number of messages.
    pub messages: u64,
}

/// A copy that is durable: data and name survive a loss of power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The unique name of the file or message in its folder.
    pub name: String,
}

/// Why a copy could not be kept. Nothing partial is left where mail readers look.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system is full.
    #[error("no space left for the mailbox {mailbox}: {what}")]
    Full {
        /// The mailbox.
        mailbox: String,
        /// What the system said.
        what: String,
    },
    /// The file system's quota is used up, or it is read-only, or the permissions are wrong, or it is broken.
    #[error("the mailbox {mailbox} cannot be written: {what}")]
    Unwritable {
        /// The mailbox.
        mailbox: String,
        /// What was tried and what the system said.
        what: String,
    },
}

/// Keeps mail.
#[async_trait]
pub trait MailStore: Send + Sync {
    /// Keeps copies of one message, each durable when this returns; one result for each, in order.
    async fn store(&self, message: &Arc<Message>, copies: Vec<Copy>) -> Vec<Result<Stored, StoreError>>;

    /// How full a mailbox is, with the limits that hold for it (a store may write them down). A mailbox that does not exist yet is empty.
    async fn usage(&self, mailbox: &MailboxPath, quota: Quota) -> Result<Usage, StoreError>;

    /// The folders that exist, the INBOX first. A mailbox that does not exist yet has none.
    async fn folders(&self, mailbox: &MailboxPath) -> Result<Vec<Folder>, StoreError>;

    /// Deletes a whole mailbox: the last act of a purge. One that does not exist is no error.
    async fn purge(&self, mailbox: &MailboxPath) -> Result<(), StoreError>;

    /// Whether mail can be written at all: for `pigeon check`.
    async fn check(&self) -> Result<(), StoreError>;
}

/// Flags as a Maildir info suffix knows them; keywords have no letter of their own.
#[must_use]
pub fn maildir_letters(flags: &Flags) -> String {
    // Letters stand in ASCII order; source: the maildir(5) manual of qmail and cr.yp.to/proto/maildir.html.
    let letters = [
        (flags.is_draft, 'D'),
        (flags.is_flagged, 'F'),
        (flags.is_answered, 'R'),
        (flags.is_seen, 'S'),
        (flags.is_deleted, 'T'),
    ];
    letters.into_iter().filter_map(|(is_set, letter)| is_set.then_some(letter)).collect()
}
