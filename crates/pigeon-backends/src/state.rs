//! State: what deliveries make. Service memory, finished branches, receipts and the rows of the outbox.
//!
//! The port is [`pigeon_core::ports::state::State`]; [`sqlite`] keeps it in files of one host, [`sql`] in a database
//! that the nodes of a cluster share.

mod counters;
pub mod nodes;
mod queue;
mod spool;
pub mod sql;
pub mod sqlite;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::State;

pub use self::counters::Tally;
use self::nodes::Nodes;
use crate::blocking::Blocking;
use crate::outbox::OutboxStore;

/// The State as a node uses it: its deliveries, its outbox, its administration.
#[async_trait]
pub trait NodeState: State + OutboxStore + Nodes {
    /// Where it is, for people; no password is in it.
    fn place(&self) -> String;

    /// The version of the schema that this program was made for.
    fn schema(&self) -> u32;

    /// What this process counted.
    fn tally(&self) -> Tally;

    /// Keeps the receipts recorded so far and finishes writes under way, within some seconds; later writes fail.
    async fn finish(&self);
}

/// What kind of process uses the State.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One that delivers a message and exits: nothing is opened before it is needed, no thread is started, and
    /// receipts are left in a spool file for others to take in.
    OneShot,
    /// One that stays: writes share transactions, receipts are kept by a thread of their own.
    #[default]
    Server,
}

impl Mode {
    /// Where such a process does its blocking work.
    #[must_use]
    pub const fn blocking(self) -> Blocking {
        match self {
            Self::OneShot => Blocking::Inline,
            Self::Server => Blocking::Pool,
        }
    }
}

/// For how many days receipts are kept where nobody says otherwise.
pub const KEEP_RECEIPTS_DAYS: u32 = 30;

/// Octets of receipts that wait for a database where nobody says otherwise: some 250,000 of them.
pub const SPOOL_OCTETS: u64 = 256 * 1024 * 1024;

/// How to open the State.
#[derive(Clone)]
pub struct StateOptions {
    /// The state directory: must exist and be writable, with all its files, by the mail user. One host only: the
    /// databases in it cannot be shared over a network file system.
    pub directory: PathBuf,
    /// What kind of process this is.
    pub mode: Mode,
    /// For how many days receipts are kept.
    pub keep_days: u32,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The name of this node, for what nodes share.
    pub node: String,
    /// How many octets of receipts wait in a file of this node at most while the database that nodes share takes
    /// none; later ones are lost, and counted.
    pub spool_octets: u64,
}

impl StateOptions {
    /// Options for a server in that directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            directory: directory.into(),
            mode: Mode::Server,
            keep_days: KEEP_RECEIPTS_DAYS,
            clock,
            node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            spool_octets: SPOOL_OCTETS,
        }
    }

    /// The same for a node of that name.
    #[must_use]
    pub fn with_node(mut self, name: &str) -> Self {
        name.clone_into(&mut self.node);
        self
    }

    /// The same with room for so many octets of receipts that wait.
    #[must_use]
    pub fn with_spool_octets(mut self, octets: u64) -> Self {
        self.spool_octets = octets;
        self
    }

    /// The same for another kind of process.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The same with receipts kept for so many days.
    #[must_use]
    pub fn with_keep_days(mut self, days: u32) -> Self {
        self.keep_days = days;
        self
    }
}
