//! The outbox: redirects and answers on their way to the MTA, handed over once each.
//!
//! Deliveries stage and release entries through the State port; this side sends what is ready. A lease keeps
//! several processes from sending the same entry, and lets another one take over when a process dies. One
//! window remains, as SMTP itself has it: when the MTA accepted an entry and the process died before it
//! wrote that down, the entry is sent again.

pub(crate) mod content;
pub mod notice;
pub mod sendmail;
pub mod smtp;

mod sending;
mod store;

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::{Address, ReversePath};
use pigeon_core::ports::state::StateError;
use pigeon_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::sending::Flushed;
use self::sending::Sending;
pub use self::store::{Leased, OutboxStore, Verdict};

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxStatus {
    /// Durable, but the delivery that it belongs to has not been committed.
    Held,
    /// Waits for its next attempt.
    Ready,
    /// Being sent by some process.
    Sending,
    /// Accepted by the MTA.
    Sent,
    /// Given up; the sender was told.
    Failed,
    /// Given up by an administrator.
    Cancelled,
}

impl OutboxStatus {
    const ALL: [Self; 6] =
        [Self::Held, Self::Ready, Self::Sending, Self::Sent, Self::Failed, Self::Cancelled];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that word; the database allows no other than these.
    pub(crate) fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.word() == word).unwrap_or(Self::Failed)
    }
}

/// One entry, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxRecord {
    /// Its number.
    pub id: i64,
    /// Its name for ever.
    pub key: String,
    /// On whose behalf it is sent.
    pub on_behalf_of: String,
    /// The reverse-path, empty for the null sender.
    pub sender: String,
    /// Who gets it.
    pub recipient: String,
    /// The name of its content, until it is sent: a file in `outbox/` of the state directory, or rows of the
    /// database that nodes share.
    pub file: Option<String>,
    /// Octets on the wire.
    pub octets: u64,
    /// Whether there are octets above 127.
    pub is_8bit: bool,
    /// Where it stands.
    pub status: OutboxStatus,
    /// Attempts begun so far.
    pub attempts: u32,
    /// When it is due; while it is being sent, when its lease ends.
    pub next_attempt: Timestamp,
    /// What the last attempt ended with.
    pub last_error: String,
    /// When it was made.
    pub created: Timestamp,
    /// The node that is sending it; none while nobody is, or where the State belongs to one node.
    pub node: Option<String>,
}

/// Where outgoing mail goes, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxConfig {
    /// `smtp://HOST:PORT` or `sendmail:/path/of/the/command`.
    pub submit: String,
    /// The name of this host, for EHLO and as the reporter of failures; empty: as the system has it.
    pub hello: String,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self { submit: "smtp://127.0.0.1:25".into(), hello: String::new() }
    }
}

/// The value of `submit` is none that is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("outbox.submit is {0:?}: write smtp://127.0.0.1:25 or sendmail:/usr/sbin/sendmail")]
pub struct SubmitError(String);

impl OutboxConfig {
    /// The way out that is configured.
    ///
    /// # Errors
    /// [`SubmitError`] when `submit` has neither form.
    pub fn submitter(&self) -> Result<Arc<dyn Submit>, SubmitError> {
        let wrong = || SubmitError(self.submit.clone());
        if let Some(address) = self.submit.strip_prefix("smtp://") {
            let address = address.trim_end_matches('/');
            let host =
                address.rsplit_once(':').and_then(|(host, port)| port.parse().ok().map(|port| (host, port)));
            let (host, port) = match host {
                Some((host, port)) => (host, port),
                None if address.ends_with(']') || !address.contains(':') => (address, 25),
                None => return Err(wrong()),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let is_host = !host.is_empty() && !host.contains(['/', ' ', '@']);
            let smtp = is_host.then(|| smtp::Smtp::new(host, port, &self.hello()));
            return smtp.map(|smtp| Arc::new(smtp) as Arc<dyn Submit>).ok_or_else(wrong);
        }
        match self.submit.strip_prefix("sendmail:").map(PathBuf::from) {
            Some(command) if command.is_absolute() => Ok(Arc::new(sendmail::Sendmail::new(command))),
            _ => Err(wrong()),
        }
    }

    /// The name of this host.
    #[must_use]
    pub fn hello(&self) -> String {
        if !self.hello.is_empty() {
            return self.hello.clone();
        }
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if name.is_empty() { "localhost".into() } else { name }
    }
}

/// How often and how long sending is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often entries of other processes are looked for.
    pub poll: Duration,
    /// How long a process that died keeps an entry from the others.
    pub lease: Duration,
    /// Between the first and the second attempt; doubled with each.
    pub first_wait: Duration,
    /// Between two attempts at most.
    pub longest_wait: Duration,
    /// An entry older than this is given up.
    pub give_up: Duration,
    /// Entries sent side by side.
    pub at_once: usize,
    /// How long entries being sent may take to end when the process is to stop.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            first_wait: Duration::from_secs(30),
            // RFC 5321 §4.5.4.1: at least 4-5 days before giving up.
            longest_wait: Duration::from_secs(4 * 3600),
            give_up: Duration::from_secs(5 * 24 * 3600),
            at_once: 5,
            grace: Duration::from_secs(10),
        }
    }
}

/// A mail as it is handed over, once.
#[derive(Debug)]
pub struct Outgoing {
    /// The reverse-path.
    pub sender: ReversePath,
    /// The one recipient.
    pub recipient: Address,
    /// The content, lines ended by LF (or CRLF); it is read from where it stands.
    pub content: File,
    /// Octets of the content with lines ended by CRLF.
    pub octets: u64,
    /// Whether there are octets above 127.
    pub is_8bit: bool,
}

/// The MTA did not take the mail.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Not now.
    #[error("{0}")]
    Temporary(String),
    /// Never.
    #[error("{text}")]
    Permanent {
        /// The enhanced status code (RFC 3463), `5.0.0` where none was given.
        status: String,
        /// What the MTA said.
        text: String,
    },
}

impl Outgoing {
    /// The content, for reading it once.
    fn reader(&self) -> Result<File, Refusal> {
        let unreadable = |error| Refusal::Temporary(format!("the content cannot be read: {error}"));
        self.content.try_clone().map_err(unreadable)
    }
}

/// A way to hand mail over to the MTA.
#[async_trait]
pub trait Submit: Send + Sync {
    /// Hands one mail over; returns what the MTA said when it took responsibility.
    async fn submit(&self, mail: &Outgoing) -> Result<String, Refusal>;
}

/// JSON on its way to a server, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The account that it is about: its settings say how it is signed.
    pub on_behalf_of: String,
    /// Where to.
    pub url: String,
    /// The entry's name for ever: attempts that the server sees twice have the same.
    pub key: String,
    /// JSON.
    pub body: Vec<u8>,
}

impl Posting {
    fn read(leased: &Leased, url: String, content: &File) -> Result<Self, Refusal> {
        let unreadable = |error| Refusal::Temporary(format!("the content cannot be read: {error}"));
        let mut body = Vec::new();
        let mut content = content;
        io::Read::read_to_end(&mut content, &mut body).map_err(unreadable)?;
        let (on_behalf_of, key) = (leased.record.on_behalf_of.clone(), leased.record.key.clone());
        Ok(Self { on_behalf_of, url, key, body })
    }
}

/// Posts to servers over HTTP.
#[async_trait]
pub trait PostWeb: Send + Sync {
    /// Posts once; returns what is to be said about it when the server took it.
    async fn post(&self, posting: Posting) -> Result<String, Refusal>;
}

/// Which entries to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All that are due.
    Due,
    /// Those of these keys that are ready, due or not.
    Keys(Vec<String>),
}

/// Sends what deliveries released.
#[derive(Clone)]
pub struct Outbox {
    sending: Arc<Sending>,
}

impl Outbox {
    /// An outbox over that State.
    ///
    /// # Errors
    /// [`SubmitError`] when the configuration names no way out.
    pub fn new(store: Arc<dyn OutboxStore>, config: &OutboxConfig) -> Result<Self, SubmitError> {
        Ok(Self::with_submit(store, config.submitter()?, config.hello(), Pace::default()))
    }

    /// The same with a way out, a host name and a pace of one's own.
    #[must_use]
    pub fn with_submit(
        store: Arc<dyn OutboxStore>,
        submit: Arc<dyn Submit>,
        hello: String,
        pace: Pace,
    ) -> Self {
        let accepted = Mutex::default();
        Self { sending: Arc::new(Sending { store, submit, web: None, hello, pace, accepted }) }
    }

    /// The same with something that posts to servers. Without it such entries wait.
    #[must_use]
    pub fn with_web(mut self, web: Arc<dyn PostWeb>) -> Self {
        if let Some(sending) = Arc::get_mut(&mut self.sending) {
            sending.web = Some(web);
        }
        self
    }

    /// Sends for as long as the server runs: at once what this process released, within some seconds what others
    /// did. Ends some time after `shutdown`; what is not sent by then is taken up by the next process.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        self.sending.run(shutdown).await;
    }

    /// Sends once, and returns when each attempt has ended: for processes that do not stay.
    ///
    /// # Errors
    /// When the State cannot be read or written.
    pub async fn flush_once(&self, which: Which) -> Result<Flushed, StateError> {
        self.sending.flush_once(which).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_are_read() {
        let check = |submit: &str, is_known: bool| {
            let config = OutboxConfig { submit: submit.into(), hello: "mail.example.org".into() };
            assert_eq!(config.submitter().is_ok(), is_known, "{submit}");
        };
        check("smtp://127.0.0.1:25", true);
        check("smtp://mail.example.org", true);
        check("smtp://[::1]:2525/", true);
        check("smtp://[::1]", true);
        check("sendmail:/usr/sbin/sendmail", true);
        check("smtp://", false);
        check("smtp://host:port", false);
        check("sendmail:sendmail", false);
        check("", false);
        let error =
            OutboxConfig { submit: "lmtp:x".into(), ..OutboxConfig::default() }.submitter().err().unwrap();
        assert!(error.to_string().contains("smtp://127.0.0.1:25"));
    }

    #[test]
    fn words_and_statuses_agree() {
        for status in OutboxStatus::ALL {
            assert_eq!(OutboxStatus::from_word(status.word()), status);
        }
    }
}
