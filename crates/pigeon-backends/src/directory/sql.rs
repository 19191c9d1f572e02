//! The directory on PostgreSQL or MariaDB, for many nodes.
//!
//! Any number of processes use one database: servers, command lines, and people with an SQL shell. A look-up is one
//! statement that fetches whatever the address can need (`fetch_*.sql`), all of one moment; it may be answered by a
//! replica. A change is a transaction of its own that no other change happens beside; the schema's triggers log what
//! plain SQL edits change, and tell every node.
//!
//! For whoever wires it: [`SqlDirectory::create`] makes or migrates the schema (`pigeon init`), and says what an
//! administrator of the server has to type where database or user are missing. [`SqlDirectory::open`] connects
//! nowhere, so that a node starts while its database is down, and needs a tokio runtime once it is used; a schema
//! of an older version is migrated at the first connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, Change, Domain, Entry, Id, LoggedChange, Lookup, Place, Role};
use pigeon_core::ports::directory::{Administration, Applied, Directory, DirectoryError, Feed, Page};
use pigeon_core::rights::{Actor, Authority};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Setting, SettingName};

use self::feed::Follower;
use self::fetching::From;
use self::rows::Reader;
use self::servers::Servers;
use super::failure::{Failure, Outcome};
use super::rows::{Listing as _, Rows as _};
use super::{change, fetched, listing, lookup};
use crate::sql::{Engine, Limits, Migration, Schema, SqlError, SqlUrl};

mod feed;
mod fetching;
mod listings;
mod rows;
mod servers;
mod writing;

/// The directory's tables.
const SCHEMA: Schema = Schema {
    name: "directory",
    migrations: &[Migration {
        postgres: include_str!("sql/migrations/postgres/0001_initial.sql"),
        mariadb: include_str!("sql/migrations/mariadb/0001_initial.sql"),
        serves: 1,
    }],
    may_migrate: true,
};

/// How often a change is begun again after it and another one waited for each other.
const TRIES: u32 = 5;

/// How the database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlOptions {
    /// Most connections to each server for reading; changes have two more to the primary.
    pub connections: u32,
    /// How long making a connection may take, TLS and login included.
    pub connect_timeout: Duration,
    /// How long a statement of a look-up may take.
    pub lookup_timeout: Duration,
    /// How long a statement of a change may take, which includes waiting for other changes.
    pub change_timeout: Duration,
    /// Whether PostgreSQL is asked to tell about changes, for which it needs one more connection: worth while for
    /// servers, which ask several times a second what changed.
    pub is_listening: bool,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            connections: 8,
            connect_timeout: Duration::from_secs(3),
            lookup_timeout: Duration::from_secs(5),
            change_timeout: Duration::from_secs(30),
            is_listening: true,
        }
    }
}

/// The directory in one database of a PostgreSQL or MariaDB server.
pub struct SqlDirectory {
    url: SqlUrl,
    catalogue: Arc<Catalogue>,
    separators: Arc<str>,
    servers: Servers,
    follower: Follower,
}

impl SqlDirectory {
    /// Makes the tables of an empty directory in a database that exists, or brings them to the current schema.
    /// Several processes may do so at once.
    ///
    /// # Errors
    /// The server cannot be reached, database or user do not exist (the message says how to make them), or the
    /// schema was made by a newer version.
    pub async fn create(url: &SqlUrl) -> Result<(), DirectoryError> {
        url.check().map_err(|error| Failure::from(error).at(url))?;
        crate::sql::create(url, &SCHEMA).await.map_err(|error| Failure::from(error).at(url))
    }

    /// A directory that connects when it is asked something.
    ///
    /// # Errors
    /// A certificate or key that the URL names cannot be read.
    pub fn open(url: SqlUrl, catalogue: Arc<Catalogue>, options: SqlOptions) -> Result<Self, DirectoryError> {
        url.check().map_err(|error| Failure::from(error).at(&url))?;
        let name = SettingName { service: "address".to_owned(), key: "separators".to_owned() };
        let separators = catalogue.default_of(&name).and_then(|value| value.as_str().map(Arc::from));
        let connect = options.connect_timeout;
        let reading = Limits { connections: options.connections, connect, statement: options.lookup_timeout };
        let writing = Limits { connections: 2, connect, statement: options.change_timeout };
        let is_listening = options.is_listening && url.engine() == Engine::Postgres;
        Ok(Self {
            catalogue,
            separators: separators.unwrap_or_else(|| Arc::from("+")),
            servers: Servers::new(&url, SCHEMA, reading, writing),
            follower: Follower::new(is_listening.then(|| url.clone())),
            url,
        })
    }

    /// Where it is, without the password.
    #[must_use]
    pub const fn url(&self) -> &SqlUrl {
        &self.url
    }

    /// How many statements were sent to the servers so far; each is one round trip.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.servers.statements()
    }

    fn named(&self, failure: Failure) -> DirectoryError {
        failure.at(&self.url)
    }

    /// Looks an address up at the first server that answers with something new enough; what a replica says that lags
    /// behind is better than nothing.
    async fn lookup_anywhere(&self, address: &Address, terms: &lookup::Terms) -> Outcome<Lookup> {
        let (mut old, mut failure) = (None, None);
        for asked in self.servers.for_lookups() {
            let mut fetcher = From(Arc::clone(asked.pool));
            match fetched::lookup(&mut fetcher, address, terms.clone()).await {
                Ok(lookup) if asked.is_replica() && self.servers.is_behind(position(&lookup)) => {
                    asked.lags();
                    old = Some(lookup);
                }
                Ok(lookup) => {
                    self.servers.saw(position(&lookup));
                    return Ok(lookup);
                }
                Err(error) => failure = Some(error),
            }
        }
        match (old, failure) {
            (Some(lookup), _) => Ok(lookup),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(Failure::Unusable("has no server".to_owned())),
        }
    }

    /// A transaction that only reads, at the primary if that can be.
    async fn reader(&self) -> Result<Reader, DirectoryError> {
        let mut error = None;
        for pool in self.servers.for_reading() {
            match pool.begin_reading().await {
                Ok(session) => return Ok(Reader::new(session)),
                Err(other) => error = error.or(Some(other)),
            }
        }
        let error = error.unwrap_or_else(|| SqlError::Unusable("has no server".to_owned()));
        Err(self.named(error.into()))
    }

    /// Ends a transaction that only read.
    async fn read<T>(&self, reader: Reader, read: Outcome<T>) -> Result<T, DirectoryError> {
        // Whatever comes of it: nothing was written, and what was read was read.
        drop(reader.session.rollback().await);
        read.map_err(|failure| self.named(failure))
    }

    /// Carries work out as if alone; begins again where it got into another change's way.
    async fn write(&self, actor: &Actor, work: &Work) -> Result<Applied, DirectoryError> {
        let mut tries = 1;
        loop {
            let written = self.write_once(actor, work).await;
            match written {
                Err(Failure::Engine(error)) if tries < TRIES && is_conflict(&*error) => tries += 1,
                Err(failure) => return Err(self.named(failure)),
                Ok(applied) => {
                    self.servers.saw(applied.seq);
                    self.follower.stir();
                    return Ok(applied);
                }
            }
        }
    }

    async fn write_once(&self, actor: &Actor, work: &Work) -> Outcome<Applied> {
        let mut writer = Reader::new(self.servers.writer.begin().await?);
        writer.lock().await?;
        let done = match work {
            Work::Change(change) => change::apply(&mut writer, &self.catalogue, actor, change).await,
            Work::Import(entries) => {
                let imported = change::import(&mut writer, &self.catalogue, actor, entries.clone()).await;
                imported.map(|()| Applied::default())
            }
        };
        match done {
            Ok(applied) => {
                writer.session.commit().await?;
                Ok(applied)
            }
            Err(failure @ Failure::Refused(_)) if !writer.is_writing => {
                writer.session.rollback().await?;
                Err(failure)
            }
            // The connection is closed, and with it goes whatever was begun.
            Err(failure) => Err(failure),
        }
    }
}

/// What is written in one transaction.
enum Work {
    Change(Change),
    Import(Vec<Entry>),
}

fn is_conflict(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<SqlError>().is_some_and(SqlError::is_conflict)
}

/// The position of the change log at which an answer was read.
const fn position(lookup: &Lookup) -> u64 {
    match lookup {
        Lookup::Found(resolution) => resolution.seq,
        Lookup::None(nobody) => nobody.seq,
    }
}

impl std::fmt::Debug for SqlDirectory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SqlDirectory({})", self.url)
    }
}

#[async_trait]
impl Directory for SqlDirectory {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        let now = self.catalogue.tools().clock.now();
        let terms = lookup::Terms { now, separators: Arc::clone(&self.separators) };
        self.lookup_anywhere(address, &terms).await.map_err(|failure| self.named(failure))
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        self.follower.feed(&self.servers, since).await.map_err(|failure| self.named(failure))
    }
}

#[async_trait]
impl Administration for SqlDirectory {
    async fn apply(&self, actor: &Actor, change: Change) -> Result<Applied, DirectoryError> {
        self.write(actor, &Work::Change(change)).await
    }

    async fn domains(&self, page: &Page) -> Result<Vec<Domain>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::domains(&mut reader, page).await;
        self.read(reader, read).await
    }

    async fn accounts(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Account>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::accounts(&mut reader, domain, page).await;
        self.read(reader, read).await
    }

    async fn aliases(&self, domain: Option<&str>, page: &Page) -> Result<Vec<Alias>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::aliases(&mut reader, domain, page).await;
        self.read(reader, read).await
    }

    async fn grants(
        &self,
        account: Option<&Address>,
    ) -> Result<Vec<(Address, Option<String>)>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::grants(&mut reader, account).await;
        self.read(reader, read).await
    }

    async fn account(&self, address: &Address) -> Result<Account, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::account(&mut reader, address).await;
        self.read(reader, read).await
    }

    async fn authority(&self, actor: &Actor) -> Result<Authority, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = change::identify(&mut reader, actor).await;
        self.read(reader, read.map(|(_, authority)| authority)).await
    }

    async fn roles(&self, account: &Id) -> Result<Vec<Role>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = reader.roles_of(account).await;
        self.read(reader, read).await
    }

    async fn settings(&self, place: &Place) -> Result<Vec<Setting>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::settings(&mut reader, place).await;
        self.read(reader, read).await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<LoggedChange>, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = reader.changes(after, limit).await;
        self.read(reader, read).await
    }

    async fn count(&self) -> Result<u64, DirectoryError> {
        let mut reader = self.reader().await?;
        let read = reader.count().await;
        self.read(reader, read).await
    }

    async fn export(
        &self,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<String>), DirectoryError> {
        let mut reader = self.reader().await?;
        let read = listing::export(&mut reader, cursor.as_deref(), limit).await;
        self.read(reader, read).await
    }

    async fn import(&self, actor: &Actor, entries: Vec<Entry>) -> Result<(), DirectoryError> {
        self.write(actor, &Work::Import(entries)).await.map(drop)
    }
}
