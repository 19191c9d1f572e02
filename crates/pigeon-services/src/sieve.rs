//! Runs Sieve scripts: the user's own, with those of the system and the domain around it.
//!
//! Source: RFC 5228 (Sieve) and its extensions; docs/admin/sieve.md lists them.
//!
//! A script goes through `syntax` (grammar), `check` against the tables of `rules`, and becomes a `program`. The
//! `machine` runs it on a `mail` in a `World` (both `engine`) and says what it wants; `deliver` proposes that to the
//! core, `trial` prints it.

mod check;
mod commands;
mod conditions;
mod constants;
mod deliver;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod machine;
mod mail;
mod matching;
mod mime;
mod moment;
mod notify;
mod program;
mod replies;
mod rules;
mod scripts;
mod settings;
mod syntax;
pub mod trial;
mod words;

use std::fmt;
use std::sync::Arc;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, NoConfig, Service, Stage, Tools};

pub use program::{Program, compile};
pub use settings::{MAX_NAME_OCTETS, MAX_SCRIPT_OCTETS, Settings, check_name};

/// The extensions that scripts may `require` (RFC 5228 §3.2), sorted.
pub const EXTENSIONS: &[&str] = &[
    "body",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;octet",
    "copy",
    "date",
    "duplicate",
    "editheader",
    "enclose",
    "encoded-character",
    "enotify",
    "envelope",
    "environment",
    "ereject",
    "extlists",
    "extracttext",
    "fcc",
    "fileinto",
    "foreverypart",
    "ihave",
    "imap4flags",
    "include",
    "index",
    "mailbox",
    "mailboxid",
    "mboxmetadata",
    "mime",
    "regex",
    "reject",
    "relational",
    "replace",
    "servermetadata",
    "spamtest",
    "spamtestplus",
    "special-use",
    "subaddress",
    "vacation",
    "vacation-seconds",
    "variables",
    "virustest",
];

/// Names that scripts written for other servers require, and that change nothing here but what may be written.
const HARMLESS: &[&str] = &["vnd.dovecot.debug", "vnd.dovecot.environment"];

/// What is wrong with a script, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

/// The service.
#[derive(Debug)]
pub struct Sieve {
    hostname: Arc<str>,
}

impl Service for Sieve {
    const NAME: &'static str = "sieve";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { hostname: Arc::clone(&tools.hostname) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        settings.check()
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        settings.contradictions()
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        deliver::handle(settings, delivery, &self.hostname).await
    }
}

#[cfg(test)]
mod tests;
