//! New domains, accounts and aliases, and what people edit on them.

use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Entry, Status};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::{Reach, may_write};
use pigeon_core::setting::Pin;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, StoredAlias};
use super::{Work, Written, account_reach, json, new_id, parse_domain, removed};
use crate::directory::mailbox;
use crate::passwords;

impl Work<'_> {
    pub(super) async fn add_domain(&mut self, name: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let name = parse_domain(name)?;
        self.need_free_name(name.as_str()).await?;
        let domain =
            Domain { id: new_id(), name: name.to_string(), aliases: Vec::new(), status: Status::Active };
        Written::put(None, Entry::Domain(domain))
    }

    pub(super) async fn add_domain_alias(&mut self, domain: &str, alias: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let row = self.living_domain(domain).await?;
        let alias = parse_domain(alias)?;
        self.need_free_name(alias.as_str()).await?;
        let mut domain = self.rows.domain(row).await?;
        let before = json(&domain)?;
        domain.aliases.push(alias.to_string());
        domain.aliases.sort();
        Written::put(before, Entry::Domain(domain))
    }

    pub(super) async fn remove_domain_alias(&mut self, alias: &str) -> Outcome<Written> {
        self.may_administer(&Reach::System)?;
        let alias = parse_domain(alias)?;
        let row = self.rows.domain_named(alias.as_str()).await?;
        let row = row.ok_or_else(|| Failure::not_found(format!("the domain name {alias}"), ""))?;
        if row.name == alias {
            return Err(Failure::invalid(format!(
                "{alias} is the domain's own name: rename or remove the domain"
            )));
        }
        let mut domain = self.rows.domain(row).await?;
        let before = json(&domain)?;
        domain.aliases.retain(|name| name != alias.as_str());
        Written::put(before, Entry::Domain(domain))
    }

    pub(super) async fn add_account(
        &mut self,
        address: &Address,
        name: &str,
        password: Option<&str>,
    ) -> Outcome<Written> {
        let domain = self.living_domain(address.domain().as_str()).await?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        let address = in_domain(&address.local().to_lowercase(), &domain)?;
        need_plain(&address)?;
        check_password(password)?;
        self.need_free_address(&domain, address.local()).await?;
        let id = new_id();
        let mailbox = self.new_mailbox(&address, &id.0).await?;
        Written::put(
            None,
            Entry::Account(Account {
                id,
                domain: domain.id,
                address,
                name: name.to_owned(),
                mailbox,
                password: password.map(str::to_owned),
                status: Status::Active,
            }),
        )
    }

    pub(super) async fn edit_account(
        &mut self,
        address: &Address,
        name: Option<&str>,
        password: Option<&str>,
    ) -> Outcome<Written> {
        let (mut account, _) = self.living_account(address).await?;
        // People edit their own account, too.
        may_write(&self.authority, &account_reach(&account), Pin::None, None).map_err(Failure::forbidden)?;
        self.may_govern(&account).await?;
        check_password(password)?;
        let before = json(&account)?;
        if let Some(name) = name {
            name.clone_into(&mut account.name);
        }
        if let Some(password) = password {
            account.password = Some(password.to_owned());
        }
        Written::put(before, Entry::Account(account))
    }

    pub(super) async fn add_alias(
        &mut self,
        pattern: &AliasPattern,
        targets: &[Address],
    ) -> Outcome<Written> {
        let domain = self.living_domain(pattern.domain.as_str()).await?;
        self.may_administer(&Reach::Domain(domain.id.clone()))?;
        need_targets(pattern, targets)?;
        self.need_free_address(&domain, &pattern.local).await?;
        Written::put(
            None,
            Entry::Alias(Alias {
                id: new_id(),
                pattern: AliasPattern { local: pattern.local.clone(), domain: domain.name },
                domain: domain.id,
                targets: targets.to_vec(),
                status: Status::Active,
            }),
        )
    }

    pub(super) async fn edit_alias(
        &mut self,
        pattern: &AliasPattern,
        targets: &[Address],
    ) -> Outcome<Written> {
        let (mut alias, domain) = self.living_alias(pattern).await?;
        self.may_administer(&Reach::Domain(domain.id))?;
        need_targets(pattern, targets)?;
        let before = json(&alias)?;
        alias.targets = targets.to_vec();
        Written::put(before, Entry::Alias(alias))
    }

    async fn living_alias(&mut self, pattern: &AliasPattern) -> Outcome<(Alias, DomainRow)> {
        let (alias, domain) = self.any_alias(pattern).await?;
        match alias.status {
            Status::Removed => Err(removed(format!("the alias {pattern}"))),
            Status::Active | Status::Suspended => Ok((alias, domain)),
        }
    }

    pub(super) async fn need_free_name(&mut self, name: &str) -> Outcome<()> {
        let Some(owner) = self.rows.domain_named(name).await? else { return Ok(()) };
        let hint = if owner.status == Status::Removed {
            reserved()
        } else if owner.name.as_str() == name {
            String::new()
        } else {
            format!(": it is another name of {}", owner.name)
        };
        Err(Failure::exists(format!("the domain {name}"), &hint))
    }

    pub(super) async fn need_free_address(&mut self, domain: &DomainRow, local: &str) -> Outcome<()> {
        let shown = |address: &dyn std::fmt::Display, kind: &str| format!("the {kind} {address}");
        let hint = |status: Status| if status == Status::Removed { reserved() } else { String::new() };
        if let Some(Account { address, status, .. }) = self.rows.account_at(domain, local).await? {
            return Err(Failure::exists(shown(&address, "account"), &hint(status)));
        }
        if let Some(StoredAlias { pattern, status, .. }) = self.rows.alias_at(domain, local).await? {
            return Err(Failure::exists(shown(&pattern, "alias"), &hint(status)));
        }
        Ok(())
    }

    async fn new_mailbox(&mut self, address: &Address, id: &str) -> Outcome<MailboxPath> {
        for path in mailbox::candidates(address.domain().as_str(), address.local(), id) {
            if self.rows.mailbox_holder(&path).await?.is_none() {
                return Ok(path);
            }
        }
        Err(Failure::invalid(format!("{address}: there is no free path for its mailbox")))
    }
}

/// The address of that local part under the domain's own name.
pub(super) fn in_domain(local: &str, domain: &DomainRow) -> Outcome<Address> {
    Address::from_parts(local, domain.name.clone()).map_err(|error| Failure::invalid(error.to_string()))
}

pub(super) fn need_plain(address: &Address) -> Outcome<()> {
    if address.local().contains('*') {
        return Err(Failure::invalid(format!("{address}: the name of an account cannot have a \"*\"")));
    }
    Ok(())
}

fn reserved() -> String {
    ": it is marked as removed, restore or purge it".to_owned()
}

fn check_password(password: Option<&str>) -> Outcome<()> {
    password.map_or(Ok(()), passwords::check_form).map_err(|error| Failure::invalid(error.to_string()))
}

fn need_targets(pattern: &AliasPattern, targets: &[Address]) -> Outcome<()> {
    if targets.is_empty() {
        return Err(Failure::invalid(format!("the alias {pattern} needs at least one target")));
    }
    Ok(())
}
