//! The rows of the outbox in the database.
//!
//! ```text
//! stage → held → commit → ready → lease → sending → sent | ready (again) | failed
//! ```
//! When an entry is due and when a lease ends is told by the server's clock, for those of the nodes may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::state::OutboxEntry;
use pigeon_core::timestamp::Timestamp;
use uuid::Uuid;

use super::contents::{Writer, Written};
use super::schema::{groups, id_of, now as server_time, places};
use super::{ATTEMPTS, again_on_conflict, finish};
use crate::blocking::Blocking;
use crate::outbox::{Leased, OutboxRecord, OutboxStatus, Verdict, content};
use crate::sql::{Param, Pool, Row, Session, SqlError};

/// Held entries that no retry of the MTA released for so long are given up.
const HELD: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long an entry is remembered after it ended.
const TOMBSTONE: Duration = Duration::from_secs(30 * 24 * 3600);
const COLUMNS: &str = "id, entry, on_behalf_of, sender, recipient, content, octets, is_8bit, status, attempts, \
                       next_attempt, last_error, created, lease";

fn micros(span: Duration) -> Param<'static> {
    Param::Integer(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

/// Makes entries durable, held back; those that are known stay as they are.
pub(super) async fn stage(
    pool: &Arc<Pool>,
    blocking: Blocking,
    entries: &[OutboxEntry],
    now: Timestamp,
) -> Result<(), SqlError> {
    let mut tries = 1;
    loop {
        match stage_once(pool, blocking, entries, now).await {
            // Another node staged the same mail at the same time: its entries are known now.
            Err(error) if (error.is_conflict() || error.is_refusal()) && tries < ATTEMPTS => tries += 1,
            staged => return staged,
        }
    }
}

async fn stage_once(
    pool: &Arc<Pool>,
    blocking: Blocking,
    entries: &[OutboxEntry],
    now: Timestamp,
) -> Result<(), SqlError> {
    let mut new: BTreeMap<[u8; 32], &OutboxEntry> =
        entries.iter().map(|entry| (id_of(&[&entry.key]), entry)).collect();
    let ids: Vec<[u8; 32]> = new.keys().copied().collect();
    let mut known = Vec::new();
    for group in groups(&ids) {
        let sql =
            format!("SELECT entry_id FROM state_outbox WHERE entry_id IN ({})", places("?", group.len()));
        for row in pool.fetch(&sql, &octets(group)).await? {
            let id: Result<[u8; 32], _> = row.octets(0)?.try_into();
            known.extend(id.ok().filter(|id| new.remove(id).is_some()));
        }
    }
    for group in groups(&known) {
        let sql = format!(
            "UPDATE state_outbox SET created = ?, changed = ? WHERE status = 'held' AND entry_id IN ({})",
            places("?", group.len())
        );
        let mut params = vec![Param::Integer(now.micros()); 2];
        params.extend(octets(group));
        // The MTA tried again: they are still wanted.
        pool.run(&sql, &params).await?;
    }
    if new.is_empty() {
        return Ok(());
    }
    let new: Vec<([u8; 32], &OutboxEntry)> = new.into_iter().collect();
    let mut session = pool.begin().await?;
    let inserted = insert(&mut session, blocking, &new, (OutboxStatus::Held, now)).await;
    finish(session, inserted).await
}

fn octets(ids: &[[u8; 32]]) -> Vec<Param<'_>> {
    ids.iter().map(|id| Param::Octets(id)).collect()
}

/// Inserts entries with their contents; one that is there already is refused.
async fn insert(
    session: &mut Session,
    blocking: Blocking,
    entries: &[([u8; 32], &OutboxEntry)],
    (status, now): (OutboxStatus, Timestamp),
) -> Result<(), SqlError> {
    let mut written: Vec<Written> = Vec::with_capacity(entries.len());
    let mut writer = Writer::new(session, blocking);
    for (index, (_, entry)) in entries.iter().enumerate() {
        let is_twin =
            |(_, earlier): &([u8; 32], &OutboxEntry)| content::is_equal(&earlier.content, &entry.content);
        let twin = entries.iter().take(index).position(is_twin).and_then(|twin| written.get(twin).copied());
        written.push(match twin {
            Some(twin) => twin,
            None => writer.write(&entry.content).await?,
        });
    }
    writer.finish().await?;
    let row = |((id, entry), content)| {
        let (id, entry, content): (&[u8; 32], &&OutboxEntry, &Written) = (id, entry, content);
        (*id, *entry, entry.sender.to_string(), entry.recipient.to_string(), *content)
    };
    let rows: Vec<_> = entries.iter().map(|(id, entry)| (id, entry)).zip(&written).map(row).collect();
    let one = format!("(?, ?, ?, ?, ?, ?, ?, ?, ?, {}, ?, ?)", server_time(session.engine()));
    for group in groups(&rows) {
        let sql = format!(
            "INSERT INTO state_outbox (entry_id, entry, on_behalf_of, sender, recipient, content, octets, is_8bit,
                                       status, next_attempt, created, changed) VALUES {}",
            places(&one, group.len())
        );
        let mut params = Vec::with_capacity(group.len() * 11);
        for (id, entry, sender, recipient, content) in group {
            params.extend([
                Param::Octets(id),
                Param::Text(&entry.key),
                Param::Text(&entry.on_behalf_of),
                Param::Text(sender),
                Param::Text(recipient),
                Param::Octets(content.id.as_bytes()),
                Param::Integer(i64::try_from(content.octets).unwrap_or(i64::MAX)),
                Param::from(content.is_8bit),
                Param::Text(status.word()),
                Param::Integer(now.micros()),
                Param::Integer(now.micros()),
            ]);
        }
        session.run(&sql, &params).await?;
    }
    Ok(())
}

/// Releases held entries; whether any may be sent from now on that could not before.
pub(super) async fn release(
    session: &mut Session,
    keys: &[String],
    now: Timestamp,
) -> Result<bool, SqlError> {
    let ids: BTreeMap<[u8; 32], &String> = keys.iter().map(|key| (id_of(&[key]), key)).collect();
    let (keys, mut is_any_ready): (Vec<[u8; 32]>, bool) = (ids.keys().copied().collect(), false);
    let time = server_time(session.engine());
    for group in groups(&keys) {
        let list = places("?", group.len());
        let sql = format!(
            "UPDATE state_outbox SET status = 'ready', next_attempt = {time}, changed = ?
             WHERE status = 'held' AND entry_id IN ({list})"
        );
        let mut params = vec![Param::Integer(now.micros())];
        params.extend(octets(group));
        let released = session.run(&sql, &params).await?;
        is_any_ready |= released > 0;
        if released == group.len() as u64 {
            continue;
        }
        let sql = format!("SELECT entry_id FROM state_outbox WHERE entry_id IN ({list})");
        let mut known = BTreeSet::new();
        for row in session.fetch(&sql, &octets(group)).await? {
            known.insert(row.octets(0)?);
        }
        if let Some(unknown) = group.iter().find(|id| !known.contains(&id[..])) {
            let key = ids.get(unknown).map_or("", |key| key.as_str());
            return Err(SqlError::Unusable(format!(
                "has no outbox entry {key}: it was never staged, or was given up"
            )));
        }
    }
    Ok(is_any_ready)
}

/// What is due, or whose lease ended without an answer.
const DUE: &str = "status IN ('ready', 'sending') AND next_attempt <=";

/// Takes entries that are due for a node; none only if there are none, or other nodes were faster each time.
pub(super) async fn lease_due(
    pool: &Arc<Pool>,
    node: &str,
    limit: usize,
    term: Duration,
) -> Result<Vec<Leased>, SqlError> {
    let time = server_time(pool.engine());
    let limit = Param::Integer(i64::try_from(limit).unwrap_or(i64::MAX));
    let sql = format!("SELECT id FROM state_outbox WHERE {DUE} {time} ORDER BY next_attempt LIMIT ?");
    let (mut tries, condition) = (1, format!("{DUE} {time}"));
    loop {
        let rows = pool.fetch(&sql, std::slice::from_ref(&limit)).await?;
        let leased = lease(pool, node, &rows, &condition, term).await?;
        // Other nodes took all that was found: what is due behind it is found now.
        if !leased.is_empty() || rows.is_empty() || tries == ATTEMPTS {
            return Ok(leased);
        }
        tries += 1;
    }
}

/// Takes those of these entries for a node that are ready, due or not.
pub(super) async fn lease_keys(
    pool: &Arc<Pool>,
    node: &str,
    keys: &[String],
    term: Duration,
) -> Result<Vec<Leased>, SqlError> {
    let ids: Vec<[u8; 32]> = keys.iter().map(|key| id_of(&[key])).collect();
    let mut leased = Vec::new();
    for group in groups(&ids) {
        let sql = format!(
            "SELECT id FROM state_outbox WHERE status = 'ready' AND entry_id IN ({})",
            places("?", group.len())
        );
        let rows = pool.fetch(&sql, &octets(group)).await?;
        leased.extend(lease(pool, node, &rows, "status = 'ready'", term).await?);
    }
    Ok(leased)
}

/// Takes rows for which `condition` still holds: of several nodes one gets each.
async fn lease(
    pool: &Arc<Pool>,
    node: &str,
    rows: &[Row],
    condition: &str,
    term: Duration,
) -> Result<Vec<Leased>, SqlError> {
    let mut ids = rows.iter().map(|row| row.integer(0)).collect::<Result<Vec<i64>, _>>()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    ids.sort_unstable();
    let lease = format!("{node}/{}", Uuid::now_v7());
    let time = server_time(pool.engine());
    let mut leased = Vec::new();
    for group in groups(&ids) {
        let list = places("?", group.len());
        let sql = format!(
            "UPDATE state_outbox SET status = 'sending', lease = ?, next_attempt = {time} + ?, changed = {time},
                    attempts = attempts + 1 WHERE {condition} AND id IN ({list})"
        );
        let ids = group.iter().map(|id| Param::Integer(*id));
        let params: Vec<Param<'_>> =
            [Param::Text(&lease), micros(term)].into_iter().chain(ids.clone()).collect();
        if again_on_conflict(|| pool.run(&sql, &params)).await? == 0 {
            continue;
        }
        let sql =
            format!("SELECT {COLUMNS} FROM state_outbox WHERE lease = ? AND id IN ({list}) ORDER BY id");
        let params: Vec<Param<'_>> = [Param::Text(&lease)].into_iter().chain(ids).collect();
        for row in pool.fetch(&sql, &params).await? {
            leased.push(Leased { record: record(&row)?, lease: lease.clone() });
        }
    }
    Ok(leased)
}

/// Makes a lease last longer; false when it was lost.
pub(super) async fn renew(pool: &Arc<Pool>, leased: &Leased, term: Duration) -> Result<bool, SqlError> {
    let sql = format!(
        "UPDATE state_outbox SET next_attempt = {} + ? WHERE id = ? AND status = 'sending' AND lease = ?",
        server_time(pool.engine())
    );
    let params = [micros(term), Param::Integer(leased.record.id), Param::Text(&leased.lease)];
    Ok(pool.run(&sql, &params).await? > 0)
}

/// Writes down how an attempt ended; whether a notice is to be sent.
pub(super) async fn settle(
    pool: &Arc<Pool>,
    blocking: Blocking,
    (leased, verdict): (&Leased, &Verdict),
    now: Timestamp,
) -> Result<bool, SqlError> {
    let (id, lease) = (Param::Integer(leased.record.id), Param::Text(&leased.lease));
    let changed = Param::Integer(now.micros());
    match verdict {
        Verdict::Sent { .. } => {
            let sql = "UPDATE state_outbox SET status = 'sent', content = NULL, lease = NULL, last_error = '', \
                       changed = ? WHERE id = ? AND status <> 'cancelled'";
            let params = [changed, id];
            again_on_conflict(|| pool.run(sql, &params)).await?;
            Ok(false)
        }
        Verdict::Again { at, error } => {
            let sql = format!(
                "UPDATE state_outbox SET status = 'ready', lease = NULL, next_attempt = {} + ?, last_error = ?,
                        changed = ? WHERE id = ? AND status = 'sending' AND lease = ?",
                server_time(pool.engine())
            );
            let error = readable(error);
            let params = [micros(at.since(now)), Param::Text(&error), changed, id, lease];
            again_on_conflict(|| pool.run(&sql, &params)).await?;
            Ok(false)
        }
        Verdict::Failed { error, notice } => {
            let error = readable(error);
            let params = [Param::Text(&error), changed, id, lease];
            again_on_conflict(|| async {
                let mut session = pool.begin().await?;
                let failed = fail(&mut session, blocking, (&params, notice.as_ref()), now).await;
                finish(session, failed).await
            })
            .await
        }
    }
}

async fn fail(
    session: &mut Session,
    blocking: Blocking,
    (params, notice): (&[Param<'_>], Option<&OutboxEntry>),
    now: Timestamp,
) -> Result<bool, SqlError> {
    let sql = "UPDATE state_outbox SET status = 'failed', lease = NULL, last_error = ?, changed = ? \
               WHERE id = ? AND status = 'sending' AND lease = ?";
    let is_ours = session.run(sql, params).await? > 0;
    let Some(notice) = notice.filter(|_| is_ours) else { return Ok(false) };
    let id = id_of(&[&notice.key]);
    let known = "SELECT 1 FROM state_outbox WHERE entry_id = ?";
    if !session.fetch(known, &[Param::Octets(&id)]).await?.is_empty() {
        return Ok(false);
    }
    insert(session, blocking, &[(id, notice)], (OutboxStatus::Ready, now)).await?;
    Ok(true)
}

/// What other servers say as text that every database takes.
fn readable(text: &str) -> String {
    text.replace('\0', "?")
}

/// Entries, oldest first; `status` limits them to one.
pub(super) async fn list(
    pool: &Arc<Pool>,
    status: Option<OutboxStatus>,
    limit: u32,
) -> Result<Vec<OutboxRecord>, SqlError> {
    let (condition, mut params) = match status {
        Some(status) => ("WHERE status = ?", vec![Param::Text(status.word())]),
        None => ("", Vec::new()),
    };
    params.push(Param::Integer(limit.into()));
    let sql = format!("SELECT {COLUMNS} FROM state_outbox {condition} ORDER BY created, id LIMIT ?");
    pool.fetch(&sql, &params).await?.iter().map(record).collect()
}

/// Sends a failed or waiting entry at once, with all its time before it again.
pub(super) async fn retry(pool: &Arc<Pool>, id: i64, now: Timestamp) -> Result<bool, SqlError> {
    let sql = format!(
        "UPDATE state_outbox SET status = 'ready', attempts = 0, next_attempt = {}, created = ?, changed = ?
         WHERE id = ? AND status IN ('ready', 'failed') AND content IS NOT NULL",
        server_time(pool.engine())
    );
    let now = Param::Integer(now.micros());
    Ok(pool.run(&sql, &[now, now, Param::Integer(id)]).await? > 0)
}

/// Gives an entry up, unless it is being sent or has ended; its content, if it was given up.
pub(super) async fn cancel(
    pool: &Arc<Pool>,
    id: i64,
    now: Timestamp,
) -> Result<Option<Option<Vec<u8>>>, SqlError> {
    let sql = "SELECT content FROM state_outbox WHERE id = ? AND status IN ('held', 'ready', 'failed')";
    let Some(row) = pool.fetch(sql, &[Param::Integer(id)]).await?.pop() else { return Ok(None) };
    let sql = "UPDATE state_outbox SET status = 'cancelled', content = NULL, changed = ? \
               WHERE id = ? AND status IN ('held', 'ready', 'failed')";
    let is_done = pool.run(sql, &[Param::Integer(now.micros()), Param::Integer(id)]).await? > 0;
    Ok(if is_done { Some(row.maybe_octets(0)?) } else { None })
}

/// Forgets entries that ended long ago and held ones that nobody asked for again.
pub(super) async fn forget(pool: &Arc<Pool>, now: Timestamp) -> Result<(), SqlError> {
    let held = Param::Integer(now.minus(HELD).micros());
    pool.run("DELETE FROM state_outbox WHERE status = 'held' AND changed < ?", &[held]).await?;
    let ended = Param::Integer(now.minus(TOMBSTONE).micros());
    let sql = "DELETE FROM state_outbox WHERE status IN ('sent', 'failed', 'cancelled') AND changed < ?";
    pool.run(sql, &[ended]).await.map(drop)
}

fn record(row: &Row) -> Result<OutboxRecord, SqlError> {
    let content = row.maybe_octets(5)?;
    let lease = row.maybe_text(13)?;
    Ok(OutboxRecord {
        id: row.integer(0)?,
        key: row.text(1)?,
        on_behalf_of: row.text(2)?,
        sender: row.text(3)?,
        recipient: row.text(4)?,
        file: content.and_then(|id| Uuid::from_slice(&id).ok()).map(|id| id.to_string()),
        octets: row.unsigned(6)?,
        is_8bit: row.integer(7)? != 0,
        status: OutboxStatus::from_word(&row.text(8)?),
        attempts: u32::try_from(row.integer(9)?).unwrap_or(u32::MAX),
        next_attempt: Timestamp::from_micros(row.integer(10)?),
        last_error: row.text(11)?,
        created: Timestamp::from_micros(row.integer(12)?),
        node: lease.and_then(|lease| lease.rsplit_once('/').map(|(node, _)| node.to_owned())),
    })
}
