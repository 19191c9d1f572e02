//! A schema's history: forward-only migrations, carried out by whoever comes first.
//!
//! Beside its version a schema has the oldest version of the program that can still use it, so that nodes of two
//! versions work side by side while they are updated: a migration that only adds leaves that as it is.

use std::time::Duration;

use tokio::time::timeout;

use super::connection::Connection;
use super::dialect::{Param, Row};
use super::error::{Meaning, SqlError, meaning};
use super::url::{Engine, SqlUrl};

#[cfg(test)]
mod tests;

/// How long one waits for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(120);
/// For making a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// One step of a schema's history.
#[derive(Debug)]
pub(crate) struct Migration {
    /// For PostgreSQL: done as a whole or not at all.
    pub(crate) postgres: &'static str,
    /// For MariaDB, where tables are not made in transactions: it can be run again from any point.
    pub(crate) mariadb: &'static str,
    /// The oldest schema version whose programs can use what this makes: its own number, counted from one, or a
    /// lower one if it only adds.
    pub(crate) serves: i64,
}

/// A group of tables with a history of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// Its name, as `directory`.
    pub(crate) name: &'static str,
    /// Every migration, oldest first; the schema's version is how many of them were run.
    pub(crate) migrations: &'static [Migration],
    /// Whether an older schema is migrated by whoever connects; replicas cannot be.
    pub(crate) may_migrate: bool,
}

impl Schema {
    fn known(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }
}

/// What was found in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    version: i64,
    /// The oldest version whose programs can use it.
    serves: i64,
}

/// Makes the schema, or brings it to the current version; safe when several processes do so at once.
///
/// # Errors
/// The server cannot be reached, there is no such database or user, or the schema is too new.
pub(crate) async fn create(url: &SqlUrl, schema: &Schema) -> Result<(), SqlError> {
    let opened = timeout(CONNECT, Connection::open(url, PATIENCE)).await;
    let mut connection = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(explained(url, error)),
        Err(_) => return Err(SqlError::Unreachable(format!("no connection within {CONNECT:?}"))),
    };
    migrate(&mut connection, schema).await?;
    // It has done its work: however the server takes the good-bye, nothing is lost.
    drop(connection.close().await);
    Ok(())
}

/// Looks at the schema on a new connection, and migrates it if it is old.
pub(super) async fn check(connection: &mut Connection, schema: &Schema) -> Result<(), SqlError> {
    let Some(standing) = standing(connection, schema).await? else {
        return Err(SqlError::Unusable("is not set up: run \"pigeon init\" first".to_owned()));
    };
    if standing.version >= schema.known() {
        return usable(standing, schema);
    }
    if schema.may_migrate {
        return migrate(connection, schema).await;
    }
    Err(SqlError::Unusable("is a replica with the schema of an older version: it lags behind".to_owned()))
}

/// A newer schema is fine as long as it serves programs as old as this one.
fn usable(standing: Standing, schema: &Schema) -> Result<(), SqlError> {
    if standing.serves <= schema.known() {
        return Ok(());
    }
    let (found, known) = (standing.version, schema.known());
    Err(SqlError::Unusable(format!(
        "was made by a newer version of PigeonDeliver (schema {found}, this one knows {known}): update this node"
    )))
}

async fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), SqlError> {
    suits(connection).await?;
    lock(connection).await?;
    let migrated = migrate_alone(connection, schema).await;
    // Without it the lock would stay until the connection is closed, which comes to the same.
    drop(unlock(connection).await);
    migrated
}

async fn migrate_alone(connection: &mut Connection, schema: &Schema) -> Result<(), SqlError> {
    let versions = "CREATE TABLE IF NOT EXISTS schema_versions (
        name    VARCHAR(64) NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        serves  BIGINT NOT NULL
    )";
    if standing(connection, schema).await?.is_none() {
        connection.script(versions).await.map_err(refused)?;
    }
    let mut standing = standing(connection, schema).await?.unwrap_or(Standing { version: 0, serves: 0 });
    for migration in schema.migrations.iter().skip(usize::try_from(standing.version).unwrap_or(usize::MAX)) {
        // What an earlier step demands of programs, later ones do not take back.
        let serves = standing.serves.max(migration.serves);
        standing = Standing { version: standing.version + 1, serves };
        let Standing { version, serves } = standing;
        // Numbers and names of our own, nothing from outside.
        let name = schema.name;
        let script = match connection.engine() {
            Engine::Postgres => format!(
                "BEGIN;\n{}\nINSERT INTO schema_versions VALUES ('{name}', {version}, {serves})
                 ON CONFLICT (name) DO UPDATE SET version = {version}, serves = {serves};\nCOMMIT",
                migration.postgres
            ),
            Engine::MariaDb => format!(
                "{}\nINSERT INTO schema_versions VALUES ('{name}', {version}, {serves})
                 ON DUPLICATE KEY UPDATE version = {version}, serves = {serves}",
                migration.mariadb
            ),
        };
        connection.script(&script).await.map_err(refused)?;
        tracing::info!("the database's schema \"{name}\" has version {version} now");
    }
    usable(standing, schema)
}

/// Whether the server can do what we ask of it.
async fn suits(connection: &mut Connection) -> Result<(), SqlError> {
    match connection.engine() {
        Engine::Postgres => {
            let encoding = one_text(connection, "SHOW server_encoding").await?;
            if encoding != "UTF8" {
                return Err(SqlError::Unusable(format!(
                    "keeps text in {encoding}: make the database with ENCODING 'UTF8' TEMPLATE template0"
                )));
            }
        }
        Engine::MariaDb => {
            let version = one_text(connection, "SELECT VERSION()").await?;
            let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
            let version_number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            if !version.contains("MariaDB") || version_number < (10, 6) {
                return Err(SqlError::Unusable(format!(
                    "is of version {version}: MariaDB 10.6 or newer is needed"
                )));
            }
            // Where a replica runs the statements once more, the triggers do not do the same once more.
            let sql = "SELECT IF(@@log_bin, @@binlog_format, '')";
            if one_text(connection, sql).await? == "STATEMENT" {
                let what = "writes statements to its binary log: set binlog_format to MIXED or ROW";
                return Err(SqlError::Unusable(what.to_owned()));
            }
        }
    }
    Ok(())
}

/// Keeps other processes from migrating anything of ours until [`unlock`].
async fn lock(connection: &mut Connection) -> Result<(), SqlError> {
    let sql = match connection.engine() {
        Engine::Postgres => "SELECT 1 FROM pg_advisory_lock(hashtext('pigeon migrates'))",
        Engine::MariaDb => "SELECT GET_LOCK(CONCAT('pigeon ', MD5(DATABASE())), 110)",
    };
    let rows = connection.fetch(sql, &[]).await.map_err(SqlError::Database)?;
    match rows.first().map(|row| row.maybe_integer(0)).transpose()?.flatten() {
        Some(1) => Ok(()),
        _ => Err(SqlError::Unreachable("another process migrates it and does not end".to_owned())),
    }
}

async fn unlock(connection: &mut Connection) -> Result<Vec<Row>, sqlx::Error> {
    let sql = match connection.engine() {
        Engine::Postgres => "SELECT pg_advisory_unlock(hashtext('pigeon migrates'))::int",
        Engine::MariaDb => "SELECT RELEASE_LOCK(CONCAT('pigeon ', MD5(DATABASE())))",
    };
    connection.fetch(sql, &[]).await
}

/// The schema's version; none where nothing of us is there.
async fn standing(connection: &mut Connection, schema: &Schema) -> Result<Option<Standing>, SqlError> {
    let sql = "SELECT version, serves FROM schema_versions WHERE name = ?";
    let rows = match connection.fetch(sql, &[Param::Text(schema.name)]).await {
        Ok(rows) => rows,
        Err(error) if meaning(&error) == Meaning::NoTable => return Ok(None),
        Err(error) => return Err(SqlError::Database(error)),
    };
    match rows.first() {
        None => Ok(None),
        Some(row) => Ok(Some(Standing { version: row.integer(0)?, serves: row.integer(1)? })),
    }
}

async fn one_text(connection: &mut Connection, sql: &str) -> Result<String, SqlError> {
    let rows = connection.fetch(sql, &[]).await.map_err(SqlError::Database)?;
    rows.first().map_or_else(|| Ok(String::new()), |row| row.text(0))
}

/// A migration that the server does not carry out.
fn refused(error: sqlx::Error) -> SqlError {
    match meaning(&error) {
        Meaning::NoTriggers => SqlError::Unusable(format!(
            "cannot be given triggers ({error}): while it writes a binary log, an administrator of the server must \
             allow it with SET GLOBAL log_bin_trust_function_creators = 1 (and in its configuration, for later \
             versions)"
        )),
        Meaning::NoLogin => SqlError::Unusable(format!(
            "cannot be set up ({error}): the database must belong to the user (ALTER DATABASE … OWNER TO … on \
             PostgreSQL, GRANT ALL ON … on MariaDB)"
        )),
        _ => SqlError::Database(error),
    }
}

/// Says what an administrator of the server has to do where the database or the user is missing.
fn explained(url: &SqlUrl, error: sqlx::Error) -> SqlError {
    if !matches!(error, sqlx::Error::Database(_)) {
        return SqlError::Unreachable(error.to_string());
    }
    if !matches!(meaning(&error), Meaning::NoDatabase | Meaning::NoLogin) {
        return SqlError::Database(error);
    }
    let statements = statements(url);
    SqlError::Unusable(format!(
        "cannot be opened: {error}. Unless the name or the password is mistyped, let an administrator of the server \
         run: {statements}"
    ))
}

/// What makes the user and the database; the password is left to whoever types it.
fn statements(url: &SqlUrl) -> String {
    match url.engine {
        Engine::Postgres => {
            let (user, database) = (url.user.replace('"', "\"\""), url.database.replace('"', "\"\""));
            format!(
                "CREATE ROLE \"{user}\" LOGIN PASSWORD '…'; \
                 CREATE DATABASE \"{database}\" OWNER \"{user}\" ENCODING 'UTF8' TEMPLATE template0;"
            )
        }
        Engine::MariaDb => {
            let (user, database) = (url.user.replace('\'', "''"), url.database.replace('`', "``"));
            format!(
                "CREATE DATABASE `{database}` CHARACTER SET utf8mb4; \
                 CREATE USER '{user}'@'%' IDENTIFIED BY '…'; GRANT ALL ON `{database}`.* TO '{user}'@'%';"
            )
        }
    }
}
