//! The whole directory, out and in: ordered so that whatever an entry refers to comes before it.

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, Domain, Entry, Grant, Id, Role, Scope};
use pigeon_core::rights::Actor;
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Layer, Setting};
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;

use super::apply::{Work, store};
use super::failure::{Failure, Outcome};
use super::rows::{self, DomainRow};
use crate::directory::mailbox;
use crate::passwords;

/// How many entries an export has.
pub(super) fn count(connection: &Connection) -> Outcome<u64> {
    let sql = "SELECT (SELECT count(*) FROM domains) + (SELECT count(*) FROM accounts) + (SELECT count(*) FROM aliases)
               + (SELECT count(*) FROM grants) + (SELECT count(*) FROM settings)";
    Ok(rows::first(connection, sql, [], |row| rows::unsigned(row, 0))?.unwrap_or_default())
}

/// The kinds of entries, in their order.
const KINDS: [&str; 5] = ["domain", "account", "alias", "grant", "setting"];

/// The next entries behind a cursor, `KIND/KEY` of the last entry before.
pub(super) fn export(
    connection: &Connection,
    cursor: Option<&str>,
    limit: u32,
) -> Outcome<(Vec<Entry>, Option<String>)> {
    let (kind, key) = match cursor {
        None => ("domain", ""),
        Some(cursor) => cursor.split_once('/').ok_or_else(|| bad_cursor(cursor))?,
    };
    let from = KINDS.iter().position(|known| *known == kind).ok_or_else(|| bad_cursor(kind))?;
    let mut entries = Vec::new();
    let mut next = cursor.map(str::to_owned);
    for (at, kind) in KINDS.iter().enumerate().skip(from) {
        let missing = limit.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        if missing == 0 {
            break;
        }
        let after = if at == from { key } else { "" };
        let page = match *kind {
            "domain" => domains(connection, after, missing)?,
            "account" => accounts(connection, after, missing)?,
            "alias" => aliases(connection, after, missing)?,
            "grant" => grants(connection, after, missing)?,
            _ => settings(connection, after, missing)?,
        };
        if let Some((key, _)) = page.last() {
            next = Some(format!("{kind}/{key}"));
        }
        entries.extend(page.into_iter().map(|(_, entry)| entry));
    }
    Ok((entries, next))
}

fn bad_cursor(cursor: &str) -> Failure {
    Failure::invalid(format!("{cursor:?} is not a cursor of an export"))
}

type Keyed = Vec<(String, Entry)>;

fn domains(connection: &Connection, after: &str, limit: u32) -> Outcome<Keyed> {
    let sql =
        "SELECT d.id, n.name, d.status FROM domains d JOIN domain_names n ON n.domain = d.id AND n.is_primary
               WHERE d.id > ?1 ORDER BY d.id LIMIT ?2";
    let found = rows::all(connection, sql, params![after, limit], rows::domain_row)?;
    let entry = |row: DomainRow| Ok((row.id.0.clone(), Entry::Domain(rows::domain(connection, row)?)));
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
    let entry = |alias: rows::StoredAlias| Ok((alias.id.0.clone(), Entry::Alias(alias.strict()?)));
    found.into_iter().map(entry).collect()
}

fn joined_domain(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<DomainRow> {
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

/// Takes entries in, all or none.
pub(super) fn import(
    connection: &mut Connection,
    catalogue: &Catalogue,
    actor: &Actor,
    entries: &[Entry],
) -> Outcome<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let change = json!({ "change": "import", "entries": entries.len() });
    let work = Work::begin(&transaction, catalogue, actor, &change)?;
    work.need_system()?;
    // Every look-up depends on the system layer: one scope tells of all that an import may touch.
    work.touch_in_bulk(&[Scope::System])?;
    let mut importer = Importer { work: &work, domain: None };
    for (at, entry) in entries.iter().enumerate() {
        importer.take(entry).map_err(|failure| named(failure, at + 1))?;
    }
    work.end(None, None)?;
    transaction.commit()?;
    Ok(())
}

/// Says which entry was refused; they are counted from one.
fn named(failure: Failure, at: usize) -> Failure {
    match failure {
        Failure::Refused(error) => Failure::invalid(format!("entry {at}: {error}")),
        other => other,
    }
}

struct Importer<'a> {
    work: &'a Work<'a>,
    /// The domain of the entry before: those of one domain often lie together.
    domain: Option<DomainRow>,
}

impl Importer<'_> {
    fn take(&mut self, entry: &Entry) -> Outcome<()> {
        match entry {
            Entry::Domain(domain) => self.take_domain(domain),
            Entry::Account(account) => self.take_account(account),
            Entry::Alias(alias) => self.take_alias(alias),
            Entry::Grant(grant) => self.take_grant(grant),
            Entry::Setting { owner, setting } => self.take_setting(owner.as_ref(), setting),
        }
    }

    fn take_domain(&mut self, domain: &Domain) -> Outcome<()> {
        self.domain = None;
        need_id(&domain.id)?;
        let connection = self.work.connection;
        let sql = "INSERT INTO domains (id, status) VALUES (?1, ?2)
                   ON CONFLICT (id) DO UPDATE SET status = excluded.status";
        rows::run(connection, sql, [&domain.id.0, &domain.status.to_string()])?;
        rows::run(connection, "DELETE FROM domain_names WHERE domain = ?1", [&domain.id.0])?;
        for (at, name) in std::iter::once(&domain.name).chain(&domain.aliases).enumerate() {
            let name =
                DomainName::parse(name).map_err(|error| Failure::invalid(format!("{name:?}: {error}")))?;
            if rows::domain_named(connection, name.as_str())?.is_some() {
                return Err(Failure::exists(format!("the domain {name}"), " under another id"));
            }
            let sql = "INSERT INTO domain_names (name, domain, is_primary) VALUES (?1, ?2, ?3)";
            rows::run(connection, sql, params![name.as_str(), domain.id.0, at == 0])?;
        }
        Ok(())
    }

    fn take_account(&mut self, account: &Account) -> Outcome<()> {
        need_id(&account.id)?;
        let domain = self.domain_of(&account.domain, &account.address)?;
        let local = account.address.local().to_lowercase();
        if !mailbox::is_safe(&account.mailbox.0) {
            return Err(Failure::invalid(format!("{:?} is not a mailbox path", account.mailbox.0)));
        }
        if let Some(password) = &account.password {
            passwords::check_form(password).map_err(|error| Failure::invalid(error.to_string()))?;
        }
        let sql = "SELECT 1 FROM accounts WHERE (domain = ?1 AND local = ?2 OR mailbox = ?3) AND id <> ?4
                   UNION ALL SELECT 1 FROM aliases WHERE domain = ?1 AND local = ?2";
        let params = params![domain.id.0, local, account.mailbox.0, account.id.0];
        if rows::first(self.work.connection, sql, params, |_| Ok(()))?.is_some() {
            return Err(Failure::exists(
                format!("the address or mailbox of {}", account.address),
                " under another id",
            ));
        }
        let sql = "INSERT INTO accounts (domain, local, id, name, mailbox, password, status)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (id) DO UPDATE SET domain = excluded.domain, local = excluded.local, name = excluded.name,
                   mailbox = excluded.mailbox, password = excluded.password, status = excluded.status";
        let status = account.status.to_string();
        let params = params![
            domain.id.0,
            local,
            account.id.0,
            account.name,
            account.mailbox.0,
            account.password,
            status
        ];
        rows::run(self.work.connection, sql, params).map(drop)
    }

    fn take_alias(&mut self, alias: &Alias) -> Outcome<()> {
        need_id(&alias.id)?;
        let named = Address::from_parts("x", alias.pattern.domain.clone());
        let named = named.map_err(|error| Failure::invalid(error.to_string()))?;
        let domain = self.domain_of(&alias.domain, &named)?;
        let local = alias.pattern.local.to_lowercase();
        if alias.targets.is_empty() {
            return Err(Failure::invalid(format!("the alias {} needs at least one target", alias.pattern)));
        }
        let sql = "SELECT 1 FROM aliases WHERE domain = ?1 AND local = ?2 AND id <> ?3
                   UNION ALL SELECT 1 FROM accounts WHERE domain = ?1 AND local = ?2";
        let params = params![domain.id.0, local, alias.id.0];
        if rows::first(self.work.connection, sql, params, |_| Ok(()))?.is_some() {
            return Err(Failure::exists(format!("the address {}", alias.pattern), " under another id"));
        }
        let targets =
            serde_json::to_string(&alias.targets).map_err(|error| Failure::invalid(error.to_string()))?;
        let sql = "INSERT INTO aliases (domain, local, id, targets, status) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (id) DO UPDATE SET domain = excluded.domain, local = excluded.local,
                   targets = excluded.targets, status = excluded.status";
        let params = params![domain.id.0, local, alias.id.0, targets, alias.status.to_string()];
        rows::run(self.work.connection, sql, params).map(drop)
    }

    fn take_grant(&self, grant: &Grant) -> Outcome<()> {
        let connection = self.work.connection;
        if rows::account_of(connection, &grant.account)?.is_none() {
            return Err(Failure::not_found(format!("the account {}", grant.account), ""));
        }
        let domain = match &grant.role {
            Role::System => "",
            Role::Domain(id) if rows::domain_of(connection, id)?.is_some() => &id.0,
            Role::Domain(id) => return Err(Failure::not_found(format!("the domain {id}"), "")),
        };
        let sql = "INSERT INTO grants (account, domain) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        rows::run(connection, sql, [&grant.account.0, domain]).map(drop)
    }

    fn take_setting(&self, owner: Option<&Id>, setting: &Setting) -> Outcome<()> {
        let connection = self.work.connection;
        let layer = match owner {
            None => Layer::System,
            Some(id) if rows::domain_of(connection, id)?.is_some() => Layer::Domain,
            Some(id) if rows::account_of(connection, id)?.is_some() => Layer::Account,
            Some(id) => {
                return Err(Failure::not_found(
                    format!("the owner {id}"),
                    ": entries come after what they refer to",
                ));
            }
        };
        if layer != setting.layer {
            return Err(Failure::invalid(format!(
                "{} says the {} layer, but its owner is another",
                setting.name, setting.layer
            )));
        }
        self.work.catalogue.validate(layer, &setting.name, &setting.content).map_err(Failure::invalid)?;
        store(connection, owner.map_or("", |id| &id.0), setting)
    }

    fn domain_of(&mut self, id: &Id, address: &Address) -> Outcome<DomainRow> {
        let is_known = |domain: &&DomainRow| domain.id == *id && domain.name == *address.domain();
        if let Some(domain) = self.domain.as_ref().filter(is_known) {
            return Ok(domain.clone());
        }
        let domain = rows::domain_named(self.work.connection, address.domain().as_str())?
            .filter(|domain| domain.id == *id)
            .ok_or_else(|| {
                let what = format!("the domain {} with the id {id}", address.domain());
                Failure::not_found(what, ": entries come after what they refer to")
            })?;
        self.domain = Some(domain.clone());
        Ok(domain)
    }
}

/// Ids come from outside here: they stand in cursors and scopes.
fn need_id(id: &Id) -> Outcome<()> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if (1..=64).contains(&id.0.len()) && id.0.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::invalid(format!("{:?} is not an id", id.0)))
}
