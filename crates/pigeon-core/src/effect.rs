//! What services propose and the core commits.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::address::{Address, ReversePath};
use crate::folder::Folder;
use crate::message::Message;
use crate::ports::mailstore::MailboxPath;

/// IMAP system flags and keywords to store a message with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "IMAP has five system flags, each its own yes or no")]
pub struct Flags {
    /// `\Seen`
    pub is_seen: bool,
    /// `\Flagged`
    pub is_flagged: bool,
    /// `\Answered`
    pub is_answered: bool,
    /// `\Draft`
    pub is_draft: bool,
    /// `\Deleted`
    pub is_deleted: bool,
    /// Keywords, in the order in which they were set.
    pub keywords: Vec<String>,
}

impl Flags {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one effect carries in place of the delivery's message: made by the service that proposes the effect.
#[derive(Clone)]
pub struct Content(pub Arc<Message>);

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Content({} octets)", self.0.size())
    }
}

/// The same message, not only an equal one.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Content {}

/// Keep the message in a folder of the recipient's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Store {
    /// Where to.
    pub folder: Folder,
    /// With which flags.
    pub flags: Flags,
    /// What is kept, where it is not the delivery's message with this recipient's edits of the header.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// Send the message on to another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// Where to.
    pub to: Address,
    /// What is sent, where it is not the delivery's message with this recipient's edits of the header.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// Send a message of our own, always with the null sender (RFC 3834 §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Who gets it.
    pub to: Address,
    /// Why it is sent, one word: with the message's digest it makes the answer one of its kind.
    pub kind: &'static str,
    /// The whole message, lines ended by LF.
    #[serde(skip)]
    pub message: Bytes,
}

/// Post something about the message to a server over HTTP, through the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// Why it is posted, one word: with the message's digest it makes the post one of its kind.
    pub kind: &'static str,
    /// JSON.
    #[serde(skip)]
    pub body: Bytes,
}

impl Post {
    /// The server, for texts: the rest of a URL is its own affair.
    #[must_use]
    pub fn server(&self) -> &str {
        self.url.split('/').nth(2).unwrap_or(&self.url)
    }
}

/// Where an archive keeps its copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchivePlace {
    /// At an address, reached through the outbox.
    Address(Address),
    /// In a Maildir of its own beside the mailboxes.
    Mailbox {
        /// Where this copy goes.
        path: MailboxPath,
        /// Names the archive for ever, while `path` may change with the date.
        name: String,
    },
}

/// `at journal@example.org` or `in .archive/example.org/2026`.
impl fmt::Display for ArchivePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "at {address}"),
            Self::Mailbox { path, .. } => write!(formatter, "in {}", path.0),
        }
    }
}

/// Keep a copy of the message as it was received, whatever becomes of it otherwise.
///
/// The recipients of one message share the copy of an archive. No other service can take it back: it is made when
/// the message was discarded, too, and it is not subject to the recipient's redirect policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Where to.
    pub place: ArchivePlace,
    /// Whether the message is put into another one that names its envelope.
    pub is_wrapped: bool,
    /// The reverse-path of a copy that is sent to an address.
    pub sender: ReversePath,
}

/// Something a service wants to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Keep it.
    Store(Store),
    /// Send it on.
    Redirect(Redirect),
    /// Answer it.
    Answer(Answer),
    /// Tell a server about it.
    Post(Post),
    /// Keep a copy that nobody can take back.
    Archive(Archive),
}

/// The effects proposed so far for one recipient.
///
/// Services edit this list and nothing else happens until the core commits it.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    list: Vec<Effect>,
    is_keep_cancelled: bool,
    identities: Vec<(Store, String)>,
    withdrawn: Vec<Store>,
}

impl Effects {
    /// Proposes one more effect; the same one twice counts once.
    pub fn propose(&mut self, effect: Effect) {
        if self.is_keep_cancelled && matches!(effect, Effect::Store(_)) {
            return;
        }
        if !self.list.contains(&effect) {
            self.list.push(effect);
        }
    }

    /// Says that no copy is to be kept in the mailbox: drops the stores proposed so far and those still to come.
    pub fn cancel_keep(&mut self) {
        self.is_keep_cancelled = true;
        self.list.retain(|effect| !matches!(effect, Effect::Store(_)));
    }

    /// Says what a proposed store keeps: of stores with the same identity in the same folder of the same mailbox that are
    /// committed together, one is made. The others are done when it is done, and fail when it fails.
    pub fn identify(&mut self, store: &Store, identity: String) {
        self.identities.retain(|(known, _)| known != store);
        self.identities.push((store.clone(), identity));
    }

    /// What a service said that a store keeps.
    #[must_use]
    pub fn identity(&self, store: &Store) -> Option<&str> {
        self.identities.iter().find(|(known, _)| known == store).map(|(_, identity)| identity.as_str())
    }

    /// Takes a proposed store back because the mailbox has the message in that folder already: it counts as done.
    pub fn withdraw(&mut self, store: &Store) {
        let is_it = |effect: &Effect| matches!(effect, Effect::Store(proposed) if proposed == store);
        if self.list.iter().any(is_it) {
            self.list.retain(|effect| !is_it(effect));
            self.withdrawn.push(store.clone());
        }
    }

    /// What was taken back because the mailbox has it already.
    #[must_use]
    pub fn withdrawn(&self) -> &[Store] {
        &self.withdrawn
    }

    /// Whether some service said that no copy is to be kept.
    #[must_use]
    pub fn is_keep_cancelled(&self) -> bool {
        self.is_keep_cancelled
    }

    /// Whether the message is going to be stored.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.list.iter().any(|effect| matches!(effect, Effect::Store(_)))
    }

    /// Whether the message itself goes somewhere, or is there already: an answer alone takes no one's mail, unless a service has
    /// said that it is not to be kept. An archive or a post never does.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let goes = |effect: &Effect| matches!(effect, Effect::Store(_) | Effect::Redirect(_));
        let is_done = |effect: &Effect| !matches!(effect, Effect::Archive(_) | Effect::Post(_));
        !self.withdrawn.is_empty()
            || self.list.iter().any(goes)
            || (self.is_keep_cancelled && self.list.iter().any(is_done))
    }

    /// What was proposed, in order.
    #[must_use]
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// How many answers were proposed.
    pub(crate) fn answers(&self) -> usize {
        self.list.iter().filter(|effect| matches!(effect, Effect::Answer(_))).count()
    }

    /// Forgets everything but the answers behind the first `earlier` ones: the message was discarded or refused by the
    /// step that proposed those. What archives keep stays where it was accepted.
    pub(crate) fn keep_answers_behind(&mut self, earlier: usize, is_accepted: bool) {
        self.withdrawn.clear();
        let mut seen = 0;
        self.list.retain(|effect| {
            seen += usize::from(matches!(effect, Effect::Answer(_)));
            match effect {
                Effect::Answer(_) => seen > earlier,
                Effect::Archive(_) => is_accepted,
                Effect::Store(_) | Effect::Redirect(_) | Effect::Post(_) => false,
            }
        });
    }
}
