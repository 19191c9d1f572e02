//! Directories of other mail systems, read so that they can be taken into this one.
//!
//! A reader takes octets or rows and makes a [`Foreign`]: what can be carried over, and what cannot, with the place
//! where it stands and why. [`plan`](plan::plan) then turns it into entries of the directory. Readers know no files and no
//! directory, and take whatever they are given: nothing there was made by us.

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod location;
pub mod passwd_file;
pub mod plan;
pub mod postfixadmin;
mod targets;
#[cfg(test)]
mod tests;
pub mod unix;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{AliasPattern, Status};
use serde::Serialize;
use serde_json::Value;

/// A place in what was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The file or the table.
    pub file: String,
    /// The line, counted from 1; none for a table and for a whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Origin {
    /// A line of a file.
    pub(crate) fn at(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line: Some(line) }
    }

    /// A whole file, or a table.
    pub(crate) fn whole(file: &str) -> Self {
        Self { file: file.to_owned(), line: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}", self.file),
            None => formatter.write_str(&self.file),
        }
    }
}

/// Something that a person should know: it was not carried over, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Where it stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// What it is and whose: ``alias program `|/usr/bin/vacation` of bob``.
    pub what: String,
    /// Why, and what to do.
    pub why: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.origin, self.what, self.why)
    }
}

/// A domain of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignDomain {
    /// Its name.
    pub name: DomainName,
    /// Other names of it.
    pub aliases: Vec<DomainName>,
    /// Whether it takes part.
    pub status: Status,
    /// Where it stands.
    pub origin: Origin,
}

/// Somebody with a mailbox in another system.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignAccount {
    /// Their address.
    pub address: Address,
    /// Their name; may be empty.
    pub name: String,
    /// The hash with its scheme, as it was found.
    pub password: Option<String>,
    /// Whether they receive mail.
    pub status: Status,
    /// The directory of the Maildir that they have, where that is known.
    pub maildir: Option<PathBuf>,
    /// The values of settings, by `service.key`.
    pub settings: BTreeMap<&'static str, Value>,
    /// Where they stand.
    pub origin: Origin,
}

impl ForeignAccount {
    pub(crate) const fn new(address: Address, origin: Origin) -> Self {
        Self {
            address,
            name: String::new(),
            password: None,
            status: Status::Active,
            maildir: None,
            settings: BTreeMap::new(),
            origin,
        }
    }

    /// Switches a service on and gives it values.
    pub(crate) fn set<const N: usize>(&mut self, values: [(&'static str, Value); N]) {
        self.settings.extend(values);
    }

    /// Sends mail on, in addition to where it is sent already.
    pub(crate) fn forward(&mut self, to: &[Address], is_kept: bool) {
        let mut all: Vec<Value> = match self.settings.get("forward.to") {
            Some(Value::Array(known)) => known.clone(),
            _ => Vec::new(),
        };
        for address in to.iter().map(|address| Value::from(address.to_string())) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        if !all.is_empty() {
            self.set([
                ("forward.enabled", true.into()),
                ("forward.to", all.into()),
                ("forward.keep", is_kept.into()),
            ]);
        }
    }
}

/// An alias of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignAlias {
    /// Its address, `*@domain` for a catch-all.
    pub pattern: AliasPattern,
    /// Where its mail goes; those that lead nowhere are left out by the plan.
    pub targets: Vec<Address>,
    /// Whether it takes part.
    pub status: Status,
    /// Where it stands.
    pub origin: Origin,
}

/// What a reader found.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The domains.
    pub domains: Vec<ForeignDomain>,
    /// The people.
    pub accounts: Vec<ForeignAccount>,
    /// The aliases.
    pub aliases: Vec<ForeignAlias>,
    /// What was not carried over, or not as it was.
    pub left: Vec<Remark>,
}

impl Foreign {
    pub(crate) fn leave(&mut self, origin: Origin, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Remark { origin, what: what.into(), why: why.into() });
    }

    /// The domain, if it is not there yet.
    pub(crate) fn need_domain(&mut self, name: &DomainName, origin: &Origin) {
        if !self.domains.iter().any(|domain| domain.name == *name) {
            self.domains.push(ForeignDomain {
                name: name.clone(),
                aliases: Vec::new(),
                status: Status::Active,
                origin: origin.clone(),
            });
        }
    }
}

/// A hash as the directory keeps it: what has no scheme gets one by its form, or the one that is said to be usual.
pub(crate) fn with_scheme(hash: &str, usual: Option<&str>) -> String {
    const SCHEMES: [(&str, &str); 7] = [
        ("$1$", "MD5-CRYPT"),
        ("$2", "BLF-CRYPT"),
        ("$5$", "SHA256-CRYPT"),
        ("$6$", "SHA512-CRYPT"),
        ("$argon2id$", "ARGON2ID"),
        ("$argon2i$", "ARGON2I"),
        ("", "CRYPT"),
    ];
    if hash.starts_with('{') && hash.contains('}') {
        return hash.to_owned();
    }
    let by_form = || SCHEMES.iter().find(|(prefix, _)| hash.starts_with(prefix)).map(|(_, scheme)| *scheme);
    let usual = usual.filter(|scheme| !scheme.eq_ignore_ascii_case("CRYPT"));
    format!("{{{}}}{hash}", usual.or_else(by_form).unwrap_or("CRYPT"))
}

/// The text of a file: UTF-8, or the Latin-1 of older ones.
pub(crate) fn text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    }
}

/// A text as a remark shows it: short, without control characters.
pub(crate) fn shown(text: &str) -> String {
    const MAX_LETTERS: usize = 120;
    let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut shown: String = text.chars().take(MAX_LETTERS).map(plain).collect();
    if text.chars().nth(MAX_LETTERS).is_some() {
        shown.push('…');
    }
    shown
}
