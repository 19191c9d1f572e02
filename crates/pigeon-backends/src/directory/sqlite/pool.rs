//! Connections that are kept open: a few for reading, one for writing, opened when first needed.
//!
//! The connection used last is used next: its cache is warm, and a quiet server needs but one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pigeon_core::ports::directory::DirectoryError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::super::failure::{Failure, Outcome};
use super::feed::Seen;
use crate::blocking::Blocking;

/// How long a connection waits for another process' lock.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// How many prepared statements a connection keeps.
const KEPT_STATEMENTS: usize = 24;
/// The page cache of a reading connection: negative means KiB.
const READ_CACHE_KIB: i64 = -512;
/// The write-ahead log is cut back to this many octets after a checkpoint.
const LOG_OCTETS: i64 = 16 << 20;

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Look-ups: never writes, closes without any work.
    Reading,
    /// Changes, durable when committed.
    Writing,
}

/// Opens a connection; reads nothing yet.
pub(super) fn open(path: &Path, purpose: Use) -> Outcome<Connection> {
    let mode = match purpose {
        Use::Reading => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Use::Writing => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    // A connection is used by one thread at a time: it needs no lock of its own.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
    match purpose {
        // A process that delivers one message must not tidy up the log when it ends.
        Use::Reading => {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // Pages that fall out of it are still in the system's cache; plans are kept above.
            connection.pragma_update(None, "cache_size", READ_CACHE_KIB)?;
        }
        Use::Writing => {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update_and_check(None, "journal_size_limit", LOG_OCTETS, |_| Ok(()))?;
        }
    }
    Ok(connection)
}

/// Device and inode: tells a file from another one that took its name.
type FileId = (u64, u64);

/// An open connection and what belongs to it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Connection,
    /// What the change feed saw last on this connection: SQLite's counter means nothing on another one.
    pub(super) seen: Option<Seen>,
    file: FileId,
}

/// Connections to one file for one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    purpose: Use,
    idle: Mutex<Vec<Held>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// At most `limit` connections; opens none yet.
    pub(super) fn new(path: &Path, purpose: Use, limit: usize) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limit));
        Arc::new(Self { path: path.to_owned(), purpose, idle: Mutex::default(), permits })
    }

    /// Does `work` with a connection. After an error of the database the connection is not used again.
    pub(super) async fn run<T, F>(self: &Arc<Self>, blocking: Blocking, work: F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Held) -> Outcome<T> + Send + 'static,
    {
        let unavailable = |source: Box<dyn std::error::Error + Send + Sync>| DirectoryError::Unavailable {
            what: format!("{} was not asked", self.path.display()),
            source: Some(source),
        };
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|error| unavailable(Box::new(error)))?;
        let pool = Arc::clone(self);
        let done = blocking.run(move || {
            let _permit = permit;
            pool.run_here(work)
        });
        done.await.map_err(|error| unavailable(Box::new(error)))?
    }

    /// The same on this thread, without waiting for other users of the pool.
    pub(super) fn run_here<T>(
        &self,
        work: impl FnOnce(&mut Held) -> Outcome<T>,
    ) -> Result<T, DirectoryError> {
        let mut held = self.take().map_err(|failure| failure.at(self.path.display()))?;
        let result = work(&mut held);
        if matches!(result, Ok(_) | Err(Failure::Refused(_))) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        }
        result.map_err(|failure| failure.at(self.path.display()))
    }

    fn take(&self) -> Outcome<Held> {
        // An open connection would go on answering from a file that was deleted or replaced.
        let found = std::fs::metadata(&self.path);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.map_err(|error| {
            idle.clear();
            Failure::Unusable(format!("cannot be opened: {error}"))
        })?;
        let file = (found.dev(), found.ino());
        idle.retain(|held| held.file == file);
        if let Some(kept) = idle.pop() {
            return Ok(kept);
        }
        drop(idle);
        Ok(Held { connection: open(&self.path, self.purpose)?, seen: None, file })
    }
}

impl Drop for Pool {
    /// Moves what was written from the log into the database, so that processes that come later (one for each
    /// message, where there is no server) open it without reading the log.
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let (Use::Writing, Some(held)) = (self.purpose, idle.last()) {
            // Somebody else at work on the database is no error: theirs is the last word then.
            drop(held.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        }
    }
}

/// Does `work` in one read transaction: everything it reads is of one moment.
pub(super) fn read<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Outcome<T>,
) -> Outcome<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = work(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

/// Does `work` as if alone: nobody else writes meanwhile. Nothing of it remains after an error.
pub(super) fn write<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Outcome<T>,
) -> Outcome<T> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result = work(connection);
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match connection.prepare_cached(end)?.execute([]) {
        // A connection whose transaction is still open is not used again: that of the error is the right word.
        Err(error) if result.is_ok() => Err(error.into()),
        _ => result,
    }
}
