//! Entries of an export, taken in: ids and mailbox paths included, all of a batch or none.

use std::collections::HashMap;

use pigeon_core::address::DomainName;
use pigeon_core::directory::{Account, Alias, Domain, Entry, Grant, Id, Role, Scope};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::{Actor, Reach};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Layer, Setting};
use serde_json::json;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, Holder, Transaction, Write, Writes};
use super::Work;
use crate::directory::mailbox;
use crate::passwords;

/// Takes entries in, all or none.
pub(crate) async fn import(
    rows: &mut dyn Transaction,
    catalogue: &Catalogue,
    actor: &Actor,
    entries: Vec<Entry>,
) -> Outcome<()> {
    let work = Work::begin(rows, catalogue, actor).await?;
    work.may_administer(&Reach::System)?;
    let log = work.log(json!({ "change": "import", "entries": entries.len() }), None, None);
    let mut importer = Importer { work, domains: HashMap::new(), taken: Taken::default() };
    let mut writes = Vec::with_capacity(entries.len());
    for (at, entry) in entries.into_iter().enumerate() {
        let entry = importer.checked(entry).await.map_err(|failure| named(failure, at + 1))?;
        writes.push(Write::Put(entry));
    }
    // Every look-up depends on the system layer: one scope tells of all that an import may touch.
    rows.commit(log, Writes { rows: writes, scopes: Some(vec![Scope::System]) }).await?;
    Ok(())
}

/// Says which entry was refused; they are counted from one.
fn named(failure: Failure, at: usize) -> Failure {
    match failure {
        Failure::Refused(error) => Failure::invalid(format!("entry {at}: {error}")),
        other => other,
    }
}

/// Checks entries against what the directory holds and what came before them in the batch.
struct Importer<'a> {
    work: Work<'a>,
    /// Domains by id: those of the batch, and others that were asked for.
    domains: HashMap<Id, DomainRow>,
    taken: Taken,
}

/// What the batch says so far; it stands before what the directory says.
#[derive(Default)]
struct Taken {
    /// Domain names, with the domain that has them; none: given up.
    names: HashMap<String, Option<Id>>,
    /// Accounts and aliases by domain and local part; none: given up.
    addresses: HashMap<(Id, String), Option<Id>>,
    /// Where the accounts and aliases of the batch are.
    places: HashMap<Id, (Id, String)>,
    mailboxes: HashMap<MailboxPath, Id>,
    accounts: HashMap<Id, MailboxPath>,
}

impl Importer<'_> {
    async fn checked(&mut self, entry: Entry) -> Outcome<Entry> {
        match entry {
            Entry::Domain(domain) => self.domain(domain).await.map(Entry::Domain),
            Entry::Account(account) => self.account(account).await.map(Entry::Account),
            Entry::Alias(alias) => self.alias(alias).await.map(Entry::Alias),
            Entry::Grant(grant) => self.grant(&grant).await.map(|()| Entry::Grant(grant)),
            Entry::Setting { owner, setting } => {
                self.setting(owner.as_ref(), &setting).await?;
                Ok(Entry::Setting { owner, setting })
            }
        }
    }

    async fn domain(&mut self, domain: Domain) -> Outcome<Domain> {
        need_id(&domain.id)?;
        if let Some(row) = self.work.rows.domain_of(&domain.id).await? {
            let known = self.work.rows.domain(row).await?;
            for name in std::iter::once(known.name).chain(known.aliases) {
                self.taken.names.entry(name).or_insert(None);
            }
        }
        let parse = |name: &String| {
            DomainName::parse(name).map_err(|error| Failure::invalid(format!("{name:?}: {error}")))
        };
        let primary = parse(&domain.name)?;
        let aliases = domain.aliases.iter().map(parse).collect::<Outcome<Vec<_>>>()?;
        for name in std::iter::once(&primary).chain(&aliases) {
            let holder = match self.taken.names.get(name.as_str()) {
                Some(holder) => holder.clone(),
                None => self.work.rows.domain_named(name.as_str()).await?.map(|row| row.id),
            };
            if holder.is_some() {
                return Err(Failure::exists(format!("the domain {name}"), " under another id"));
            }
            self.taken.names.insert(name.to_string(), Some(domain.id.clone()));
        }
        let row = DomainRow { id: domain.id.clone(), name: primary.clone(), status: domain.status };
        self.domains.insert(domain.id.clone(), row);
        let aliases = aliases.into_iter().map(|name| name.to_string()).collect();
        Ok(Domain { name: primary.to_string(), aliases, ..domain })
    }

    async fn account(&mut self, account: Account) -> Outcome<Account> {
        need_id(&account.id)?;
        let domain = self.need_domain(&account.domain, account.address.domain()).await?;
        let local = account.address.local().to_lowercase();
        if !mailbox::is_safe(&account.mailbox.0) {
            return Err(Failure::invalid(format!("{:?} is not a mailbox path", account.mailbox.0)));
        }
        if let Some(password) = &account.password {
            passwords::check_form(password).map_err(|error| Failure::invalid(error.to_string()))?;
        }
        let at_address = self.holder(&domain, &local).await?;
        let at_mailbox = self.mailbox_holder(&account.mailbox).await?;
        if [at_address, at_mailbox].into_iter().flatten().any(|id| id != account.id) {
            return Err(Failure::exists(
                format!("the address or mailbox of {}", account.address),
                " under another id",
            ));
        }
        self.taken.mailboxes.insert(account.mailbox.clone(), account.id.clone());
        self.taken.accounts.insert(account.id.clone(), account.mailbox.clone());
        self.take_place(&account.id, (domain.id.clone(), local.clone()));
        let address = super::names::in_domain(&local, &domain)?;
        Ok(Account { domain: domain.id, address, ..account })
    }

    async fn alias(&mut self, mut alias: Alias) -> Outcome<Alias> {
        need_id(&alias.id)?;
        let domain = self.need_domain(&alias.domain, &alias.pattern.domain).await?;
        alias.pattern.local = alias.pattern.local.to_lowercase();
        if alias.targets.is_empty() {
            return Err(Failure::invalid(format!("the alias {} needs at least one target", alias.pattern)));
        }
        let holder = self.holder(&domain, &alias.pattern.local).await?;
        if holder.is_some_and(|id| id != alias.id) {
            return Err(Failure::exists(format!("the address {}", alias.pattern), " under another id"));
        }
        self.take_place(&alias.id, (domain.id, alias.pattern.local.clone()));
        Ok(alias)
    }

    async fn grant(&mut self, grant: &Grant) -> Outcome<()> {
        if !self.is_account(&grant.account).await? {
            return Err(Failure::not_found(format!("the account {}", grant.account), ""));
        }
        match &grant.role {
            Role::Domain(id) if !self.is_domain(id).await? => {
                Err(Failure::not_found(format!("the domain {id}"), ""))
            }
            Role::System | Role::Domain(_) => Ok(()),
        }
    }

    async fn setting(&mut self, owner: Option<&Id>, setting: &Setting) -> Outcome<()> {
        let layer = match owner {
            None => Layer::System,
            Some(id) if self.is_domain(id).await? => Layer::Domain,
            Some(id) if self.is_account(id).await? => Layer::Account,
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
        self.work.catalogue.validate(layer, &setting.name, &setting.content).map_err(Failure::invalid)
    }

    /// Who has an address: an account or an alias.
    async fn holder(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Id>> {
        let place = (domain.id.clone(), local.to_owned());
        if let Some(holder) = self.taken.addresses.get(&place) {
            return Ok(holder.clone());
        }
        let rows = &mut *self.work.rows;
        let holder = match rows.account_at(domain, local).await? {
            Some(account) => Some(account.id),
            None => rows.alias_at(domain, local).await?.map(|alias| alias.id),
        };
        // Whoever the batch has put elsewhere is not there any more.
        Ok(holder.filter(|id| !self.taken.places.contains_key(id)))
    }

    async fn mailbox_holder(&mut self, mailbox: &MailboxPath) -> Outcome<Option<Id>> {
        if let Some(id) = self.taken.mailboxes.get(mailbox) {
            return Ok(Some(id.clone()));
        }
        Ok(match self.work.rows.mailbox_holder(mailbox).await? {
            Some(Holder::Account(id)) if !self.taken.accounts.contains_key(&id) => Some(id),
            Some(Holder::Account(_) | Holder::Nobody) | None => None,
        })
    }

    fn take_place(&mut self, id: &Id, place: (Id, String)) {
        if let Some(before) = self.taken.places.insert(id.clone(), place.clone())
            && before != place
        {
            self.taken.addresses.insert(before, None);
        }
        self.taken.addresses.insert(place, Some(id.clone()));
    }

    async fn is_account(&mut self, id: &Id) -> Outcome<bool> {
        Ok(self.taken.accounts.contains_key(id) || self.work.rows.account_of(id).await?.is_some())
    }

    async fn is_domain(&mut self, id: &Id) -> Outcome<bool> {
        Ok(self.domain_by_id(id).await?.is_some())
    }

    async fn need_domain(&mut self, id: &Id, name: &DomainName) -> Outcome<DomainRow> {
        let domain = self.domain_by_id(id).await?.filter(|domain| domain.name == *name);
        domain.ok_or_else(|| {
            let what = format!("the domain {name} with the id {id}");
            Failure::not_found(what, ": entries come after what they refer to")
        })
    }

    async fn domain_by_id(&mut self, id: &Id) -> Outcome<Option<DomainRow>> {
        if let Some(domain) = self.domains.get(id) {
            return Ok(Some(domain.clone()));
        }
        let found = self.work.rows.domain_of(id).await?;
        if let Some(domain) = &found {
            self.domains.insert(id.clone(), domain.clone());
        }
        Ok(found)
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
