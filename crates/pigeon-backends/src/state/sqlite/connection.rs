//! Opening a database file: its mode, its settings and its schema.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use pigeon_core::ports::state::StateError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How long a statement waits for other processes.
const BUSY: Duration = Duration::from_secs(15);

/// One of the database files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Its name in the state directory.
    pub(super) file: &'static str,
    /// `FULL`: a commit survives a loss of power. `NORMAL`: it survives a crash of the process.
    synchronous: &'static str,
    /// Pages of the log before it is copied into the file.
    checkpoint_pages: u32,
    /// Steps from an empty file to the schema of today; only ever appended to.
    migrations: &'static [&'static str],
}

/// Memory, finished branches and the outbox: durable when a commit returns.
pub(super) const STATE: Kind = Kind {
    file: "state.sqlite",
    synchronous: "FULL",
    checkpoint_pages: 1000,
    migrations: &[include_str!("migrations/state_0001_initial.sql")],
};

/// Receipts and the registry of nodes, apart from the rest so that their bulk neither blocks nor slows a durable
/// commit.
pub(super) const RECEIPTS: Kind = Kind {
    file: "receipts.sqlite",
    synchronous: "NORMAL",
    checkpoint_pages: 4000,
    migrations: &[
        include_str!("migrations/receipts_0001_initial.sql"),
        include_str!("migrations/receipts_0002_nodes.sql"),
    ],
};

impl Kind {
    /// The version of its schema of today.
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.migrations.len()).unwrap_or(u32::MAX)
    }
}

/// Why work on a database failed.
#[derive(Debug)]
pub(crate) enum WorkError {
    /// The database said so.
    Sqlite(rusqlite::Error),
    /// A sentence for operators.
    Other(String),
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl std::fmt::Display for WorkError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(formatter),
            Self::Other(what) => formatter.write_str(what),
        }
    }
}

/// What work on a database gives.
pub(crate) type WorkResult<T> = Result<T, WorkError>;

impl WorkError {
    /// The error of the port, with the place and what was tried.
    pub(super) fn into_state_error(self, path: &Path, tried: &str) -> StateError {
        let what = format!("in {} {tried}: {self}", path.display());
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = match self {
            Self::Sqlite(error) => Some(Box::new(error)),
            Self::Other(_) => None,
        };
        StateError { what, source }
    }
}

/// Opens the file of that kind in the state directory, made and brought to the schema of today where needed.
pub(super) fn open(directory: &Path, kind: Kind) -> Result<Connection, StateError> {
    let path = directory.join(kind.file);
    let tried = "cannot be opened";
    create(&path).map_err(|error| StateError {
        what: format!("in {} {tried}: {error}", path.display()),
        source: Some(Box::new(error)),
    })?;
    connect(&path, kind).map_err(|error| error.into_state_error(&path, tried))
}

/// Mail is private: nobody but the mail user reads it. SQLite gives its other files the mode of this one.
fn create(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

/// The page cache of a connection: negative means KiB. Pages that fall out of it are still in the system's.
const CACHE_KIB: i64 = -1024;

fn connect(path: &Path, kind: Kind) -> WorkResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(24);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(WorkError::Other(format!("the journal mode is {mode}, not wal: is this a local disk?")));
    }
    connection.pragma_update(None, "synchronous", kind.synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", kind.checkpoint_pages)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(&mut connection, kind.migrations)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map(|version| version as usize)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> WorkResult<()> {
    if version(connection)? == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > migrations.len() {
        let known = migrations.len();
        return Err(WorkError::Other(format!(
            "its schema has version {found}, this program knows {known}: a newer PigeonDeliver used it"
        )));
    }
    for migration in migrations.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_brought_to_the_schema_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        for kind in [STATE, RECEIPTS] {
            drop(open(directory.path(), kind).unwrap());
            let connection = open(directory.path(), kind).unwrap();
            assert_eq!(version(&connection).unwrap(), kind.migrations.len());
            let mode = std::fs::metadata(directory.path().join(kind.file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), STATE).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open(directory.path(), STATE).unwrap_err();
        assert!(error.to_string().contains("newer PigeonDeliver"), "{error}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = open(Path::new("/nonexistent/state"), STATE).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/state/state.sqlite"), "{error}");
    }
}
