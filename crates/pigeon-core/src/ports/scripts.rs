//! The Sieve scripts of accounts: what people do with them, whichever way they come.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::Serialize;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

use crate::address::Address;
use crate::rights::Actor;

/// Most characters of a script's name (RFC 5804 §1.6: at least 128 must be allowed).
pub const MAX_NAME_CHARACTERS: usize = 128;

/// The name of a script: text without control characters, and as Net-Unicode writes it (RFC 5804 §1.6): names that
/// look the same are the same, whichever way a client composes their letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ScriptName(String);

impl ScriptName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScriptName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ScriptName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 5804 §1.6: U+0000-001F, U+007F-009F, U+2028 and U+2029 are not allowed.
        let is_bad = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
        if text.is_empty() {
            return Err("a script needs a name".to_owned());
        }
        if text.chars().any(is_bad) {
            return Err("the name of a script has no control characters".to_owned());
        }
        // RFC 5198 §2: no signature in front, and normalisation form C.
        if text.starts_with('\u{feff}') {
            return Err("the name of a script does not begin with a byte order mark".to_owned());
        }
        let text: String = text.nfc().collect();
        if text.chars().count() > MAX_NAME_CHARACTERS {
            return Err(format!("the name of a script has at most {MAX_NAME_CHARACTERS} characters"));
        }
        Ok(Self(text))
    }
}

/// A script in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptEntry {
    /// Its name.
    pub name: ScriptName,
    /// How long it is.
    pub octets: usize,
    /// Whether it is the one that runs.
    pub is_active: bool,
}

/// Which limit a script would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScriptQuota {
    /// There are as many as there may be.
    #[error("there may be at most {0} scripts: delete one first")]
    Scripts(u64),
    /// This one is too long.
    #[error("a script may have at most {0} octets")]
    Octets(u64),
}

/// Why a script is not taken, given out or changed.
#[derive(Debug, Error)]
pub enum ScriptsError {
    /// The directory does not answer: nothing is known, nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// Others changed the scripts again and again meanwhile.
    #[error("others change these scripts at the same time: try again")]
    Busy,
    /// The person may not do this, or there is no such account any more.
    #[error("{0}")]
    Forbidden(String),
    /// There is no script of that name.
    #[error("there is no script {name:?}", name = .0.as_str())]
    NotFound(ScriptName),
    /// The name is taken.
    #[error("there is a script {name:?} already", name = .0.as_str())]
    Exists(ScriptName),
    /// The active script is not deleted (RFC 5804 §2.10).
    #[error("the script {name:?} is active: make another one active first, or none", name = .0.as_str())]
    Active(ScriptName),
    /// It would break a limit.
    #[error(transparent)]
    Quota(#[from] ScriptQuota),
    /// The script itself is not right; says where and why.
    #[error("{0}")]
    Invalid(String),
}

/// What people do with the scripts of an account. Whoever reads or changes them does so with their own rights: the
/// owner, and administrators whose grants reach the account.
#[async_trait]
pub trait Scripts: Send + Sync {
    /// The scripts of an account, by name.
    async fn list(&self, actor: &Actor, owner: &Address) -> Result<Vec<ScriptEntry>, ScriptsError>;

    /// The text of a script.
    async fn get(&self, actor: &Actor, owner: &Address, name: &ScriptName) -> Result<String, ScriptsError>;

    /// Keeps a script, in the place of one of that name, if it is right. Returns what the person should know.
    async fn put(
        &self,
        actor: &Actor,
        owner: &Address,
        name: &ScriptName,
        source: &str,
    ) -> Result<Vec<String>, ScriptsError>;

    /// Whether a script would be taken, without keeping it. Returns what the person should know.
    async fn check(&self, actor: &Actor, owner: &Address, source: &str) -> Result<Vec<String>, ScriptsError>;

    /// Makes a script the one that runs, or none. Returns what the person should know.
    async fn activate(
        &self,
        actor: &Actor,
        owner: &Address,
        name: Option<&ScriptName>,
    ) -> Result<Vec<String>, ScriptsError>;

    /// Deletes a script that is not the active one.
    async fn delete(&self, actor: &Actor, owner: &Address, name: &ScriptName) -> Result<(), ScriptsError>;

    /// Gives a script another name; the active one stays active.
    async fn rename(
        &self,
        actor: &Actor,
        owner: &Address,
        from: &ScriptName,
        to: &ScriptName,
    ) -> Result<(), ScriptsError>;

    /// Whether there is room for a script of that length under that name.
    async fn has_space(
        &self,
        actor: &Actor,
        owner: &Address,
        name: &ScriptName,
        octets: u64,
    ) -> Result<(), ScriptsError>;

    /// How many redirects the scripts of an account may make for one message; none: there is no limit.
    async fn max_redirects(&self, actor: &Actor, owner: &Address) -> Result<Option<u64>, ScriptsError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_without_control_characters() {
        for text in ["a", "spam & ham", "Büro", "../x", "\"q\"", &"ü".repeat(128)] {
            assert_eq!(text.parse::<ScriptName>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "a\nb",
            "a\0",
            "a\u{7f}",
            "a\u{85}",
            "a\u{2028}b",
            "a\u{2029}",
            "\u{feff}a",
            &"ü".repeat(129),
        ] {
            assert!(text.parse::<ScriptName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        let check =
            |text: &str, expect: &str| assert_eq!(text.parse::<ScriptName>().unwrap().as_str(), expect);
        check("Bu\u{308}ro", "B\u{fc}ro");
        check("\u{212b}ngstr\u{f6}m", "\u{c5}ngstr\u{f6}m");
        check("\u{1100}\u{1161}", "\u{ac00}");
        // Letters of the same look but another meaning stay apart.
        check("\u{fb01}", "\u{fb01}");
        // What counts is the name as it is kept.
        check(&"u\u{308}".repeat(128), &"\u{fc}".repeat(128));
        assert!("\u{fb2c}".repeat(50).parse::<ScriptName>().is_err(), "each letter becomes three");
    }
}
