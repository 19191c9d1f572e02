//! A database server of either kind, and nodes that share a State on it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pigeon_backends::outbox::smtp::Smtp;
use pigeon_backends::outbox::{Outbox, OutboxStatus, OutboxStore as _, Pace};
use pigeon_backends::sql::SqlUrl;
use pigeon_backends::state::sql::SqlState;
use pigeon_backends::state::{Mode, StateOptions};
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::{OutboxEntry, State as _, StateChanges};
use pigeon_core::timestamp::Timestamp;
use pigeon_testkit::peers::{MariaDb, MariaDbOptions, Postgres, PostgresOptions, SmtpSink, or_skip};
use tempfile::TempDir;

/// Which server a test is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A running server.
pub(crate) enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Database {
    /// Starts one with the State's tables; nothing where that kind is not to be had.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        let database = match kind {
            Kind::Postgres => Self::Postgres(or_skip(Postgres::start(&PostgresOptions::default()))?),
            Kind::MariaDb => Self::MariaDb(or_skip(MariaDb::start(&MariaDbOptions::default()))?),
        };
        SqlState::create(&database.url()).await.unwrap();
        Some(database)
    }

    pub(crate) fn url(&self) -> SqlUrl {
        let url = match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        };
        url.parse().unwrap()
    }

    pub(crate) fn sql(&self, text: &str) -> String {
        match self {
            Self::Postgres(server) => server.psql(text).unwrap(),
            Self::MariaDb(server) => server.sql(text).unwrap(),
        }
    }

    pub(crate) fn stop(&self) {
        match self {
            Self::Postgres(server) => server.stop_fast().unwrap(),
            Self::MariaDb(server) => server.stop().unwrap(),
        }
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

    /// Takes everything away that there is of a State, and makes it anew.
    pub(crate) async fn clear(&self) {
        for table in ["memory", "finished", "outbox", "contents", "receipts", "words", "nodes", "chores"] {
            self.sql(&format!("DROP TABLE IF EXISTS state_{table}"));
        }
        self.sql("DROP TABLE IF EXISTS schema_versions");
        SqlState::create(&self.url()).await.unwrap();
    }

    /// The number that a question has for an answer.
    pub(crate) fn count(&self, sql: &str) -> u64 {
        let answer = self.sql(sql);
        answer.lines().last().unwrap().trim().parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
    }
}

/// The time of day, as every process and the server see it.
pub(crate) struct RealClock(Instant);

impl RealClock {
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "nodes need the same time")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

pub(crate) const PACE: Pace = Pace {
    poll: Duration::from_millis(50),
    lease: Duration::from_millis(1500),
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_secs(1),
    give_up: Duration::from_secs(3600),
    at_once: 5,
    grace: Duration::from_secs(1),
};

/// One node: a state directory of its own, and the State that it shares.
pub(crate) struct Node {
    pub(crate) directory: TempDir,
    pub(crate) state: Arc<SqlState>,
}

impl Node {
    pub(crate) fn new(database: &Database, name: &str, mode: Mode) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::new(open(directory.path(), &database.url(), name, mode));
        Self { directory, state }
    }

    pub(crate) fn outbox(&self, sink: &SmtpSink) -> Outbox {
        let smtp = Smtp::new("127.0.0.1", sink.port(), "mx.example.org");
        Outbox::with_submit(Arc::clone(&self.state) as _, Arc::new(smtp), "mx.example.org".into(), PACE)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.state.clock().now()
    }

    pub(crate) async fn stage(&self, entries: Vec<OutboxEntry>) {
        self.state.stage(entries, self.now()).await.unwrap();
    }

    pub(crate) async fn release(&self, keys: &[&str]) {
        let released = keys.iter().map(|key| (*key).to_owned()).collect();
        self.state.commit(StateChanges { released, ..StateChanges::default() }, self.now()).await.unwrap();
    }

    /// Key and status of all entries.
    pub(crate) async fn entries(&self) -> Vec<(String, OutboxStatus)> {
        let records = self.state.entries(None, 10_000).await.unwrap();
        records.into_iter().map(|record| (record.key, record.status)).collect()
    }
}

pub(crate) fn open(directory: &Path, url: &SqlUrl, name: &str, mode: Mode) -> SqlState {
    let options = StateOptions::new(directory, RealClock::shared()).with_mode(mode).with_node(name);
    SqlState::open(options, url).unwrap()
}

/// Makes a test for each kind of server out of an asynchronous function over one.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(database) = $crate::database::Database::start($crate::database::Kind::Postgres).await {
                    super::$test(&database).await;
                }
            })*
        }
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(database) = $crate::database::Database::start($crate::database::Kind::MariaDb).await {
                    super::$test(&database).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;
