//! Reads the tables of `PostfixAdmin` from PostgreSQL or MariaDB, all of one moment, without writing.

use std::str::FromStr as _;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use thiserror::Error;

use super::{Row, Tables};

/// Why the tables cannot be read.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct DatabaseError {
    what: String,
    #[source]
    source: Option<sqlx::Error>,
}

impl DatabaseError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    fn because(what: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        |source| Self { what: what.into(), source: Some(source) }
    }
}

/// Where the database is and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `postgres://USER@HOST/DATABASE` or `mysql://…`, `mariadb://…`.
    pub url: &'a str,
    /// The password, where the URL has none.
    pub password: Option<&'a str>,
    /// What stands before the name of every table (`$CONF['database_prefix']`).
    pub prefix: &'a str,
}

enum Connection {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

/// Reads the tables; those that a version or a site does not have are empty.
///
/// # Errors
/// The URL is none, the server does not answer or refuses, or the database is not that of `PostfixAdmin`.
pub async fn read(source: &Source<'_>) -> Result<Tables, DatabaseError> {
    if !source.prefix.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
        return Err(DatabaseError::new("the prefix of the tables may have letters, digits and _"));
    }
    let mut connection = Connection::open(source).await?;
    let mut tables = Tables::default();
    let wanted: [(&str, &mut Vec<Row>); 8] = [
        ("domain", &mut tables.domains),
        ("mailbox", &mut tables.mailboxes),
        ("alias", &mut tables.aliases),
        ("alias_domain", &mut tables.alias_domains),
        ("vacation", &mut tables.vacations),
        ("vacation_notification", &mut tables.notifications),
        ("domain_admins", &mut tables.admins),
        ("fetchmail", &mut tables.fetchmail),
    ];
    for (name, rows) in wanted {
        let table = format!("{}{name}", source.prefix);
        let failed = || DatabaseError::because(format!("the table {table} cannot be read"));
        let columns = connection.columns(&table).await.map_err(failed())?;
        if columns.is_empty() {
            if matches!(name, "domain" | "mailbox" | "alias") {
                let what = format!(
                    "there is no table {table}: is this the database of PostfixAdmin, and does its user see it?"
                );
                return Err(DatabaseError::new(what));
            }
            continue;
        }
        *rows = connection.rows(&table, &columns).await.map_err(failed())?;
    }
    connection.close().await;
    Ok(tables)
}

impl Connection {
    async fn open(source: &Source<'_>) -> Result<Self, DatabaseError> {
        let Some((scheme, rest)) = source.url.split_once("://") else { return Err(no_url()) };
        let unusable = || DatabaseError::because("the database's URL cannot be understood");
        // The URL may hold a password: it is not repeated.
        let unreachable = || DatabaseError::because("the database cannot be opened");
        match scheme {
            "postgres" | "postgresql" => {
                let mut options = PgConnectOptions::from_str(source.url).map_err(unusable())?;
                if let Some(password) = source.password {
                    options = options.password(password);
                }
                let mut connection = options.connect().await.map_err(unreachable())?;
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                connection.execute(begin).await.map_err(unreachable())?;
                Ok(Self::Postgres(connection))
            }
            "mysql" | "mariadb" => {
                let url = format!("mysql://{rest}");
                let mut options = MySqlConnectOptions::from_str(&url).map_err(unusable())?;
                if let Some(password) = source.password {
                    options = options.password(password);
                }
                let mut connection = options.connect().await.map_err(unreachable())?;
                let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
                connection.execute(begin).await.map_err(unreachable())?;
                Ok(Self::MariaDb(connection))
            }
            _ => Err(no_url()),
        }
    }

    /// The names of a table's columns; none when there is no such table.
    async fn columns(&mut self, table: &str) -> Result<Vec<String>, sqlx::Error> {
        match self {
            Self::Postgres(connection) => {
                let sql = "SELECT column_name::text FROM information_schema.columns
                           WHERE table_schema = ANY (current_schemas(false)) AND table_name = $1 ORDER BY ordinal_position";
                sqlx::query_scalar(sql).bind(table).fetch_all(connection).await
            }
            Self::MariaDb(connection) => {
                let sql = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns
                           WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position";
                sqlx::query_scalar(sql).bind(table).fetch_all(connection).await
            }
        }
    }

    /// The rows with every column as text.
    async fn rows(&mut self, table: &str, columns: &[String]) -> Result<Vec<Row>, sqlx::Error> {
        let filled = |cells: Vec<Option<String>>| -> Row {
            columns.iter().zip(cells).filter_map(|(name, cell)| Some((name.clone(), cell?))).collect()
        };
        match self {
            Self::Postgres(connection) => {
                let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                let list: Vec<String> =
                    columns.iter().map(|name| format!("{}::text", quoted(name))).collect();
                let sql = format!("SELECT {} FROM {} ORDER BY 1", list.join(", "), quoted(table));
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        (0..columns.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>().map(filled)
                    })
                    .collect()
            }
            Self::MariaDb(connection) => {
                let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
                let list: Vec<String> =
                    columns.iter().map(|name| format!("CAST({} AS CHAR)", quoted(name))).collect();
                let sql = format!("SELECT {} FROM {} ORDER BY 1", list.join(", "), quoted(table));
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        (0..columns.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>().map(filled)
                    })
                    .collect()
            }
        }
    }

    async fn close(self) {
        // Everything was read: whether the server hears the farewell does not matter.
        drop(match self {
            Self::Postgres(connection) => connection.close().await,
            Self::MariaDb(connection) => connection.close().await,
        });
    }
}

fn no_url() -> DatabaseError {
    DatabaseError::new("write the database as postgres://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE")
}
