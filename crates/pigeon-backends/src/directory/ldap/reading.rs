//! What changes and listings read, one search each.

use std::sync::Arc;

use async_trait::async_trait;
use ldap3::Scope;
use pigeon_core::directory::{Account, Id, Role};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Layer, Setting};

use super::super::failure::Outcome;
use super::super::rows::{DomainRow, Holder, Owner, Rows, StoredAlias};
use super::Shared;
use super::ask::{Search, is};
use super::dial::Connection;
use super::mapping::People;
use super::record::{BELONGINGS, ROWS, Record};
use super::tree::SYSTEM;
use super::writing::Start;

/// Reads over one connection; and writes, where a change has begun.
pub(super) struct Reader<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connection: Arc<Connection>,
    /// What a change began with.
    pub(super) start: Option<Start>,
}

impl Reader<'_> {
    /// Everything below the base that a filter lets through, however much it is.
    pub(super) async fn all(&self, filter: &str, attributes: &[&str]) -> Outcome<Vec<Record>> {
        let search = Search { base: self.shared.tree.base(), scope: Scope::Subtree, filter, attributes };
        Ok(self.connection.search_all(&search).await?)
    }

    /// The same for a few entries.
    pub(super) async fn few(&self, filter: &str, attributes: &[&str]) -> Outcome<Vec<Record>> {
        let search = Search { base: self.shared.tree.base(), scope: Scope::Subtree, filter, attributes };
        Ok(self.connection.search(&search).await?)
    }

    /// The entry of a class with that id.
    pub(super) async fn with_id(&self, class: &str, id: &Id) -> Outcome<Option<Record>> {
        let filter = format!("(&{}{})", is("pigeonId", &id.0), is("objectClass", class));
        Ok(self.few(&filter, ROWS).await?.pop())
    }

    /// The entry of a domain by any of its names.
    pub(super) async fn domain_entry(&self, name: &str) -> Outcome<Option<Record>> {
        let names = [is("pigeonDomainName", name), is("pigeonDomainAlias", name)].concat();
        let filter = format!("(&(|{names})(objectClass=pigeonMailDomain))");
        Ok(self.few(&filter, ROWS).await?.pop())
    }

    /// The entry of a class with exactly that local part or pattern in a domain.
    async fn member(&self, class: &str, domain: &DomainRow, local: &str) -> Outcome<Option<Record>> {
        let attribute = if local.contains('*') { "pigeonPattern" } else { "pigeonLocalPart" };
        let filter = format!(
            "(&{}{}{})",
            is(attribute, local),
            is("pigeonDomain", &domain.id.0),
            is("objectClass", class)
        );
        let found = self.few(&filter, ROWS).await?;
        // Servers find more than was asked for: letters that differ in form only, blanks that are doubled.
        Ok(found.into_iter().find(|record| record.local().is_ok_and(|found| found == local)))
    }

    /// Those of an existing directory, where one is used.
    pub(super) fn people(&self) -> Option<People<'_>> {
        let mapping = self.shared.mapping.as_ref()?;
        Some(People::new(mapping, &self.connection))
    }
}

#[async_trait]
impl Rows for Reader<'_> {
    async fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>> {
        self.domain_entry(name).await?.map(|record| record.domain()).transpose()
    }

    async fn domain_of(&mut self, id: &Id) -> Outcome<Option<DomainRow>> {
        self.with_id("pigeonMailDomain", id).await?.map(|record| record.domain()).transpose()
    }

    async fn other_names(&mut self, domain: &Id) -> Outcome<Vec<String>> {
        let record = self.with_id("pigeonMailDomain", domain).await?;
        Ok(record.map(|record| record.other_names()).unwrap_or_default())
    }

    async fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        if let Some(record) = self.member("pigeonAccount", domain, local).await? {
            return record.account(domain).map(Some);
        }
        match self.people() {
            Some(people) => people.account_at(domain, local).await,
            None => Ok(None),
        }
    }

    async fn account_of(&mut self, id: &Id) -> Outcome<Option<(Account, DomainRow)>> {
        let record = match self.with_id("pigeonAccount", id).await? {
            Some(record) => record,
            None => return self.person_of(id).await,
        };
        let Some(domain) = self.domain_of(&record.domain_id()?).await? else { return Ok(None) };
        Ok(Some((record.account(&domain)?, domain)))
    }

    async fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>> {
        let record = self.member("pigeonAlias", domain, local).await?;
        record.map(|record| record.alias(domain)).transpose()
    }

    async fn mailbox_holder(&mut self, mailbox: &MailboxPath) -> Outcome<Option<Holder>> {
        let attributes = ["objectClass", "pigeonId"];
        let Some(record) = self.few(&is("pigeonMailbox", &mailbox.0), &attributes).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(match record.is_a("pigeonAccount") {
            true => Holder::Account(record.id()?),
            false => Holder::Nobody,
        }))
    }

    async fn mailboxes_in(&mut self, domain: &Id) -> Outcome<Vec<MailboxPath>> {
        let filter = format!("(&{}(objectClass=pigeonAccount))", is("pigeonDomain", &domain.0));
        let records = self.all(&filter, &["pigeonMailbox"]).await?;
        let paths = records.iter().filter_map(|record| record.text("pigeonMailbox"));
        let mut paths: Vec<MailboxPath> = paths.map(|path| MailboxPath(path.to_owned())).collect();
        paths.sort_by(|one, two| one.0.cmp(&two.0));
        Ok(paths)
    }

    async fn settings_of(&mut self, owner: &Owner) -> Outcome<Vec<Setting>> {
        let id = if owner.layer == Layer::System { SYSTEM } else { owner.id.as_str() };
        let filter = format!("(&{}(objectClass=pigeonSetting))", is("pigeonOwner", id));
        let records = self.all(&filter, BELONGINGS).await?;
        records.iter().map(|record| record.setting(owner.layer)).collect()
    }

    async fn roles_of(&mut self, account: &Id) -> Outcome<Vec<Role>> {
        let filter = format!("(&{}(objectClass=pigeonGrant))", is("pigeonOwner", &account.0));
        let records = self.all(&filter, BELONGINGS).await?;
        let mut roles: Vec<Role> =
            records.iter().map(|record| Ok(record.grant()?.role)).collect::<Outcome<_>>()?;
        let key = |role: &Role| match role {
            Role::System => String::new(),
            Role::Domain(id) => id.0.clone(),
        };
        roles.sort_by_key(key);
        Ok(roles)
    }
}

impl Reader<'_> {
    async fn person_of(&mut self, id: &Id) -> Outcome<Option<(Account, DomainRow)>> {
        let Some(name) = (match self.people() {
            Some(people) => people.domain_of(id).await?,
            None => None,
        }) else {
            return Ok(None);
        };
        let Some(domain) = self.domain_named(name.as_str()).await? else { return Ok(None) };
        let account = match self.people() {
            Some(people) => people.account_of(id, &domain).await?,
            None => None,
        };
        Ok(account.map(|account| (account, domain)))
    }
}
