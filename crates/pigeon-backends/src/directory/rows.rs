//! What every engine answers about its rows, and the one way to write them.
//!
//! The rules of the directory (what an address means, who may change what, what an import may hold) are written
//! once, over these traits: an engine only reads and writes rows.

use async_trait::async_trait;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{
    Account, Alias, AliasPattern, Domain, Entry, Id, LoggedChange, Role, Scope, Status,
};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Layer, Setting};

use super::failure::{Failure, Outcome};

/// A domain as look-ups need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DomainRow {
    pub(crate) id: Id,
    /// Its primary name.
    pub(crate) name: DomainName,
    pub(crate) status: Status,
}

/// An alias whose targets may be nonsense: look-ups must go on with the others.
#[derive(Debug, Clone)]
pub(crate) struct StoredAlias {
    pub(crate) id: Id,
    pub(crate) domain: Id,
    pub(crate) pattern: AliasPattern,
    pub(crate) targets: Vec<String>,
    pub(crate) status: Status,
}

impl StoredAlias {
    /// The alias, if all of its targets are addresses.
    pub(crate) fn strict(self) -> Outcome<Alias> {
        let parse = |text: &String| Address::parse(text);
        let targets = self.targets.iter().map(parse).collect::<Result<_, _>>().map_err(|error| {
            Failure::Unusable(format!(
                "holds a target of the alias {} that is no address: {error}",
                self.pattern
            ))
        })?;
        Ok(Alias { id: self.id, domain: self.domain, pattern: self.pattern, targets, status: self.status })
    }
}

/// Whose settings: a layer, and the id of the domain or account there; empty for the system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) layer: Layer,
    pub(crate) id: String,
}

impl Owner {
    /// The system's layer.
    pub(crate) const fn system() -> Self {
        Self { layer: Layer::System, id: String::new() }
    }

    /// A domain's layer.
    pub(crate) fn domain(id: &Id) -> Self {
        Self { layer: Layer::Domain, id: id.0.clone() }
    }

    /// An account's layer.
    pub(crate) fn account(id: &Id) -> Self {
        Self { layer: Layer::Account, id: id.0.clone() }
    }
}

/// What look-ups read; all of one moment.
///
/// Where a row cannot be had without asking again, an engine fetches it before ([`super::fetched`]).
pub(crate) trait Source {
    /// Says which addresses are asked about next. Whoever fetched rows before answers
    /// [`Failure::NotFetched`] where theirs are not among them.
    fn expect(&mut self, addresses: &[Address]) -> Outcome<()> {
        let _ = addresses;
        Ok(())
    }

    /// The domain of which this is a name, primary or not, whatever its status.
    fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>>;
    /// The settings of one owner; the system's is empty.
    fn settings_of(&mut self, layer: Layer, owner: &str) -> Outcome<Vec<Setting>>;
    /// The account with that local part in a domain, whatever its status.
    fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>>;
    /// The alias with exactly that pattern in a domain, unless it is marked as removed.
    fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>>;
    /// The aliases of a domain with a `*`, unless they are marked as removed.
    fn wildcards(&mut self, domain: &DomainRow) -> Outcome<Vec<StoredAlias>>;
    /// The position of the change log.
    fn position(&mut self) -> Outcome<u64>;
}

/// What changes and listings read. Rows marked as removed are among them.
#[async_trait]
pub(crate) trait Rows: Send {
    /// The domain of which this is a name, primary or not.
    async fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>>;
    /// The domain of that id.
    async fn domain_of(&mut self, id: &Id) -> Outcome<Option<DomainRow>>;
    /// The other names of a domain, sorted.
    async fn other_names(&mut self, domain: &Id) -> Outcome<Vec<String>>;
    /// The account with that local part in a domain.
    async fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>>;
    /// The account of that id with its domain.
    async fn account_of(&mut self, id: &Id) -> Outcome<Option<(Account, DomainRow)>>;
    /// The alias with exactly that pattern in a domain.
    async fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>>;
    /// Who has a mailbox path, or had it: never given out twice.
    async fn mailbox_holder(&mut self, mailbox: &MailboxPath) -> Outcome<Option<Holder>>;
    /// The mailboxes of all accounts of a domain, sorted.
    async fn mailboxes_in(&mut self, domain: &Id) -> Outcome<Vec<MailboxPath>>;
    /// The settings of one owner.
    async fn settings_of(&mut self, owner: &Owner) -> Outcome<Vec<Setting>>;
    /// The roles of an account, the system's first, then by id.
    async fn roles_of(&mut self, account: &Id) -> Outcome<Vec<Role>>;

    /// The domain with its other names, for people.
    async fn domain(&mut self, row: DomainRow) -> Outcome<Domain> {
        let aliases = self.other_names(&row.id).await?;
        Ok(Domain { id: row.id, name: row.name.to_string(), aliases, status: row.status })
    }
}

/// Who has a mailbox path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An account.
    Account(Id),
    /// Nobody any more: the account was purged.
    Nobody,
}

/// One row to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// Writes the row in the place of the one with the same id (a setting: of the same owner, name and kind).
    Put(Entry),
    /// Deletes the row, with everything that belongs to it: a domain takes its accounts, aliases, settings and
    /// grants with it; an account its settings and grants, and its mailbox path is kept as given out.
    Drop(Entry),
}

/// What one change writes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Writes {
    /// The rows, in this order.
    pub(crate) rows: Vec<Write>,
    /// For changes of very many rows: what is touched, in place of what each row touches.
    pub(crate) scopes: Option<Vec<Scope>>,
}

/// Reads and then writes as if alone: nobody else changes the directory between the two.
#[async_trait]
pub(crate) trait Transaction: Rows {
    /// Makes all of it durable, with its row of the change log; returns that row's position, which
    /// replaces the `seq` of `log`.
    async fn commit(&mut self, log: LoggedChange, writes: Writes) -> Outcome<u64>;
}

/// One page of a listing within one domain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    /// Rows whose local part sorts behind this one, octet by octet.
    pub(crate) after: &'a str,
    /// At most this many.
    pub(crate) limit: u32,
    /// Those marked as removed, too.
    pub(crate) with_removed: bool,
}

/// The kinds of entries in the order of an export: whatever one refers to comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By id.
    Domain,
    /// By id.
    Account,
    /// By id.
    Alias,
    /// By `ACCOUNT/DOMAIN`, the system's role having no domain.
    Grant,
    /// By `LAYER/OWNER/SERVICE/KEY/KIND`.
    Setting,
}

/// What listings read besides.
#[async_trait]
pub(crate) trait Listing: Rows {
    /// Domains whose primary name sorts behind `slice.after`, by that name.
    async fn domains_behind(&mut self, slice: Slice<'_>) -> Outcome<Vec<DomainRow>>;
    /// Accounts of a domain by local part.
    async fn accounts_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<Account>>;
    /// Aliases of a domain by the local part of their pattern.
    async fn aliases_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<StoredAlias>>;
    /// Who holds which role, by address and then by the domain's name; no name: the whole system.
    async fn grants_of(&mut self, account: Option<&Id>) -> Outcome<Vec<(Address, Option<String>)>>;
    /// The change log behind `after`, oldest first.
    async fn changes(&mut self, after: u64, limit: u32) -> Outcome<Vec<LoggedChange>>;
    /// How many entries an export has.
    async fn count(&mut self) -> Outcome<u64>;
    /// Entries of one kind behind a key, each with its key.
    async fn export_of(&mut self, kind: Kind, after: &str, limit: u32) -> Outcome<Vec<(String, Entry)>>;
}
