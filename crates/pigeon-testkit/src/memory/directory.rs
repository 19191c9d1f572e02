//! A directory in memory: domains, accounts, aliases and settings, with a change feed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{
    Account, AliasPattern, Id, Lookup, Nobody, Place, Resolution, Scope, Status, Target, TargetKind,
};
use pigeon_core::ports::directory::{Directory, DirectoryError, Feed};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::resolve::resolve;
use pigeon_core::setting::{Pin, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;

use super::lock;

/// How deep aliases may lead to aliases.
const MAX_ALIAS_DEPTH: usize = 10;

#[derive(Debug, Default)]
struct Tables {
    /// Every name of a domain, alias domains included, with the domain's id.
    domains: BTreeMap<String, Id>,
    /// By address key.
    accounts: BTreeMap<String, Account>,
    aliases: Vec<(AliasPattern, Vec<Address>)>,
    /// By owner: none for the system, the id of a domain or of an account.
    settings: BTreeMap<Option<Id>, Vec<Setting>>,
    changed: BTreeMap<Scope, u64>,
    seq: u64,
}

/// A directory in memory.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    tables: Mutex<Tables>,
    is_down: AtomicBool,
    is_stalled: AtomicBool,
    feed_delay_ms: AtomicU64,
    lookups: AtomicU64,
    feeds: AtomicU64,
}

impl MemoryDirectory {
    /// A domain with this name, made if there is none.
    pub fn add_domain(&self, name: &str) -> Id {
        lock(&self.tables).add_domain(name)
    }

    /// Another name for a domain; the domain is made if there is none.
    pub fn add_domain_alias(&self, domain: &str, alias: &str) {
        let mut tables = lock(&self.tables);
        let id = tables.add_domain(domain);
        tables.domains.insert(alias.to_owned(), id);
        tables.touch(Scope::DomainName(alias.to_owned()));
    }

    /// An account with the person's name; its domain is made if there is none. Its mailbox is `domain/local`.
    pub fn add_account(&self, address: &Address, name: &str) -> Account {
        let mut tables = lock(&self.tables);
        let domain = tables.add_domain(address.domain().as_str());
        let account = Account {
            id: Id::generate(),
            domain,
            address: address.clone(),
            name: name.to_owned(),
            mailbox: mailbox_of(address),
            password: None,
            status: Status::Active,
        };
        tables.accounts.insert(address.key(), account.clone());
        tables.touch(Scope::Address(address.key()));
        account
    }

    /// Suspends, resumes or removes an account; nothing happens where there is none.
    pub fn set_status(&self, address: &Address, status: Status) {
        let mut tables = lock(&self.tables);
        let Some(account) = tables.accounts.get_mut(&address.key()) else { return };
        account.status = status;
        let id = account.id.clone();
        tables.touch(Scope::Account(id));
        tables.touch(Scope::Address(address.key()));
    }

    /// Gives an account a stored password, or takes it away; nothing happens where there is no account.
    pub fn set_password(&self, address: &Address, password: Option<&str>) {
        let mut tables = lock(&self.tables);
        let Some(account) = tables.accounts.get_mut(&address.key()) else { return };
        account.password = password.map(str::to_owned);
        let id = account.id.clone();
        tables.touch(Scope::Account(id));
    }

    /// An alias; its domain is made if there is none. One of the same pattern is replaced.
    pub fn add_alias(&self, pattern: AliasPattern, targets: Vec<Address>) {
        let mut tables = lock(&self.tables);
        let domain = tables.add_domain(pattern.domain.as_str());
        let key = format!("{}@{}", pattern.local, pattern.domain);
        tables.aliases.retain(|(known, _)| *known != pattern);
        tables.aliases.push((pattern, targets));
        tables.touch(Scope::Address(key));
        tables.touch(Scope::Domain(domain));
    }

    /// Writes a setting, in the place of one of the same name and kind.
    ///
    /// # Errors
    /// When the account or the domain does not exist.
    pub fn set(&self, place: &Place, setting: Setting) -> Result<(), String> {
        let mut tables = lock(&self.tables);
        let (owner, scope) = tables.owner(place)?;
        let written = tables.settings.entry(owner).or_default();
        written.retain(|known| known.name != setting.name || known.content.kind() != setting.content.kind());
        written.push(setting);
        tables.touch(scope);
        Ok(())
    }

    /// Takes every setting of that name away at one place.
    ///
    /// # Errors
    /// When the account or the domain does not exist.
    pub fn unset(&self, place: &Place, name: &SettingName) -> Result<(), String> {
        let mut tables = lock(&self.tables);
        let (owner, scope) = tables.owner(place)?;
        tables.settings.entry(owner).or_default().retain(|known| known.name != *name);
        tables.touch(scope);
        Ok(())
    }

    /// Whether every look-up fails, as if the database were down.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Whether the change feed gives no answer at all, as if the database hung.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::SeqCst);
    }

    /// How much later the change feed answers what it knew when it was asked, as if the database were far away.
    pub fn delay_feed(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.feed_delay_ms.store(delay, Ordering::SeqCst);
    }

    /// How many look-ups were asked so far.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::SeqCst)
    }

    /// How often the change feed was asked so far.
    #[must_use]
    pub fn feeds(&self) -> u64 {
        self.feeds.load(Ordering::SeqCst)
    }

    fn check_up(&self) -> Result<(), DirectoryError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(DirectoryError::Unavailable { what: "in memory is down".to_owned(), source: None });
        }
        Ok(())
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.check_up()?;
        let tables = lock(&self.tables);
        let mut resolution = Resolution { branches: vec![], broken: None, scopes: vec![], seq: tables.seq };
        let is_found = tables.follow(address, &[], None, &mut resolution);
        if is_found {
            return Ok(Lookup::Found(resolution));
        }
        let domain = tables.domains.get(address.domain().as_str());
        let domain = domain.map(|id| (id.clone(), tables.settings_of(&[None, Some(id)])));
        Ok(Lookup::None(Nobody { domain, scopes: resolution.scopes, seq: tables.seq }))
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        self.feeds.fetch_add(1, Ordering::SeqCst);
        while self.is_stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.check_up()?;
        let feed = {
            let tables = lock(&self.tables);
            let changed = tables.changed.iter().filter(|(_, seq)| **seq > since);
            Feed { seq: tables.seq, scopes: changed.map(|(scope, seq)| (scope.clone(), *seq)).collect() }
        };
        let delay = self.feed_delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        Ok(feed)
    }
}

impl Tables {
    fn touch(&mut self, scope: Scope) {
        self.seq += 1;
        self.changed.insert(scope, self.seq);
    }

    fn add_domain(&mut self, name: &str) -> Id {
        if let Some(id) = self.domains.get(name) {
            return id.clone();
        }
        let id = Id::generate();
        self.domains.insert(name.to_owned(), id.clone());
        self.touch(Scope::DomainName(name.to_owned()));
        id
    }

    fn owner(&self, place: &Place) -> Result<(Option<Id>, Scope), String> {
        let missing = || format!("{place} does not exist");
        match place {
            Place::System => Ok((None, Scope::System)),
            Place::Domain(name) => {
                let id = self.domains.get(name).ok_or_else(missing)?.clone();
                Ok((Some(id.clone()), Scope::Domain(id)))
            }
            Place::Account(address) => {
                let id = self.accounts.get(&address.key()).ok_or_else(missing)?.id.clone();
                Ok((Some(id.clone()), Scope::Account(id)))
            }
        }
    }

    fn settings_of(&self, owners: &[Option<&Id>]) -> Vec<Setting> {
        let written = owners.iter().filter_map(|owner| self.settings.get(&owner.cloned()));
        written.flatten().cloned().collect()
    }

    /// The separators of sub-addresses that hold in a domain.
    fn separators(&self, domain: &Id) -> String {
        let written = self.settings_of(&[None, Some(domain)]);
        let name = SettingName { service: "address".to_owned(), key: "separators".to_owned() };
        let held = resolve(&written, Timestamp::from_seconds(0), &|_| None);
        let value = held.keys.get(&name).and_then(|held| held.value.clone());
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "+".to_owned())
    }

    /// Adds everything that an address leads to; `via` are the aliases followed so far, `of` the domain of the last one.
    fn follow(
        &self,
        address: &Address,
        via: &[AliasPattern],
        of: Option<&Id>,
        into: &mut Resolution,
    ) -> bool {
        let mut note = |scope: Scope| {
            if !into.scopes.contains(&scope) {
                into.scopes.push(scope);
            }
        };
        note(Scope::System);
        note(Scope::DomainName(address.domain().to_string()));
        note(Scope::Address(address.key()));
        let Some(domain) = self.domains.get(address.domain().as_str()) else {
            let Some(of) = of else { return false };
            note(Scope::Domain(of.clone()));
            let settings = self.settings_of(&[None, Some(of)]);
            let to = TargetKind::External(address.clone(), of.clone());
            let alias_settings = settings.clone();
            into.add(Target { to, via: via.to_vec(), settings, alias_settings });
            return true;
        };
        note(Scope::Domain(domain.clone()));
        let Ok(address) = Address::from_parts(address.local(), self.main_name(domain)) else { return false };
        let split = address.split_detail(&self.separators(domain));
        if let Some((base, _)) = &split {
            note(Scope::Address(base.key()));
        }
        let exact = self.account_at(&address).map(|account| (account, None));
        let detailed = || {
            let (base, detail) = split.clone()?;
            self.account_at(&base).map(|account| (account, Some(detail)))
        };
        // An alias' own address goes before the account of a sub-address, a wildcard behind it.
        let found =
            exact.or_else(|| if self.alias_of(&address, false).is_none() { detailed() } else { None });
        if let Some((account, detail)) = found {
            into.scopes.push(Scope::Account(account.id.clone()));
            let settings = self.settings_of(&[None, Some(domain), Some(&account.id)]);
            let to = TargetKind::Account(account.clone(), detail);
            let alias_settings = of.map(|of| self.settings_of(&[None, Some(of)])).unwrap_or_default();
            into.add(Target { to, via: via.to_vec(), settings, alias_settings });
            return true;
        }
        let alias = self
            .alias_of(&address, false)
            .or_else(|| split.as_ref().and_then(|(base, _)| self.alias_of(base, false)))
            .or_else(|| self.alias_of(&address, true));
        let Some((pattern, targets)) = alias else { return false };
        if via.contains(pattern) || via.len() >= MAX_ALIAS_DEPTH {
            into.broken = Some(format!("the alias {pattern} leads back to itself or is nested too deeply"));
            return true;
        }
        let via: Vec<AliasPattern> = via.iter().chain([pattern]).cloned().collect();
        for target in targets {
            self.follow(target, &via, Some(domain), into);
        }
        true
    }

    fn main_name(&self, domain: &Id) -> DomainName {
        let names = self.domains.iter().filter(|(_, id)| *id == domain).map(|(name, _)| name);
        let first = names.min_by_key(|name| self.changed.get(&Scope::DomainName((*name).clone())));
        first.and_then(|name| DomainName::parse(name).ok()).unwrap_or_else(super::example_domain)
    }

    fn account_at(&self, address: &Address) -> Option<&Account> {
        self.accounts.get(&address.key()).filter(|account| account.status != Status::Removed)
    }

    fn alias_of(&self, address: &Address, is_wildcard: bool) -> Option<&(AliasPattern, Vec<Address>)> {
        let local = address.local().to_lowercase();
        self.aliases
            .iter()
            .filter(|(pattern, _)| {
                pattern.is_wildcard() == is_wildcard && pattern.domain == *address.domain()
            })
            .filter(|(pattern, _)| pattern.matches(&local))
            // The longest pattern is the nearest one; the catch-all `*` is the shortest.
            .max_by_key(|(pattern, _)| pattern.local.len())
    }
}

trait AddTarget {
    fn add(&mut self, target: Target);
}

impl AddTarget for Resolution {
    fn add(&mut self, target: Target) {
        let key = |target: &Target| match &target.to {
            TargetKind::Account(account, _) => account.address.key(),
            TargetKind::External(address, _) => address.key(),
        };
        if !self.branches.iter().any(|known| key(known) == key(&target)) {
            self.branches.push(target);
        }
    }
}

/// The mailbox path that an account of this address is given.
pub(super) fn mailbox_of(address: &Address) -> MailboxPath {
    MailboxPath(format!("{}/{}", address.domain(), address.local()))
}

/// A setting without until and reason.
#[must_use]
pub fn setting(
    place: &Place,
    name: SettingName,
    content: pigeon_core::setting::Content,
    pin: Pin,
) -> Setting {
    let layer = place.layer();
    Setting { layer, name, content, pin, until: None, reason: None, by: "test".to_owned() }
}
