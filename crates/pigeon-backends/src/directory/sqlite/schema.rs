//! The schema's history: forward-only migrations, embedded, counted by `PRAGMA user_version`.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::super::failure::{Failure, Outcome};

/// Every migration, oldest first; the schema's version is how many of them were run.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_initial.sql")];

/// What was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Made by this version of the program, or by one with the same schema.
    Current,
    /// Made by an older version; it can be migrated.
    Older,
}

/// Compares a file's schema with this program's.
///
/// # Errors
/// The file holds no directory, or one of a newer version.
pub(super) fn standing(connection: &Connection) -> Outcome<Standing> {
    match (version(connection)?, MIGRATIONS.len()) {
        (0, _) => Err(refuse("is not set up: run \"pigeon init\" first")),
        (found, known) if found == known => Ok(Standing::Current),
        (found, known) if found < known => Ok(Standing::Older),
        (found, known) => Err(too_new(found, known)),
    }
}

/// Brings a file to the current schema; safe when several processes do so at once.
pub(super) fn migrate(connection: &mut Connection) -> Outcome<()> {
    migrate_with(connection, MIGRATIONS)
}

fn migrate_with(connection: &mut Connection, migrations: &[&str]) -> Outcome<()> {
    use_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let found = version(&transaction)?;
    if found > migrations.len() {
        return Err(too_new(found, migrations.len()));
    }
    for migration in migrations.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(migrations.len()).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}

/// Switches to the write-ahead log. SQLite does not wait for other processes here, so this does.
fn use_wal(connection: &Connection) -> Outcome<()> {
    const TRIES: u32 = 500;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 1..TRIES {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
            {
                std::thread::sleep(PAUSE);
            }
            other => return Ok(other?),
        }
    }
    Ok(connection.pragma_update(None, "journal_mode", "wal")?)
}

fn version(connection: &Connection) -> Outcome<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(version).map_err(|_| refuse("is not a directory of PigeonDeliver"))
}

fn too_new(found: usize, known: usize) -> Failure {
    refuse(&format!(
        "was made by a newer version of PigeonDeliver (schema {found}, this one knows {known}): update this node"
    ))
}

fn refuse(what: &str) -> Failure {
    Failure::Unusable(what.to_owned())
}

/// Creates the file, readable by its owner and group alone, for it holds password hashes.
///
/// # Errors
/// What the system said.
pub(super) fn create_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &[&str] = &["CREATE TABLE one (x)", "ALTER TABLE one ADD COLUMN y; CREATE TABLE two (x)"];

    #[test]
    fn older_files_are_migrated_once_by_whoever_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.sqlite");
        migrate_with(&mut Connection::open(&path).unwrap(), &NEXT[..1]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| migrate_with(&mut Connection::open(&path).unwrap(), NEXT).unwrap());
            }
        });
        let connection = Connection::open(&path).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        connection.execute("INSERT INTO one (x, y) VALUES (1, 2)", []).unwrap();
    }

    #[test]
    fn eight_processes_may_create_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.sqlite");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    create_file(&path).unwrap();
                    migrate(&mut Connection::open(&path).unwrap()).unwrap();
                });
            }
        });
        assert_eq!(standing(&Connection::open(&path).unwrap()).unwrap(), Standing::Current);
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(matches!(standing(&connection), Err(Failure::Unusable(_))));
        connection.pragma_update(None, "user_version", 99).unwrap();
        for result in [standing(&connection).map(drop), migrate(&mut connection)] {
            let Err(Failure::Unusable(what)) = result else { panic!("a newer schema was taken") };
            assert!(what.contains("newer version"), "{what}");
        }
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("directory.sqlite")).unwrap();
        assert!(migrate_with(&mut connection, &["CREATE TABLE one (x)", "CREATE TABEL two"]).is_err());
        assert_eq!(version(&connection).unwrap(), 0);
        assert!(connection.prepare("SELECT * FROM one").is_err());
    }
}
