//! What changed since a position of the change log.

use pigeon_core::ports::directory::Feed;
use rusqlite::Connection;

use super::super::failure::Outcome;
use super::super::scopes::{MAX_SCOPES, feed_of};
use super::pool::{self, Held};
use super::rows;

/// What the feed saw last: while SQLite's own counter stands still, nothing was committed by anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    data_version: i64,
    seq: u64,
}

/// Reads the feed, on a connection that never writes.
pub(super) fn feed(held: &mut Held, since: u64) -> Outcome<Feed> {
    let Held { connection, seen, .. } = held;
    let data_version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
    if let Some(seen) = seen.filter(|seen| seen.data_version == data_version && seen.seq <= since) {
        return Ok(Feed { seq: seen.seq, scopes: Vec::new() });
    }
    let feed = pool::read(connection, |connection| changed(connection, since))?;
    // A commit between the two reads shows up as another data_version the next time.
    *seen = Some(Seen { data_version, seq: feed.seq });
    Ok(feed)
}

fn changed(connection: &Connection, since: u64) -> Outcome<Feed> {
    let seq = rows::position(connection)?;
    if seq <= since {
        return Ok(Feed { seq, scopes: Vec::new() });
    }
    let limit = i64::try_from(MAX_SCOPES + 1).unwrap_or(i64::MAX);
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let sql = "SELECT scope, seq FROM change_scopes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let touched = rows::all(connection, sql, [since, limit], |row| {
        Ok((row.get::<_, String>(0)?, rows::unsigned(row, 1)?))
    })?;
    feed_of(seq, touched)
}
