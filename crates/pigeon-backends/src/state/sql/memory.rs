//! Service memory, finished branches, and the commit of everything that a message changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::state::{Memory, StateChanges};
use pigeon_core::timestamp::Timestamp;

use super::schema::{groups, id_of, places, replacing};
use super::{again_on_conflict, finish, outbox};
use crate::sql::{Param, Pool, Session, SqlError};

/// MTAs try for five days; a finished branch is remembered well beyond that.
const FINISHED: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is remembered under account, service and key, unless it has expired.
pub(super) async fn recall(
    pool: &Arc<Pool>,
    what: [&str; 3],
    now: Timestamp,
) -> Result<Option<String>, SqlError> {
    let id = id_of(&what);
    let sql = "SELECT value FROM state_memory WHERE id = ? AND expires > ?";
    let rows = pool.fetch(sql, &[Param::Octets(&id), Param::Integer(now.micros())]).await?;
    rows.first().map(|row| row.text(0)).transpose()
}

/// Keeps all changes in one transaction; whether something may be sent now that could not before.
pub(super) async fn commit(
    pool: &Arc<Pool>,
    changes: &StateChanges,
    now: Timestamp,
) -> Result<bool, SqlError> {
    again_on_conflict(|| async {
        let mut session = pool.begin().await?;
        let kept = keep(&mut session, changes, now).await;
        finish(session, kept).await
    })
    .await
}

async fn keep(session: &mut Session, changes: &StateChanges, now: Timestamp) -> Result<bool, SqlError> {
    // In the order of their ids, so that two transactions do not wait for each other. The last one of a key counts.
    let id = |memory: &Memory| id_of(&[&memory.account, &memory.service, &memory.key]);
    let memories: BTreeMap<[u8; 32], &Memory> =
        changes.memories.iter().map(|memory| (id(memory), memory)).collect();
    let memories: Vec<_> = memories.into_iter().collect();
    let end = replacing(session.engine(), &["value", "expires"]);
    for group in groups(&memories) {
        let sql = format!(
            "INSERT INTO state_memory (id, account, service, name, value, expires) VALUES {}{end}",
            places("(?, ?, ?, ?, ?, ?)", group.len())
        );
        let mut params = Vec::with_capacity(group.len() * 6);
        for (id, memory) in group {
            params.extend([
                Param::Octets(id),
                Param::Text(&memory.account),
                Param::Text(&memory.service),
                Param::Text(&memory.key),
                Param::Text(&memory.value),
                Param::Integer(memory.expires.micros()),
            ]);
        }
        session.run(&sql, &params).await?;
    }
    let finished: BTreeSet<[u8; 32]> = changes.finished.iter().map(|key| id_of(&[key])).collect();
    let finished: Vec<_> = finished.into_iter().collect();
    let end = replacing(session.engine(), &["ended"]);
    for group in groups(&finished) {
        let sql =
            format!("INSERT INTO state_finished (id, ended) VALUES {}{end}", places("(?, ?)", group.len()));
        let params: Vec<Param<'_>> =
            group.iter().flat_map(|id| [Param::Octets(id), Param::Integer(now.micros())]).collect();
        session.run(&sql, &params).await?;
    }
    outbox::release(session, &changes.released, now).await
}

/// Those of these branches that are finished.
pub(super) async fn finished(pool: &Arc<Pool>, keys: &[String]) -> Result<Vec<String>, SqlError> {
    let by_id: BTreeMap<[u8; 32], &String> = keys.iter().map(|key| (id_of(&[key]), key)).collect();
    let ids: Vec<&[u8; 32]> = by_id.keys().collect();
    let mut found = Vec::new();
    for group in groups(&ids) {
        let sql = format!("SELECT id FROM state_finished WHERE id IN ({})", places("?", group.len()));
        let params: Vec<Param<'_>> = group.iter().map(|id| Param::Octets(*id)).collect();
        for row in pool.fetch(&sql, &params).await? {
            let id: Result<[u8; 32], _> = row.octets(0)?.try_into();
            found.extend(id.ok().and_then(|id| by_id.get(&id)).map(|key| (*key).clone()));
        }
    }
    Ok(found)
}

/// Forgets what has expired.
pub(super) async fn forget(pool: &Arc<Pool>, now: Timestamp) -> Result<(), SqlError> {
    pool.run("DELETE FROM state_memory WHERE expires <= ?", &[Param::Integer(now.micros())]).await?;
    let ended = Param::Integer(now.minus(FINISHED).micros());
    pool.run("DELETE FROM state_finished WHERE ended < ?", &[ended]).await?;
    Ok(())
}
