//! Service memory and finished branches.

use std::time::Duration;

use pigeon_core::ports::state::StateChanges;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::connection::WorkResult;

/// MTAs try for five days; a finished branch is remembered well beyond that.
const FINISHED: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is remembered under account, service and key, unless it has expired.
pub(super) fn recall(
    connection: &Connection,
    what: &[String; 3],
    now: Timestamp,
) -> WorkResult<Option<String>> {
    let [account, service, key] = what;
    let mut statement = connection.prepare_cached(
        "SELECT value FROM memory WHERE account = ?1 AND service = ?2 AND key = ?3 AND expires > ?4",
    )?;
    Ok(statement.query_row(params![account, service, key, now.micros()], |row| row.get(0)).optional()?)
}

/// Keeps memories and finished branches.
pub(super) fn remember(connection: &Connection, changes: &StateChanges, now: Timestamp) -> WorkResult<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO memory (account, service, key, value, expires) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, service, key) DO UPDATE SET value = excluded.value, expires = excluded.expires",
    )?;
    for memory in &changes.memories {
        let expires = memory.expires.micros();
        statement.execute(params![memory.account, memory.service, memory.key, memory.value, expires])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO finished (key, at) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET at = excluded.at",
    )?;
    for key in &changes.finished {
        statement.execute(params![key, now.micros()])?;
    }
    Ok(())
}

/// Those of these branches that are finished.
pub(super) fn finished(connection: &Connection, keys: Vec<String>) -> WorkResult<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM finished WHERE key = ?1")?;
    let mut found = Vec::new();
    for key in keys {
        if statement.exists([&key])? {
            found.push(key);
        }
    }
    Ok(found)
}

/// Forgets what has expired.
pub(super) fn forget(connection: &Connection, now: Timestamp) -> WorkResult<()> {
    connection.execute("DELETE FROM memory WHERE expires <= ?1", [now.micros()])?;
    connection.execute("DELETE FROM finished WHERE at < ?1", [now.minus(FINISHED).micros()])?;
    Ok(())
}
