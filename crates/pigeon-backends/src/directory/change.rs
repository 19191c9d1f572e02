//! Changes: the right to make them, the rows they write, and their row in the change log, in one transaction.

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, AliasPattern, Change, Entry, Id, LoggedChange, Role, Status};
use pigeon_core::ports::directory::Applied;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::{Actor, Authority, Reach, may_administer};
use pigeon_core::service::Catalogue;
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

use super::failure::{Failure, Outcome};
use super::rows::{DomainRow, Rows, StoredAlias, Transaction, Write, Writes};

mod grants;
mod import;
mod names;
mod settings;
mod subjects;

pub(crate) use import::import;

/// Makes one change, or none at all.
pub(crate) async fn apply(
    rows: &mut dyn Transaction,
    catalogue: &Catalogue,
    actor: &Actor,
    change: &Change,
) -> Outcome<Applied> {
    let mut work = Work::begin(rows, catalogue, actor).await?;
    let written = work.make(change).await?;
    let kept = catalogue.change_without_secret(change.unconditional().clone());
    let log = work.log(redacted(serde_json::to_value(kept))?, written.before, written.after);
    let seq = rows.commit(log, written.writes).await?;
    Ok(Applied { seq, notes: written.notes, orphans: written.orphans })
}

/// What a change does, for the rows, for the log and for the person.
#[derive(Default)]
struct Written {
    writes: Writes,
    before: Option<Value>,
    after: Option<Value>,
    notes: Vec<String>,
    orphans: Vec<MailboxPath>,
}

impl Written {
    /// Writes a row that is new, or stands in the place of `before`.
    fn put(before: Option<Value>, entry: Entry) -> Outcome<Self> {
        let after = match &entry {
            Entry::Domain(domain) => json(domain),
            Entry::Account(account) => json(account),
            Entry::Alias(alias) => json(alias),
            Entry::Grant(grant) => json(grant),
            Entry::Setting { setting, .. } => json(setting),
        }?;
        Ok(Self { before, after, ..Self::rows(vec![Write::Put(entry)]) })
    }

    fn rows(rows: Vec<Write>) -> Self {
        Self { writes: Writes { rows, scopes: None }, ..Self::default() }
    }

    fn with_note(mut self, note: impl Into<Option<String>>) -> Self {
        self.notes.extend(note.into());
        self
    }
}

/// A change under way, inside its transaction: reads, judges, and says what to write.
struct Work<'a> {
    rows: &'a mut dyn Transaction,
    catalogue: &'a Catalogue,
    now: Timestamp,
    /// Who asks, as the log names them.
    who: String,
    authority: Authority,
}

impl<'a> Work<'a> {
    /// Learns what the actor may do.
    async fn begin(rows: &'a mut dyn Transaction, catalogue: &'a Catalogue, actor: &Actor) -> Outcome<Self> {
        let (who, authority) = identify(rows, actor).await?;
        Ok(Self { rows, catalogue, now: catalogue.tools().clock.now(), who, authority })
    }

    /// The row of the change log; its position comes with the commit.
    fn log(&self, change: Value, before: Option<Value>, after: Option<Value>) -> LoggedChange {
        LoggedChange { seq: 0, at: self.now, actor: self.who.clone(), change, before, after }
    }

    async fn make(&mut self, change: &Change) -> Outcome<Written> {
        match change {
            Change::AddDomain { name } => self.add_domain(name).await,
            Change::AddDomainAlias { domain, alias } => self.add_domain_alias(domain, alias).await,
            Change::RemoveDomainAlias { alias } => self.remove_domain_alias(alias).await,
            Change::AddAccount { address, name, password } => {
                self.add_account(address, name, password.as_deref()).await
            }
            Change::EditAccount { address, name, password } => {
                self.edit_account(address, name.as_deref(), password.as_deref()).await
            }
            Change::AddAlias { pattern, targets } => self.add_alias(pattern, targets).await,
            Change::EditAlias { pattern, targets } => self.edit_alias(pattern, targets).await,
            Change::Rename { subject, to } => self.rename(subject, to).await,
            Change::SetStatus { subject, status } => self.set_status(subject, *status).await,
            Change::Purge { subject } => self.purge(subject).await,
            Change::AddGrant { account, domain } => self.add_grant(account, domain.as_deref()).await,
            Change::RemoveGrant { account, domain } => self.remove_grant(account, domain.as_deref()).await,
            Change::Set { place, name, content, pin, until, reason } => {
                self.set(place, name, content, (*pin, *until, reason.clone())).await
            }
            Change::SetPin { place, name, kind, pin, until, reason } => {
                self.set_pin(place, name, *kind, (*pin, *until, reason.clone())).await
            }
            Change::Unset { place, name, kind } => self.unset(place, name, *kind).await,
            Change::IfWritten { place, seen, then } => {
                self.is_written(place, seen).await?;
                Box::pin(self.make(then)).await
            }
        }
    }

    fn may_administer(&self, reach: &Reach) -> Outcome<()> {
        may_administer(&self.authority, reach).map_err(Failure::forbidden)
    }

    /// Refuses whoever could gain a role they do not hold by taking over an account that holds it.
    async fn may_govern(&mut self, account: &Account) -> Outcome<()> {
        if self.authority.own.as_ref() == Some(&account.id) || self.authority.roles.contains(&Role::System) {
            return Ok(());
        }
        let roles = self.rows.roles_of(&account.id).await?;
        match roles.iter().all(|role| self.authority.roles.contains(role)) {
            true => Ok(()),
            false => Err(Failure::forbidden(format!(
                "{} administers more than you do: ask somebody who holds the same grants",
                account.address
            ))),
        }
    }

    /// A domain by any of its names; one that is marked as removed is refused.
    async fn living_domain(&mut self, name: &str) -> Outcome<DomainRow> {
        let domain = self.any_domain(name).await?;
        match domain.status {
            Status::Removed => Err(removed(format!("the domain {}", domain.name))),
            Status::Active | Status::Suspended => Ok(domain),
        }
    }

    async fn any_domain(&mut self, name: &str) -> Outcome<DomainRow> {
        let name = parse_domain(name)?;
        let row = self.rows.domain_named(name.as_str()).await?;
        row.ok_or_else(|| Failure::not_found(format!("the domain {name}"), ": add it first"))
    }

    async fn living_account(&mut self, address: &Address) -> Outcome<(Account, DomainRow)> {
        let (account, domain) = self.any_account(address).await?;
        if domain.status == Status::Removed {
            return Err(removed(format!("the domain {}", domain.name)));
        }
        match account.status {
            Status::Removed => Err(removed(format!("the account {address}"))),
            Status::Active | Status::Suspended => Ok((account, domain)),
        }
    }

    async fn any_account(&mut self, address: &Address) -> Outcome<(Account, DomainRow)> {
        let domain = self.any_domain(address.domain().as_str()).await?;
        let account = self.rows.account_at(&domain, &address.local().to_lowercase()).await?;
        let account = account.ok_or_else(|| Failure::not_found(format!("the account {address}"), ""))?;
        Ok((account, domain))
    }

    async fn any_alias(&mut self, pattern: &AliasPattern) -> Outcome<(Alias, DomainRow)> {
        let domain = self.any_domain(pattern.domain.as_str()).await?;
        let alias =
            self.rows.alias_at(&domain, &pattern.local).await?.map(StoredAlias::strict).transpose()?;
        let alias = alias.ok_or_else(|| Failure::not_found(format!("the alias {pattern}"), ""))?;
        Ok((alias, domain))
    }
}

/// Who an actor is, as the log names them, and what they may do.
pub(crate) async fn identify(rows: &mut dyn Rows, actor: &Actor) -> Outcome<(String, Authority)> {
    let id = match actor {
        Actor::System(name) => return Ok((name.clone(), Authority::system())),
        Actor::Account(id) => id,
    };
    let Some((account, domain)) = rows.account_of(id).await? else {
        return Err(Failure::forbidden("your account does not exist any more"));
    };
    if account.status != Status::Active || domain.status != Status::Active {
        return Err(Failure::forbidden(format!("{} is not active: it may change nothing", account.address)));
    }
    let roles = rows.roles_of(id).await?;
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
