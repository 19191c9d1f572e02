//! What the sending side of the outbox needs of a State.
//!
//! Deliveries write entries through the State port; here they are taken under a lease, read, and settled. A State
//! that several nodes share names the node in the lease, and lets another one take over when that node dies.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::{OutboxEntry, StateError};
use pigeon_core::timestamp::Timestamp;

use super::{OutboxRecord, OutboxStatus, Which};

/// An entry that its holder alone may send until the lease ends.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The entry.
    pub record: OutboxRecord,
    /// Names this lease for ever.
    pub lease: String,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The MTA took it.
    Sent {
        /// What it said.
        reply: String,
    },
    /// It is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// It is given up.
    Failed {
        /// What went wrong.
        error: String,
        /// What tells the sender, to be sent at once.
        notice: Option<OutboxEntry>,
    },
}

/// The entries of the outbox, as those who send them and administrators see them.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// The time.
    fn clock(&self) -> &Arc<dyn Clock>;

    /// Whether deliveries of this process released something.
    fn has_released(&self) -> bool;

    /// Waits until this process released something.
    async fn released(&self);

    /// Takes up to `room` entries for sending that are due, or whose lease ended without an answer; or those of the
    /// named ones that are ready. They are this process' own for `term`.
    async fn lease(&self, which: Which, room: usize, term: Duration) -> Result<Vec<Leased>, StateError>;

    /// Makes a lease last for `term` from now on; false when it was lost.
    async fn renew(&self, leased: &Leased, term: Duration) -> Result<bool, StateError>;

    /// The content, lines ended by LF (or CRLF), to be read from its beginning; none when it is gone.
    async fn content(&self, leased: &Leased) -> Result<Option<File>, StateError>;

    /// Writes down how an attempt ended. An acceptance counts even when the lease was lost meanwhile.
    async fn settle(&self, leased: &Leased, verdict: &Verdict) -> Result<(), StateError>;

    /// Entries, oldest first, of one status or of all.
    async fn entries(
        &self,
        status: Option<OutboxStatus>,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, StateError>;

    /// Makes a waiting or failed entry due now, with all its time before it; false when there is none of that
    /// number in such a state.
    async fn retry(&self, id: i64) -> Result<bool, StateError>;

    /// Gives an entry up and deletes its content; false when it is being sent, has ended or is not there.
    async fn cancel(&self, id: i64) -> Result<bool, StateError>;

    /// Forgets what is no longer needed: expired memory, finished branches and ended hand-overs of long ago, held
    /// entries that the MTA never came back for, old receipts. The outbox of a server does it now and then.
    async fn tidy(&self) -> Result<(), StateError>;
}
