//! What is done alike to domains, accounts and aliases: rename, suspend, remove, restore, purge.

use pigeon_core::address::Address;
use pigeon_core::directory::{Account, AliasPattern, Id, Scope, Status, Subject};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::Reach;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{self, DomainRow};
use super::{Work, Written, json, parse_domain, removed};

impl Work<'_> {
    pub(super) fn rename(&self, subject: &Subject, to: &str) -> Outcome<Written> {
        match subject {
            Subject::Domain(name) => self.rename_domain(name, to),
            Subject::Account(address) => {
                let to = Address::parse(to).map_err(|error| Failure::invalid(format!("{to:?}: {error}")))?;
                self.rename_account(address, &to)
            }
            Subject::Alias(pattern) => {
                let to = to.parse::<AliasPattern>().map_err(Failure::invalid)?;
                self.rename_alias(pattern, &to)
            }
        }
    }

    fn rename_domain(&self, name: &str, to: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let row = self.domain_by_own_name(name)?;
        if row.status == Status::Removed {
            return Err(removed(format!("the domain {name}")));
        }
        let to = parse_domain(to)?;
        let before = json(&self.domain_json(row.clone())?)?;
        // Another name of this domain may become its own one.
        let owner = rows::domain_named(self.connection, to.as_str())?;
        if owner.is_some_and(|owner| owner.id == row.id && owner.name != to) {
            rows::run(self.connection, "DELETE FROM domain_names WHERE name = ?1", [to.as_str()])?;
        }
        self.need_free_name(to.as_str())?;
        let sql = "UPDATE domain_names SET name = ?1 WHERE name = ?2";
        rows::run(self.connection, sql, [to.as_str(), row.name.as_str()])?;
        let note =
            format!("{} receives no mail any more: add it as another name of {to} if it should", row.name);
        let after = json(&self.domain_json(DomainRow { name: to, ..row })?)?;
        Ok(Written { notes: vec![note], ..Written::new(before, after) })
    }

    fn rename_account(&self, address: &Address, to: &Address) -> Outcome<Written> {
        let (account, from) = self.living_account(address)?;
        let domain = self.living_domain(to.domain().as_str())?;
        self.may_administer(&Reach::Domain(from.id.clone()))?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        self.may_govern(&account)?;
        let local = to.local().to_lowercase();
        if local.contains('*') {
            return Err(Failure::invalid(format!("{to}: the name of an account cannot have a \"*\"")));
        }
        self.need_free_address(&domain, &local)?;
        let sql = "UPDATE accounts SET domain = ?1, local = ?2 WHERE id = ?3";
        rows::run(self.connection, sql, [&domain.id.0, &local, &account.id.0])?;
        let after = rows::account_at(self.connection, &domain, &local)?;
        let note = format!("{} receives no mail any more: add an alias if it should", account.address);
        Ok(Written { notes: vec![note], ..Written::new(json(&account)?, json(&after)?) })
    }

    fn rename_alias(&self, pattern: &AliasPattern, to: &AliasPattern) -> Outcome<Written> {
        let (alias, from) = self.any_alias(pattern)?;
        if alias.status == Status::Removed {
            return Err(removed(format!("the alias {pattern}")));
        }
        let domain = self.living_domain(to.domain.as_str())?;
        self.may_administer(&Reach::Domain(from.id.clone()))?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        self.need_free_address(&domain, &to.local)?;
        let sql = "UPDATE aliases SET domain = ?1, local = ?2 WHERE id = ?3";
        rows::run(self.connection, sql, [&domain.id.0, &to.local, &alias.id.0])?;
        let after = rows::alias_at(self.connection, &domain, &to.local)?;
        Ok(Written::new(json(&alias)?, json(&after)?))
    }

    pub(super) fn set_status(&self, subject: &Subject, status: Status) -> Outcome<Written> {
        let (before, after, current) = match subject {
            Subject::Domain(name) => {
                self.may_administer(&Reach::System)?;
                let row = self.domain_by_own_name(name)?;
                let before = json(&self.domain_json(row.clone())?)?;
                self.write_status("domains", &row.id, status)?;
                let current = row.status;
                (before, json(&self.domain_json(DomainRow { status, ..row })?)?, current)
            }
            Subject::Account(address) => {
                let (account, domain) = self.any_account(address)?;
                self.may_administer(&Reach::Domain(domain.id))?;
                self.may_govern(&account)?;
                self.write_status("accounts", &account.id, status)?;
                let current = account.status;
                (json(&account)?, json(&Account { status, ..account })?, current)
            }
            Subject::Alias(pattern) => {
                let (alias, domain) = self.any_alias(pattern)?;
                self.may_administer(&Reach::Domain(domain.id))?;
                self.write_status("aliases", &alias.id, status)?;
                let current = alias.status;
                (json(&alias)?, json(&pigeon_core::directory::Alias { status, ..alias })?, current)
            }
        };
        let note = (current == status).then(|| format!("{subject} was {status} already"));
        Ok(Written { notes: note.into_iter().collect(), ..Written::new(before, after) })
    }

    fn write_status(&self, table: &str, id: &Id, status: Status) -> Outcome<()> {
        let sql = match table {
            "domains" => "UPDATE domains SET status = ?1 WHERE id = ?2",
            "accounts" => "UPDATE accounts SET status = ?1 WHERE id = ?2",
            _ => "UPDATE aliases SET status = ?1 WHERE id = ?2",
        };
        rows::run(self.connection, sql, [&status.to_string(), &id.0]).map(drop)
    }

    pub(super) fn purge(&self, subject: &Subject) -> Outcome<Written> {
        let need_removed = |status: Status| match status {
            Status::Removed => Ok(()),
            Status::Active | Status::Suspended => {
                Err(Failure::invalid(format!("{subject} is in use: remove it first, then purge it")))
            }
        };
        match subject {
            Subject::Domain(name) => {
                self.may_administer(&Reach::System)?;
                let row = self.domain_by_own_name(name)?;
                need_removed(row.status)?;
                self.purge_domain(&row)
            }
            Subject::Account(address) => {
                let (account, domain) = self.any_account(address)?;
                self.may_administer(&Reach::Domain(domain.id))?;
                self.may_govern(&account)?;
                need_removed(account.status)?;
                rows::run(self.connection, "DELETE FROM accounts WHERE id = ?1", [&account.id.0])?;
                let before = json(&account)?;
                Ok(Written { orphans: vec![account.mailbox], ..Written::new(before, None) })
            }
            Subject::Alias(pattern) => {
                let (alias, domain) = self.any_alias(pattern)?;
                self.may_administer(&Reach::Domain(domain.id))?;
                need_removed(alias.status)?;
                rows::run(self.connection, "DELETE FROM aliases WHERE id = ?1", [&alias.id.0])?;
                Ok(Written::new(json(&alias)?, None))
            }
        }
    }

    /// Every look-up that ends in the domain depends on its id, so a few scopes tell of all that goes with it.
    fn purge_domain(&self, row: &DomainRow) -> Outcome<Written> {
        let sql = "SELECT mailbox FROM accounts WHERE domain = ?1 ORDER BY mailbox";
        let orphans = rows::all(self.connection, sql, [&row.id.0], |row| Ok(MailboxPath(row.get(0)?)))?;
        let domain = self.domain_json(row.clone())?;
        let names = std::iter::once(&domain.name).chain(&domain.aliases);
        let mut scopes: Vec<Scope> = names.cloned().map(Scope::DomainName).collect();
        scopes.push(Scope::Domain(row.id.clone()));
        self.touch_in_bulk(&scopes)?;
        rows::run(self.connection, "DELETE FROM domains WHERE id = ?1", [&row.id.0])?;
        Ok(Written { orphans, ..Written::new(json(&domain)?, None) })
    }

    fn domain_by_own_name(&self, name: &str) -> Outcome<DomainRow> {
        let name = parse_domain(name)?;
        let row = self.any_domain(name.as_str())?;
        if row.name == name {
            return Ok(row);
        }
        Err(Failure::invalid(format!(
            "{name} is another name of {}: say which of the two you mean",
            row.name
        )))
    }
}
