//! State in SQLite files: `state.sqlite` (memory, finished branches, outbox rows) and `receipts.sqlite`.
//!
//! Two files, because their promises differ: what is committed to the first must survive a loss of power and
//! somebody waits for it; receipts come in bulk, nobody waits for them, and their writing must not be in the
//! way of a commit.

mod connection;
mod database;
mod memory;
mod nodes;
mod outbox;
mod receipts;
mod recorder;
mod store;

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

use self::connection::RECEIPTS;
use self::database::{Database, failed};
use self::outbox::NewEntry;
use self::recorder::Keeping;
use super::counters::{Counters, Tally};
use super::queue::Recorder;
use super::{Mode, NodeState, StateOptions, spool};
use crate::outbox::OutboxStatus;
use crate::outbox::content::{self, Content};

/// State in a directory on a local disk.
pub struct SqliteState {
    shared: Arc<Shared>,
}

/// What the ports of the State use together.
struct Shared {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    /// Wakes the outbox of this process when entries were released.
    released: Notify,
    /// Whether this process released any.
    has_released: AtomicBool,
    keep: Duration,
    counters: Arc<Counters>,
    recorder: Option<Recorder>,
}

impl SqliteState {
    /// Opens the State. A server makes its files and starts its threads now; a process for one message does
    /// nothing yet.
    ///
    /// # Errors
    /// When a file cannot be made, opened or brought to the schema of today.
    pub fn open(options: StateOptions) -> Result<Self, StateError> {
        let StateOptions { directory, mode, keep_days, clock, .. } = options;
        let keep = Duration::from_secs(u64::from(keep_days) * 24 * 3600);
        let counters = Arc::new(Counters::default());
        let recorder = match mode {
            Mode::OneShot => None,
            Mode::Server => {
                let (directory, clock) = (directory.clone(), Arc::clone(&clock));
                Some(recorder::start(Keeping { directory, clock, keep }, Arc::clone(&counters))?)
            }
        };
        let database = Arc::new(Database::open(directory, mode)?);
        let shared = Shared {
            database,
            clock,
            released: Notify::new(),
            has_released: AtomicBool::new(false),
            keep,
            counters,
            recorder,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps the receipts recorded so far and finishes writes under way; later writes fail. Blocks for as long
    /// as that takes.
    pub fn close(&self) {
        self.shared.close();
    }
}

#[async_trait]
impl NodeState for SqliteState {
    fn place(&self) -> String {
        self.shared.database.directory().display().to_string()
    }

    fn schema(&self) -> u32 {
        connection::STATE.version()
    }

    fn tally(&self) -> Tally {
        let waiting = self.shared.recorder.as_ref().map_or(0, Recorder::waiting);
        self.shared.counters.tally(waiting)
    }

    async fn finish(&self) {
        let shared = Arc::clone(&self.shared);
        // Closing waits for the disk.
        if tokio::task::spawn_blocking(move || shared.close()).await.is_err() {
            tracing::error!("the State could not be closed in order");
        }
    }
}

impl Shared {
    fn close(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.close();
        }
        self.database.close();
    }

    async fn tidy(&self) -> Result<(), StateError> {
        let now = self.clock.now();
        let forget = move |connection: &rusqlite::Connection| {
            memory::forget(connection, now)?;
            outbox::forget(connection, now)
        };
        let mut unneeded = self.database.write("cannot be tidied", forget).await?;
        let directory = self.database.directory().to_owned();
        let old = self.blocking("cannot be tidied", move || Ok(content::old_files(&directory, now))).await?;
        if !old.is_empty() {
            let orphans = move |connection: &rusqlite::Connection| outbox::orphans(connection, &old);
            unneeded.extend(self.database.read("cannot be tidied", orphans).await?);
        }
        self.remove_files(unneeded).await;
        if self.recorder.is_none() {
            self.tidy_receipts(now).await?;
        }
        Ok(())
    }

    /// What the receipts' own thread does in a server.
    async fn tidy_receipts(&self, now: Timestamp) -> Result<(), StateError> {
        let (directory, before) = (self.database.directory().to_owned(), now.minus(self.keep));
        let prune = move || {
            let mut connection = connection::open(&directory, RECEIPTS)?;
            let error = |why: String| failed(&directory, "cannot be tidied", &why);
            receipts::take_in(&directory, &mut connection, now).map_err(|why| error(why.to_string()))?;
            while receipts::prune(&mut connection, before, 1000).map_err(|why| error(why.to_string()))? > 0 {}
            Ok(())
        };
        self.blocking("cannot be tidied", prune).await
    }

    /// Deletes contents that no row needs.
    async fn remove_files(&self, files: Vec<String>) {
        if files.is_empty() {
            return;
        }
        let directory = self.database.directory().to_owned();
        let remove = move || {
            files.iter().for_each(|file| content::remove(&directory, file));
            Ok(())
        };
        if let Err(error) = self.blocking("cannot be tidied", remove).await {
            tracing::warn!("contents are left over: {error}");
        }
    }

    /// Runs blocking work where this process does such work.
    async fn blocking<T, F>(&self, tried: &'static str, work: F) -> Result<T, StateError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StateError> + Send + 'static,
    {
        let result = self.database.blocking().run(work).await;
        result.unwrap_or_else(|error| Err(failed(self.database.directory(), tried, &error.to_string())))
    }

    /// Writes contents durably.
    async fn write_contents(
        &self,
        entries: Vec<OutboxEntry>,
        now: Timestamp,
    ) -> Result<Vec<NewEntry>, StateError> {
        let directory: PathBuf = self.database.directory().to_owned();
        let tried = "cannot keep outgoing mail";
        let write = move || {
            let contents: Vec<_> = entries.iter().map(|entry| &entry.content).collect();
            let written = content::write_all(&directory, &contents, now)
                .map_err(|error| failed(&directory.join("outbox"), tried, &error.to_string()))?;
            Ok(entries.into_iter().zip(written).map(new_entry).collect())
        };
        self.blocking(tried, write).await
    }

    async fn stage(&self, mut entries: Vec<OutboxEntry>, now: Timestamp) -> Result<(), StateError> {
        let tried = "cannot keep outgoing mail";
        let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let known = self.database.read(tried, move |connection| outbox::known(connection, &keys)).await?;
        // A retry of the MTA: nothing is written twice.
        entries.retain(|entry| !known.contains(&entry.key));
        let new = if entries.is_empty() { Vec::new() } else { self.write_contents(entries, now).await? };
        let insert = move |connection: &rusqlite::Connection| {
            outbox::touch(connection, &known, now)?;
            let mut lost = Vec::new();
            for entry in new {
                if !outbox::insert(connection, &entry, OutboxStatus::Held, now)? {
                    lost.push(entry.content.file);
                }
            }
            outbox::orphans(connection, &lost)
        };
        let unneeded = self.database.write(tried, insert).await?;
        self.remove_files(unneeded).await;
        Ok(())
    }
}

fn new_entry((entry, content): (OutboxEntry, Content)) -> NewEntry {
    let OutboxEntry { key, on_behalf_of, sender, recipient, .. } = entry;
    NewEntry { key, on_behalf_of, sender, recipient, content }
}

#[async_trait]
impl State for SqliteState {
    async fn recall(
        &self,
        account: &str,
        service: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        let what = [account.to_owned(), service.to_owned(), key.to_owned()];
        let recall = move |connection: &rusqlite::Connection| memory::recall(connection, &what, now);
        self.shared.database.read("cannot be read", recall).await
    }

    async fn stage(&self, entries: Vec<OutboxEntry>, now: Timestamp) -> Result<(), StateError> {
        if entries.is_empty() { Ok(()) } else { self.shared.stage(entries, now).await }
    }

    async fn commit(&self, changes: StateChanges, now: Timestamp) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        let commit = move |connection: &rusqlite::Connection| {
            memory::remember(connection, &changes, now)?;
            let mut is_any_ready = false;
            for key in &changes.released {
                is_any_ready |= outbox::release(connection, key, now)?;
            }
            Ok(is_any_ready)
        };
        if self.shared.database.write("cannot be written", commit).await? {
            self.shared.has_released.store(true, Ordering::Release);
            self.shared.released.notify_one();
        }
        Ok(())
    }

    async fn finished(&self, keys: &[String]) -> Result<Vec<String>, StateError> {
        let keys = keys.to_vec();
        let finished = move |connection: &rusqlite::Connection| memory::finished(connection, keys);
        self.shared.database.read("cannot be read", finished).await
    }

    fn record(&self, receipts: &[Arc<Receipt>]) {
        if receipts.is_empty() {
            return;
        }
        self.shared.counters.count(receipts);
        if let Some(recorder) = &self.shared.recorder {
            recorder.record(receipts);
        } else if let Err(error) = spool::append(self.shared.database.directory(), receipts, None) {
            let directory = self.shared.database.directory().display();
            tracing::error!("the receipts cannot be kept in {directory}: {error}");
        }
    }

    async fn receipts(&self, query: &ReceiptQuery) -> Result<Vec<Receipt>, StateError> {
        let (shared, query) = (Arc::clone(&self.shared), query.clone());
        let find = move || {
            if let Some(recorder) = &shared.recorder {
                recorder.flush();
            }
            let directory = shared.database.directory();
            let mut connection = connection::open(directory, RECEIPTS)?;
            let error = |why: String| failed(directory, "cannot read receipts", &why);
            receipts::take_in(directory, &mut connection, shared.clock.now())
                .map_err(|why| error(why.to_string()))?;
            receipts::find(&connection, &query).map_err(|why| error(why.to_string()))
        };
        self.shared.blocking("cannot read receipts", find).await
    }
}
