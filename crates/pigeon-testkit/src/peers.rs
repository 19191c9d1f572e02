//! The real programs that PigeonDeliver works with, started privately for one test each.
//!
//! A test that only speaks to our own code can agree with our own mistakes. Here Postfix, Exim and Sendmail hand
//! mail over as they do in production, Dovecot and Courier read what was stored, and `PostgreSQL`, `MariaDB` and
//! `OpenLDAP` keep directories, replicate, stall and crash; clamd scans what has signatures of the test's own. The programs are Debian packages that `cargo xtask peers`
//! unpacked into a cache directory; each started peer gets its own directory below `/tmp` (databases: in memory, where
//! there is enough), its own ports below the ephemeral range and its own mount namespace in which the packages stand at
//! their installed places, so any number of tests run side by side and the machine keeps nothing.
//!
//! Starting one needs root and `unshare`; a machine's own `PostgreSQL` 15 does without. Where something is missing,
//! `start` answers [`PeerFault::Unavailable`]; [`or_skip`] turns that into the line `SKIPPED: …`.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub mod certificate;
pub mod clamd;
pub mod client;
pub mod courier;
pub mod dovecot;
pub mod exim;
pub mod imap;
mod instance;
pub mod link;
pub mod mariadb;
pub mod namespaces;
pub mod nsd;
pub mod port;
pub mod postfix;
pub mod postgres;
mod pristine;
mod processes;
pub mod rspamd;
pub mod sendmail;
mod server;
pub mod sink;
pub mod slapd;
pub mod spamd;
mod stream;
pub mod tools;
mod watch;

pub use certificate::PeerTls;
pub use clamd::{Clamd, ClamdOptions, eicar};
pub use client::{MailClient, Reply, Submission};
pub use courier::{Courier, CourierOptions};
pub use dovecot::{Dovecot, DovecotOptions, DovecotQuota, Mailboxes};
pub use exim::{Exim, EximOptions};
pub use imap::ImapClient;
pub use link::Link;
pub use mariadb::{MariaDb, MariaDbOptions};
pub use namespaces::Namespaces;
pub use nsd::{Nsd, txt_record};
pub use port::Port;
pub use postfix::{Postfix, PostfixOptions, QueuedMessage, QueuedRecipient};
pub use postgres::{Postgres, PostgresAuth, PostgresOptions};
pub use rspamd::Rspamd;
pub use sendmail::{Sendmail, SendmailOptions};
pub use sink::{SinkMessage, SinkStage, SmtpSink};
pub use slapd::{Slapd, SlapdOptions};
pub use spamd::Spamd;

/// How long a peer may take until it answers its protocol, and a check until it holds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Written by `cargo xtask peers` when a peer is unpacked completely.
const STAMP: &str = ".pigeon-peer";

/// Why a peer did not start.
#[derive(Debug)]
pub enum PeerFault {
    /// This machine cannot run it: not unpacked, not root, a tool is missing. The test is skipped.
    Unavailable(String),
    /// It is there and did not come up. The test fails.
    Failed(anyhow::Error),
}

impl fmt::Display for PeerFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => formatter.write_str(reason),
            Self::Failed(error) => write!(formatter, "{error:#}"),
        }
    }
}

impl std::error::Error for PeerFault {}

impl From<anyhow::Error> for PeerFault {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for PeerFault {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The started peer, or `None` after the line `SKIPPED: why` on standard error.
///
/// # Panics
///
/// Panics, and so fails the test, if the peer is there and does not start.
#[must_use]
#[expect(clippy::panic, reason = "called by tests only: a peer that is there must start")]
pub fn or_skip<T>(started: Result<T, PeerFault>) -> Option<T> {
    match started {
        Ok(peer) => Some(peer),
        Err(PeerFault::Unavailable(reason)) => {
            // Nothing can be done if standard error is closed, and the test goes on all the same.
            writeln!(std::io::stderr(), "SKIPPED: {reason}").unwrap_or_default();
            None
        }
        Err(PeerFault::Failed(error)) => panic!("{error:?}"),
    }
}

/// The cache directory with the unpacked peers.
#[derive(Debug, Clone)]
pub struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// The cache directory, if it is there: `$PIGEON_PEERS`, or `peers` in cargo's target directory.
    #[must_use]
    pub fn locate() -> Option<Self> {
        let directory = directory();
        directory.is_dir().then_some(Self { directory })
    }

    /// The directory of one completely unpacked peer, as `packages.txt` names it.
    #[must_use]
    pub fn root(&self, name: &str) -> Option<PathBuf> {
        let root = self.directory.join(name);
        root.join(STAMP).is_file().then_some(root)
    }
}

/// Where the cache directory is or would be.
pub(crate) fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("PIGEON_PEERS") {
        return PathBuf::from(directory);
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = crates.canonicalize().unwrap_or(crates);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    workspace.join(target).join("peers")
}

/// The directory of one peer, after everything was checked that starting it needs.
pub(crate) fn usable_root(name: &str) -> Result<PathBuf, PeerFault> {
    let unavailable = |reason: &str| Err(PeerFault::Unavailable(format!("{name}: {reason}")));
    if !rustix::process::geteuid().is_root() {
        return unavailable("starting it needs root");
    }
    for tool in ["unshare", "nsenter", "mount", "useradd"] {
        if !has_command(tool) {
            return unavailable(&format!("the command {tool} is missing"));
        }
    }
    match Peers::locate().and_then(|peers| peers.root(name)) {
        Some(root) => Ok(root),
        None => unavailable("not unpacked; `cargo xtask peers` fetches it"),
    }
}

fn has_command(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(name).exists())
}

/// How a mail server under test hands mail to the delivery agent.
#[derive(Debug, Clone)]
pub enum Transport {
    /// LMTP over the Unix socket at this absolute path; every directory above it must be searchable by other users,
    /// and for Sendmail the directory that it is in writable by its owner only.
    LmtpUnix(PathBuf),
    /// LMTP over TCP to this port of 127.0.0.1.
    LmtpTcp(u16),
    /// LMTP on standard input and output of a command, run as this user. Exim and Sendmail only.
    LmtpStdio {
        /// The program's absolute path and its arguments.
        argv: Vec<String>,
        /// An existing user, other than root.
        user: String,
    },
    /// The message on standard input of a command, run once for each recipient as this user.
    Pipe {
        /// The program's absolute path and its arguments, with the server's own placeholders: `${sender}` and
        /// `${recipient}` for Postfix, `$g` and `$u` for Sendmail; Exim gives both in the environment.
        argv: Vec<String>,
        /// An existing user, other than root.
        user: String,
    },
}

/// Where a mail server under test sends mail for domains that are not its own: bounces, redirects, answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// To the SMTP server on this port of 127.0.0.1, usually an [`SmtpSink`].
    Port(u16),
    /// Nowhere: it is refused for good.
    Refuse,
}

/// A person's mail for the IMAP servers: the login name is the address.
#[derive(Debug, Clone)]
pub struct MailUser {
    /// The login name, such as `alice@example.org`.
    pub address: String,
    /// The password, plain.
    pub password: String,
    /// The absolute path of the Maildir.
    pub maildir: PathBuf,
}

impl MailUser {
    /// A user with the password `secret`.
    #[must_use]
    pub fn new(address: &str, maildir: &Path) -> Self {
        Self { address: address.to_owned(), password: "secret".to_owned(), maildir: maildir.to_owned() }
    }
}

/// Asks again every 20 ms until there is an answer; `None` after `patience`.
pub fn wait_until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= end {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A text file as it is now; empty if it is not there yet.
pub(crate) fn text_of(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
