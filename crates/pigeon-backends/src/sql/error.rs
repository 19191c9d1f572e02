//! What goes wrong between us and a database.

use std::fmt::Display;

use thiserror::Error;

/// Why a statement has no answer. None of the texts holds a password.
#[derive(Debug, Error)]
pub(crate) enum SqlError {
    /// The server was not reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// The server was not asked, because it was down a moment ago.
    #[error("{0}")]
    Resting(String),
    /// The server answered with an error.
    #[error("{0}")]
    Database(sqlx::Error),
    /// The database is not what it should be; what it does wrong: `is not set up`.
    #[error("it {0}")]
    Unusable(String),
}

/// What the server's error means, as far as somebody here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Two transactions waited for each other, or overtook each other: the loser tries again.
    Conflict,
    /// The server ended the statement after its time; mostly it waited for somebody else's transaction.
    Late,
    /// The values cannot be kept: too long, not text, against a constraint.
    Refused,
    /// There is no such table.
    NoTable,
    /// There is no such database.
    NoDatabase,
    /// User or password are wrong, or the user may not do that in the database.
    NoLogin,
    /// The user may not make triggers while the server writes a binary log.
    NoTriggers,
    /// The connection is of no use any more.
    Gone,
    /// Something else.
    Other,
}

impl SqlError {
    pub(super) fn unreadable(column: usize, error: &dyn Display) -> Self {
        Self::Unusable(format!("holds a row that cannot be read (column {}): {error}", column + 1))
    }

    /// What it means.
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Self::Database(error) => meaning(error),
            Self::Unreachable(_) | Self::Resting(_) | Self::Unusable(_) => Meaning::Other,
        }
    }

    /// Whether the server is well and does not take these values.
    pub(crate) fn is_refusal(&self) -> bool {
        self.meaning() == Meaning::Refused
    }

    /// Whether the server ended the statement after its time.
    pub(crate) fn is_late(&self) -> bool {
        self.meaning() == Meaning::Late
    }

    /// Whether a transaction that failed with it may be begun again.
    pub(crate) fn is_conflict(&self) -> bool {
        self.meaning() == Meaning::Conflict
    }
}

/// Reads the codes of both engines: SQLSTATE on PostgreSQL, and on MariaDB its own numbers, because its SQLSTATE of
/// most errors is `HY000`.
pub(super) fn meaning(error: &sqlx::Error) -> Meaning {
    let sqlx::Error::Database(error) = error else { return Meaning::Other };
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return match error.number() {
            1213 | 1020 => Meaning::Conflict,
            1205 | 1969 => Meaning::Late,
            1048 | 1062 | 1264 | 1366 | 1406 | 1451 | 1452 | 3140 | 4025 => Meaning::Refused,
            1146 => Meaning::NoTable,
            1049 => Meaning::NoDatabase,
            1044 | 1045 | 1142 | 1370 | 1698 => Meaning::NoLogin,
            1419 => Meaning::NoTriggers,
            1053 | 1927 | 1290 | 1836 => Meaning::Gone,
            _ => Meaning::Other,
        };
    }
    let code = error.code().unwrap_or_default();
    match code.as_ref() {
        "40001" | "40P01" => Meaning::Conflict,
        "57014" | "55P03" => Meaning::Late,
        "42P01" => Meaning::NoTable,
        "3D000" => Meaning::NoDatabase,
        "28000" | "28P01" | "42501" => Meaning::NoLogin,
        // The server turned into a read-only one, or ends.
        "25006" => Meaning::Gone,
        code if code.starts_with("22") || code.starts_with("23") => Meaning::Refused,
        code if code.starts_with("57P") || code.starts_with("08") => Meaning::Gone,
        _ => Meaning::Other,
    }
}
