//! The rows of receipts: kept in batches, found by address or Message-ID, forgotten after a while.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use pigeon_core::ports::state::ReceiptQuery;
use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::connection::WorkResult;
use crate::state::spool::{self, Taken};
use crate::state::words::{self, Packed};

/// Receipts that share a part of the table of words: two to the power of this.
const PART_BITS: u32 = 14;
/// Receipts are kept nearly in the order of their time; those of other processes come late by less than this.
const DISORDER: Duration = Duration::from_secs(24 * 3600);

/// Keeps receipts, in one transaction.
pub(super) fn insert(connection: &mut Connection, batch: &[Packed]) -> WorkResult<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert_rows(&transaction, batch)?;
    Ok(transaction.commit()?)
}

fn insert_rows(connection: &Connection, batch: &[Packed]) -> WorkResult<()> {
    let mut row = connection.prepare_cached("INSERT INTO receipts (at, detail) VALUES (?1, ?2)")?;
    let mut words = Vec::with_capacity(batch.len() * 3);
    for packed in batch {
        row.execute(params![packed.at, packed.detail])?;
        let seq = connection.last_insert_rowid();
        words.extend(packed.words.iter().map(|word| (seq >> PART_BITS, *word, seq)));
    }
    // In the order of the tree: neighbours share its pages.
    words.sort_unstable();
    let mut row = connection.prepare_cached("INSERT INTO words (part, word, seq) VALUES (?1, ?2, ?3)")?;
    for entry in words {
        row.execute(entry)?;
    }
    Ok(())
}

/// Keeps the receipts of a spool file, unless that was done before; `file` is its name.
fn insert_file(connection: &mut Connection, file: &str, batch: &[Packed], now: Timestamp) -> WorkResult<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_new = transaction
        .execute("INSERT OR IGNORE INTO taken (file, at) VALUES (?1, ?2)", params![file, now.micros()])?;
    if is_new > 0 {
        insert_rows(&transaction, batch)?;
    }
    Ok(transaction.commit()?)
}

/// Takes in what processes that do not stay left, if anything.
pub(super) fn take_in(directory: &Path, connection: &mut Connection, now: Timestamp) -> io::Result<()> {
    for path in spool::waiting(directory)? {
        let Some(mut taken) = Taken::open(path)? else { continue };
        let batch: Vec<Packed> =
            taken.next(usize::MAX, usize::MAX)?.into_iter().map(|(_, packed)| packed).collect();
        insert_file(connection, &taken.name(), &batch, now)
            .map_err(|error| io::Error::other(error.to_string()))?;
        taken.remove()?;
    }
    Ok(())
}

/// Receipts that match, newest first.
pub(super) fn find(connection: &Connection, query: &ReceiptQuery) -> WorkResult<Vec<Receipt>> {
    let mut found = match words::of_query(query) {
        Some(word) => find_by_word(connection, word, query)?,
        None => find_by_time(connection, query)?,
    };
    // They come in the order in which they were kept.
    found.sort_by_key(|receipt| std::cmp::Reverse(receipt.at));
    Ok(found)
}

fn find_by_word(connection: &Connection, word: i64, query: &ReceiptQuery) -> WorkResult<Vec<Receipt>> {
    let parts = connection.query_row("SELECT min(part), max(part) FROM words", [], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let (Some(first), Some(last)) = parts else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT detail FROM words JOIN receipts USING (seq)
         WHERE part = ?1 AND word = ?2 AND at > ?3 ORDER BY seq DESC",
    )?;
    let after = query.after.map_or(i64::MIN, Timestamp::micros);
    let mut found = Vec::new();
    for part in (first..=last).rev() {
        let mut rows = statement.query([part, word, after])?;
        while found.len() < query.limit as usize {
            let Some(row) = rows.next()? else { break };
            found.extend(unpack(row)?.filter(|receipt| words::is_match(receipt, query)));
        }
    }
    Ok(found)
}

fn find_by_time(connection: &Connection, query: &ReceiptQuery) -> WorkResult<Vec<Receipt>> {
    let mut statement = connection.prepare_cached("SELECT detail, at FROM receipts ORDER BY seq DESC")?;
    let after = query.after.unwrap_or(Timestamp::from_micros(i64::MIN));
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while found.len() < query.limit as usize {
        let Some(row) = rows.next()? else { break };
        let at = Timestamp::from_micros(row.get(1)?);
        if at > after {
            found.extend(unpack(row)?);
        } else if at < after.minus(DISORDER) {
            break;
        }
    }
    Ok(found)
}

/// Nothing for a detail that this program cannot read.
fn unpack(row: &Row<'_>) -> rusqlite::Result<Option<Receipt>> {
    let detail = row.get_ref(0)?.as_bytes().unwrap_or_default();
    Ok(serde_json::from_slice(detail).ok())
}

/// Forgets up to `limit` receipts made before `before`; returns how many.
pub(super) fn prune(connection: &mut Connection, before: Timestamp, limit: usize) -> WorkResult<usize> {
    let sql = "SELECT at FROM receipts ORDER BY seq LIMIT 1";
    let oldest: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    if oldest.is_none_or(|oldest| oldest >= before.micros()) {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let expired = expired(&transaction, before, limit)?;
    {
        let mut forget =
            transaction.prepare_cached("DELETE FROM words WHERE part = ?1 AND word = ?2 AND seq = ?3")?;
        let mut remove = transaction.prepare_cached("DELETE FROM receipts WHERE seq = ?1")?;
        for (seq, words) in &expired {
            for word in words {
                forget.execute((seq >> PART_BITS, word, seq))?;
            }
            remove.execute([seq])?;
        }
    }
    transaction.execute("DELETE FROM taken WHERE at < ?1", [before.micros()])?;
    transaction.commit()?;
    Ok(expired.len())
}

/// The oldest receipts, up to the first that has not expired, with their words.
fn expired(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> WorkResult<Vec<(i64, BTreeSet<i64>)>> {
    let mut statement = connection.prepare_cached("SELECT detail, at, seq FROM receipts ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut expired = Vec::new();
    while expired.len() < limit {
        let Some(row) = rows.next()? else { break };
        if row.get::<_, i64>(1)? >= before.micros() {
            break;
        }
        let words = unpack(row)?.map(|receipt| words::of_receipt(&receipt)).unwrap_or_default();
        expired.push((row.get(2)?, words));
    }
    Ok(expired)
}
