//! Statements and values in the form of each engine.

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, Row as _};

use super::error::SqlError;
use super::url::Engine;

/// One value for a `?`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Param<'a> {
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Integer(i64),
    MaybeInteger(Option<i64>),
    Octets(&'a [u8]),
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::MaybeText(value)
    }
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Param<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<Option<i64>> for Param<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::MaybeInteger(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Octets(value)
    }
}

/// The statement as an engine reads it: `?` becomes `$1`, `$2`, … on PostgreSQL, `"` a backtick on MariaDB.
/// What stands between single quotes is left alone.
pub(super) fn statement(engine: Engine, sql: &str) -> String {
    let mut written = String::with_capacity(sql.len() + 16);
    let (mut count, mut is_quoted) = (0_u32, false);
    for letter in sql.chars() {
        match (letter, engine) {
            ('\'', _) => {
                is_quoted = !is_quoted;
                written.push(letter);
            }
            ('?', Engine::Postgres) if !is_quoted => {
                count += 1;
                written.push('$');
                written.push_str(&count.to_string());
            }
            ('"', Engine::MariaDb) if !is_quoted => written.push('`'),
            _ => written.push(letter),
        }
    }
    written
}

macro_rules! add_all {
    ($arguments:expr, $params:expr) => {
        for param in $params {
            match *param {
                Param::Text(value) => $arguments.add(value),
                Param::MaybeText(value) => $arguments.add(value),
                Param::Integer(value) => $arguments.add(value),
                Param::MaybeInteger(value) => $arguments.add(value),
                Param::Octets(value) => $arguments.add(value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
    };
}

pub(super) fn postgres_arguments(params: &[Param<'_>]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    add_all!(arguments, params);
    Ok(arguments)
}

pub(super) fn mariadb_arguments(params: &[Param<'_>]) -> Result<MySqlArguments, sqlx::Error> {
    let mut arguments = MySqlArguments::default();
    add_all!(arguments, params);
    Ok(arguments)
}

/// One row of an answer; columns are counted from zero.
#[derive(Debug)]
pub(crate) enum Row {
    Postgres(PgRow),
    MariaDb(MySqlRow),
}

macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            // Types are not compared: MariaDB says of much text that it is octets.
            Row::Postgres(row) => row.try_get_unchecked($column),
            Row::MariaDb(row) => row.try_get_unchecked($column),
        }
        .map_err(|error| SqlError::unreadable($column, &error))
    };
}

impl Row {
    pub(crate) fn text(&self, column: usize) -> Result<String, SqlError> {
        column!(self, column)
    }

    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<String>, SqlError> {
        column!(self, column)
    }

    pub(crate) fn integer(&self, column: usize) -> Result<i64, SqlError> {
        column!(self, column)
    }

    pub(crate) fn maybe_integer(&self, column: usize) -> Result<Option<i64>, SqlError> {
        column!(self, column)
    }

    pub(crate) fn octets(&self, column: usize) -> Result<Vec<u8>, SqlError> {
        column!(self, column)
    }

    pub(crate) fn maybe_octets(&self, column: usize) -> Result<Option<Vec<u8>>, SqlError> {
        column!(self, column)
    }

    /// A number that databases keep signed and we do not.
    pub(crate) fn unsigned(&self, column: usize) -> Result<u64, SqlError> {
        let number = self.integer(column)?;
        u64::try_from(number).map_err(|_| SqlError::unreadable(column, &format!("{number} is below zero")))
    }

    /// A column that is kept as text.
    pub(crate) fn parsed<T>(&self, column: usize) -> Result<T, SqlError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.text(column)?;
        text.parse().map_err(|error: T::Err| SqlError::unreadable(column, &error))
    }

    /// A column that is kept as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, SqlError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| SqlError::unreadable(column, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_written_for_each_engine() {
        let check = |sql: &str, postgres: &str, mariadb: &str| {
            assert_eq!(statement(Engine::Postgres, sql), postgres);
            assert_eq!(statement(Engine::MariaDb, sql), mariadb);
        };
        check("SELECT 1", "SELECT 1", "SELECT 1");
        check(
            r#"SELECT "key" FROM settings WHERE owner = ? AND service = ?"#,
            r#"SELECT "key" FROM settings WHERE owner = $1 AND service = $2"#,
            "SELECT `key` FROM settings WHERE owner = ? AND service = ?",
        );
        check(r#"SELECT '?"''?', ?"#, r#"SELECT '?"''?', $1"#, r#"SELECT '?"''?', ?"#);
    }
}
