//! The rows of the outbox: every change of an entry's status is one of these functions, in one transaction.
//!
//! ```text
//! stage → held → commit → ready → lease → sending → sent | ready (again) | failed
//! ```

use std::collections::HashSet;
use std::time::Duration;

use pigeon_core::address::ReversePath;
use pigeon_core::ports::state::Destination;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::connection::{WorkError, WorkResult};
use crate::outbox::content::Content;
use crate::outbox::{Leased, OutboxRecord, OutboxStatus};

/// Held entries that no retry of the MTA released for so long are given up.
const HELD: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long a key is remembered after its entry ended.
const TOMBSTONE: Duration = Duration::from_secs(30 * 24 * 3600);
const COLUMNS: &str = "id, key, on_behalf_of, sender, recipient, file, octets, is_8bit, status, attempts, \
                       next_attempt, last_error, created";

/// A new entry.
#[derive(Debug, Clone)]
pub(crate) struct NewEntry {
    pub(crate) key: String,
    pub(crate) on_behalf_of: String,
    pub(crate) sender: ReversePath,
    pub(crate) recipient: Destination,
    pub(crate) content: Content,
}

/// How an attempt ended, with the content of a notice written already.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Sent,
    Again { at: Timestamp, error: String },
    Failed { error: String, notice: Option<NewEntry> },
}

/// What a change of an entry leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Whether the entry was in a status that allows the change.
    pub(crate) is_done: bool,
    /// Files that no row needs any more.
    pub(crate) unneeded: Vec<String>,
}

/// Which of these keys have a row.
pub(crate) fn known(connection: &Connection, keys: &[String]) -> WorkResult<HashSet<String>> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM outbox WHERE key = ?1")?;
    let mut found = HashSet::new();
    for key in keys {
        if statement.exists([key])? {
            found.insert(key.clone());
        }
    }
    Ok(found)
}

/// Says that held entries are still wanted: the MTA tried again.
pub(crate) fn touch(connection: &Connection, keys: &HashSet<String>, now: Timestamp) -> WorkResult<()> {
    let mut statement = connection
        .prepare_cached("UPDATE outbox SET created = ?2, changed = ?2 WHERE key = ?1 AND status = 'held'")?;
    for key in keys {
        statement.execute(params![key, now.micros()])?;
    }
    Ok(())
}

/// Inserts an entry unless its key is known; true when it was inserted.
pub(crate) fn insert(
    connection: &Connection,
    entry: &NewEntry,
    status: OutboxStatus,
    now: Timestamp,
) -> WorkResult<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO outbox (key, on_behalf_of, sender, recipient, file, octets, is_8bit, status,
                             next_attempt, created, changed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?9) ON CONFLICT (key) DO NOTHING",
    )?;
    let content = &entry.content;
    let inserted = statement.execute(params![
        entry.key,
        entry.on_behalf_of,
        entry.sender.to_string(),
        entry.recipient.to_string(),
        content.file,
        i64::try_from(content.octets).unwrap_or(i64::MAX),
        content.is_8bit,
        status.word(),
        now.micros()
    ])?;
    Ok(inserted > 0)
}

/// Releases a held entry; true when it may be sent from now on, false when it was released before.
pub(crate) fn release(connection: &Connection, key: &str, now: Timestamp) -> WorkResult<bool> {
    let mut statement = connection.prepare_cached(
        "UPDATE outbox SET status = 'ready', next_attempt = ?2, changed = ?2 WHERE key = ?1 AND status = 'held'",
    )?;
    if statement.execute(params![key, now.micros()])? > 0 {
        return Ok(true);
    }
    if known(connection, &[key.to_owned()])?.is_empty() {
        return Err(WorkError::Other(format!("the outbox entry {key} was never staged, or was given up")));
    }
    Ok(false)
}

/// Whether something waits to be sent now.
pub(crate) fn has_due(connection: &Connection, now: Timestamp) -> WorkResult<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM outbox WHERE status IN ('ready', 'sending') AND next_attempt <= ?1 LIMIT 1",
    )?;
    Ok(statement.exists([now.micros()])?)
}

/// Takes entries that are due, or whose lease ended without an answer, for sending.
pub(crate) fn lease_due(
    connection: &Connection,
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> WorkResult<Vec<Leased>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM outbox WHERE status IN ('ready', 'sending') AND next_attempt <= ?1
         ORDER BY next_attempt LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let ids = statement.query_map(params![now.micros(), limit], |row| row.get(0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<i64>>>()?;
    ids.into_iter().map(|id| lease(connection, id, now, until)).collect()
}

/// Takes those of these entries for sending that are ready, due or not.
pub(crate) fn lease_keys(
    connection: &Connection,
    keys: &[String],
    now: Timestamp,
    until: Timestamp,
) -> WorkResult<Vec<Leased>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM outbox WHERE key = ?1 AND status = 'ready'")?;
    let mut leased = Vec::new();
    for key in keys {
        let id: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
        leased.extend(id.map(|id| lease(connection, id, now, until)).transpose()?);
    }
    Ok(leased)
}

fn lease(connection: &Connection, id: i64, now: Timestamp, until: Timestamp) -> WorkResult<Leased> {
    let lease = uuid::Uuid::now_v7().to_string();
    let sql = format!(
        "UPDATE outbox SET status = 'sending', lease = ?2, next_attempt = ?3, changed = ?4,
                attempts = attempts + 1 WHERE id = ?1 RETURNING {COLUMNS}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let record = statement.query_row(params![id, lease, until.micros(), now.micros()], record)?;
    Ok(Leased { record, lease })
}

/// Makes a lease last longer; false when it was lost.
pub(crate) fn renew(connection: &Connection, id: i64, lease: &str, until: Timestamp) -> WorkResult<bool> {
    let mut statement = connection.prepare_cached(
        "UPDATE outbox SET next_attempt = ?3 WHERE id = ?1 AND status = 'sending' AND lease = ?2",
    )?;
    Ok(statement.execute(params![id, lease, until.micros()])? > 0)
}

/// Writes down how an attempt ended. An acceptance counts even when the lease was lost meanwhile.
pub(crate) fn settle(
    connection: &Connection,
    leased: &Leased,
    ending: &Ending,
    now: Timestamp,
) -> WorkResult<Settled> {
    let (id, lease) = (leased.record.id, leased.lease.as_str());
    let mut settled = Settled::default();
    let changed = match ending {
        Ending::Sent => connection.execute(
            "UPDATE outbox SET status = 'sent', file = NULL, lease = NULL, last_error = '', changed = ?2 \
             WHERE id = ?1 AND status <> 'cancelled'",
            params![id, now.micros()],
        )?,
        Ending::Again { at, error } => connection.execute(
            "UPDATE outbox SET status = 'ready', lease = NULL, next_attempt = ?3, last_error = ?4, changed = ?5 \
             WHERE id = ?1 AND status = 'sending' AND lease = ?2",
            params![id, lease, at.micros(), error, now.micros()],
        )?,
        Ending::Failed { error, notice } => {
            let changed = connection.execute(
                "UPDATE outbox SET status = 'failed', lease = NULL, last_error = ?3, changed = ?4 \
                 WHERE id = ?1 AND status = 'sending' AND lease = ?2",
                params![id, lease, error, now.micros()],
            )?;
            if let Some(notice) = notice
                && !(changed > 0 && insert(connection, notice, OutboxStatus::Ready, now)?)
            {
                settled.unneeded.push(notice.content.file.clone());
            }
            changed
        }
    };
    settled.is_done = changed > 0;
    if matches!(ending, Ending::Sent) {
        settled.unneeded.extend(unneeded(connection, leased.record.file.as_deref())?);
    }
    Ok(settled)
}

/// The file again, if no row needs it.
fn unneeded(connection: &Connection, file: Option<&str>) -> WorkResult<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT 1 FROM outbox WHERE file = ?1")?;
    Ok(if statement.exists([file])? { None } else { Some(file.to_owned()) })
}

/// Those of these files that no row needs.
pub(crate) fn orphans(connection: &Connection, files: &[String]) -> WorkResult<Vec<String>> {
    let orphans: WorkResult<Vec<_>> = files.iter().map(|file| unneeded(connection, Some(file))).collect();
    Ok(orphans?.into_iter().flatten().collect())
}

/// Entries, oldest first; `status` limits them to one.
pub(crate) fn list(
    connection: &Connection,
    status: Option<OutboxStatus>,
    limit: u32,
) -> WorkResult<Vec<OutboxRecord>> {
    let sql =
        format!("SELECT {COLUMNS} FROM outbox WHERE ?1 IS NULL OR status = ?1 ORDER BY created, id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![status.map(OutboxStatus::word), limit], record)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Sends a failed or waiting entry at once, with all its time before it again.
pub(crate) fn retry(connection: &Connection, id: i64, now: Timestamp) -> WorkResult<bool> {
    let changed = connection.execute(
        "UPDATE outbox SET status = 'ready', attempts = 0, next_attempt = ?2, created = ?2, changed = ?2 \
         WHERE id = ?1 AND status IN ('ready', 'failed') AND file IS NOT NULL",
        params![id, now.micros()],
    )?;
    Ok(changed > 0)
}

/// Gives an entry up, unless it is being sent or has ended.
pub(crate) fn cancel(connection: &Connection, id: i64, now: Timestamp) -> WorkResult<Settled> {
    let file: Option<Option<String>> = connection
        .query_row(
            "SELECT file FROM outbox WHERE id = ?1 AND status IN ('held', 'ready', 'failed')",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    let Some(file) = file else { return Ok(Settled::default()) };
    connection.execute(
        "UPDATE outbox SET status = 'cancelled', file = NULL, changed = ?2 WHERE id = ?1",
        params![id, now.micros()],
    )?;
    Ok(Settled { is_done: true, unneeded: unneeded(connection, file.as_deref())?.into_iter().collect() })
}

/// Forgets entries that ended long ago and held ones that nobody asked for again; returns unneeded files.
pub(crate) fn forget(connection: &Connection, now: Timestamp) -> WorkResult<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM outbox WHERE (status = 'held' AND changed < ?1)
            OR (status IN ('sent', 'failed', 'cancelled') AND changed < ?2) RETURNING file",
    )?;
    let moments = params![now.minus(HELD).micros(), now.minus(TOMBSTONE).micros()];
    let files = statement.query_map(moments, |row| row.get(0))?;
    let files: Vec<Option<String>> = files.collect::<rusqlite::Result<_>>()?;
    orphans(connection, &files.into_iter().flatten().collect::<Vec<_>>())
}

fn record(row: &Row<'_>) -> rusqlite::Result<OutboxRecord> {
    let status: String = row.get(8)?;
    Ok(OutboxRecord {
        id: row.get(0)?,
        key: row.get(1)?,
        on_behalf_of: row.get(2)?,
        sender: row.get(3)?,
        recipient: row.get(4)?,
        file: row.get(5)?,
        octets: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
        is_8bit: row.get(7)?,
        status: OutboxStatus::from_word(&status),
        attempts: row.get(9)?,
        next_attempt: Timestamp::from_micros(row.get(10)?),
        last_error: row.get(11)?,
        created: Timestamp::from_micros(row.get(12)?),
        node: None,
    })
}
