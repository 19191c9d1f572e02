//! State in a database that the nodes of a cluster share: PostgreSQL or MariaDB.
//!
//! What one node remembers, all know; an entry of the outbox that a node staged before it died is released or sent by
//! another. Receipts are in nobody's way: they are written to a file of the node first and taken into the database
//! behind the deliveries, so that an outage of it neither blocks nor loses them while there is room.

mod contents;
mod flusher;
mod memory;
mod nodes;
mod outbox;
mod receipts;
mod schema;
mod store;

use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::{OutboxEntry, ReceiptQuery, State, StateChanges, StateError};
use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;
use tokio::sync::Notify;

use self::flusher::Flusher;
use self::schema::SCHEMA;
use super::counters::{Counters, Tally};
use super::queue::Recorder;
use super::{Mode, NodeState, StateOptions, spool};
use crate::blocking::Blocking;
use crate::sql::{self, Limits, Pool, Session, SqlError, SqlUrl};

/// How often a transaction is begun again that others were in the way of.
const ATTEMPTS: u32 = 6;
/// How long a delivery waits to learn which of its branches ended before: it goes on without, and whoever hands mail
/// over does not wait for a database that says nothing.
const REMEMBERING: Duration = Duration::from_secs(1);
/// How long a reader of receipts waits for those that are not in the database yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of a process, and how long it waits for each thing.
const fn limits(connections: u32) -> Limits {
    Limits { connections, connect: Duration::from_secs(3), statement: Duration::from_secs(10) }
}

/// State in a database.
pub struct SqlState {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Arc<Pool>,
    /// The name of this node.
    node: String,
    /// The node's own state directory.
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    keep: Duration,
    blocking: Blocking,
    /// Octets of receipts that may wait in files.
    spool_octets: u64,
    /// Wakes the outbox of this process when entries were released.
    released: Notify,
    has_released: AtomicBool,
    counters: Arc<Counters>,
    server: Option<Server>,
}

/// What a process that stays has besides.
struct Server {
    // Ends first: what it leaves in the file the other one takes in.
    recorder: Recorder,
    flusher: Flusher,
}

impl SqlState {
    /// Makes the tables, or brings them to the schema of today.
    ///
    /// # Errors
    /// When the database cannot be reached or does not take them, with what its administrator has to do.
    pub async fn create(url: &SqlUrl) -> Result<(), StateError> {
        sql::create(url, &SCHEMA).await.map_err(|error| failed(url, "cannot be made", &error))
    }

    /// Opens the State. Nothing is connected before something is asked.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn open(options: StateOptions, url: &SqlUrl) -> Result<Self, StateError> {
        let StateOptions { directory, mode, keep_days, clock, node, spool_octets } = options;
        let counters = Arc::new(Counters::default());
        let connections = match mode {
            Mode::OneShot => 2,
            Mode::Server => 10,
        };
        let pool = Pool::new(url.clone(), SCHEMA, limits(connections));
        let server = match mode {
            Mode::OneShot => None,
            Mode::Server => Some(Server::start(&directory, url, spool_octets, &counters)?),
        };
        let shared = Shared {
            pool,
            node,
            directory,
            clock,
            keep: Duration::from_secs(u64::from(keep_days) * 24 * 3600),
            blocking: mode.blocking(),
            spool_octets,
            released: Notify::new(),
            has_released: AtomicBool::new(false),
            counters,
            server,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Server {
    fn start(
        directory: &std::path::Path,
        url: &SqlUrl,
        spool_octets: u64,
        counters: &Arc<Counters>,
    ) -> Result<Self, StateError> {
        let no_thread = |error| failed(url, "cannot keep receipts in a thread", &error);
        let flusher = Flusher::start(directory.to_owned(), url.clone()).map_err(no_thread)?;
        let (news, directory) = (flusher.news(), directory.to_owned());
        let lost = Arc::clone(counters);
        let recorder = Recorder::start(Arc::clone(counters), move |queue| {
            flusher::spool_batches(queue, &directory, spool_octets, (&news, &lost));
        });
        Ok(Self { recorder: recorder.map_err(no_thread)?, flusher })
    }

    fn close(&self) {
        self.recorder.close();
        self.flusher.close();
    }
}

/// The error for a database.
fn failed(url: &SqlUrl, tried: &str, why: &dyn Display) -> StateError {
    StateError { what: format!("in {url} {tried}: {why}"), source: None }
}

/// Ends a transaction as its work ended.
async fn finish<T>(session: Session, worked: Result<T, SqlError>) -> Result<T, SqlError> {
    match worked {
        Ok(value) => session.commit().await.map(|()| value),
        Err(error) => {
            // A connection that cannot even do this is closed, with the same effect.
            drop(session.rollback().await);
            Err(error)
        }
    }
}

/// Tries a transaction again that others were in the way of.
async fn again_on_conflict<T, F>(mut attempt: impl FnMut() -> F + Send) -> Result<T, SqlError>
where
    F: Future<Output = Result<T, SqlError>> + Send,
{
    let mut tries = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_conflict() && tries < ATTEMPTS => {
                // Not all at once again.
                let random = u32::try_from(uuid::Uuid::now_v7().as_u128() % 20).unwrap_or(10);
                tokio::time::sleep(Duration::from_millis(5) * tries + Duration::from_millis(1) * random)
                    .await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}

impl Shared {
    fn failed(&self, tried: &str, why: &dyn Display) -> StateError {
        failed(self.pool.url(), tried, why)
    }

    /// Says that something was released.
    fn wake(&self) {
        self.has_released.store(true, Ordering::Release);
        self.released.notify_one();
    }

    /// Brings the receipts of this process into the database, as far as that is quickly done.
    async fn flush(self: &Arc<Self>) {
        let Some(server) = &self.server else {
            let taken = receipts::take_in(&self.pool, &self.directory, &|_| {});
            // Where they are too many to wait for, the server goes on with them.
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, taken).await {
                tracing::warn!("receipts wait in {}: {error}", self.directory.display());
            }
            return;
        };
        let shared = Arc::clone(self);
        let spool = move || shared.server.iter().for_each(|server| server.recorder.flush());
        // A process that ends refuses the work.
        if self.blocking.run(spool).await.is_ok() {
            server.flusher.flushed(PATIENCE).await;
        }
    }
}

#[async_trait]
impl State for SqlState {
    async fn recall(
        &self,
        account: &str,
        service: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        let shared = &self.shared;
        let recalled = memory::recall(&shared.pool, [account, service, key], now).await;
        recalled.map_err(|error| shared.failed("cannot be read", &error))
    }

    async fn stage(&self, entries: Vec<OutboxEntry>, now: Timestamp) -> Result<(), StateError> {
        if entries.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let staged = outbox::stage(&shared.pool, shared.blocking, &entries, now).await;
        staged.map_err(|error| shared.failed("cannot keep outgoing mail", &error))
    }

    async fn commit(&self, changes: StateChanges, now: Timestamp) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let committed = memory::commit(&shared.pool, &changes, now).await;
        if committed.map_err(|error| shared.failed("cannot be written", &error))? {
            shared.wake();
        }
        Ok(())
    }

    async fn finished(&self, keys: &[String]) -> Result<Vec<String>, StateError> {
        let finished = memory::finished(&self.shared.pool, keys);
        match tokio::time::timeout(REMEMBERING, finished).await {
            Ok(finished) => finished.map_err(|error| self.shared.failed("cannot be read", &error)),
            Err(_) => Err(self.shared.failed("cannot be read", &format!("no answer within {REMEMBERING:?}"))),
        }
    }

    fn record(&self, receipts: &[Arc<Receipt>]) {
        if receipts.is_empty() {
            return;
        }
        let shared = &self.shared;
        shared.counters.count(receipts);
        match &shared.server {
            Some(server) => server.recorder.record(receipts),
            None => {
                flusher::spool_batch(&shared.directory, receipts, shared.spool_octets, &shared.counters);
            }
        }
    }

    async fn receipts(&self, query: &ReceiptQuery) -> Result<Vec<Receipt>, StateError> {
        self.shared.flush().await;
        let found = receipts::find(&self.shared.pool, query).await;
        found.map_err(|error| self.shared.failed("cannot read receipts", &error))
    }
}

#[async_trait]
impl NodeState for SqlState {
    fn place(&self) -> String {
        self.shared.pool.url().to_string()
    }

    fn schema(&self) -> u32 {
        u32::try_from(SCHEMA.migrations.len()).unwrap_or(u32::MAX)
    }

    fn tally(&self) -> Tally {
        let server = self.shared.server.as_ref();
        let waiting = server.map_or(0, |server| server.recorder.waiting() + server.flusher.waiting());
        self.shared.counters.tally(waiting)
    }

    async fn finish(&self) {
        let shared = Arc::clone(&self.shared);
        let close = move || shared.server.iter().for_each(Server::close);
        // Closing waits for the disk and the database.
        if tokio::task::spawn_blocking(close).await.is_err() {
            tracing::error!("the State could not be closed in order");
        }
        if let Ok(octets @ 1..) = spool::octets(&self.shared.directory) {
            tracing::warn!(
                "{octets} octets of receipts wait for the next start: the database did not take them"
            );
        }
    }
}
