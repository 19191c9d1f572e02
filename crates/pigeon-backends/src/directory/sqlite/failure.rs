//! What goes wrong inside a transaction, before it is known which file it was.

use std::path::Path;

use pigeon_core::ports::directory::DirectoryError;

/// An error of the database, or an answer that is already one for the person.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite failed: nothing is known.
    Sql(rusqlite::Error),
    /// The file or a row of it cannot be understood: nothing is known. What it does wrong: `is not set up`.
    Unusable(String),
    /// The change was refused; the database is well.
    Refused(DirectoryError),
}

pub(super) type Outcome<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::Refused(DirectoryError::Invalid(what.into()))
    }

    pub(super) fn forbidden(what: impl Into<String>) -> Self {
        Self::Refused(DirectoryError::Forbidden(what.into()))
    }

    pub(super) fn not_found(what: impl Into<String>, hint: &str) -> Self {
        Self::Refused(DirectoryError::NotFound { what: what.into(), hint: hint.to_owned() })
    }

    pub(super) fn exists(what: impl Into<String>, hint: &str) -> Self {
        Self::Refused(DirectoryError::Exists { what: what.into(), hint: hint.to_owned() })
    }

    /// The same for the outside, with the file's name.
    pub(super) fn at(self, path: &Path) -> DirectoryError {
        let path = path.display();
        match self {
            Self::Refused(error) => error,
            Self::Unusable(what) => {
                DirectoryError::Unavailable { what: format!("{path} {what}"), source: None }
            }
            Self::Sql(error) => {
                let what = format!("{path} cannot be used: {error}");
                DirectoryError::Unavailable { what, source: Some(Box::new(error)) }
            }
        }
    }
}
