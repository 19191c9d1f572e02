//! What listings and exports read.

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Entry, Grant, Id, LoggedChange};
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;

use super::super::failure::Outcome;
use super::super::rows::{DomainRow, Kind, Listing, Rows as _, Slice, StoredAlias};
use super::rows::{self, Reader};
use crate::sql::{Param, Row};

/// Entries, each with the key that a cursor names it by.
type Keyed = Vec<(String, Entry)>;

#[async_trait]
impl Listing for Reader {
    async fn domains_behind(&mut self, slice: Slice<'_>) -> Outcome<Vec<DomainRow>> {
        let sql = "SELECT d.id, n.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
                   WHERE n.is_primary = 1 AND n.name > ? AND (? = 1 OR d.status <> 'removed') ORDER BY n.name LIMIT ?";
        let params = [slice.after.into(), slice.with_removed.into(), slice.limit.into()];
        self.all(sql, &params, |row| rows::domain_row(row, 0)).await
    }

    async fn accounts_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<Account>> {
        let sql = "SELECT local, id, name, mailbox, password, status FROM accounts
                   WHERE domain = ? AND local > ? AND (? = 1 OR status <> 'removed') ORDER BY local LIMIT ?";
        self.all(sql, &within(domain, &slice), |row| rows::account(row, 0, domain)).await
    }

    async fn aliases_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<StoredAlias>> {
        let sql = "SELECT local, id, targets, status FROM aliases
                   WHERE domain = ? AND local > ? AND (? = 1 OR status <> 'removed') ORDER BY local LIMIT ?";
        self.all(sql, &within(domain, &slice), |row| rows::alias(row, 0, domain)).await
    }

    async fn grants_of(&mut self, account: Option<&Id>) -> Outcome<Vec<(Address, Option<String>)>> {
        let sql = "SELECT a.local, n.name, role.name FROM grants g
                   JOIN accounts a ON a.id = g.account
                   JOIN domain_names n ON n.domain = a.domain AND n.is_primary = 1
                   LEFT JOIN domain_names role ON role.domain = g.domain AND role.is_primary = 1
                   WHERE ? = '' OR g.account = ? ORDER BY n.name, a.local, g.domain <> '', role.name";
        let account = account.map_or("", |id| id.0.as_str());
        self.all(sql, &[account.into(), account.into()], |row| {
            Ok((rows::address(&row.text(0)?, row.parsed(1)?)?, row.maybe_text(2)?))
        })
        .await
    }

    async fn changes(&mut self, after: u64, limit: u32) -> Outcome<Vec<LoggedChange>> {
        let sql = r#"SELECT seq, at, actor, "change", "before", after FROM change_log
                     WHERE seq > ? ORDER BY seq LIMIT ?"#;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.all(sql, &[after.into(), limit.into()], |row| {
            Ok(LoggedChange {
                seq: row.unsigned(0)?,
                at: Timestamp::from_micros(row.integer(1)?),
                actor: row.text(2)?,
                change: row.json(3)?,
                before: maybe_json(row, 4)?,
                after: maybe_json(row, 5)?,
            })
        })
        .await
    }

    async fn count(&mut self) -> Outcome<u64> {
        let sql = "SELECT (SELECT count(*) FROM domains) + (SELECT count(*) FROM accounts)
                   + (SELECT count(*) FROM aliases) + (SELECT count(*) FROM grants) + (SELECT count(*) FROM settings)";
        Ok(self.first(sql, &[], |row| Ok(row.unsigned(0)?)).await?.unwrap_or_default())
    }

    async fn export_of(&mut self, kind: Kind, after: &str, limit: u32) -> Outcome<Keyed> {
        match kind {
            Kind::Domain => domains(self, after, limit).await,
            Kind::Account => accounts(self, after, limit).await,
            Kind::Alias => aliases(self, after, limit).await,
            Kind::Grant => grants(self, after, limit).await,
            Kind::Setting => settings(self, after, limit).await,
        }
    }
}

fn within<'a>(domain: &'a DomainRow, slice: &Slice<'a>) -> [Param<'a>; 4] {
    [(&domain.id.0).into(), slice.after.into(), slice.with_removed.into(), slice.limit.into()]
}

fn maybe_json(row: &Row, column: usize) -> Outcome<Option<serde_json::Value>> {
    match row.maybe_text(column)? {
        None => Ok(None),
        Some(_) => Ok(Some(row.json(column)?)),
    }
}

async fn domains(reader: &mut Reader, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql = "SELECT d.id, n.name, d.status FROM domains d
               JOIN domain_names n ON n.domain = d.id AND n.is_primary = 1 WHERE d.id > ? ORDER BY d.id LIMIT ?";
    let found = reader.all(sql, &[after.into(), limit.into()], |row| rows::domain_row(row, 0)).await?;
    let mut entries = Vec::with_capacity(found.len());
    for row in found {
        let key = row.id.0.clone();
        entries.push((key, Entry::Domain(reader.domain(row).await?)));
    }
    Ok(entries)
}

async fn accounts(reader: &mut Reader, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql = "SELECT d.id, n.name, d.status, a.local, a.id, a.name, a.mailbox, a.password, a.status FROM accounts a
               JOIN domains d ON d.id = a.domain JOIN domain_names n ON n.domain = d.id AND n.is_primary = 1
               WHERE a.id > ? ORDER BY a.id LIMIT ?";
    reader
        .all(sql, &[after.into(), limit.into()], |row| {
            let account = rows::account(row, 3, &rows::domain_row(row, 0)?)?;
            Ok((account.id.0.clone(), Entry::Account(account)))
        })
        .await
}

async fn aliases(reader: &mut Reader, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql = "SELECT d.id, n.name, d.status, a.local, a.id, a.targets, a.status FROM aliases a
               JOIN domains d ON d.id = a.domain JOIN domain_names n ON n.domain = d.id AND n.is_primary = 1
               WHERE a.id > ? ORDER BY a.id LIMIT ?";
    reader
        .all(sql, &[after.into(), limit.into()], |row| {
            let alias = rows::alias(row, 3, &rows::domain_row(row, 0)?)?;
            Ok((alias.id.0.clone(), Entry::Alias(alias.strict()?)))
        })
        .await
}

async fn grants(reader: &mut Reader, after: &str, limit: u32) -> Outcome<Keyed> {
    let (account, domain) = after.split_once('/').unwrap_or_default();
    let sql = "SELECT account, domain FROM grants WHERE account > ? OR (account = ? AND domain > ?)
               ORDER BY account, domain LIMIT ?";
    let params = [account.into(), account.into(), domain.into(), limit.into()];
    reader
        .all(sql, &params, |row| {
            let (account, domain) = (row.text(0)?, row.text(1)?);
            let key = format!("{account}/{domain}");
            Ok((key, Entry::Grant(Grant { account: Id(account), role: rows::role(row, 1)? })))
        })
        .await
}

async fn settings(reader: &mut Reader, after: &str, limit: u32) -> Outcome<Keyed> {
    let mut parts = after.split('/');
    let mut part = || Param::from(parts.next().unwrap_or_default());
    let [layer, owner, service, key, kind] = [part(), part(), part(), part(), part()];
    // The first line says the same as the second and is one that MariaDB can use an index for.
    let sql = r#"SELECT layer, service, "key", content, pin, until, reason, written_by, owner FROM settings
                 WHERE (layer > ? OR (layer = ? AND owner >= ?))
                 AND (layer, owner, service, "key", kind) > (?, ?, ?, ?, ?)
                 ORDER BY layer, owner, service, "key", kind LIMIT ?"#;
    let params = [layer, layer, owner, layer, owner, service, key, kind, limit.into()];
    reader
        .all(sql, &params, |row| {
            let setting = rows::setting(row, 0, row.maybe_integer(5)?)?;
            let owner = row.text(8)?;
            let Setting { layer, name, content, .. } = &setting;
            let key = format!("{layer}/{owner}/{}/{}/{}", name.service, name.key, content.kind());
            let owner = (!owner.is_empty()).then_some(Id(owner));
            Ok((key, Entry::Setting { owner, setting }))
        })
        .await
}
