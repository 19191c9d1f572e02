//! The LMTP server: mail comes in from an MTA, and every recipient gets a reply of their own.
//!
//! Source: RFC 2033, on top of RFC 5321 with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152),
//! SMTPUTF8 (RFC 6531), ENHANCEDSTATUSCODES (RFC 2034), CHUNKING and BINARYMIME (RFC 3030), the parameters
//! of DSN (RFC 3461), and Postfix's XCLIENT and XFORWARD.
//!
//! ```text
//! server ─▶ listener ─▶ connection ─▶ session ─▶ Deliver (the core's agent)
//!                       wire, data     command, parameters, client, transaction, intake, reply
//! ```

mod buffers;
mod client;
mod command;
mod connection;
mod data;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod intake;
mod limits;
mod parameters;
mod peer;
mod reply;
mod server;
mod session;
mod transaction;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pigeon_core::agent::Agent;
use pigeon_core::clock::Clock;
use pigeon_core::envelope::{Envelope, Named, Transaction};
use pigeon_core::fault::Reply;
use pigeon_core::message::Message;
use pigeon_core::plan::Recipient;
use pigeon_core::ports::spool::Spool;
use pigeon_core::receipt::Receipt;

pub use connection::serve_stream;
pub use limits::LmtpLimits;
pub use peer::{LmtpListener, Network, NetworkError, Peer};
pub use server::{LmtpServer, serve_stdio};

use crate::id::TransactionIds;
use buffers::Buffers;

/// What a session asks of the core; in tests, of something that plays its part.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// As [`Agent::admit`].
    ///
    /// # Errors
    /// The reply for `RCPT`.
    async fn admit(&self, named: Named, transaction: &Arc<Transaction>) -> Result<Recipient, Reply>;

    /// As [`Agent::deliver`]: one receipt for each recipient of the envelope, in their order.
    async fn deliver(&self, envelope: &Envelope, message: Arc<Message>) -> Vec<Arc<Receipt>>;
}

#[async_trait]
impl Deliver for Agent {
    async fn admit(&self, named: Named, transaction: &Arc<Transaction>) -> Result<Recipient, Reply> {
        Self::admit(self, named, transaction).await
    }

    async fn deliver(&self, envelope: &Envelope, message: Arc<Message>) -> Vec<Arc<Receipt>> {
        Self::deliver(self, envelope, message).await
    }
}

/// What all sessions of a process share.
pub struct Reception {
    deliver: Arc<dyn Deliver>,
    spool: Arc<dyn Spool>,
    clock: Arc<dyn Clock>,
    hostname: Arc<str>,
    limits: LmtpLimits,
    ids: TransactionIds,
    buffers: Buffers,
    connections: AtomicUsize,
}

impl Reception {
    /// A reception for mail that goes to `deliver`; `spool` takes messages that are too large for memory.
    ///
    /// `hostname` is the name of this host in replies, and the domain of a bare `postmaster`.
    #[must_use]
    pub fn new(
        deliver: Arc<dyn Deliver>,
        spool: Arc<dyn Spool>,
        clock: Arc<dyn Clock>,
        hostname: Arc<str>,
        limits: LmtpLimits,
    ) -> Self {
        let (ids, buffers) = (TransactionIds::new(), Buffers::default());
        Self { deliver, spool, clock, hostname, limits, ids, buffers, connections: AtomicUsize::new(0) }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What a client may use up.
    #[must_use]
    pub fn limits(&self) -> &LmtpLimits {
        &self.limits
    }
}
