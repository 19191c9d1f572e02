//! The directory in a SQLite file: the embedded default.
//!
//! Look-ups read in one transaction on a connection that never writes; changes take one writer's place each.
//! The write-ahead log lets both go on beside each other, in this process and in others (the command line).
//! Opening is cheap, so that a process that delivers one message can afford it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, Change, Domain, Entry, Id, LoggedChange, Lookup, Place, Role};
use pigeon_core::ports::directory::{Administration, Applied, Directory, DirectoryError, Feed, Page};
use pigeon_core::rights::{Actor, Authority};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Setting, SettingName};
use rusqlite::Connection;

use futures_util::FutureExt as _;

use self::pool::{Pool, Use};
use self::rows::Reader;
use self::schema::Standing;
use super::failure::{Failure, Outcome};
use super::rows::Listing as _;
use super::{change, listing, lookup};
use crate::blocking::Blocking;

mod feed;
mod listings;
mod pool;
mod rows;
mod schema;
mod writing;

/// How many look-ups read at the same time.
const READERS: usize = 2;

/// The directory in one SQLite file.
pub struct SqliteDirectory {
    path: PathBuf,
    catalogue: Arc<Catalogue>,
    blocking: Blocking,
    separators: Arc<str>,
    readers: Arc<Pool>,
    writer: Arc<Pool>,
    /// One connection of its own: SQLite counts other connections' commits for each connection.
    feeder: Arc<Pool>,
}

impl SqliteDirectory {
    /// Makes an empty directory, or brings an existing one to the current schema.
    ///
    /// # Errors
    /// The file cannot be created or migrated, or was made by a newer version.
    pub fn create(path: &Path) -> Result<(), DirectoryError> {
        schema::create_file(path).map_err(|error| DirectoryError::Unavailable {
            what: format!("{} cannot be created", path.display()),
            source: Some(Box::new(error)),
        })?;
        let migrate = || schema::migrate(&mut pool::open(path, Use::Writing)?);
        migrate().map_err(|failure| failure.at(path.display()))
    }

    /// Opens a directory. One of an older version is migrated first; otherwise nothing but the header is read.
    ///
    /// # Errors
    /// There is no directory at `path`, it is broken, or was made by a newer version.
    pub fn open(path: &Path, catalogue: Arc<Catalogue>, blocking: Blocking) -> Result<Self, DirectoryError> {
        let name = SettingName { service: "address".to_owned(), key: "separators".to_owned() };
        let separators = catalogue.default_of(&name).and_then(|value| value.as_str().map(Arc::from));
        let directory = Self {
            path: path.to_owned(),
            catalogue,
            blocking,
            separators: separators.unwrap_or_else(|| Arc::from("+")),
            readers: Pool::new(path, Use::Reading, READERS),
            writer: Pool::new(path, Use::Writing, 1),
            feeder: Pool::new(path, Use::Reading, 1),
        };
        let standing = directory.readers.run_here(|held| schema::standing(&held.connection))?;
        if standing == Standing::Older {
            Self::create(path)?;
        }
        Ok(directory)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn read<T, F>(&self, work: F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader<'_>) -> Outcome<T> + Send + 'static,
    {
        let read = move |connection: &mut Connection| work(&mut Reader(connection));
        self.readers.run(self.blocking, |held| pool::read(&mut held.connection, read)).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader<'_>, &Catalogue) -> Outcome<T> + Send + 'static,
    {
        let catalogue = Arc::clone(&self.catalogue);
        let write = move |connection: &mut Connection| work(&mut Reader(connection), &catalogue);
        self.writer.run(self.blocking, |held| pool::write(&mut held.connection, write)).await
    }
}

/// The result of a future that asks SQLite alone: it never waits.
fn now<T>(future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let waits = || Err(Failure::Unusable("waited for an answer that SQLite gives at once".to_owned()));
    future.now_or_never().unwrap_or_else(waits)
}

impl std::fmt::Debug for SqliteDirectory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SqliteDirectory({})", self.path.display())
    }
}

#[async_trait]
impl Directory for SqliteDirectory {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        let address = address.clone();
        let now = self.catalogue.tools().clock.now();
        let terms = lookup::Terms { now, separators: Arc::clone(&self.separators) };
        self.read(move |rows| lookup::lookup(rows, &address, terms)).await
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        self.feeder.run(self.blocking, move |held| feed::feed(held, since)).await
    }
}

#[async_trait]
impl Administration for SqliteDirectory {
    async fn apply(&self, actor: &Actor, change: Change) -> Result<Applied, DirectoryError> {
        let actor = actor.clone();
        self.write(move |rows, catalogue| now(change::apply(rows, catalogue, &actor, &change))).await
    }

    async fn domains(&self, page: &Page) -> Result<Vec<Domain>, DirectoryError> {
        let page = page.clone();
        self.read(move |rows| now(listing::domains(rows, &page))).await
    }

    async fn accounts(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Account>, DirectoryError> {
        let (domain, page) = (domain.map(str::to_owned), page.clone());
        self.read(move |rows| now(listing::accounts(rows, domain.as_deref(), &page))).await
    }

    async fn aliases(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Alias>, DirectoryError> {
        let (domain, page) = (domain.map(str::to_owned), page.clone());
        self.read(move |rows| now(listing::aliases(rows, domain.as_deref(), &page))).await
    }

    async fn grants(
        &self,
        account: Option<&Address>,
    ) -> Result<Vec<(Address, Option<String>)>, DirectoryError> {
        let account = account.cloned();
        self.read(move |rows| now(listing::grants(rows, account.as_ref()))).await
    }

    async fn account(&self, address: &Address) -> Result<Account, DirectoryError> {
        let address = address.clone();
        self.read(move |rows| now(listing::account(rows, &address))).await
    }

    async fn authority(&self, actor: &Actor) -> Result<Authority, DirectoryError> {
        let actor = actor.clone();
        self.read(move |rows| now(change::identify(rows, &actor)).map(|(_, authority)| authority)).await
    }

    async fn roles(&self, account: &Id) -> Result<Vec<Role>, DirectoryError> {
        let account = account.clone();
        self.read(move |rows| rows::roles_of(rows.0, &account)).await
    }

    async fn settings(&self, place: &Place) -> Result<Vec<Setting>, DirectoryError> {
        let place = place.clone();
        self.read(move |rows| now(listing::settings(rows, &place))).await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<LoggedChange>, DirectoryError> {
        self.read(move |rows| now(rows.changes(after, limit))).await
    }

    async fn count(&self) -> Result<u64, DirectoryError> {
        self.read(|rows| now(rows.count())).await
    }

    async fn export(
        &self,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<String>), DirectoryError> {
        self.read(move |rows| now(listing::export(rows, cursor.as_deref(), limit))).await
    }

    async fn import(&self, actor: &Actor, entries: Vec<Entry>) -> Result<(), DirectoryError> {
        let actor = actor.clone();
        self.write(move |rows, catalogue| now(change::import(rows, catalogue, &actor, entries))).await
    }
}
