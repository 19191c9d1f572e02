//! The durable database: readers side by side, and one writer whose callers share transactions.
//!
//! A commit costs a sync of the disk. Callers that come while one is under way wait together and are then
//! served by the next, so that many deliveries need few syncs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pigeon_core::ports::state::StateError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::connection::{self, STATE, WorkError, WorkResult};
use crate::blocking::Blocking;
use crate::state::Mode;

/// Callers served by one transaction at most.
const MAX_GROUP: usize = 256;
/// Connections for reading that are kept open.
const MAX_IDLE_READERS: usize = 4;

/// The database `state.sqlite`.
pub(crate) struct Database {
    directory: PathBuf,
    blocking: Blocking,
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
}

enum Writer {
    /// Opened when it is first needed, used by the caller itself.
    Inline(Mutex<Option<Connection>>),
    Thread(Mutex<Option<WriterThread>>),
}

struct WriterThread {
    jobs: Sender<Box<dyn Job>>,
    handle: JoinHandle<()>,
}

impl Database {
    pub(super) fn open(directory: PathBuf, mode: Mode) -> Result<Self, StateError> {
        let writer = match mode {
            Mode::OneShot => Writer::Inline(Mutex::new(None)),
            Mode::Server => {
                let connection = connection::open(&directory, STATE)?;
                let (jobs, waiting) = channel();
                let handle = std::thread::Builder::new()
                    .name("state-writer".into())
                    .spawn(move || serve(connection, &waiting))
                    .map_err(|error| {
                        failed(&directory, "cannot be served by a thread", &error.to_string())
                    })?;
                Writer::Thread(Mutex::new(Some(WriterThread { jobs, handle })))
            }
        };
        Ok(Self { directory, blocking: mode.blocking(), readers: Mutex::default(), writer })
    }

    /// The state directory.
    pub(crate) fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Where blocking work of this process runs.
    pub(crate) fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// Reads; `tried` ends the sentence "the State … cannot be read".
    pub(crate) async fn read<T, F>(self: &Arc<Self>, tried: &'static str, work: F) -> Result<T, StateError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
    {
        let database = Arc::clone(self);
        let result = self.blocking.run(move || database.read_here(tried, work)).await;
        result.unwrap_or_else(|error| Err(failed(&self.directory, tried, &error.to_string())))
    }

    fn read_here<T>(
        &self,
        tried: &str,
        work: impl FnOnce(&Connection) -> WorkResult<T>,
    ) -> Result<T, StateError> {
        if let Writer::Inline(slot) = &self.writer {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            return work(self.opened(&mut slot)?).map_err(|error| self.error(error, tried));
        }
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::open(&self.directory, STATE)?,
        };
        let result = work(&connection).map_err(|error| self.error(error, tried));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < MAX_IDLE_READERS {
            readers.push(connection);
        }
        result
    }

    /// Writes in a transaction, durable when this returns; others may share the transaction, not the fate.
    pub(crate) async fn write<T, F>(self: &Arc<Self>, tried: &'static str, work: F) -> Result<T, StateError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> WorkResult<T> + Send + 'static,
    {
        match &self.writer {
            Writer::Inline(slot) => {
                let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                write_alone(self.opened(&mut slot)?, work).map_err(|error| self.error(error, tried))
            }
            Writer::Thread(thread) => {
                let (answer, answered) = oneshot::channel();
                let job = Box::new(TypedJob { work: Some(work), result: None, answer });
                let stopped = || self.error(WorkError::Other("the process is shutting down".into()), tried);
                thread
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .and_then(|thread| thread.jobs.send(job).ok())
                    .ok_or_else(stopped)?;
                answered.await.map_err(|_| stopped())?.map_err(|error| self.error(error, tried))
            }
        }
    }

    fn opened<'a>(&self, slot: &'a mut Option<Connection>) -> Result<&'a mut Connection, StateError> {
        if slot.is_none() {
            *slot = Some(connection::open(&self.directory, STATE)?);
        }
        slot.as_mut().ok_or_else(|| failed(&self.directory, "cannot be opened", "it is in use"))
    }

    fn error(&self, error: WorkError, tried: &str) -> StateError {
        error.into_state_error(&self.directory.join(STATE.file), tried)
    }

    /// Waits for what is being written; later writes fail.
    pub(super) fn close(&self) {
        if let Writer::Thread(thread) = &self.writer
            && let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            drop(thread.jobs);
            if thread.handle.join().is_err() {
                tracing::error!("the thread that writes the State died");
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
    }
}

/// The error for a state directory.
pub(crate) fn failed(directory: &std::path::Path, tried: &str, why: &str) -> StateError {
    StateError { what: format!("in {} {tried}: {why}", directory.display()), source: None }
}

fn write_alone<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> WorkResult<T>,
) -> WorkResult<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Work that waits for a transaction, and a caller that waits for the work.
trait Job: Send {
    /// Does the work; false when it failed and must be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller, once the transaction was committed or failed as a whole.
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct TypedJob<T, F> {
    work: Option<F>,
    result: Option<WorkResult<T>>,
    answer: oneshot::Sender<WorkResult<T>>,
}

impl<T, F> Job for TypedJob<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> WorkResult<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let result = match (self.result, failure) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(why)) => Err(WorkError::Other(why.to_owned())),
            (Some(done), None) => done,
            (None, None) => Err(WorkError::Other("the work was not begun".into())),
        };
        // A caller that no longer waits wants no answer.
        drop(self.answer.send(result));
    }
}

fn serve(mut connection: Connection, jobs: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(MAX_GROUP - 1));
        let failure = run_group(&mut connection, &mut group).err().map(|error| error.to_string());
        for job in group {
            job.answer(failure.as_deref());
        }
    }
}

fn run_group(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        // One that fails is undone alone: dropping a savepoint rolls back to it.
        let savepoint = transaction.savepoint()?;
        if job.run(&savepoint) {
            savepoint.commit()?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(key: &'static str) -> impl FnOnce(&Connection) -> WorkResult<()> + Send + 'static {
        move |connection| {
            connection.execute("INSERT INTO finished (key, at) VALUES (?1, 0)", [key])?;
            Ok(())
        }
    }

    async fn count(database: &Arc<Database>) -> i64 {
        let work = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM finished", [], |row| row.get(0))?)
        };
        database.read("cannot be read", work).await.unwrap()
    }

    #[tokio::test]
    async fn one_that_fails_does_not_undo_the_others_of_its_group() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [Mode::Server, Mode::OneShot] {
            let database = Arc::new(Database::open(directory.path().to_owned(), mode).unwrap());
            database
                .write("cannot be emptied", |c| Ok(c.execute("DELETE FROM finished", [])?))
                .await
                .unwrap();
            let (first, twin, other) = tokio::join!(
                database.write("cannot be written", insert("a")),
                database.write("cannot be written", insert("a")),
                database.write("cannot be written", insert("b")),
            );
            assert!(first.is_ok() && other.is_ok());
            let error = twin.unwrap_err().to_string();
            assert!(error.contains("state.sqlite cannot be written: UNIQUE"), "{error}");
            assert_eq!(count(&database).await, 2);
        }
    }

    #[tokio::test]
    async fn a_closed_one_refuses_writes() {
        let directory = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(directory.path().to_owned(), Mode::Server).unwrap());
        database.close();
        let error = database.write("cannot be written", insert("a")).await.unwrap_err();
        assert!(error.to_string().contains("shutting down"), "{error}");
    }
}
