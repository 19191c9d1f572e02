//! Names of mail folders: a path of UTF-8 names, safe to hand to a store.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Deepest nesting of folders.
pub const MAX_DEPTH: usize = 16;
/// Longest name of one level in octets, so that its modified UTF-7 form fits into a file name.
pub const MAX_NAME_OCTETS: usize = 100;

/// Why a text is not a folder name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FolderError {
    /// A level is empty, `.` or `..`.
    #[error("a folder name may not be empty, \".\" or \"..\"")]
    Empty,
    /// A level has a character that no store can keep.
    #[error("a folder name may not contain control characters or \"\\0\"")]
    Character,
    /// Too many levels or too long a name.
    #[error("a folder name may have 16 levels of 100 octets each")]
    TooLong,
}

/// The INBOX (no levels) or a folder below it; levels are written with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Folder(Vec<Box<str>>);

impl Folder {
    /// The INBOX.
    #[must_use]
    pub const fn inbox() -> Self {
        Self(Vec::new())
    }

    /// Parses `Archive/2026`; `INBOX` in any case, alone or as first level, is the INBOX (RFC 9051 §5.1).
    ///
    /// # Errors
    /// A [`FolderError`]; no text can name a place outside of the mailbox.
    pub fn parse(text: &str) -> Result<Self, FolderError> {
        // INBOX below INBOX is the INBOX, too: a folder of that name could not be told from it.
        let levels = text.split('/').skip_while(|level| level.eq_ignore_ascii_case("inbox"));
        let levels: Vec<&str> = levels.collect();
        if levels.len() > MAX_DEPTH {
            return Err(FolderError::TooLong);
        }
        levels.into_iter().map(check_level).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this is the INBOX.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the outermost level to the folder itself; empty for the INBOX.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|level| &**level)
    }
}

fn check_level(level: &str) -> Result<Box<str>, FolderError> {
    match level {
        "" | "." | ".." => Err(FolderError::Empty),
        _ if level.len() > MAX_NAME_OCTETS => Err(FolderError::TooLong),
        _ if level.chars().any(char::is_control) => Err(FolderError::Character),
        _ => Ok(level.into()),
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_inbox() { formatter.write_str("INBOX") } else { formatter.write_str(&self.0.join("/")) }
    }
}

impl Serialize for Folder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Folder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

impl schemars::JsonSchema for Folder {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Folder".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "folder" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_checked() {
        let check = |text: &str, expect: Result<&str, FolderError>| {
            assert_eq!(
                Folder::parse(text).map(|folder| folder.to_string()),
                expect.map(str::to_owned),
                "{text}"
            );
        };
        check("INBOX", Ok("INBOX"));
        check("inbox/Archive", Ok("Archive"));
        check("INBOX/inbox", Ok("INBOX"));
        check("Archive/2026", Ok("Archive/2026"));
        check("Entwürfe", Ok("Entwürfe"));
        check("", Err(FolderError::Empty));
        check("../etc", Err(FolderError::Empty));
        check("a//b", Err(FolderError::Empty));
        check("a\0b", Err(FolderError::Character));
        check(&"x/".repeat(20), Err(FolderError::TooLong));
    }
}
