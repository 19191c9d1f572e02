//! The directory in OpenLDAP, below one entry: for sites that have their people there already.
//!
//! Look-ups are one search each ([`fetching`]), at a replica if there is one. Changes go to the one server that takes
//! them, in single orders that whoever comes next can finish ([`writing`]); the change log is kept as entries, too. What
//! other programs change is noticed ([`watch`]). How entries look and hang together: docs/admin/ldap.md.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, Change, Domain, Entry, Id, LoggedChange, Lookup, Place, Role};
use pigeon_core::ports::directory::{Administration, Applied, Directory, DirectoryError, Feed, Page};
use pigeon_core::rights::{Actor, Authority};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Setting, SettingName};

use self::dial::Connection;
use self::fetching::Lookups;
use self::hints::Hints;
use self::link::Links;
use self::listings::Sorted;
use self::options::Location;
use self::reading::Reader;
use self::tree::Tree;
use self::trouble::Trouble;
use self::watch::Watch;
use super::failure::{Failure, Outcome};
use super::rows::{Listing as _, Rows as _};
use super::{change, fetched, listing, lookup};

mod ask;
mod dial;
mod fetching;
mod hints;
mod judge;
mod link;
mod listings;
mod mapping;
mod moment;
mod options;
mod positions;
mod reading;
mod record;
mod setup;
mod steps;
mod tree;
mod trouble;
mod watch;
mod writing;

pub use mapping::Mapping;
pub use options::LdapOptions;

/// How long somebody tries to change what others change, too, before they are told so.
const MAX_ATTEMPTS: u32 = 1000;
/// How many rows of the change log are kept at least.
const LEAST_CHANGES: u64 = 100;
/// How long is waited before the next attempt, times the number of attempts, up to the second value.
const WAIT_MS: (u64, u64) = (1, 20);

/// The directory in OpenLDAP.
pub struct LdapDirectory {
    shared: Arc<Shared>,
    catalogue: Arc<Catalogue>,
    separators: Arc<str>,
}

/// Distinguished names as a server writes them.
#[derive(Debug)]
struct Names {
    base: String,
    /// The entry above the people of an existing directory.
    people: Option<String>,
    /// The suffixes of the databases that hold the base and the people.
    suffixes: Vec<String>,
}

/// What all questions need.
struct Shared {
    tree: Tree,
    links: Links,
    options: Arc<LdapOptions>,
    mapping: Option<Mapping>,
    /// What the directory is called in messages.
    place: String,
    hints: Hints,
    watch: Watch,
    sorted: Sorted,
    /// What each server calls the entries that matter.
    names: Mutex<HashMap<usize, Arc<Names>>>,
    /// Held while this process changes something: its changes need not race each other.
    turn: tokio::sync::Mutex<()>,
}

impl Shared {
    fn new(options: LdapOptions) -> Result<Self, DirectoryError> {
        let location = Location::parse(&options.url, options.start_tls)?;
        if location.base.is_empty() {
            return Err(DirectoryError::Invalid(format!(
                "the URL {0} names no base: write it behind the host, like {0}/ou=mail,dc=example,dc=org",
                location.target
            )));
        }
        let options = settled(options, &location);
        if let Some(mapping) = &options.mapping {
            mapping.check()?;
        }
        let replicas = options.replicas.iter().map(|url| Location::parse(url, options.start_tls));
        let replicas =
            replicas.map(|location| Ok(location?.target)).collect::<Result<_, DirectoryError>>()?;
        Ok(Self {
            place: format!("{}/{}", location.target, location.base),
            links: Links::new(location.target, replicas, &options),
            tree: Tree::new(location.base),
            mapping: options.mapping.clone(),
            options,
            hints: Hints::default(),
            watch: Watch::default(),
            sorted: Sorted::default(),
            names: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    fn at(&self, failure: Failure) -> DirectoryError {
        failure.at(&self.place)
    }

    /// The base is missing: nothing is known, and nobody may be said not to exist.
    fn no_directory(&self) -> Failure {
        let base = self.tree.base();
        Failure::Unusable(format!(
            "has no directory at {base}, or the bind DN may not read it: `pigeon init` makes one"
        ))
    }

    /// What a server calls the entries that matter.
    async fn names(&self, connection: &Connection) -> Outcome<Arc<Names>> {
        let known = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known().get(&connection.server) {
            return Ok(Arc::clone(names));
        }
        let contexts = naming_contexts(connection).await?;
        let base = connection.entry(self.tree.base(), &["1.1"]).await?.ok_or_else(|| self.no_directory())?.dn;
        let people = match &self.mapping {
            Some(Mapping { base, .. }) => {
                let found = connection.entry(base, &["1.1"]).await?;
                let missing =
                    || Failure::Unusable(format!("shows no entry {base}, below which people should be"));
                Some(found.ok_or_else(missing)?.dn)
            }
            None => None,
        };
        let mut suffixes: Vec<String> =
            std::iter::once(&base).chain(&people).map(|dn| suffix_of(dn, &contexts)).collect();
        suffixes.dedup();
        let names = Arc::new(Names { base, people, suffixes });
        known().insert(connection.server, Arc::clone(&names));
        Ok(names)
    }

    /// Whether a question may be put again: over a new connection, or to the next server.
    fn may_ask_again(&self, connection: &Connection, failure: &Failure, attempt: usize) -> bool {
        let is_silent = matches!(Trouble::in_failure(failure), Some(Trouble::Silent(_)));
        self.is_lost(connection, failure) && attempt < self.links.count() + usize::from(!is_silent)
    }

    /// Whether it is the connection that failed; then it is not used any more.
    fn is_lost(&self, connection: &Connection, failure: &Failure) -> bool {
        match Trouble::in_failure(failure) {
            Some(trouble) if trouble.is_about_the_connection() => {
                self.links.lost(connection, trouble);
                true
            }
            _ => false,
        }
    }

    /// A connection for reading what changes left: to the provider, or else a replica.
    async fn newest(&self) -> Outcome<Arc<Connection>> {
        match self.links.provider().await {
            Ok(connection) => Ok(connection),
            Err(trouble) => self.links.reader().await.map_err(|_| trouble.into()),
        }
    }
}

impl LdapDirectory {
    /// Makes an empty directory, or what is missing of one.
    ///
    /// # Errors
    /// The server cannot be reached, does not know the schema, or lets the bind DN write nothing.
    pub async fn create(options: &LdapOptions) -> Result<(), DirectoryError> {
        setup::create(options).await
    }

    /// A directory that connects when it is asked something.
    ///
    /// # Errors
    /// A URL or the mapping makes no sense.
    pub fn open(options: LdapOptions, catalogue: Arc<Catalogue>) -> Result<Self, DirectoryError> {
        let name = SettingName { service: "address".to_owned(), key: "separators".to_owned() };
        let separators = catalogue.default_of(&name).and_then(|value| value.as_str().map(Arc::from));
        let separators = separators.unwrap_or_else(|| Arc::from("+"));
        Ok(Self { shared: Arc::new(Shared::new(options)?), catalogue, separators })
    }

    async fn find(&self, address: &Address) -> Outcome<Lookup> {
        let terms = lookup::Terms {
            now: self.catalogue.tools().clock.now(),
            separators: Arc::clone(&self.separators),
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connection = self.shared.links.reader().await?;
            match self.find_over(&connection, address, terms.clone()).await {
                Err(failure) if self.shared.may_ask_again(&connection, &failure, attempt) => {}
                done => return done,
            }
        }
    }

    async fn find_over(
        &self,
        connection: &Arc<Connection>,
        address: &Address,
        terms: lookup::Terms,
    ) -> Outcome<Lookup> {
        let since = self.shared.watch.begin(&self.shared, connection).await?;
        let mut lookups = Lookups { shared: &self.shared, connection: Arc::clone(connection), since };
        fetched::lookup(&mut lookups, address, terms).await
    }

    /// Makes a change, also where whoever asked for it does not wait for the end: others would have to finish it.
    async fn change(&self, actor: &Actor, job: Job) -> Result<Applied, DirectoryError> {
        let (shared, catalogue) = (Arc::clone(&self.shared), Arc::clone(&self.catalogue));
        let actor = actor.clone();
        let made = tokio::spawn(async move { change_in(&shared, &catalogue, &actor, &job).await });
        let made = made.await.unwrap_or_else(|error| Err(Failure::Engine(Box::new(error))));
        made.map_err(|failure| self.shared.at(failure))
    }
}

async fn change_in(shared: &Shared, catalogue: &Catalogue, actor: &Actor, job: &Job) -> Outcome<Applied> {
    let _turn = shared.turn.lock().await;
    let (mut attempt, mut lost) = (0_u32, 0);
    while attempt < MAX_ATTEMPTS {
        attempt += 1;
        let connection = shared.links.provider().await?;
        let (failure, is_begun) = match writing::begin(shared, &connection).await {
            Err(failure) => (failure, false),
            Ok(mut reader) => match job.make(&mut reader, catalogue, actor).await {
                Ok(applied) => return Ok(applied),
                Err(_) if reader.is_late() => {
                    let wait = u64::from(attempt).saturating_mul(WAIT_MS.0).min(WAIT_MS.1);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    continue;
                }
                Err(failure) => (failure, reader.is_begun()),
            },
        };
        lost += 1;
        if !shared.may_ask_again(&connection, &failure, lost) || is_begun {
            return Err(failure);
        }
    }
    Err(Failure::Unusable("is changed by others all the time: try again later".to_owned()))
}

/// The options with what the URL adds to them. A log that held less could lose a row that is just written.
fn settled(mut settled: LdapOptions, location: &Location) -> Arc<LdapOptions> {
    settled.keep_changes = settled.keep_changes.max(LEAST_CHANGES);
    if settled.bind_dn.is_none() {
        settled.bind_dn.clone_from(&location.bind_dn);
    }
    if settled.password.is_none() {
        settled.password.clone_from(&location.password);
    }
    Arc::new(settled)
}

/// The suffixes of a server's databases (RFC 4512 §5.1).
async fn naming_contexts(connection: &Connection) -> Outcome<Vec<String>> {
    let root = connection.entry("", &["namingContexts"]).await?.unwrap_or_default();
    Ok(root.texts("namingContexts").map(str::to_owned).collect())
}

/// The suffix of the database that holds an entry; the entry itself where the server does not say.
fn suffix_of(dn: &str, contexts: &[String]) -> String {
    let above = contexts.iter().filter(|suffix| is_below(dn, suffix));
    above.max_by_key(|suffix| suffix.len()).map_or_else(|| dn.to_owned(), Clone::clone)
}

/// Whether an entry is another or lies below it; as servers write names, but for their case.
fn is_below(dn: &str, base: &str) -> bool {
    let (dn, base) = (dn.to_lowercase(), base.to_lowercase());
    dn.strip_suffix(&base).is_some_and(|rest| rest.is_empty() || rest.ends_with(','))
}

/// What somebody asks for.
enum Job {
    Change(Change),
    Import(Vec<Entry>),
}

impl Job {
    async fn make(&self, reader: &mut Reader<'_>, catalogue: &Catalogue, actor: &Actor) -> Outcome<Applied> {
        match self {
            Self::Change(change) => change::apply(reader, catalogue, actor, change).await,
            Self::Import(entries) => {
                change::import(reader, catalogue, actor, entries.clone()).await?;
                Ok(Applied::default())
            }
        }
    }
}

impl std::fmt::Debug for LdapDirectory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LdapDirectory({})", self.shared.place)
    }
}

/// Reads something that people want to see, over another connection where one is lost.
macro_rules! reading {
    ($self:ident, $reader:ident => $work:expr) => {{
        let shared = &*$self.shared;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connection = match shared.newest().await {
                Ok(connection) => connection,
                Err(failure) => break Err(shared.at(failure)),
            };
            let $reader = &mut Reader { shared, connection: Arc::clone(&connection), start: None };
            match $work.await {
                Err(failure) if shared.may_ask_again(&connection, &failure, attempt) => {}
                done => break done.map_err(|failure| shared.at(failure)),
            }
        }
    }};
}

#[async_trait]
impl Directory for LdapDirectory {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        self.find(address).await.map_err(|failure| self.shared.at(failure))
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connection =
                self.shared.links.reader().await.map_err(|trouble| self.shared.at(trouble.into()))?;
            match self.shared.watch.feed(&self.shared, &connection, since).await {
                Err(failure) if self.shared.may_ask_again(&connection, &failure, attempt) => {}
                done => return done.map_err(|failure| self.shared.at(failure)),
            }
        }
    }
}

#[async_trait]
impl Administration for LdapDirectory {
    async fn apply(&self, actor: &Actor, change: Change) -> Result<Applied, DirectoryError> {
        self.change(actor, Job::Change(change)).await
    }

    async fn domains(&self, page: &Page) -> Result<Vec<Domain>, DirectoryError> {
        reading!(self, reader => listing::domains(reader, page))
    }

    async fn accounts(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Account>, DirectoryError> {
        reading!(self, reader => listing::accounts(reader, domain, page))
    }

    async fn aliases(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Alias>, DirectoryError> {
        reading!(self, reader => listing::aliases(reader, domain, page))
    }

    async fn grants(
        &self,
        account: Option<&Address>,
    ) -> Result<Vec<(Address, Option<String>)>, DirectoryError> {
        reading!(self, reader => listing::grants(reader, account))
    }

    async fn account(&self, address: &Address) -> Result<Account, DirectoryError> {
        reading!(self, reader => listing::account(reader, address))
    }

    async fn authority(&self, actor: &Actor) -> Result<Authority, DirectoryError> {
        reading!(self, reader => change::identify(reader, actor)).map(|(_, authority)| authority)
    }

    async fn roles(&self, account: &Id) -> Result<Vec<Role>, DirectoryError> {
        reading!(self, reader => reader.roles_of(account))
    }

    async fn settings(&self, place: &Place) -> Result<Vec<Setting>, DirectoryError> {
        reading!(self, reader => listing::settings(reader, place))
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<LoggedChange>, DirectoryError> {
        reading!(self, reader => reader.changes(after, limit))
    }

    async fn count(&self) -> Result<u64, DirectoryError> {
        reading!(self, reader => reader.count())
    }

    async fn export(
        &self,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<String>), DirectoryError> {
        reading!(self, reader => listing::export(reader, cursor.as_deref(), limit))
    }

    async fn import(&self, actor: &Actor, entries: Vec<Entry>) -> Result<(), DirectoryError> {
        self.change(actor, Job::Import(entries)).await.map(drop)
    }
}
