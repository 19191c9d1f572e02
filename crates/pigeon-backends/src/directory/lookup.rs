//! What an address means: candidates in order, aliases followed to their ends, all over rows of one moment.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use pigeon_core::address::Address;
use pigeon_core::directory::{
    Account, AliasPattern, Id, Lookup, Nobody, Resolution, Scope, Status, Target, TargetKind,
};
use pigeon_core::resolve::resolve;
use pigeon_core::setting::{Layer, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

use super::failure::Outcome;
use super::rows::{DomainRow, Source, StoredAlias};

/// How many aliases may lie between an address and an account.
const MAX_DEPTH: usize = 10;
/// How many targets one address may have in all.
const MAX_TARGETS: usize = 1000;

/// What a look-up needs besides the rows.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The time, for pins that lapse.
    pub(crate) now: Timestamp,
    /// The default of `address.separators`.
    pub(crate) separators: Arc<str>,
}

/// Looks an address up.
pub(crate) fn lookup(source: &mut impl Source, address: &Address, terms: Terms) -> Outcome<Lookup> {
    let mut walk = Walk::new(source, terms);
    walk.source.expect(std::slice::from_ref(address))?;
    let found = walk.find(address)?;
    let seq = walk.source.position()?;
    match found {
        Found::Elsewhere | Found::Removed => Ok(walk.nobody(None, seq)),
        Found::Nobody(domain) => Ok(walk.nobody(Some(&domain), seq)),
        Found::Account(domain, mut account, detail) => {
            if domain.row.status == Status::Suspended {
                account.status = Status::Suspended;
            }
            walk.end_at(&domain, *account, detail)?;
            Ok(walk.resolution(seq))
        }
        Found::Alias(domain, alias) => {
            walk.follow(&domain, alias)?;
            Ok(walk.resolution(seq))
        }
    }
}

/// A domain with what is written at the system's and its own layer.
struct Known {
    row: DomainRow,
    settings: Vec<Setting>,
    separators: Arc<str>,
}

enum Found {
    /// The domain is none of ours.
    Elsewhere,
    /// The domain is marked as removed.
    Removed,
    /// The domain is ours, and nobody in it has the address.
    Nobody(Rc<Known>),
    Account(Rc<Known>, Box<Account>, Option<String>),
    Alias(Rc<Known>, StoredAlias),
}

struct Walk<'a, S> {
    source: &'a mut S,
    terms: Terms,
    domains: HashMap<String, Option<Rc<Known>>>,
    scopes: BTreeSet<Scope>,
    branches: Vec<Target>,
    /// Accounts (by id) and addresses elsewhere (by key) that are branches already.
    ends: HashSet<String>,
    /// Aliases that lead to where the walk is now, and all that were ever followed.
    via: Vec<(Id, AliasPattern)>,
    followed: HashSet<Id>,
    targets: usize,
    broken: Option<String>,
}

impl<'a, S: Source> Walk<'a, S> {
    fn new(source: &'a mut S, terms: Terms) -> Self {
        Self {
            source,
            terms,
            domains: HashMap::new(),
            scopes: BTreeSet::from([Scope::System]),
            branches: Vec::new(),
            ends: HashSet::new(),
            via: Vec::new(),
            followed: HashSet::new(),
            targets: 0,
            broken: None,
        }
    }

    fn nobody(self, domain: Option<&Known>, seq: u64) -> Lookup {
        let domain = domain.map(|domain| (domain.row.id.clone(), domain.settings.clone()));
        Lookup::None(Nobody { domain, scopes: self.scopes.into_iter().collect(), seq })
    }

    fn resolution(self, seq: u64) -> Lookup {
        Lookup::Found(Resolution {
            branches: self.branches,
            broken: self.broken,
            scopes: self.scopes.into_iter().collect(),
            seq,
        })
    }

    fn domain(&mut self, name: &str) -> Outcome<Option<Rc<Known>>> {
        if let Some(known) = self.domains.get(name) {
            return Ok(known.clone());
        }
        self.scopes.insert(Scope::DomainName(name.to_owned()));
        let known = match self.source.domain_named(name)? {
            None => None,
            Some(row) => {
                self.scopes.insert(Scope::Domain(row.id.clone()));
                let mut settings = self.source.settings_of(Layer::System, "")?;
                settings.extend(self.source.settings_of(Layer::Domain, &row.id.0)?);
                let separators = self.separators(&settings);
                Some(Rc::new(Known { row, settings, separators }))
            }
        };
        self.domains.insert(name.to_owned(), known.clone());
        Ok(known)
    }

    fn separators(&self, settings: &[Setting]) -> Arc<str> {
        let is_about =
            |setting: &&Setting| setting.name.service == "address" && setting.name.key == "separators";
        let written: Vec<Setting> = settings.iter().filter(is_about).cloned().collect();
        if written.is_empty() {
            return Arc::clone(&self.terms.separators);
        }
        let name = SettingName { service: "address".to_owned(), key: "separators".to_owned() };
        let default = |_: &SettingName| Some(Value::from(&*self.terms.separators));
        let mut held = resolve(&written, self.terms.now, &default);
        match held.keys.remove(&name).and_then(|held| held.value) {
            Some(Value::String(separators)) => separators.into(),
            _ => Arc::clone(&self.terms.separators),
        }
    }

    /// What one address is, aliases not followed: the exact address, then without its detail, then a wildcard.
    fn find(&mut self, address: &Address) -> Outcome<Found> {
        let Some(domain) = self.domain(address.domain().as_str())? else { return Ok(Found::Elsewhere) };
        if domain.row.status == Status::Removed {
            return Ok(Found::Removed);
        }
        let full = address.local().to_lowercase();
        if let Some(found) = self.find_exact(&domain, &full, None)? {
            return Ok(found);
        }
        let split = address.split_detail(&domain.separators);
        if let Some((base, detail)) = split {
            let base = base.local().to_lowercase();
            if let Some(found) = self.find_exact(&domain, &base, Some(detail))? {
                return Ok(found);
            }
        }
        Ok(match self.find_wildcard(&domain, &full)? {
            Some(alias) => Found::Alias(domain, alias),
            None => Found::Nobody(domain),
        })
    }

    fn find_exact(
        &mut self,
        domain: &Rc<Known>,
        local: &str,
        detail: Option<String>,
    ) -> Outcome<Option<Found>> {
        // Under the primary name, whichever was asked for: this is how changes tell what they touched.
        self.scopes.insert(Scope::Address(format!("{local}@{}", domain.row.name)));
        let account = self.source.account_at(&domain.row, local)?;
        if let Some(account) = account.filter(|account| account.status != Status::Removed) {
            return Ok(Some(Found::Account(Rc::clone(domain), Box::new(account), detail)));
        }
        if local.contains('*') {
            return Ok(None);
        }
        let alias = self.source.alias_at(&domain.row, local)?;
        Ok(alias.map(|alias| Found::Alias(Rc::clone(domain), alias)))
    }

    /// The wildcard with the longest literal text; the catch-all has none and comes last.
    fn find_wildcard(&mut self, domain: &Known, local: &str) -> Outcome<Option<StoredAlias>> {
        let mut wildcards = self.source.wildcards(&domain.row)?;
        wildcards.retain(|alias| alias.pattern.matches(local));
        let literal =
            |alias: &StoredAlias| alias.pattern.local.bytes().filter(|octet| *octet != b'*').count();
        // Equals in length are told apart by name, so that every node takes the same one.
        let order = |one: &StoredAlias, two: &StoredAlias| {
            literal(one).cmp(&literal(two)).then_with(|| two.pattern.local.cmp(&one.pattern.local))
        };
        Ok(wildcards.into_iter().max_by(order))
    }

    fn end_at(&mut self, domain: &Known, account: Account, detail: Option<String>) -> Outcome<()> {
        if !self.ends.insert(account.id.0.clone()) {
            return Ok(());
        }
        self.scopes.insert(Scope::Account(account.id.clone()));
        let mut settings = domain.settings.clone();
        settings.extend(self.source.settings_of(Layer::Account, &account.id.0)?);
        self.branch(TargetKind::Account(account, detail), settings);
        Ok(())
    }

    fn branch(&mut self, to: TargetKind, settings: Vec<Setting>) {
        let via: Vec<AliasPattern> = self.via.iter().map(|(_, pattern)| pattern.clone()).collect();
        let owner = via
            .last()
            .and_then(|alias| self.domains.values().flatten().find(|known| known.row.name == alias.domain));
        let alias_settings = owner.map(|known| known.settings.clone()).unwrap_or_default();
        self.branches.push(Target { to, via, settings, alias_settings });
    }

    /// Follows an alias to all its ends; what cannot be followed leaves its mark and costs no other target.
    fn follow(&mut self, domain: &Known, alias: StoredAlias) -> Outcome<()> {
        if let Some(why) = self.obstacle(domain, &alias) {
            self.mark(why);
            return Ok(());
        }
        if !self.followed.insert(alias.id.clone()) {
            return Ok(());
        }
        let pattern = alias.pattern.clone();
        self.via.push((alias.id, alias.pattern));
        let targets = self.parsed(&pattern, &alias.targets);
        self.source.expect(&targets)?;
        for address in targets {
            self.target(domain, &pattern, address)?;
        }
        self.via.pop();
        Ok(())
    }

    /// The targets that are addresses, as far as the limit allows.
    fn parsed(&mut self, pattern: &AliasPattern, targets: &[String]) -> Vec<Address> {
        let room = MAX_TARGETS.saturating_sub(self.targets);
        self.targets = self.targets.saturating_add(targets.len());
        if targets.len() > room {
            self.mark(format!("the alias {pattern} leads to more than {MAX_TARGETS} targets"));
        }
        let mut addresses = Vec::new();
        for target in targets.iter().take(room) {
            match Address::parse(target) {
                Ok(address) => addresses.push(address),
                Err(error) => self.mark(format!("the alias {pattern} names {target:?}: {error}")),
            }
        }
        addresses
    }

    fn obstacle(&self, domain: &Known, alias: &StoredAlias) -> Option<String> {
        let pattern = &alias.pattern;
        if self.via.iter().any(|(id, _)| *id == alias.id) {
            return Some(format!("the alias {pattern} leads back to itself"));
        }
        if self.via.len() >= MAX_DEPTH {
            return Some(format!("the alias {pattern} lies behind more than {MAX_DEPTH} others"));
        }
        if domain.row.status == Status::Suspended {
            return Some(format!("the domain {} is suspended", domain.row.name));
        }
        (alias.status == Status::Suspended).then(|| format!("the alias {pattern} is suspended"))
    }

    fn target(&mut self, owner: &Known, pattern: &AliasPattern, address: Address) -> Outcome<()> {
        match self.find(&address)? {
            Found::Elsewhere => {
                if self.ends.insert(address.key()) {
                    let to = TargetKind::External(address, owner.row.id.clone());
                    self.branch(to, owner.settings.clone());
                }
            }
            Found::Removed => {
                self.mark(format!("the alias {pattern} names {address}, whose domain is removed"));
            }
            Found::Nobody(_) => {
                self.mark(format!("the alias {pattern} names {address}, which does not exist"));
            }
            Found::Account(domain, ..) if domain.row.status == Status::Suspended => {
                self.mark(format!("the alias {pattern} names {address}, whose domain is suspended"));
            }
            Found::Account(domain, account, detail) => self.end_at(&domain, *account, detail)?,
            Found::Alias(domain, alias) => self.follow(&domain, alias)?,
        }
        Ok(())
    }

    /// The first reason is kept.
    fn mark(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }
}
