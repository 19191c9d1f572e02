//! What is done alike to domains, accounts and aliases: rename, suspend, remove, restore, purge.

use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Entry, Scope, Status, Subject};
use pigeon_core::rights::Reach;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, Write, Writes};
use super::names::{in_domain, need_plain};
use super::{Work, Written, json, parse_domain, removed};

impl Work<'_> {
    pub(super) async fn rename(&mut self, subject: &Subject, to: &str) -> Outcome<Written> {
        match subject {
            Subject::Domain(name) => self.rename_domain(name, to).await,
            Subject::Account(address) => {
                let to = Address::parse(to).map_err(|error| Failure::invalid(format!("{to:?}: {error}")))?;
                self.rename_account(address, &to).await
            }
            Subject::Alias(pattern) => {
                let to = to.parse::<AliasPattern>().map_err(Failure::invalid)?;
                self.rename_alias(pattern, &to).await
            }
        }
    }

    async fn rename_domain(&mut self, name: &str, to: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let row = self.domain_by_own_name(name).await?;
        if row.status == Status::Removed {
            return Err(removed(format!("the domain {name}")));
        }
        let to = parse_domain(to)?;
        let mut domain = self.rows.domain(row).await?;
        let before = json(&domain)?;
        // Another name of this domain may become its own one.
        if domain.aliases.iter().any(|alias| alias == to.as_str()) {
            domain.aliases.retain(|alias| alias != to.as_str());
        } else {
            self.need_free_name(to.as_str()).await?;
        }
        let note =
            format!("{} receives no mail any more: add it as another name of {to} if it should", domain.name);
        domain.name = to.to_string();
        Ok(Written::put(before, Entry::Domain(domain))?.with_note(note))
    }

    async fn rename_account(&mut self, address: &Address, to: &Address) -> Outcome<Written> {
        let (account, from) = self.living_account(address).await?;
        let domain = self.living_domain(to.domain().as_str()).await?;
        self.may_administer(&Reach::Domain(from.id))?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        self.may_govern(&account).await?;
        let to = in_domain(&to.local().to_lowercase(), &domain)?;
        need_plain(&to)?;
        self.need_free_address(&domain, to.local()).await?;
        let note = format!("{} receives no mail any more: add an alias if it should", account.address);
        let before = json(&account)?;
        let account = Account { domain: domain.id, address: to, ..account };
        Ok(Written::put(before, Entry::Account(account))?.with_note(note))
    }

    async fn rename_alias(&mut self, pattern: &AliasPattern, to: &AliasPattern) -> Outcome<Written> {
        let (alias, from) = self.any_alias(pattern).await?;
        if alias.status == Status::Removed {
            return Err(removed(format!("the alias {pattern}")));
        }
        let domain = self.living_domain(to.domain.as_str()).await?;
        self.may_administer(&Reach::Domain(from.id))?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        self.need_free_address(&domain, &to.local).await?;
        let before = json(&alias)?;
        let pattern = AliasPattern { local: to.local.clone(), domain: domain.name };
        Written::put(before, Entry::Alias(Alias { domain: domain.id, pattern, ..alias }))
    }

    pub(super) async fn set_status(&mut self, subject: &Subject, status: Status) -> Outcome<Written> {
        let (before, entry, current) = match subject {
            Subject::Domain(name) => {
                self.may_administer(&Reach::System)?;
                let row = self.domain_by_own_name(name).await?;
                let domain = self.rows.domain(row).await?;
                let current = domain.status;
                (json(&domain)?, Entry::Domain(Domain { status, ..domain }), current)
            }
            Subject::Account(address) => {
                let (account, domain) = self.any_account(address).await?;
                self.may_administer(&Reach::Domain(domain.id))?;
                self.may_govern(&account).await?;
                let current = account.status;
                (json(&account)?, Entry::Account(Account { status, ..account }), current)
            }
            Subject::Alias(pattern) => {
                let (alias, domain) = self.any_alias(pattern).await?;
                self.may_administer(&Reach::Domain(domain.id))?;
                let current = alias.status;
                (json(&alias)?, Entry::Alias(Alias { status, ..alias }), current)
            }
        };
        let note = (current == status).then(|| format!("{subject} was {status} already"));
        Ok(Written::put(before, entry)?.with_note(note))
    }

    pub(super) async fn purge(&mut self, subject: &Subject) -> Outcome<Written> {
        let need_removed = |status: Status| match status {
            Status::Removed => Ok(()),
            Status::Active | Status::Suspended => {
                Err(Failure::invalid(format!("{subject} is in use: remove it first, then purge it")))
            }
        };
        match subject {
            Subject::Domain(name) => {
                self.may_administer(&Reach::System)?;
                let row = self.domain_by_own_name(name).await?;
                need_removed(row.status)?;
                self.purge_domain(row).await
            }
            Subject::Account(address) => {
                let (account, domain) = self.any_account(address).await?;
                self.may_administer(&Reach::Domain(domain.id))?;
                self.may_govern(&account).await?;
                need_removed(account.status)?;
                let (before, orphans) = (json(&account)?, vec![account.mailbox.clone()]);
                let rows = vec![Write::Drop(Entry::Account(account))];
                Ok(Written { before, orphans, ..Written::rows(rows) })
            }
            Subject::Alias(pattern) => {
                let (alias, domain) = self.any_alias(pattern).await?;
                self.may_administer(&Reach::Domain(domain.id))?;
                need_removed(alias.status)?;
                let before = json(&alias)?;
                Ok(Written { before, ..Written::rows(vec![Write::Drop(Entry::Alias(alias))]) })
            }
        }
    }

    /// Every look-up that ends in the domain depends on its id, so a few scopes tell of all that goes with it.
    async fn purge_domain(&mut self, row: DomainRow) -> Outcome<Written> {
        let orphans = self.rows.mailboxes_in(&row.id).await?;
        let domain = self.rows.domain(row).await?;
        let names = std::iter::once(&domain.name).chain(&domain.aliases);
        let mut scopes: Vec<Scope> = names.cloned().map(Scope::DomainName).collect();
        scopes.push(Scope::Domain(domain.id.clone()));
        let before = json(&domain)?;
        let writes = Writes { rows: vec![Write::Drop(Entry::Domain(domain))], scopes: Some(scopes) };
        Ok(Written { writes, before, orphans, ..Written::default() })
    }

    async fn domain_by_own_name(&mut self, name: &str) -> Outcome<DomainRow> {
        let name = parse_domain(name)?;
        let row = self.any_domain(name.as_str()).await?;
        if row.name == name {
            return Ok(row);
        }
        Err(Failure::invalid(format!(
            "{name} is another name of {}: say which of the two you mean",
            row.name
        )))
    }
}
