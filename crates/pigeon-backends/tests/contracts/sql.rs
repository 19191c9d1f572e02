//! What both engines are tested with: servers, databases of their own for each test, and the tests themselves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up, or finds something else, fails at that spot"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pigeon_backends::directory::sql::{SqlDirectory, SqlOptions};
use pigeon_backends::sql::SqlUrl;
use pigeon_core::address::Address;
use pigeon_core::directory::{Change, Lookup};
use pigeon_core::ports::directory::{Administration, Directory as _, DirectoryError};
use pigeon_core::rights::Actor;
use pigeon_testkit::contracts::directory::{Fixture, catalogue};
use pigeon_testkit::memory::TestClock;
use pigeon_testkit::peers::{MariaDb, Postgres};

#[path = "sql/faults.rs"]
pub(crate) mod faults;
#[path = "sql/many.rs"]
pub(crate) mod many;
#[path = "sql/schema.rs"]
pub(crate) mod schema;
#[path = "sql/statements.rs"]
pub(crate) mod statements;

/// A server of either engine.
pub(crate) enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    /// Makes an empty database; returns its name.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.make(&name);
        name
    }

    pub(crate) fn make(&self, name: &str) {
        match self {
            Self::Postgres(server) => {
                let sql = format!("CREATE DATABASE {name} OWNER pigeon STRATEGY file_copy");
                server.psql_as_superuser(&sql).unwrap();
            }
            Self::MariaDb(server) => {
                let sql = format!("CREATE DATABASE {name}; GRANT ALL ON {name}.* TO pigeon");
                server.sql_as_root(&sql).unwrap();
            }
        }
    }

    /// Where the database of this server is, or of a replica of it.
    pub(crate) fn url(&self, name: &str) -> SqlUrl {
        let url = match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        };
        url.parse::<SqlUrl>().unwrap().with_database(name)
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::MariaDb(server) => server.port(),
        }
    }

    /// Runs SQL in a database, as an administrator with a shell does; returns what it answers.
    pub(crate) fn shell(&self, name: &str, sql: &str) -> String {
        self.try_shell(name, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn try_shell(&self, name: &str, sql: &str) -> Result<String, String> {
        let answer = match self {
            Self::Postgres(server) => server.psql(&format!("\\connect {name}\n{sql}")),
            Self::MariaDb(server) => server.sql(&format!("USE {name}; {sql}")),
        };
        answer.map_err(|error| format!("{error:#}"))
    }

    /// Makes a plain edit that changes at least one row. What is reserved on MariaDB must be quoted there.
    pub(crate) fn edit(&self, name: &str, sql: &str) {
        let changed = match self {
            Self::Postgres(_) => {
                let sql = format!("WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed");
                self.shell(name, &sql)
            }
            Self::MariaDb(_) => {
                let sql = sql.replace(" key ", " `key` ");
                self.shell(name, &format!("{sql}; SELECT ROW_COUNT()"))
            }
        };
        assert!(changed.parse::<u32>().unwrap() > 0, "{sql} changed no row");
    }

    pub(crate) fn destroy(&self, name: &str) {
        let dropped = match self {
            Self::Postgres(server) => server.psql_as_superuser(&format!("DROP DATABASE {name} WITH (FORCE)")),
            Self::MariaDb(server) => server.sql_as_root(&format!("DROP DATABASE {name}")),
        };
        dropped.unwrap();
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
        }
    }

    pub(crate) fn restart(&self) {
        match self {
            Self::Postgres(server) => server.restart().unwrap(),
            Self::MariaDb(server) => server.restart().unwrap(),
        }
    }

    pub(crate) fn pause(&self) {
        match self {
            Self::Postgres(server) => server.pause().unwrap(),
            Self::MariaDb(server) => server.pause().unwrap(),
        }
    }

    pub(crate) fn resume(&self) {
        match self {
            Self::Postgres(server) => server.resume().unwrap(),
            Self::MariaDb(server) => server.resume().unwrap(),
        }
    }

    pub(crate) fn replica(&self) -> Self {
        match self {
            Self::Postgres(server) => Self::Postgres(server.replica().unwrap()),
            Self::MariaDb(server) => Self::MariaDb(server.replica().unwrap()),
        }
    }
}

/// Everybody asks the server each time: the suite looks at once at what another handle did.
pub(crate) const ASKING: SqlOptions = SqlOptions {
    connections: 8,
    connect_timeout: Duration::from_secs(3),
    lookup_timeout: Duration::from_secs(5),
    change_timeout: Duration::from_secs(30),
    is_listening: false,
};

/// Short patience, for tests with servers that do not answer.
pub(crate) const IMPATIENT: SqlOptions = SqlOptions {
    connections: 8,
    connect_timeout: Duration::from_millis(800),
    lookup_timeout: Duration::from_millis(800),
    change_timeout: Duration::from_millis(1500),
    is_listening: false,
};

pub(crate) fn open(url: &SqlUrl, options: SqlOptions) -> SqlDirectory {
    SqlDirectory::open(url.clone(), catalogue(Arc::new(TestClock::default())), options).unwrap()
}

/// An empty directory in a database of its own.
pub(crate) async fn fresh(server: &Server, options: SqlOptions) -> (String, SqlDirectory) {
    let name = server.database();
    let url = server.url(&name);
    SqlDirectory::create(&url).await.unwrap();
    (name, open(&url, options))
}

/// For the contract suite, which makes its directories without waiting.
pub(crate) fn fixture(server: &'static Server, clock: Arc<TestClock>) -> Fixture {
    let name = server.database();
    let url = server.url(&name);
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(SqlDirectory::create(&url)).unwrap();
    });
    let open = move || {
        let opened = SqlDirectory::open(url.clone(), catalogue(Arc::clone(&clock)), ASKING).unwrap();
        Arc::new(opened) as Arc<dyn Administration>
    };
    let (for_sql, for_destroy) = (name.clone(), name);
    let sql = move |statement: &str| server.edit(&for_sql, statement);
    let destroy = move || server.destroy(&for_destroy);
    Fixture { open: Box::new(open), sql: Some(Box::new(sql)), destroy: Some(Box::new(destroy)) }
}

pub(crate) fn parse(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn root() -> Actor {
    Actor::System("root".to_owned())
}

pub(crate) fn add_domain(name: &str) -> Change {
    Change::AddDomain { name: name.to_owned() }
}

pub(crate) fn add_account(text: &str) -> Change {
    Change::AddAccount { address: parse(text), name: String::new(), password: None }
}

pub(crate) fn add_alias(pattern: &str, targets: &[&str]) -> Change {
    let targets = targets.iter().map(|target| parse(target)).collect();
    Change::AddAlias { pattern: pattern.parse().unwrap(), targets }
}

pub(crate) async fn apply(directory: &SqlDirectory, change: Change) -> u64 {
    let shown = format!("{change:?}");
    directory.apply(&root(), change).await.unwrap_or_else(|error| panic!("{shown}: {error}")).seq
}

/// A directory with ann@example.org.
pub(crate) async fn with_ann(directory: &SqlDirectory) {
    apply(directory, add_domain("example.org")).await;
    apply(directory, add_account("ann@example.org")).await;
}

/// Whether anybody has the address.
pub(crate) async fn finds(directory: &SqlDirectory, text: &str) -> Result<bool, DirectoryError> {
    Ok(matches!(directory.lookup(&parse(text)).await?, Lookup::Found(_)))
}
