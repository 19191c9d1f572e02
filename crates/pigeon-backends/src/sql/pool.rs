//! Connections that are kept, and what is done with one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::dialect::{Param, Row};
use super::error::{Meaning, SqlError, meaning};
use super::migrate::{self, Schema};
use super::rest::Rest;
use super::url::{Engine, SqlUrl};

/// A connection that nobody used for so long is closed when the next one is asked for.
const IDLE: Duration = Duration::from_secs(120);
/// No connection is used for longer, so that one that leads to the wrong place (a name that moved) does not for ever.
const LIFETIME: Duration = Duration::from_secs(1800);
/// How much longer than the server's own limit a statement is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// How many connections, and how long each thing may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most connections at the same time.
    pub(crate) connections: u32,
    /// To make a connection, TLS and login included; also how long one waits for a connection that is in use.
    pub(crate) connect: Duration,
    /// One statement; the server ends it then, and one that does not even answer is given up a little later.
    pub(crate) statement: Duration,
}

/// Connections to one server for one purpose. Opens none before somebody asks, closes those that are not used, and
/// asks a server that is down only now and then ([`SqlError::Resting`] in between, at once).
#[derive(Debug)]
pub(crate) struct Pool {
    url: SqlUrl,
    schema: Schema,
    limits: Limits,
    idle: Mutex<Vec<Kept>>,
    permits: Arc<Semaphore>,
    rest: Rest,
    statements: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    born: Instant,
    used: Instant,
}

impl Pool {
    /// A pool for one server; `schema` is looked at on each new connection.
    pub(crate) fn new(url: SqlUrl, schema: Schema, limits: Limits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(1).max(1)));
        let (idle, rest, statements) = (Mutex::default(), Rest::default(), AtomicU64::new(0));
        Arc::new(Self { url, schema, limits, idle, permits, rest, statements })
    }

    /// Where the server is.
    pub(crate) const fn url(&self) -> &SqlUrl {
        &self.url
    }

    pub(crate) const fn engine(&self) -> Engine {
        self.url.engine
    }

    /// How many statements were sent, those of new connections not counted: each is one round trip.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The rows that one statement answers, by itself.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, SqlError> {
        let mut session = self.session().await?;
        match session.fetch(sql, params).await {
            Err(SqlError::Unreachable(_)) if session.is_stale() => {
                drop(session);
                self.fresh().await?.fetch(sql, params).await
            }
            answer => answer,
        }
    }

    /// Runs one statement by itself; returns how many rows it found to change.
    ///
    /// Where the connection turns out to be dead the statement is sent again on another one, so it must not matter
    /// whether it is carried out twice.
    pub(crate) async fn run(self: &Arc<Self>, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError> {
        let mut session = self.session().await?;
        match session.run(sql, params).await {
            Err(SqlError::Unreachable(_)) if session.is_stale() => {
                drop(session);
                self.fresh().await?.run(sql, params).await
            }
            answer => answer,
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<Session, SqlError> {
        self.begin_with(match self.engine() {
            Engine::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Engine::MariaDb => "START TRANSACTION",
        })
        .await
    }

    /// Begins a transaction that only reads, all of one moment.
    pub(crate) async fn begin_reading(self: &Arc<Self>) -> Result<Session, SqlError> {
        self.begin_with(match self.engine() {
            Engine::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Engine::MariaDb => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        })
        .await
    }

    async fn begin_with(self: &Arc<Self>, sql: &str) -> Result<Session, SqlError> {
        let mut session = self.session().await?;
        match session.begin(sql).await {
            Err(SqlError::Unreachable(_)) if session.is_stale() => {
                drop(session);
                session = self.fresh().await?;
                session.begin(sql).await?;
            }
            begun => begun?,
        }
        Ok(session)
    }

    /// A connection that is kept, or a new one.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Session, SqlError> {
        self.rest.admit(Instant::now(), self.limits.connect)?;
        let permit = self.permit().await?;
        match self.take() {
            Some(kept) => Ok(Session::new(self, permit, kept, true)),
            None => {
                let kept = self.connect().await?;
                Ok(Session::new(self, permit, kept, false))
            }
        }
    }

    /// A new connection, after one that was kept turned out to be dead: then the others are, too.
    async fn fresh(self: &Arc<Self>) -> Result<Session, SqlError> {
        self.forget();
        let permit = self.permit().await?;
        let kept = self.connect().await?;
        Ok(Session::new(self, permit, kept, false))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, SqlError> {
        let waited = timeout(self.limits.connect, Arc::clone(&self.permits).acquire_owned()).await;
        let busy = || {
            let Limits { connections, connect, .. } = self.limits;
            SqlError::Unreachable(format!("all {connections} connections to it were in use for {connect:?}"))
        };
        waited.map_err(|_| busy())?.map_err(|_| busy())
    }

    fn take(&self) -> Option<Kept> {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| now - kept.used < IDLE && now - kept.born < LIFETIME);
        idle.pop()
    }

    /// Closes all connections that nobody uses.
    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Makes a connection, beside the caller: one who gives up (the change feed waits for a fraction of a second only)
    /// leaves it to those who come later.
    async fn connect(self: &Arc<Self>) -> Result<Kept, SqlError> {
        let (made, makes) = tokio::sync::oneshot::channel();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let result = pool.connect_here().await;
            if let Err(Ok(kept)) = made.send(result) {
                pool.keep(kept);
            }
        });
        let stopped = |_| SqlError::Unreachable("the process is shutting down".to_owned());
        makes.await.map_err(stopped)?
    }

    fn keep(&self, kept: Kept) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }

    async fn connect_here(&self) -> Result<Kept, SqlError> {
        let opened = timeout(self.limits.connect, async {
            let mut connection = Connection::open(&self.url, self.limits.statement).await.map_err(failed)?;
            migrate::check(&mut connection, &self.schema).await?;
            Ok(connection)
        });
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(_) => Err(SqlError::Unreachable(format!("no connection within {:?}", self.limits.connect))),
        };
        match opened {
            Ok(connection) => {
                self.rest.answered();
                let born = Instant::now();
                Ok(Kept { connection, born, used: born })
            }
            Err(error) => {
                self.rest.failed(Instant::now(), &error.to_string());
                self.forget();
                Err(error)
            }
        }
    }
}

fn failed(error: sqlx::Error) -> SqlError {
    match error {
        error @ sqlx::Error::Database(_) => SqlError::Database(error),
        error => SqlError::Unreachable(error.to_string()),
    }
}

/// One connection for a while. Dropped in the middle of a statement or of a transaction it is closed, and nothing of
/// the transaction remains; otherwise it is kept.
#[derive(Debug)]
pub(crate) struct Session {
    pool: Arc<Pool>,
    /// None while a statement is under way: whoever stops waiting for the answer leaves no half-read one behind.
    connection: Option<Connection>,
    born: Instant,
    was_kept: bool,
    is_in_transaction: bool,
    answers: u32,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    fn new(pool: &Arc<Pool>, permit: OwnedSemaphorePermit, kept: Kept, was_kept: bool) -> Self {
        Self {
            pool: Arc::clone(pool),
            connection: Some(kept.connection),
            born: kept.born,
            was_kept,
            is_in_transaction: false,
            answers: 0,
            _permit: permit,
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.pool.engine()
    }

    /// The rows that a statement answers.
    pub(crate) async fn fetch(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, SqlError> {
        let mut connection = self.take()?;
        let answer = timeout(self.patience(), connection.fetch(sql, params)).await;
        self.keep(connection, answer)
    }

    /// Runs a statement; returns how many rows it found to change, whether they were different before or not.
    pub(crate) async fn run(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError> {
        let mut connection = self.take()?;
        let answer = timeout(self.patience(), connection.run(sql, params)).await;
        self.keep(connection, answer)
    }

    async fn begin(&mut self, sql: &str) -> Result<(), SqlError> {
        self.is_in_transaction = true;
        self.script(sql).await
    }

    /// Makes the transaction durable. After an error nobody knows whether it is.
    pub(crate) async fn commit(mut self) -> Result<(), SqlError> {
        self.script("COMMIT").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Undoes the transaction; the connection is kept. Without this it is closed, with the same effect.
    pub(crate) async fn rollback(mut self) -> Result<(), SqlError> {
        self.script("ROLLBACK").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Sends statements of the engine without values.
    async fn script(&mut self, sql: &str) -> Result<(), SqlError> {
        let mut connection = self.take()?;
        let answer = timeout(self.patience(), connection.script(sql)).await;
        self.keep(connection, answer)
    }

    fn take(&mut self) -> Result<Connection, SqlError> {
        self.pool.statements.fetch_add(1, Ordering::Relaxed);
        let gone = || SqlError::Unreachable("the connection was lost".to_owned());
        self.connection.take().ok_or_else(gone)
    }

    fn patience(&self) -> Duration {
        self.pool.limits.statement + GRACE
    }

    /// Keeps the connection if it is good for more.
    fn keep<T>(
        &mut self,
        connection: Connection,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, SqlError> {
        match answer {
            Ok(Ok(answer)) => {
                self.answers = self.answers.saturating_add(1);
                self.pool.rest.answered();
                self.connection = Some(connection);
                Ok(answer)
            }
            Ok(Err(error @ sqlx::Error::Database(_))) if meaning(&error) != Meaning::Gone => {
                self.pool.rest.answered();
                self.connection = Some(connection);
                Err(SqlError::Database(error))
            }
            Ok(Err(error)) => Err(SqlError::Unreachable(format!("the connection was lost: {error}"))),
            Err(_) => {
                let why = format!("no answer within {:?}", self.patience());
                self.pool.rest.failed(Instant::now(), &why);
                self.pool.forget();
                self.answers = self.answers.saturating_add(1);
                Err(SqlError::Unreachable(why))
            }
        }
    }

    /// Whether the connection was kept from before and died before it answered anything: probably the server was
    /// started anew since.
    fn is_stale(&self) -> bool {
        self.was_kept && self.answers == 0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.is_in_transaction
        {
            let kept = Kept { connection, born: self.born, used: Instant::now() };
            self.pool.keep(kept);
        }
    }
}
