//! What listings and exports read.

use async_trait::async_trait;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Domain, Entry, Grant, Id, LoggedChange, Role};
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, Row, params};

use super::super::failure::Outcome;
use super::super::rows::{DomainRow, Kind, Listing, Slice, StoredAlias};
use super::rows::{self, Reader};

/// Entries, each with the key that a cursor names it by.
type Keyed = Vec<(String, Entry)>;

#[async_trait]
impl Listing for Reader<'_> {
    async fn domains_behind(&mut self, slice: Slice<'_>) -> Outcome<Vec<DomainRow>> {
        let sql = "SELECT d.id, n.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
                   WHERE n.is_primary AND n.name > ?1 AND (?2 OR d.status <> 'removed') ORDER BY n.name LIMIT ?3";
        rows::all(self.0, sql, params![slice.after, slice.with_removed, slice.limit], rows::domain_row)
    }

    async fn accounts_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<Account>> {
        let sql = "SELECT local, id, name, mailbox, password, status FROM accounts
                   WHERE domain = ?1 AND local > ?2 AND (?3 OR status <> 'removed') ORDER BY local LIMIT ?4";
        let params = params![domain.id.0, slice.after, slice.with_removed, slice.limit];
        rows::all(self.0, sql, params, |row| rows::account(row, domain))
    }

    async fn aliases_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<StoredAlias>> {
        let sql = "SELECT local, id, targets, status FROM aliases
                   WHERE domain = ?1 AND local > ?2 AND (?3 OR status <> 'removed') ORDER BY local LIMIT ?4";
        let params = params![domain.id.0, slice.after, slice.with_removed, slice.limit];
        rows::all(self.0, sql, params, |row| rows::alias(row, domain))
    }

    async fn grants_of(&mut self, account: Option<&Id>) -> Outcome<Vec<(Address, Option<String>)>> {
        let sql = "SELECT a.local, n.name, role.name FROM grants g
                   JOIN accounts a ON a.id = g.account
                   JOIN domain_names n ON n.domain = a.domain AND n.is_primary
                   LEFT JOIN domain_names role ON role.domain = g.domain AND role.is_primary
                   WHERE ?1 IS NULL OR g.account = ?1 ORDER BY n.name, a.local, role.name";
        rows::all(self.0, sql, [account.map(|id| &id.0)], |row| {
            Ok((rows::address(row, 0, rows::parsed(row, 1)?)?, row.get(2)?))
        })
    }

    async fn changes(&mut self, after: u64, limit: u32) -> Outcome<Vec<LoggedChange>> {
        let sql = "SELECT seq, at, actor, change, before, after FROM change_log WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        rows::all(self.0, sql, params![after, limit], |row| {
            Ok(LoggedChange {
                seq: rows::unsigned(row, 0)?,
                at: Timestamp::from_micros(row.get(1)?),
                actor: row.get(2)?,
                change: rows::from_json(row, 3)?,
                before: maybe_json(row, 4)?,
                after: maybe_json(row, 5)?,
            })
        })
    }

    async fn count(&mut self) -> Outcome<u64> {
        let sql = "SELECT (SELECT count(*) FROM domains) + (SELECT count(*) FROM accounts)
                   + (SELECT count(*) FROM aliases) + (SELECT count(*) FROM grants) + (SELECT count(*) FROM settings)";
        Ok(rows::first(self.0, sql, [], |row| rows::unsigned(row, 0))?.unwrap_or_default())
    }

    async fn export_of(&mut self, kind: Kind, after: &str, limit: u32) -> Outcome<Keyed> {
        match kind {
            Kind::Domain => domains(self.0, after, limit),
            Kind::Account => accounts(self.0, after, limit),
            Kind::Alias => aliases(self.0, after, limit),
            Kind::Grant => grants(self.0, after, limit),
            Kind::Setting => settings(self.0, after, limit),
        }
    }
}

fn maybe_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<serde_json::Value>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => rows::from_json(row, column).map(Some),
    }
}

fn domains(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql =
        "SELECT d.id, n.name, d.status FROM domains d JOIN domain_names n ON n.domain = d.id AND n.is_primary
               WHERE d.id > ?1 ORDER BY d.id LIMIT ?2";
    let found = rows::all(connection, sql, params![after, limit], rows::domain_row)?;
    let entry = |row: DomainRow| {
        let aliases = rows::other_names(connection, &row.id)?;
        let key = row.id.0.clone();
        let domain = Domain { id: row.id, name: row.name.to_string(), aliases, status: row.status };
        Ok((key, Entry::Domain(domain)))
    };
    found.into_iter().map(entry).collect()
}

fn accounts(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql = "SELECT a.local, a.id, a.name, a.mailbox, a.password, a.status, d.id, n.name, d.status FROM accounts a
               JOIN domains d ON d.id = a.domain JOIN domain_names n ON n.domain = d.id AND n.is_primary
               WHERE a.id > ?1 ORDER BY a.id LIMIT ?2";
    rows::all(connection, sql, params![after, limit], |row| {
        let account = rows::account(row, &joined_domain(row, 6)?)?;
        Ok((account.id.0.clone(), Entry::Account(account)))
    })
}

fn aliases(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql = "SELECT a.local, a.id, a.targets, a.status, d.id, n.name, d.status FROM aliases a
               JOIN domains d ON d.id = a.domain JOIN domain_names n ON n.domain = d.id AND n.is_primary
               WHERE a.id > ?1 ORDER BY a.id LIMIT ?2";
    let found =
        rows::all(connection, sql, params![after, limit], |row| rows::alias(row, &joined_domain(row, 4)?))?;
    let entry = |alias: StoredAlias| Ok((alias.id.0.clone(), Entry::Alias(alias.strict()?)));
    found.into_iter().map(entry).collect()
}

fn joined_domain(row: &Row<'_>, column: usize) -> rusqlite::Result<DomainRow> {
    let name: DomainName = rows::parsed(row, column + 1)?;
    Ok(DomainRow { id: Id(row.get(column)?), name, status: rows::parsed(row, column + 2)? })
}

fn grants(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let (account, domain) = after.split_once('/').unwrap_or_default();
    let sql = "SELECT account, domain FROM grants WHERE (account, domain) > (?1, ?2) ORDER BY account, domain LIMIT ?3";
    rows::all(connection, sql, params![account, domain, limit], |row| {
        let (account, domain): (String, String) = (row.get(0)?, row.get(1)?);
        let key = format!("{account}/{domain}");
        let role = if domain.is_empty() { Role::System } else { Role::Domain(Id(domain)) };
        Ok((key, Entry::Grant(Grant { account: Id(account), role })))
    })
}

fn settings(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let mut parts = after.split('/');
    let mut part = || parts.next().unwrap_or_default();
    let (layer, owner, service, key, kind) = (part(), part(), part(), part(), part());
    let sql = "SELECT layer, service, key, content, pin, until, reason, written_by, owner FROM settings
               WHERE (layer, owner, service, key, kind) > (?1, ?2, ?3, ?4, ?5)
               ORDER BY layer, owner, service, key, kind LIMIT ?6";
    rows::all(connection, sql, params![layer, owner, service, key, kind, limit], |row| {
        let setting = rows::setting(row)?;
        let owner: String = row.get(8)?;
        let Setting { layer, name, content, .. } = &setting;
        let key = format!("{layer}/{owner}/{}/{}/{}", name.service, name.key, content.kind());
        let owner = (!owner.is_empty()).then_some(Id(owner));
        Ok((key, Entry::Setting { owner, setting }))
    })
}
