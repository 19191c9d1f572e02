//! What goes wrong in a service or a backend, and what the other side is told of it.
//!
//! The public reply and the private cause are different fields: the reply names no product, path or policy.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An SMTP reply: code, enhanced status code and one line of text.
///
/// Source: RFC 5321 §4.2, RFC 3463.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// Class, subject and detail of the enhanced status code.
    pub status: (u8, u16, u16),
    /// One line without control characters.
    pub text: String,
}

impl Reply {
    /// Makes a reply; control characters in the text become spaces.
    #[must_use]
    pub fn new(code: u16, status: (u8, u16, u16), text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if text.chars().any(char::is_control) {
            text = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        }
        Self { code, status, text }
    }

    /// Whether the sender should try again later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 451 4.3.0: something here failed; the mail stays with the MTA.
    #[must_use]
    pub fn local_error(text: impl Into<String>) -> Self {
        Self::new(451, (4, 3, 0), text)
    }

    /// 550 5.1.1: nobody here has that address (RFC 3463 §3.2).
    #[must_use]
    pub fn no_such_recipient() -> Self {
        Self::new(550, (5, 1, 1), "No such recipient here")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, subject, detail) = self.status;
        write!(formatter, "{} {class}.{subject}.{detail} {}", self.code, self.text)
    }
}

/// A service could not do its work for this recipient.
#[derive(Debug)]
pub struct Fault {
    /// For operators: what was tried and failed, a full sentence without a final dot.
    pub what: String,
    /// For the sender, when the default 451 says too little.
    pub public: Option<Reply>,
    /// Whether trying again can help.
    pub is_permanent: bool,
    /// The cause underneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault that may go away: the usual case.
    #[must_use]
    pub fn temporary(what: impl Into<String>) -> Self {
        Self { what: what.into(), public: None, is_permanent: false, source: None }
    }

    /// A fault that no retry mends.
    #[must_use]
    pub fn permanent(what: impl Into<String>) -> Self {
        Self { is_permanent: true, ..Self::temporary(what) }
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with a reply of its own for the sender.
    #[must_use]
    pub fn replying(mut self, reply: Reply) -> Self {
        self.public = Some(reply);
        self
    }

    /// What was tried and the whole chain of causes, for logs and receipts.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = self.what.clone();
        let mut cause: Option<&(dyn Error + 'static)> = self.source.as_ref().map(|source| &**source as _);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.explain())
    }
}
