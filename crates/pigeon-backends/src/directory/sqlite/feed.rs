//! What changed since a position of the change log.

use std::collections::BTreeMap;

use pigeon_core::directory::{Id, Scope};
use pigeon_core::ports::directory::Feed;
use rusqlite::Connection;

use super::failure::{Failure, Outcome};
use super::pool::{self, Held};
use super::rows;

/// Whoever lies further behind is told that everything changed: that is cheaper for both.
const MAX_SCOPES: usize = 20_000;

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
    if touched.len() > MAX_SCOPES {
        return Ok(Feed { seq, scopes: vec![(Scope::System, seq)] });
    }
    let mut scopes = BTreeMap::new();
    for (text, at) in touched {
        scopes.insert(parse(&text)?, at);
    }
    Ok(Feed { seq, scopes: scopes.into_iter().collect() })
}

/// How a scope is written in `change_scopes`.
pub(super) fn text_of(scope: &Scope) -> String {
    match scope {
        Scope::System => "system".to_owned(),
        Scope::Domain(id) => format!("domain:{id}"),
        Scope::DomainName(name) => format!("name:{name}"),
        Scope::Account(id) => format!("account:{id}"),
        Scope::Address(key) => format!("address:{key}"),
    }
}

fn parse(text: &str) -> Outcome<Scope> {
    let of = |rest: &str| rest.to_owned();
    match text.split_once(':') {
        None if text == "system" => Ok(Scope::System),
        Some(("domain", id)) => Ok(Scope::Domain(Id(of(id)))),
        Some(("name", name)) => Ok(Scope::DomainName(of(name))),
        Some(("account", id)) => Ok(Scope::Account(Id(of(id)))),
        Some(("address", key)) => Ok(Scope::Address(of(key))),
        _ => Err(Failure::Unusable(format!("holds a change of {text:?}, which this version does not know"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_and_read() {
        for scope in [
            Scope::System,
            Scope::Domain(Id("one".to_owned())),
            Scope::DomainName("[ipv6:::1]".to_owned()),
            Scope::Account(Id("two".to_owned())),
            Scope::Address("a:b@example.org".to_owned()),
        ] {
            assert_eq!(parse(&text_of(&scope)).unwrap(), scope);
        }
        assert!(parse("planet:mars").is_err());
    }
}
