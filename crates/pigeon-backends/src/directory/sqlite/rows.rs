//! From rows to the words of the directory, and the few questions that look-ups and changes both ask.

use std::str::FromStr;

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Id, Role, Status};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Layer, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::failure::{Failure, Outcome};

/// A domain as look-ups need it.
#[derive(Debug, Clone)]
pub(super) struct DomainRow {
    pub(super) id: Id,
    /// Its primary name.
    pub(super) name: DomainName,
    pub(super) status: Status,
}

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

/// The domain of which this is a name, primary or not, whatever its status.
pub(super) fn domain_named(connection: &Connection, name: &str) -> Outcome<Option<DomainRow>> {
    let sql = "SELECT d.id, p.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
               JOIN domain_names p ON p.domain = n.domain AND p.is_primary WHERE n.name = ?1";
    first(connection, sql, [name], domain_row)
}

/// The domain of that id.
pub(super) fn domain_of(connection: &Connection, id: &Id) -> Outcome<Option<DomainRow>> {
    let sql = "SELECT d.id, p.name, d.status FROM domains d
               JOIN domain_names p ON p.domain = d.id AND p.is_primary WHERE d.id = ?1";
    first(connection, sql, [&id.0], domain_row)
}

/// Columns: id, primary name, status.
pub(super) fn domain_row(row: &Row<'_>) -> rusqlite::Result<DomainRow> {
    Ok(DomainRow { id: Id(row.get(0)?), name: parsed(row, 1)?, status: parsed(row, 2)? })
}

/// The same with the other names, for people.
pub(super) fn domain(connection: &Connection, row: DomainRow) -> Outcome<Domain> {
    let sql = "SELECT name FROM domain_names WHERE domain = ?1 AND NOT is_primary ORDER BY name";
    let aliases = all(connection, sql, [&row.id.0], |row| row.get(0))?;
    Ok(Domain { id: row.id, name: row.name.to_string(), aliases, status: row.status })
}

/// The account with that local part in a domain, whatever its status.
pub(super) fn account_at(
    connection: &Connection,
    domain: &DomainRow,
    local: &str,
) -> Outcome<Option<Account>> {
    let sql =
        "SELECT local, id, name, mailbox, password, status FROM accounts WHERE domain = ?1 AND local = ?2";
    first(connection, sql, [domain.id.0.as_str(), local], |row| account(row, domain))
}

/// The alias with exactly that pattern in a domain, whatever its status.
pub(super) fn alias_at(connection: &Connection, domain: &DomainRow, local: &str) -> Outcome<Option<Alias>> {
    let sql = "SELECT local, id, targets, status FROM aliases WHERE domain = ?1 AND local = ?2";
    let row = first(connection, sql, [domain.id.0.as_str(), local], |row| alias(row, domain))?;
    row.map(StoredAlias::strict).transpose()
}

/// Columns: local, id, name, mailbox, password, status.
pub(super) fn account(row: &Row<'_>, domain: &DomainRow) -> rusqlite::Result<Account> {
    let local = row.get_ref(0)?.as_str()?;
    let address = Address::from_parts(local, domain.name.clone())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))?;
    Ok(Account {
        id: Id(row.get(1)?),
        domain: domain.id.clone(),
        address,
        name: row.get(2)?,
        mailbox: MailboxPath(row.get(3)?),
        password: row.get(4)?,
        status: parsed(row, 5)?,
    })
}

/// An alias whose targets may be nonsense: look-ups must go on with the others.
pub(super) struct StoredAlias {
    pub(super) id: Id,
    pub(super) domain: Id,
    pub(super) pattern: AliasPattern,
    pub(super) targets: Vec<String>,
    pub(super) status: Status,
}

impl StoredAlias {
    pub(super) fn strict(self) -> Outcome<Alias> {
        let parse = |text: &String| Address::parse(text);
        let targets = self.targets.iter().map(parse).collect::<Result<_, _>>().map_err(|error| {
            Failure::Unusable(format!(
                "holds a target of the alias {} that is no address: {error}",
                self.pattern
            ))
        })?;
        Ok(Alias { id: self.id, domain: self.domain, pattern: self.pattern, targets, status: self.status })
    }
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

/// The settings of one owner; the system's is empty.
pub(super) fn settings_of(connection: &Connection, layer: Layer, owner: &str) -> Outcome<Vec<Setting>> {
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

/// The account of that id with its domain, whatever their status.
pub(super) fn account_of(connection: &Connection, id: &Id) -> Outcome<Option<(Account, DomainRow)>> {
    let place = first(connection, "SELECT domain, local FROM accounts WHERE id = ?1", [&id.0], |row| {
        Ok((Id(row.get(0)?), row.get::<_, String>(1)?))
    })?;
    let Some((domain, local)) = place else { return Ok(None) };
    let Some(domain) = domain_of(connection, &domain)? else { return Ok(None) };
    Ok(account_at(connection, &domain, &local)?.map(|account| (account, domain)))
}
