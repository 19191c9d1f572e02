//! One connection, to either engine.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::dialect::{self, Param, Row};
use super::url::{Engine, Host, SqlUrl, TlsMode};

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[derive(Debug)]
pub(super) enum Connection {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

impl Connection {
    /// Connects. The server ends statements itself that run longer than `statement`.
    pub(super) async fn open(url: &SqlUrl, statement: Duration) -> Result<Self, sqlx::Error> {
        install_provider();
        match url.engine {
            Engine::Postgres => {
                // Compiled plans pay for reports, and cost a second where a statement takes a millisecond.
                let limit = statement.as_millis().to_string();
                let options =
                    postgres_options(url).options([("statement_timeout", limit.as_str()), ("jit", "off")]);
                options.connect().await.map(Self::Postgres)
            }
            Engine::MariaDb => {
                let mut connection = mariadb_options(url).connect().await?;
                // The isolation is the server's to change; what is of one moment here must not depend on that.
                let session = format!(
                    "SET SESSION max_statement_time = {}, innodb_lock_wait_timeout = {}; \
                     SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                    statement.as_secs_f64(),
                    statement.as_secs().max(1)
                );
                connection.execute(AssertSqlSafe(session)).await?;
                Ok(Self::MariaDb(connection))
            }
        }
    }

    /// All rows that a statement answers.
    pub(super) async fn fetch(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        let sql = AssertSqlSafe(dialect::statement(self.engine(), sql));
        match self {
            Self::Postgres(connection) => {
                let query = sqlx::query_with(sql, dialect::postgres_arguments(params)?);
                let rows = query.fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            Self::MariaDb(connection) => {
                let query = sqlx::query_with(sql, dialect::mariadb_arguments(params)?);
                let rows = query.fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::MariaDb).collect())
            }
        }
    }

    /// Runs a statement; returns how many rows it found to change.
    pub(super) async fn run(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(dialect::statement(self.engine(), sql));
        match self {
            Self::Postgres(connection) => {
                let query = sqlx::query_with(sql, dialect::postgres_arguments(params)?);
                Ok(query.execute(connection).await?.rows_affected())
            }
            Self::MariaDb(connection) => {
                let query = sqlx::query_with(sql, dialect::mariadb_arguments(params)?);
                Ok(query.execute(connection).await?.rows_affected())
            }
        }
    }

    /// Runs statements of this engine without values as they are, several of them at once where there are semicolons.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let script = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(connection) => script.execute(connection).await.map(drop),
            Self::MariaDb(connection) => script.execute(connection).await.map(drop),
        }
    }

    /// Takes leave of the server.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::MariaDb(connection) => connection.close().await,
        }
    }

    pub(super) const fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::MariaDb(_) => Engine::MariaDb,
        }
    }
}

/// Some of the TLS library's parts ask for the process' cryptography instead of being told.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody has installed one before, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    });
}

/// How a PostgreSQL server is reached; for the listener, too.
pub(super) fn postgres_options(url: &SqlUrl) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .username(&url.user)
        .database(&url.database)
        .application_name("pigeon")
        .disable_statement_logging();
    if let Some(password) = &url.password {
        options = options.password(password);
    }
    options = match &url.host {
        Host::Tcp(host, port) => options.host(host).port(*port),
        Host::Socket(directory, port) => {
            return options.socket(directory).port(*port).ssl_mode(PgSslMode::Disable);
        }
    };
    options = options.ssl_mode(match url.tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    if let Some(authority) = authority(url) {
        options = options.ssl_root_cert(authority);
    }
    if let Some(certificate) = &url.tls.certificate {
        options = options.ssl_client_cert(certificate);
    }
    if let Some(key) = &url.tls.key {
        options = options.ssl_client_key(key);
    }
    options
}

fn mariadb_options(url: &SqlUrl) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .username(&url.user)
        .database(&url.database)
        .charset("utf8mb4")
        .collation("utf8mb4_nopad_bin")
        .disable_statement_logging();
    if let Some(password) = &url.password {
        options = options.password(password);
    }
    options = match &url.host {
        Host::Tcp(host, port) => options.host(host).port(*port),
        Host::Socket(path, _) => return options.socket(path).ssl_mode(MySqlSslMode::Disabled),
    };
    options = options.ssl_mode(match url.tls.mode {
        TlsMode::Disable => MySqlSslMode::Disabled,
        TlsMode::Prefer => MySqlSslMode::Preferred,
        TlsMode::Require => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
    });
    if let Some(authority) = authority(url) {
        options = options.ssl_ca(authority);
    }
    if let Some(certificate) = &url.tls.certificate {
        options = options.ssl_client_cert(certificate);
    }
    if let Some(key) = &url.tls.key {
        options = options.ssl_client_key(key);
    }
    options
}

/// The authorities to verify with: those named, or those that the system trusts.
fn authority(url: &SqlUrl) -> Option<&Path> {
    let named = url.tls.authority.as_deref();
    match url.tls.mode {
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            named.or_else(|| SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists()))
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => None,
    }
}
