//! Data that deliveries make: service memory, receipts, finished branches and the outbox.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::{Address, AddressError, ReversePath};
use crate::headers::RenderedHead;
use crate::message::Message;
use crate::receipt::Receipt;
use crate::timestamp::Timestamp;

/// The State cannot be reached or is broken.
#[derive(Debug, Error)]
#[error("the State {what}")]
pub struct StateError {
    /// Where it is, and what was tried and failed.
    pub what: String,
    /// The cause underneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Something a service remembers about an account, until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The account's id; the alias' address for what is remembered about an alias.
    pub account: String,
    /// The service's name.
    pub service: String,
    /// What it is about.
    pub key: String,
    /// What is remembered.
    pub value: String,
    /// When it is forgotten.
    pub expires: Timestamp,
}

/// What goes out: the recipient's view of the message, or a message of our own.
#[derive(Debug, Clone)]
pub enum OutboxContent {
    /// The received message with another header.
    Message {
        /// The header as it goes out.
        head: RenderedHead,
        /// The body's owner.
        message: Arc<Message>,
    },
    /// A message of our own.
    Own(Bytes),
}

/// Where something goes that leaves through the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To an address, by the MTA.
    Mail(Address),
    /// To a server over HTTP, at this URL.
    Web(String),
}

impl Destination {
    /// Reads what [`Display`](fmt::Display) wrote: no address begins like a URL.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Web(text.to_owned()));
        }
        Address::parse(text).map(Self::Mail)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => address.fmt(formatter),
            Self::Web(url) => formatter.write_str(url),
        }
    }
}

impl From<Address> for Destination {
    fn from(address: Address) -> Self {
        Self::Mail(address)
    }
}

/// One thing to hand over: a message to the MTA, or JSON to a server.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    /// Names this hand-over for ever: a second one with the same key is the same one and is not sent again.
    pub key: String,
    /// The account or alias on whose behalf it is sent.
    pub on_behalf_of: String,
    /// The reverse-path to send with.
    pub sender: ReversePath,
    /// Who gets it.
    pub recipient: Destination,
    /// The bytes.
    pub content: OutboxContent,
}

/// Everything the State must keep for the recipients of one message that are ready together.
#[derive(Debug, Clone, Default)]
pub struct StateChanges {
    /// Things to remember.
    pub memories: Vec<Memory>,
    /// Keys of outbox entries (staged before) that may now be sent.
    pub released: Vec<String>,
    /// Keys of alias branches that ended well while others must be tried again.
    pub finished: Vec<String>,
}

impl StateChanges {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memories.is_empty() && self.released.is_empty() && self.finished.is_empty()
    }
}

/// Keeps what deliveries make.
///
/// The hand-over to the outbox has two steps, so that a message is neither stored without its redirects nor
/// redirected without being stored: [`stage`](State::stage) makes entries durable but held; after the mail
/// store is durable too, [`commit`](State::commit) releases them. A crash between the two leaves held entries
/// that the MTA's retry finds again under the same keys.
#[async_trait]
pub trait State: Send + Sync {
    /// What a service remembered of this account under this key and that has not expired at `now`.
    async fn recall(
        &self,
        account: &str,
        service: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StateError>;

    /// Makes outbox entries durable, held back. Entries whose key is known already are left as they are.
    async fn stage(&self, entries: Vec<OutboxEntry>, now: Timestamp) -> Result<(), StateError>;

    /// Keeps all changes durably, in one transaction.
    async fn commit(&self, changes: StateChanges, now: Timestamp) -> Result<(), StateError>;

    /// Which of these branch keys were finished by an earlier attempt.
    async fn finished(&self, keys: &[String]) -> Result<Vec<String>, StateError>;

    /// Takes receipts to keep. Returns at once; keeping them may take a moment and is not waited for.
    fn record(&self, receipts: &[Arc<Receipt>]);

    /// Receipts that match, newest first.
    async fn receipts(&self, query: &ReceiptQuery) -> Result<Vec<Receipt>, StateError>;
}

/// Which receipts to look for.
#[derive(Debug, Clone, Default)]
pub struct ReceiptQuery {
    /// A recipient address, or an address some branch ended at (in key form).
    pub address: Option<String>,
    /// A Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Only receipts made after this moment.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub limit: u32,
}
