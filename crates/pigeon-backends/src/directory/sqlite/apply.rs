//! Changes: the right to make them, the rows they write, and their row in the change log, in one transaction.

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, AliasPattern, Change, Id, Role, Scope, Status};
use pigeon_core::ports::directory::Applied;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::{Actor, Authority, Reach, may_administer};
use pigeon_core::service::Catalogue;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

use super::failure::{Failure, Outcome};
use super::feed::text_of;
use super::rows::{self, DomainRow};

mod grants;
mod names;
mod settings;
mod subjects;

pub(super) use settings::store;

/// Makes one change, or none at all.
pub(super) fn apply(
    connection: &mut Connection,
    catalogue: &Catalogue,
    actor: &Actor,
    change: &Change,
) -> Outcome<Applied> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut work = Work::begin(&transaction, catalogue, actor, &redacted(serde_json::to_value(change))?)?;
    let written = work.make(change)?;
    let seq = work.end(written.before, written.after)?;
    transaction.commit()?;
    Ok(Applied { seq, notes: written.notes, orphans: written.orphans })
}

/// What a change did, for the log and for the person.
#[derive(Default)]
struct Written {
    before: Option<Value>,
    after: Option<Value>,
    notes: Vec<String>,
    orphans: Vec<MailboxPath>,
}

impl Written {
    fn new(before: Option<Value>, after: Option<Value>) -> Self {
        Self { before, after, ..Self::default() }
    }
}

/// A change under way, inside its transaction.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) catalogue: &'a Catalogue,
    now: Timestamp,
    /// Who asks, as the log names them.
    who: String,
    authority: Authority,
    seq: i64,
}

impl<'a> Work<'a> {
    /// Learns what the actor may do, and opens the row of the change log.
    pub(super) fn begin(
        connection: &'a Connection,
        catalogue: &'a Catalogue,
        actor: &Actor,
        change: &Value,
    ) -> Outcome<Self> {
        let (who, authority) = identify(connection, actor)?;
        let now = catalogue.tools().clock.now();
        let sql = "INSERT INTO change_log (at, actor, change) VALUES (?1, ?2, ?3)";
        rows::run(connection, sql, (now.micros(), &who, change.to_string()))?;
        let seq = connection.last_insert_rowid();
        // From here on the triggers leave the log to this change.
        rows::run(connection, "INSERT INTO applying (is_bulk) VALUES (0)", [])?;
        Ok(Self { connection, catalogue, now, who, authority, seq })
    }

    /// Completes the row of the change log; returns its position.
    pub(super) fn end(self, before: Option<Value>, after: Option<Value>) -> Outcome<u64> {
        let text = |row: Option<Value>| row.map(|row| row.to_string());
        let sql = "UPDATE change_log SET before = ?1, after = ?2 WHERE seq = ?3";
        rows::run(self.connection, sql, (text(before), text(after), self.seq))?;
        rows::run(self.connection, "DELETE FROM applying", [])?;
        u64::try_from(self.seq).map_err(|_| Failure::Unusable("holds a change log below zero".to_owned()))
    }

    /// For changes of very many rows: says once what is touched, in place of the triggers.
    pub(super) fn touch_in_bulk(&self, scopes: &[Scope]) -> Outcome<()> {
        rows::run(self.connection, "UPDATE applying SET is_bulk = 1", [])?;
        let sql = "INSERT INTO change_scopes (seq, scope) VALUES (?1, ?2)";
        for scope in scopes {
            rows::run(self.connection, sql, (self.seq, text_of(scope)))?;
        }
        Ok(())
    }

    /// Refuses whoever does not hold the authority of the system.
    pub(super) fn need_system(&self) -> Outcome<()> {
        may_administer(&self.authority, &Reach::System).map_err(Failure::forbidden)
    }

    fn make(&mut self, change: &Change) -> Outcome<Written> {
        match change {
            Change::AddDomain { name } => self.add_domain(name),
            Change::AddDomainAlias { domain, alias } => self.add_domain_alias(domain, alias),
            Change::RemoveDomainAlias { alias } => self.remove_domain_alias(alias),
            Change::AddAccount { address, name, password } => {
                self.add_account(address, name, password.as_deref())
            }
            Change::EditAccount { address, name, password } => {
                self.edit_account(address, name.as_deref(), password.as_deref())
            }
            Change::AddAlias { pattern, targets } => self.add_alias(pattern, targets),
            Change::EditAlias { pattern, targets } => self.edit_alias(pattern, targets),
            Change::Rename { subject, to } => self.rename(subject, to),
            Change::SetStatus { subject, status } => self.set_status(subject, *status),
            Change::Purge { subject } => self.purge(subject),
            Change::AddGrant { account, domain } => self.add_grant(account, domain.as_deref()),
            Change::RemoveGrant { account, domain } => self.remove_grant(account, domain.as_deref()),
            Change::Set { place, name, content, pin, until, reason } => {
                self.set(place, name, content, (*pin, *until, reason.clone()))
            }
            Change::SetPin { place, name, kind, pin, until, reason } => {
                self.set_pin(place, name, *kind, (*pin, *until, reason.clone()))
            }
            Change::Unset { place, name, kind } => self.unset(place, name, *kind),
        }
    }

    fn may_administer(&self, reach: &Reach) -> Outcome<()> {
        may_administer(&self.authority, reach).map_err(Failure::forbidden)
    }

    /// Refuses whoever could gain a role they do not hold by taking over an account that holds it.
    fn may_govern(&self, account: &Account) -> Outcome<()> {
        if self.authority.own.as_ref() == Some(&account.id) || self.authority.roles.contains(&Role::System) {
            return Ok(());
        }
        let roles = rows::roles_of(self.connection, &account.id)?;
        match roles.iter().all(|role| self.authority.roles.contains(role)) {
            true => Ok(()),
            false => Err(Failure::forbidden(format!(
                "{} administers more than you do: ask somebody who holds the same grants",
                account.address
            ))),
        }
    }

    /// A domain by any of its names; one that is marked as removed is refused.
    fn living_domain(&self, name: &str) -> Outcome<DomainRow> {
        let domain = self.any_domain(name)?;
        match domain.status {
            Status::Removed => Err(removed(format!("the domain {}", domain.name))),
            Status::Active | Status::Suspended => Ok(domain),
        }
    }

    fn any_domain(&self, name: &str) -> Outcome<DomainRow> {
        let name = parse_domain(name)?;
        rows::domain_named(self.connection, name.as_str())?
            .ok_or_else(|| Failure::not_found(format!("the domain {name}"), ": add it first"))
    }

    fn living_account(&self, address: &Address) -> Outcome<(Account, DomainRow)> {
        let (account, domain) = self.any_account(address)?;
        if domain.status == Status::Removed {
            return Err(removed(format!("the domain {}", domain.name)));
        }
        match account.status {
            Status::Removed => Err(removed(format!("the account {address}"))),
            Status::Active | Status::Suspended => Ok((account, domain)),
        }
    }

    fn any_account(&self, address: &Address) -> Outcome<(Account, DomainRow)> {
        let domain = self.any_domain(address.domain().as_str())?;
        let account = rows::account_at(self.connection, &domain, &address.local().to_lowercase())?;
        let account = account.ok_or_else(|| Failure::not_found(format!("the account {address}"), ""))?;
        Ok((account, domain))
    }

    fn any_alias(&self, pattern: &AliasPattern) -> Outcome<(Alias, DomainRow)> {
        let domain = self.any_domain(pattern.domain.as_str())?;
        let alias = rows::alias_at(self.connection, &domain, &pattern.local)?;
        let alias = alias.ok_or_else(|| Failure::not_found(format!("the alias {pattern}"), ""))?;
        Ok((alias, domain))
    }
}

fn identify(connection: &Connection, actor: &Actor) -> Outcome<(String, Authority)> {
    let id = match actor {
        Actor::System(name) => return Ok((name.clone(), Authority::system())),
        Actor::Account(id) => id,
    };
    let Some((account, domain)) = rows::account_of(connection, id)? else {
        return Err(Failure::forbidden("your account does not exist any more"));
    };
    if account.status != Status::Active || domain.status != Status::Active {
        return Err(Failure::forbidden(format!("{} is not active: it may change nothing", account.address)));
    }
    let roles = rows::roles_of(connection, id)?;
    Ok((account.address.to_string(), Authority { roles, own: Some(id.clone()) }))
}

fn account_reach(account: &Account) -> Reach {
    Reach::Account { account: account.id.clone(), domain: account.domain.clone() }
}

fn parse_domain(name: &str) -> Outcome<DomainName> {
    DomainName::parse(name).map_err(|error| Failure::invalid(format!("{name:?}: {error}")))
}

fn removed(what: String) -> Failure {
    Failure::not_found(what, ": it is marked as removed, restore it first")
}

fn json(row: &impl serde::Serialize) -> Outcome<Option<Value>> {
    redacted(serde_json::to_value(row)).map(Some)
}

/// Takes a password out of what goes into the change log.
fn redacted(row: serde_json::Result<Value>) -> Outcome<Value> {
    let mut row =
        row.map_err(|error| Failure::invalid(format!("the change cannot be written down: {error}")))?;
    if let Some(password) = row.get_mut("password").filter(|password| !password.is_null()) {
        *password = Value::from("(not kept)");
    }
    Ok(row)
}

fn new_id() -> Id {
    Id::generate()
}
