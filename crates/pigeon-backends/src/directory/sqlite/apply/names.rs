//! New domains, accounts and aliases, and what people edit on them.

use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Status};
use pigeon_core::rights::{Reach, may_write};
use pigeon_core::setting::Pin;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{self, DomainRow};
use super::{Work, Written, account_reach, json, new_id, parse_domain, removed};
use crate::directory::mailbox;
use crate::passwords;

impl Work<'_> {
    pub(super) fn add_domain(&self, name: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let name = parse_domain(name)?;
        self.need_free_name(name.as_str())?;
        let row = DomainRow { id: new_id(), name, status: Status::Active };
        rows::run(self.connection, "INSERT INTO domains (id) VALUES (?1)", [&row.id.0])?;
        let sql = "INSERT INTO domain_names (name, domain, is_primary) VALUES (?1, ?2, 1)";
        rows::run(self.connection, sql, (row.name.as_str(), &row.id.0))?;
        Ok(Written::new(None, json(&self.domain_json(row)?)?))
    }

    pub(super) fn add_domain_alias(&self, domain: &str, alias: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let row = self.living_domain(domain)?;
        let alias = parse_domain(alias)?;
        self.need_free_name(alias.as_str())?;
        let before = json(&self.domain_json(row.clone())?)?;
        let sql = "INSERT INTO domain_names (name, domain) VALUES (?1, ?2)";
        rows::run(self.connection, sql, (alias.as_str(), &row.id.0))?;
        Ok(Written::new(before, json(&self.domain_json(row)?)?))
    }

    pub(super) fn remove_domain_alias(&self, alias: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let alias = parse_domain(alias)?;
        let row = rows::domain_named(self.connection, alias.as_str())?;
        let row = row.ok_or_else(|| Failure::not_found(format!("the domain name {alias}"), ""))?;
        if row.name == alias {
            return Err(Failure::invalid(format!(
                "{alias} is the domain's own name: rename or remove the domain"
            )));
        }
        let before = json(&self.domain_json(row.clone())?)?;
        rows::run(self.connection, "DELETE FROM domain_names WHERE name = ?1", [alias.as_str()])?;
        Ok(Written::new(before, json(&self.domain_json(row)?)?))
    }

    pub(super) fn add_account(
        &self,
        address: &Address,
        name: &str,
        password: Option<&str>,
    ) -> Outcome<Written> {
        let domain = self.living_domain(address.domain().as_str())?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        let local = address.local().to_lowercase();
        if local.contains('*') {
            return Err(Failure::invalid(format!("{address}: the name of an account cannot have a \"*\"")));
        }
        check_password(password)?;
        self.need_free_address(&domain, &local)?;
        let id = new_id();
        let is_taken = |path: &str| self.was_mailbox(path);
        let mailbox = mailbox::assign(domain.name.as_str(), &local, &id.0, is_taken)?;
        let sql = "INSERT INTO accounts (domain, local, id, name, mailbox, password) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        rows::run(self.connection, sql, (&domain.id.0, &local, &id.0, name, &mailbox.0, password))?;
        let account = rows::account_at(self.connection, &domain, &local)?;
        Ok(Written::new(None, json(&account)?))
    }

    pub(super) fn edit_account(
        &self,
        address: &Address,
        name: Option<&str>,
        password: Option<&str>,
    ) -> Outcome<Written> {
        let (account, domain) = self.living_account(address)?;
        // People edit their own account, too.
        may_write(&self.authority, &account_reach(&account), Pin::None, None).map_err(Failure::forbidden)?;
        self.may_govern(&account)?;
        check_password(password)?;
        let sql = "UPDATE accounts SET name = coalesce(?1, name), password = coalesce(?2, password)
                   WHERE domain = ?3 AND local = ?4";
        rows::run(self.connection, sql, (name, password, &domain.id.0, account.address.local()))?;
        let after = rows::account_at(self.connection, &domain, account.address.local())?;
        Ok(Written::new(json(&account)?, json(&after)?))
    }

    pub(super) fn add_alias(&self, pattern: &AliasPattern, targets: &[Address]) -> Outcome<Written> {
        let domain = self.living_domain(pattern.domain.as_str())?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        let targets = targets_json(pattern, targets)?;
        self.need_free_address(&domain, &pattern.local)?;
        let sql = "INSERT INTO aliases (domain, local, id, targets) VALUES (?1, ?2, ?3, ?4)";
        rows::run(self.connection, sql, (&domain.id.0, &pattern.local, &new_id().0, targets))?;
        let alias = rows::alias_at(self.connection, &domain, &pattern.local)?;
        Ok(Written::new(None, json(&alias)?))
    }

    pub(super) fn edit_alias(&self, pattern: &AliasPattern, targets: &[Address]) -> Outcome<Written> {
        let (alias, domain) = self.living_alias(pattern)?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        let targets = targets_json(pattern, targets)?;
        let sql = "UPDATE aliases SET targets = ?1 WHERE domain = ?2 AND local = ?3";
        rows::run(self.connection, sql, (targets, &domain.id.0, &pattern.local))?;
        let after = rows::alias_at(self.connection, &domain, &pattern.local)?;
        Ok(Written::new(json(&alias)?, json(&after)?))
    }

    pub(super) fn domain_json(&self, row: DomainRow) -> Outcome<Domain> {
        rows::domain(self.connection, row)
    }

    fn living_alias(&self, pattern: &AliasPattern) -> Outcome<(Alias, DomainRow)> {
        let (alias, domain) = self.any_alias(pattern)?;
        match alias.status {
            Status::Removed => Err(removed(format!("the alias {pattern}"))),
            Status::Active | Status::Suspended => Ok((alias, domain)),
        }
    }

    pub(super) fn need_free_name(&self, name: &str) -> Outcome<()> {
        let Some(owner) = rows::domain_named(self.connection, name)? else { return Ok(()) };
        let hint = if owner.status == Status::Removed {
            reserved()
        } else if owner.name.as_str() == name {
            String::new()
        } else {
            format!(": it is another name of {}", owner.name)
        };
        Err(Failure::exists(format!("the domain {name}"), &hint))
    }

    pub(super) fn need_free_address(&self, domain: &DomainRow, local: &str) -> Outcome<()> {
        let shown = |address: &dyn std::fmt::Display, kind: &str| format!("the {kind} {address}");
        let hint = |status: Status| if status == Status::Removed { reserved() } else { String::new() };
        if let Some(Account { address, status, .. }) = rows::account_at(self.connection, domain, local)? {
            return Err(Failure::exists(shown(&address, "account"), &hint(status)));
        }
        if let Some(Alias { pattern, status, .. }) = rows::alias_at(self.connection, domain, local)? {
            return Err(Failure::exists(shown(&pattern, "alias"), &hint(status)));
        }
        Ok(())
    }

    fn was_mailbox(&self, path: &str) -> Outcome<bool> {
        let sql = "SELECT 1 FROM accounts WHERE mailbox = ?1 UNION ALL SELECT 1 FROM retired_mailboxes WHERE mailbox = ?1";
        Ok(rows::first(self.connection, sql, [path], |_| Ok(()))?.is_some())
    }
}

fn reserved() -> String {
    ": it is marked as removed, restore or purge it".to_owned()
}

fn check_password(password: Option<&str>) -> Outcome<()> {
    password.map_or(Ok(()), passwords::check_form).map_err(|error| Failure::invalid(error.to_string()))
}

fn targets_json(pattern: &AliasPattern, targets: &[Address]) -> Outcome<String> {
    if targets.is_empty() {
        return Err(Failure::invalid(format!("the alias {pattern} needs at least one target")));
    }
    serde_json::to_string(targets).map_err(|error| Failure::invalid(error.to_string()))
}
