//! The rows of receipts: taken in from the node's files, found by address or Message-ID, forgotten after a while.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pigeon_core::ports::state::ReceiptQuery;
use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;
use uuid::Uuid;

use super::schema::{ROWS, groups, leaving, places};
use super::{again_on_conflict, finish};
use crate::sql::{Param, Pool, Row, Session, SqlError};
use crate::state::spool::{self, Taken};
use crate::state::words::{self, Packed};

/// Octets of receipts in one transaction: far below what servers take in one statement.
const BATCH_OCTETS: usize = 1024 * 1024;
/// Receipts that one question asks for, where more are looked through than wanted.
const PAGE: i64 = 200;

/// A spool file, and a line in it: names a receipt for ever.
type Id = [u8; 20];

fn id_of(file: Uuid, line: u32) -> Id {
    let mut id = [0; 20];
    let (start, end) = id.split_at_mut(16);
    start.copy_from_slice(file.as_bytes());
    end.copy_from_slice(&line.to_be_bytes());
    id
}

fn unreadable(path: &Path, error: &dyn Display) -> SqlError {
    SqlError::Unusable(format!("cannot be given the receipts in {}: {error}", path.display()))
}

/// Takes in the receipts in the files of a node, oldest first; `taken` is told how many of them are in the database
/// now. Whatever it is interrupted by, it can be begun again: no receipt is kept twice.
pub(super) async fn take_in(
    pool: &Arc<Pool>,
    directory: &Path,
    taken: &(dyn Fn(usize) + Sync),
) -> Result<(), SqlError> {
    if spool::octets(directory).map_err(|error| unreadable(directory, &error))? == 0 {
        return Ok(());
    }
    // While the server is away the file is left to grow, and not cut into a new one with each attempt.
    pool.fetch("SELECT 1", &[]).await?;
    for path in spool::waiting(directory).map_err(|error| unreadable(directory, &error))? {
        take_file(pool, path, taken).await?;
    }
    Ok(())
}

async fn take_file(pool: &Arc<Pool>, path: PathBuf, taken: &(dyn Fn(usize) + Sync)) -> Result<(), SqlError> {
    let unreadable = |error: std::io::Error| unreadable(&path, &error);
    let Some(mut file) = Taken::open(path.clone()).map_err(unreadable)? else { return Ok(()) };
    let name = file.name();
    // A file that somebody else put there has a name of its own.
    let id = name.rsplit_once('.').and_then(|(_, id)| Uuid::parse_str(id).ok());
    let id = id.unwrap_or_else(|| words::uuid_of(&name));
    loop {
        let batch = file.next(ROWS, BATCH_OCTETS).map_err(unreadable)?;
        if batch.is_empty() {
            return file.remove().map_err(unreadable);
        }
        let batch: Vec<(Id, Packed)> =
            batch.into_iter().map(|(line, packed)| (id_of(id, line), packed)).collect();
        keep(pool, &batch).await?;
        taken(batch.len());
    }
}

/// Keeps a batch; a receipt that the database refuses costs no other one.
async fn keep(pool: &Arc<Pool>, batch: &[(Id, Packed)]) -> Result<(), SqlError> {
    match insert(pool, batch).await {
        Err(error) if error.is_refusal() => {
            for one in batch {
                match insert(pool, std::slice::from_ref(one)).await {
                    Err(error) if error.is_refusal() => tracing::error!("a receipt is lost: {error}"),
                    kept => kept?,
                }
            }
            Ok(())
        }
        kept => kept,
    }
}

async fn insert(pool: &Arc<Pool>, batch: &[(Id, Packed)]) -> Result<(), SqlError> {
    again_on_conflict(|| async {
        let mut session = pool.begin().await?;
        let inserted = insert_rows(&mut session, batch).await;
        finish(session, inserted).await
    })
    .await
}

async fn insert_rows(session: &mut Session, batch: &[(Id, Packed)]) -> Result<(), SqlError> {
    let (insert, leaving) = leaving(session.engine());
    for group in groups(batch) {
        let list = places("(?, ?, ?)", group.len());
        let sql = format!("{insert} INTO state_receipts (id, made, detail) VALUES {list}{leaving}");
        let mut params = Vec::with_capacity(group.len() * 3);
        for (id, packed) in group {
            params.extend([Param::Octets(id), Param::Integer(packed.at), Param::Octets(&packed.detail)]);
        }
        session.run(&sql, &params).await?;
    }
    let mut words: Vec<(i64, i64, &Id)> = Vec::with_capacity(batch.len() * 3);
    for (id, packed) in batch {
        words.extend(packed.words.iter().map(|word| (*word, packed.at, id)));
    }
    // In one order for all, so that two nodes do not wait for each other.
    words.sort_unstable();
    for group in groups(&words) {
        let list = places("(?, ?, ?)", group.len());
        let sql = format!("{insert} INTO state_words (word, made, id) VALUES {list}{leaving}");
        let mut params = Vec::with_capacity(group.len() * 3);
        for (word, made, id) in group {
            params.extend([Param::Integer(*word), Param::Integer(*made), Param::Octets(*id)]);
        }
        session.run(&sql, &params).await?;
    }
    Ok(())
}

/// Receipts that match, newest first.
pub(super) async fn find(pool: &Arc<Pool>, query: &ReceiptQuery) -> Result<Vec<Receipt>, SqlError> {
    let word = words::of_query(query);
    let sql = match word {
        Some(_) => {
            "SELECT w.made, w.id, r.detail FROM state_words w JOIN state_receipts r ON r.id = w.id
             WHERE w.word = ? AND w.made > ? AND (w.made < ? OR (w.made = ? AND w.id < ?))
             ORDER BY w.made DESC, w.id DESC LIMIT ?"
        }
        None => {
            "SELECT made, id, detail FROM state_receipts
             WHERE made > ? AND (made < ? OR (made = ? AND id < ?)) ORDER BY made DESC, id DESC LIMIT ?"
        }
    };
    let after = Param::Integer(query.after.map_or(i64::MIN, Timestamp::micros));
    // Behind every receipt that there is.
    let (mut before, mut id) = (i64::MAX, vec![0xff; 21]);
    let wanted = query.limit as usize;
    let mut found: Vec<Receipt> = Vec::new();
    while found.len() < wanted {
        let page = i64::try_from(wanted - found.len()).unwrap_or(PAGE).min(PAGE);
        let mut params: Vec<Param<'_>> = word.map(Param::Integer).into_iter().collect();
        params.extend([after, Param::Integer(before), Param::Integer(before), Param::Octets(&id)]);
        params.push(Param::Integer(page));
        let rows = pool.fetch(sql, &params).await?;
        for row in &rows {
            found.extend(unpack(row, 2)?.filter(|receipt| words::is_match(receipt, query)));
        }
        let Some(last) = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(page)) else { break };
        (before, id) = (last.integer(0)?, last.octets(1)?);
    }
    Ok(found)
}

/// Nothing for a detail that this program cannot read.
fn unpack(row: &Row, column: usize) -> Result<Option<Receipt>, SqlError> {
    Ok(serde_json::from_slice(&row.octets(column)?).ok())
}

/// Forgets some receipts made before `before`; returns how many.
pub(super) async fn prune(pool: &Arc<Pool>, before: Timestamp) -> Result<usize, SqlError> {
    let sql = "SELECT id, made, detail FROM state_receipts WHERE made < ? ORDER BY made LIMIT ?";
    let limit = Param::Integer(i64::try_from(ROWS).unwrap_or(i64::MAX));
    let rows = pool.fetch(sql, &[Param::Integer(before.micros()), limit]).await?;
    let (mut ids, mut words) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let (id, made) = (row.octets(0)?, row.integer(1)?);
        let own = unpack(row, 2)?.map(|receipt| words::of_receipt(&receipt)).unwrap_or_default();
        words.extend(own.into_iter().map(|word| (word, made, id.clone())));
        ids.push(id);
    }
    words.sort_unstable();
    // Words first: interrupted between the two, the next attempt finds the receipts, and with them the words again.
    for group in groups(&words) {
        let list = places("(?, ?, ?)", group.len());
        let sql = format!("DELETE FROM state_words WHERE (word, made, id) IN ({list})");
        let mut params = Vec::with_capacity(group.len() * 3);
        for (word, made, id) in group {
            params.extend([Param::Integer(*word), Param::Integer(*made), Param::Octets(id)]);
        }
        again_on_conflict(|| pool.run(&sql, &params)).await?;
    }
    for group in groups(&ids) {
        let sql = format!("DELETE FROM state_receipts WHERE id IN ({})", places("?", group.len()));
        let params: Vec<Param<'_>> = group.iter().map(|id| Param::Octets(id)).collect();
        again_on_conflict(|| pool.run(&sql, &params)).await?;
    }
    Ok(rows.len())
}
