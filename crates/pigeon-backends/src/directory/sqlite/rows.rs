//! From SQLite's rows to the words of the directory: look-ups and the reads of changes, on one connection.

use std::str::FromStr;

use async_trait::async_trait;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, AliasPattern, Id, Role};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Layer, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::super::failure::Outcome;
use super::super::rows::{DomainRow, Holder, Owner, Rows, Source, StoredAlias};

/// A connection, inside a transaction. Its futures never wait.
pub(super) struct Reader<'a>(pub(super) &'a mut Connection);

/// Reads a column that is kept as text.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse()
        .map_err(|error: T::Err| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Reads a column that is kept as JSON.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// All rows of a query, through a statement that is kept.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first row of a query, if there is one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Option<T>> {
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// Runs a statement that is kept; returns how many rows it changed.
pub(super) fn run(connection: &Connection, sql: &str, params: impl Params) -> Outcome<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// A number that SQLite keeps signed and we do not.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// The position of the change log.
pub(super) fn position(connection: &Connection) -> Outcome<u64> {
    let seq = first(connection, "SELECT seq FROM change_log ORDER BY seq DESC LIMIT 1", [], |row| {
        unsigned(row, 0)
    })?;
    Ok(seq.unwrap_or_default())
}

fn domain_named(connection: &Connection, name: &str) -> Outcome<Option<DomainRow>> {
    let sql = "SELECT d.id, p.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
               JOIN domain_names p ON p.domain = n.domain AND p.is_primary WHERE n.name = ?1";
    first(connection, sql, [name], domain_row)
}

fn domain_of(connection: &Connection, id: &Id) -> Outcome<Option<DomainRow>> {
    let sql = "SELECT d.id, p.name, d.status FROM domains d
               JOIN domain_names p ON p.domain = d.id AND p.is_primary WHERE d.id = ?1";
    first(connection, sql, [&id.0], domain_row)
}

/// Columns: id, primary name, status.
pub(super) fn domain_row(row: &Row<'_>) -> rusqlite::Result<DomainRow> {
    Ok(DomainRow { id: Id(row.get(0)?), name: parsed(row, 1)?, status: parsed(row, 2)? })
}

/// The other names of a domain, sorted.
pub(super) fn other_names(connection: &Connection, domain: &Id) -> Outcome<Vec<String>> {
    let sql = "SELECT name FROM domain_names WHERE domain = ?1 AND NOT is_primary ORDER BY name";
    all(connection, sql, [&domain.0], |row| row.get(0))
}

fn account_at(connection: &Connection, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
    let sql =
        "SELECT local, id, name, mailbox, password, status FROM accounts WHERE domain = ?1 AND local = ?2";
    first(connection, sql, [domain.id.0.as_str(), local], |row| account(row, domain))
}

/// Columns: local, id, name, mailbox, password, status.
pub(super) fn account(row: &Row<'_>, domain: &DomainRow) -> rusqlite::Result<Account> {
    Ok(Account {
        id: Id(row.get(1)?),
        domain: domain.id.clone(),
        address: address(row, 0, domain.name.clone())?,
        name: row.get(2)?,
        mailbox: MailboxPath(row.get(3)?),
        password: row.get(4)?,
        status: parsed(row, 5)?,
    })
}

/// The address of a local part in a column.
pub(super) fn address(row: &Row<'_>, column: usize, domain: DomainName) -> rusqlite::Result<Address> {
    Address::from_parts(row.get_ref(column)?.as_str()?, domain)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Columns: local, id, targets, status.
pub(super) fn alias(row: &Row<'_>, domain: &DomainRow) -> rusqlite::Result<StoredAlias> {
    Ok(StoredAlias {
        pattern: AliasPattern { local: row.get(0)?, domain: domain.name.clone() },
        id: Id(row.get(1)?),
        domain: domain.id.clone(),
        targets: from_json(row, 2)?,
        status: parsed(row, 3)?,
    })
}

/// Columns: layer, service, key, content, pin, until, reason, `written_by`.
pub(super) fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    let until: Option<i64> = row.get(5)?;
    Ok(Setting {
        layer: parsed(row, 0)?,
        name: SettingName { service: row.get(1)?, key: row.get(2)? },
        content: from_json::<Content>(row, 3)?,
        pin: parsed(row, 4)?,
        until: until.map(Timestamp::from_micros),
        reason: row.get(6)?,
        by: row.get(7)?,
    })
}

/// The `layer` column; [`Layer`]'s own text would be a new string for each question.
pub(super) const fn layer_text(layer: Layer) -> &'static str {
    match layer {
        Layer::System => "system",
        Layer::Domain => "domain",
        Layer::Account => "account",
    }
}

fn settings_of(connection: &Connection, layer: Layer, owner: &str) -> Outcome<Vec<Setting>> {
    let sql = "SELECT layer, service, key, content, pin, until, reason, written_by FROM settings
               WHERE layer = ?1 AND owner = ?2";
    all(connection, sql, [layer_text(layer), owner], setting)
}

/// The roles of an account.
pub(super) fn roles_of(connection: &Connection, account: &Id) -> Outcome<Vec<Role>> {
    let sql = "SELECT domain FROM grants WHERE account = ?1 ORDER BY domain";
    all(connection, sql, [&account.0], |row| {
        let domain: String = row.get(0)?;
        Ok(if domain.is_empty() { Role::System } else { Role::Domain(Id(domain)) })
    })
}

impl Source for Reader<'_> {
    fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>> {
        domain_named(self.0, name)
    }

    fn settings_of(&mut self, layer: Layer, owner: &str) -> Outcome<Vec<Setting>> {
        settings_of(self.0, layer, owner)
    }

    fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        account_at(self.0, domain, local)
    }

    fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>> {
        let sql = "SELECT local, id, targets, status FROM aliases
                   WHERE domain = ?1 AND local = ?2 AND status <> 'removed'";
        first(self.0, sql, [domain.id.0.as_str(), local], |row| alias(row, domain))
    }

    fn wildcards(&mut self, domain: &DomainRow) -> Outcome<Vec<StoredAlias>> {
        // Left to itself SQLite reads all aliases of the domain.
        let sql = "SELECT local, id, targets, status FROM aliases INDEXED BY aliases_wildcard
                   WHERE domain = ?1 AND instr(local, '*') AND status <> 'removed'";
        all(self.0, sql, [&domain.id.0], |row| alias(row, domain))
    }

    fn position(&mut self) -> Outcome<u64> {
        position(self.0)
    }
}

#[async_trait]
impl Rows for Reader<'_> {
    async fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>> {
        domain_named(self.0, name)
    }

    async fn domain_of(&mut self, id: &Id) -> Outcome<Option<DomainRow>> {
        domain_of(self.0, id)
    }

    async fn other_names(&mut self, domain: &Id) -> Outcome<Vec<String>> {
        other_names(self.0, domain)
    }

    async fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        account_at(self.0, domain, local)
    }

    async fn account_of(&mut self, id: &Id) -> Outcome<Option<(Account, DomainRow)>> {
        let sql = "SELECT domain, local FROM accounts WHERE id = ?1";
        let place = first(self.0, sql, [&id.0], |row| Ok((Id(row.get(0)?), row.get::<_, String>(1)?)))?;
        let Some((domain, local)) = place else { return Ok(None) };
        let Some(domain) = domain_of(self.0, &domain)? else { return Ok(None) };
        Ok(account_at(self.0, &domain, &local)?.map(|account| (account, domain)))
    }

    async fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>> {
        let sql = "SELECT local, id, targets, status FROM aliases WHERE domain = ?1 AND local = ?2";
        first(self.0, sql, [domain.id.0.as_str(), local], |row| alias(row, domain))
    }

    async fn mailbox_holder(&mut self, mailbox: &MailboxPath) -> Outcome<Option<Holder>> {
        let sql = "SELECT id FROM accounts WHERE mailbox = ?1
                   UNION ALL SELECT NULL FROM retired_mailboxes WHERE mailbox = ?1";
        let holder = first(self.0, sql, [&mailbox.0], |row| row.get::<_, Option<String>>(0))?;
        Ok(holder.map(|id| id.map_or(Holder::Nobody, |id| Holder::Account(Id(id)))))
    }

    async fn mailboxes_in(&mut self, domain: &Id) -> Outcome<Vec<MailboxPath>> {
        let sql = "SELECT mailbox FROM accounts WHERE domain = ?1 ORDER BY mailbox";
        all(self.0, sql, [&domain.0], |row| Ok(MailboxPath(row.get(0)?)))
    }

    async fn settings_of(&mut self, owner: &Owner) -> Outcome<Vec<Setting>> {
        settings_of(self.0, owner.layer, &owner.id)
    }

    async fn roles_of(&mut self, account: &Id) -> Outcome<Vec<Role>> {
        roles_of(self.0, account)
    }
}
