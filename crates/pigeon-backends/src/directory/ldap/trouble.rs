//! What goes wrong between here and the server, and what the person in front of it can do.

use std::sync::Arc;

use ldap3::LdapError;
use thiserror::Error;

use super::super::failure::Failure;

/// Why a server gave no answer, or which answer it gave.
#[derive(Debug, Clone, Error)]
pub(super) enum Trouble {
    /// The connection is gone or cannot be made.
    #[error("{0}")]
    Lost(Arc<str>),
    /// The server did not answer in time.
    #[error("it did not answer within {0} ms")]
    Silent(u128),
    /// The server answered with an error (RFC 4511 §4.1.9).
    #[error("{about}: {meaning}{text} (LDAP error {code})")]
    Refused {
        /// The result code.
        code: u32,
        /// What was asked for.
        about: Arc<str>,
        /// What the code means, and what to do.
        meaning: &'static str,
        /// The server's own words.
        text: Arc<str>,
    },
}

/// RFC 4511 §A.1, as far as something is done about them here.
pub(super) mod code {
    pub(crate) const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub(crate) const VALUE_EXISTS: u32 = 20;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const ALREADY_EXISTS: u32 = 68;
}

impl Trouble {
    /// An answer other than success.
    pub(super) fn refused(code: u32, about: &str, text: &str) -> Self {
        let text = if text.is_empty() { String::new() } else { format!("; it says {text:?}") };
        Self::Refused { code, about: about.into(), meaning: meaning(code), text: text.into() }
    }

    /// An error of the library.
    pub(super) fn of(error: LdapError, about: &str) -> Self {
        match error {
            LdapError::LdapResult { result } => Self::refused(result.rc, about, &result.text),
            LdapError::EndOfStream | LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => {
                Self::Lost("the connection broke off".into())
            }
            other => Self::Lost(other.to_string().into()),
        }
    }

    /// The trouble behind a failure, if it is one with a server.
    pub(super) fn in_failure(failure: &Failure) -> Option<&Self> {
        match failure {
            Failure::Engine(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the server gave this answer.
    pub(super) fn is(&self, expected: u32) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == expected)
    }

    /// Whether another server, or this one over a new connection, may know better.
    pub(super) const fn is_about_the_connection(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Engine(Box::new(trouble))
    }
}

const fn meaning(code: u32) -> &'static str {
    match code {
        3 | 4 | 11 => {
            "the server's limit for this bind DN is too low: give it `limits … size=unlimited time=unlimited`"
        }
        8 | 13 => "the server wants an encrypted connection: use ldaps:// or start_tls",
        10 | 53 => "this server takes no changes: name the provider in the URL, and this one as a replica",
        17 | 18 | 21 | 65 => {
            "the server's schema does not know it: load packaging/openldap/pigeondeliver.schema, or its .ldif for \
             cn=config"
        }
        32 => "there is no such entry",
        48 | 49 => "the server does not take this bind DN with this password",
        50 => "the bind DN may not do this: give it write access below the base",
        51 | 52 => "the server is busy or shutting down",
        68 => "the entry exists already",
        _ => "the server refuses it",
    }
}
