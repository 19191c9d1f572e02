//! What people read: lists in pages, one account, settings of one place, the change log.

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, Domain, Id, LoggedChange, Place};
use pigeon_core::ports::directory::Page;
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, Row, params};

use super::failure::{Failure, Outcome};
use super::rows::{self, DomainRow};

/// The domains, by primary name.
pub(super) fn domains(connection: &Connection, page: &Page) -> Outcome<Vec<Domain>> {
    let after = page.after.as_deref().unwrap_or_default();
    let rows = domain_rows(connection, after, page)?;
    rows.into_iter().map(|row| rows::domain(connection, row)).collect()
}

/// Domains whose name sorts behind `after`.
fn domain_rows(connection: &Connection, after: &str, page: &Page) -> Outcome<Vec<DomainRow>> {
    let sql = "SELECT d.id, n.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
               WHERE n.is_primary AND n.name > ?1 AND (?2 OR d.status <> 'removed') ORDER BY n.name LIMIT ?3";
    rows::all(connection, sql, params![after, page.with_removed, page.limit], rows::domain_row)
}

/// The accounts of a domain, or of all domains by domain and local part.
pub(super) fn accounts(connection: &Connection, domain: Option<&str>, page: &Page) -> Outcome<Vec<Account>> {
    let sql = "SELECT local, id, name, mailbox, password, status FROM accounts
               WHERE domain = ?1 AND local > ?2 AND (?3 OR status <> 'removed') ORDER BY local LIMIT ?4";
    by_domain(connection, domain, page, |domain, after, limit| {
        let params = params![domain.id.0, after, page.with_removed, limit];
        rows::all(connection, sql, params, |row| rows::account(row, domain))
    })
}

/// The aliases of a domain, or of all domains by domain and pattern.
pub(super) fn aliases(connection: &Connection, domain: Option<&str>, page: &Page) -> Outcome<Vec<Alias>> {
    let sql = "SELECT local, id, targets, status FROM aliases
               WHERE domain = ?1 AND local > ?2 AND (?3 OR status <> 'removed') ORDER BY local LIMIT ?4";
    by_domain(connection, domain, page, |domain, after, limit| {
        let params = params![domain.id.0, after, page.with_removed, limit];
        let found = rows::all(connection, sql, params, |row| rows::alias(row, domain))?;
        found.into_iter().map(rows::StoredAlias::strict).collect()
    })
}

/// Reads a page domain by domain; `after` is the address of the last row of the page before.
fn by_domain<T>(
    connection: &Connection,
    domain: Option<&str>,
    page: &Page,
    read: impl Fn(&DomainRow, &str, u32) -> Outcome<Vec<T>>,
) -> Outcome<Vec<T>> {
    let last = page.after.as_deref().map(parse_after).transpose()?;
    let (after_domain, after_local) =
        last.as_ref().map_or(("", ""), |(local, domain)| (domain.as_str(), local.as_str()));
    if let Some(name) = domain {
        return read(&need_domain(connection, name)?, after_local, page.limit);
    }
    let mut found = Vec::new();
    if let Some(domain) = rows::domain_named(connection, after_domain)? {
        found = read(&domain, after_local, page.limit)?;
    }
    let mut after = after_domain.to_owned();
    let one = Page { limit: 100, ..page.clone() };
    loop {
        let domains = domain_rows(connection, &after, &one)?;
        let Some(last) = domains.last() else { return Ok(found) };
        after = last.name.to_string();
        for domain in domains {
            let missing = page.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            if missing == 0 {
                return Ok(found);
            }
            found.extend(read(&domain, "", missing)?);
        }
    }
}

fn parse_after(after: &str) -> Outcome<(String, String)> {
    let address = Address::parse(after).map_err(|error| Failure::invalid(format!("{after:?}: {error}")))?;
    Ok((address.local().to_lowercase(), address.domain().to_string()))
}

fn need_domain(connection: &Connection, name: &str) -> Outcome<DomainRow> {
    let name = DomainName::parse(name).map_err(|error| Failure::invalid(format!("{name:?}: {error}")))?;
    rows::domain_named(connection, name.as_str())?
        .ok_or_else(|| Failure::not_found(format!("the domain {name}"), ": add it first"))
}

/// The account of that address, whatever its status.
pub(super) fn account(connection: &Connection, address: &Address) -> Outcome<Account> {
    let domain = need_domain(connection, address.domain().as_str())?;
    rows::account_at(connection, &domain, &address.local().to_lowercase())?
        .ok_or_else(|| Failure::not_found(format!("the account {address}"), ""))
}

/// Who holds which role: none is the whole system.
pub(super) fn grants(
    connection: &Connection,
    of: Option<&Address>,
) -> Outcome<Vec<(Address, Option<String>)>> {
    let id = of.map(|address| account(connection, address)).transpose()?.map(|account| account.id.0);
    let sql = "SELECT a.local, n.name, role.name FROM grants g
               JOIN accounts a ON a.id = g.account
               JOIN domain_names n ON n.domain = a.domain AND n.is_primary
               LEFT JOIN domain_names role ON role.domain = g.domain AND role.is_primary
               WHERE ?1 IS NULL OR g.account = ?1 ORDER BY n.name, a.local, role.name";
    rows::all(connection, sql, [id], |row| {
        let domain: DomainName = rows::parsed(row, 1)?;
        let address = Address::from_parts(row.get_ref(0)?.as_str()?, domain).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok((address, row.get(2)?))
    })
}

/// The settings written at a place, by name.
pub(super) fn settings(connection: &Connection, place: &Place) -> Outcome<Vec<Setting>> {
    let owner = match place {
        Place::System => Id(String::new()),
        Place::Domain(name) => need_domain(connection, name)?.id,
        Place::Account(address) => account(connection, address)?.id,
    };
    let mut settings = rows::settings_of(connection, place.layer(), &owner.0)?;
    settings.sort_by(|one, two| {
        one.name.cmp(&two.name).then_with(|| one.content.kind().cmp(&two.content.kind()))
    });
    Ok(settings)
}

/// The change log behind `after`, oldest first.
pub(super) fn changes(connection: &Connection, after: u64, limit: u32) -> Outcome<Vec<LoggedChange>> {
    let sql =
        "SELECT seq, at, actor, change, before, after FROM change_log WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    rows::all(connection, sql, params![after, limit], |row| {
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

fn maybe_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<serde_json::Value>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => rows::from_json(row, column).map(Some),
    }
}
