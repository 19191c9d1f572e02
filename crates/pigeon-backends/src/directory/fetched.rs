//! Look-ups where every question is a round trip: all rows that an address can need are fetched at once.
//!
//! An engine fetches what it can reach from the addresses that are wanted, aliases followed as far as one
//! statement can follow them. Where the look-up comes to an address that was not reached, that one is wanted
//! too, and everything is fetched again, so that all rows of an answer are of one moment.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Id, Lookup};
use pigeon_core::setting::{Layer, Setting};

use super::failure::{Failure, Outcome};
use super::lookup::{self, Terms};
use super::rows::{DomainRow, Owner, Source, StoredAlias};

/// How often more is fetched for one look-up: once for each alias that may lie between an address and its end.
const MAX_ROUNDS: usize = 12;

/// Fetches rows for look-ups.
#[async_trait]
pub(crate) trait Fetcher: Send {
    /// All rows that a look-up of these addresses can need, of one moment: for each address its domain with
    /// the settings and wildcards there; the account and the alias with its local part and with every base that
    /// some separator could leave of it ([`bases`]); the settings of those accounts; the system's settings.
    async fn fetch(&mut self, wanted: &[Address]) -> Outcome<Fetched>;
}

/// Looks an address up, with as many round trips as it takes: mostly one.
pub(crate) async fn lookup(fetcher: &mut dyn Fetcher, address: &Address, terms: Terms) -> Outcome<Lookup> {
    let mut wanted = vec![address.clone()];
    for _ in 0..MAX_ROUNDS {
        let mut fetched = fetcher.fetch(&wanted).await?;
        match lookup::lookup(&mut fetched, address, terms.clone()) {
            Err(Failure::NotFetched) => wanted.append(&mut fetched.missing),
            answer => return answer,
        }
    }
    Err(Failure::Unusable(format!("leads {address} through more aliases than can be followed")))
}

/// The local part of an address in lower case, and every base that a separator could leave of it: what stands
/// before each octet that is neither a letter nor a digit. The separators that hold are known later.
pub(crate) fn bases(address: &Address) -> Vec<String> {
    let local = address.local().to_lowercase();
    let ends = local.char_indices().filter(|(at, letter)| *at > 0 && !letter.is_alphanumeric());
    let mut bases: Vec<String> = ends.filter_map(|(at, _)| local.get(..at).map(str::to_owned)).collect();
    bases.insert(0, local);
    bases
}

/// Rows of one moment.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// The position of the change log.
    pub(crate) position: u64,
    /// Domains by every name that was asked for.
    pub(crate) domains: HashMap<String, DomainRow>,
    /// Settings by whose they are.
    pub(crate) settings: HashMap<Owner, Vec<Setting>>,
    accounts: HashMap<(Id, String), Account>,
    aliases: HashMap<(Id, String), StoredAlias>,
    wildcards: HashMap<Id, Vec<StoredAlias>>,
    /// The keys of the addresses whose rows are all here.
    covered: HashSet<String>,
    missing: Vec<Address>,
}

impl Fetched {
    /// Says that everything about an address is here.
    pub(crate) fn cover(&mut self, address: &Address) {
        self.covered.insert(address.key());
    }

    /// Adds an account, whatever its status.
    pub(crate) fn add_account(&mut self, account: Account) {
        let key = (account.domain.clone(), account.address.local().to_lowercase());
        self.accounts.insert(key, account);
    }

    /// Adds an alias that is not marked as removed.
    pub(crate) fn add_alias(&mut self, alias: StoredAlias) {
        if alias.pattern.is_wildcard() {
            let wildcards = self.wildcards.entry(alias.domain.clone()).or_default();
            if !wildcards.iter().any(|known| known.id == alias.id) {
                wildcards.push(alias);
            }
            return;
        }
        self.aliases.insert((alias.domain.clone(), alias.pattern.local.clone()), alias);
    }
}

impl Source for Fetched {
    fn expect(&mut self, addresses: &[Address]) -> Outcome<()> {
        let is_missing = |address: &&Address| !self.covered.contains(&address.key());
        self.missing = addresses.iter().filter(is_missing).cloned().collect();
        if self.missing.is_empty() { Ok(()) } else { Err(Failure::NotFetched) }
    }

    fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>> {
        Ok(self.domains.get(name).cloned())
    }

    fn settings_of(&mut self, layer: Layer, owner: &str) -> Outcome<Vec<Setting>> {
        let owner = Owner { layer, id: owner.to_owned() };
        Ok(self.settings.get(&owner).cloned().unwrap_or_default())
    }

    fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        Ok(self.accounts.get(&(domain.id.clone(), local.to_owned())).cloned())
    }

    fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>> {
        Ok(self.aliases.get(&(domain.id.clone(), local.to_owned())).cloned())
    }

    fn wildcards(&mut self, domain: &DomainRow) -> Outcome<Vec<StoredAlias>> {
        Ok(self.wildcards.get(&domain.id).cloned().unwrap_or_default())
    }

    fn position(&mut self) -> Outcome<u64> {
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_what_any_separator_could_leave() {
        let check = |text: &str, expect: &[&str]| {
            let address: Address = text.parse().unwrap();
            assert_eq!(bases(&address), expect, "{text}");
        };
        check("ann@example.org", &["ann"]);
        check("Ann+x-y@example.org", &["ann+x-y", "ann", "ann+x"]);
        check("-ann@example.org", &["-ann"]);
        check("jürgen=1@example.org", &["jürgen=1", "jürgen"]);
    }
}
