//! What goes wrong inside a transaction, before it is known which directory it was.

use std::fmt::Display;

use pigeon_core::ports::directory::DirectoryError;

use crate::sql::SqlError;

/// An error of the database, or an answer that is already one for the person.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed: nothing is known.
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// The database or a row of it cannot be understood: nothing is known. What it does wrong: `is not set up`.
    Unusable(String),
    /// A look-up over fetched rows came to an address that was not fetched: it is fetched, and asked again.
    NotFetched,
    /// The change was refused; the database is well.
    Refused(DirectoryError),
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Unusable(what) => Self::Unusable(what),
            error if error.is_refusal() => Self::invalid(format!("the database does not take it: {error}")),
            error => Self::Engine(Box::new(error)),
        }
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Refused(DirectoryError::Invalid(what.into()))
    }

    pub(crate) fn forbidden(what: impl Into<String>) -> Self {
        Self::Refused(DirectoryError::Forbidden(what.into()))
    }

    pub(crate) fn not_found(what: impl Into<String>, hint: &str) -> Self {
        Self::Refused(DirectoryError::NotFound { what: what.into(), hint: hint.to_owned() })
    }

    pub(crate) fn exists(what: impl Into<String>, hint: &str) -> Self {
        Self::Refused(DirectoryError::Exists { what: what.into(), hint: hint.to_owned() })
    }

    /// The same for the outside, with the directory's name: a path, or a URL without its password.
    pub(crate) fn at(self, place: impl Display) -> DirectoryError {
        match self {
            Self::Refused(error) => error,
            Self::Unusable(what) => {
                DirectoryError::Unavailable { what: format!("{place} {what}"), source: None }
            }
            Self::NotFetched => {
                DirectoryError::Unavailable { what: format!("{place} did not fetch all rows"), source: None }
            }
            Self::Engine(error) => {
                let what = format!("{place} cannot be used: {error}");
                DirectoryError::Unavailable { what, source: Some(error) }
            }
        }
    }
}
