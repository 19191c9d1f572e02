//! The control data: who receives mail and with which settings; and the changes people make to it.

use async_trait::async_trait;
use thiserror::Error;

use crate::address::Address;
use crate::directory::{Account, Alias, Change, Domain, Entry, Id, LoggedChange, Lookup, Place, Role, Scope};
use crate::rights::{Actor, Authority};
use crate::setting::Setting;

/// Why the directory gave no answer, or refused a change.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It cannot be reached or is broken: nothing is known about what was asked.
    #[error("the directory {what}")]
    Unavailable {
        /// Where it is, and what was tried and failed.
        what: String,
        /// The cause underneath.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What the change is about does not exist.
    #[error("{what} does not exist{hint}")]
    NotFound {
        /// The thing, as `the domain example.org`.
        what: String,
        /// What to do next, with a leading `: `, or nothing.
        hint: String,
    },
    /// The name is taken.
    #[error("{what} exists already{hint}")]
    Exists {
        /// The thing.
        what: String,
        /// What to do next, with a leading `: `, or nothing.
        hint: String,
    },
    /// The person may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// What the change depends on is not as it was seen: whoever asked looks again, and may try anew.
    #[error("{0} was changed by somebody else meanwhile: look at it again")]
    Changed(String),
    /// The change itself makes no sense; says what is wrong and what is allowed.
    #[error("{0}")]
    Invalid(String),
}

/// What changed since a position of the change log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    /// The position now.
    pub seq: u64,
    /// What changed, each with the position at which it last did.
    pub scopes: Vec<(Scope, u64)>,
}

/// Look-ups, as deliveries need them.
#[async_trait]
pub trait Directory: Send + Sync {
    /// What an address means: found, nobody, or (as an error) unknown. One round trip.
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError>;

    /// What changed behind `since`. Cheap when nothing did: it is asked several times a second.
    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError>;
}

/// What became of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the change log.
    pub seq: u64,
    /// What the person should know: the setting has no effect because of a pin, …
    pub notes: Vec<String>,
    /// Mailboxes that a purge left without an owner; whoever asked for it deletes them now.
    pub orphans: Vec<crate::ports::mailstore::MailboxPath>,
}

/// Which rows a listing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows whose name sorts behind this one.
    pub after: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// Those marked as removed, too.
    pub with_removed: bool,
}

/// Administration: every write goes through [`apply`](Administration::apply), which enforces the right to write.
#[async_trait]
pub trait Administration: Directory {
    /// Makes one change on behalf of `actor`, with its row in the change log, or nothing at all.
    async fn apply(&self, actor: &Actor, change: Change) -> Result<Applied, DirectoryError>;

    /// The domains, by name.
    async fn domains(&self, page: &Page) -> Result<Vec<Domain>, DirectoryError>;
    /// The accounts of a domain (or of all), by address.
    async fn accounts(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Account>, DirectoryError>;
    /// The aliases of a domain (or of all), by pattern.
    async fn aliases(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Alias>, DirectoryError>;
    /// All grants, or those of one account: who, and a domain's name or none for the whole system.
    async fn grants(
        &self,
        account: Option<&Address>,
    ) -> Result<Vec<(Address, Option<String>)>, DirectoryError>;
    /// The account of that address, removed ones included.
    async fn account(&self, address: &Address) -> Result<Account, DirectoryError>;
    /// What an actor may do at this moment; whoever may change nothing any more is refused.
    async fn authority(&self, actor: &Actor) -> Result<Authority, DirectoryError>;
    /// The roles of an account.
    async fn roles(&self, account: &Id) -> Result<Vec<Role>, DirectoryError>;
    /// The settings written at a place, by name.
    async fn settings(&self, place: &Place) -> Result<Vec<Setting>, DirectoryError>;
    /// The change log behind `after`, oldest first.
    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<LoggedChange>, DirectoryError>;

    /// How many entries an export will have: for progress.
    async fn count(&self) -> Result<u64, DirectoryError>;
    /// The next entries of an export behind a cursor (none: from the beginning), with the cursor behind them; empty at the end.
    async fn export(
        &self,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<String>), DirectoryError>;
    /// Takes entries of an export, ids and mailbox paths included; those that exist under their id are overwritten.
    async fn import(&self, actor: &Actor, entries: Vec<Entry>) -> Result<(), DirectoryError>;
}
