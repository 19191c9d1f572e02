//! The ManageSieve server: people keep their Sieve scripts on it, from their mail programs.
//!
//! Source: RFC 5804. Logins are by SASL: PLAIN where nobody listens, SCRAM-SHA-256 everywhere, and bound to the TLS
//! connection where there is one.
//!
//! ```text
//! server ─▶ connection ─▶ session ─▶ Scripts, Authenticator (ports of the core)
//!           wire, line     command, login, reply
//! ```

mod command;
mod connection;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guests;
mod limits;
mod line;
mod login;
mod reply;
mod server;
mod session;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use pigeon_core::ports::authenticator::Authenticator;
use pigeon_core::ports::scripts::Scripts;

pub use connection::serve_stream;
pub use limits::ManageSieveLimits;
pub use server::ManageSieveServer;

use crate::tls::Certificate;
use guests::Guests;

/// What the Sieve engine can do, as clients are told (RFC 5804 §1.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Engine {
    /// The extensions that scripts may require.
    pub extensions: Vec<String>,
    /// The methods of notification: `mailto`.
    pub notify: Vec<String>,
}

/// What all sessions of a listener share.
pub struct ManageSieve {
    scripts: Arc<dyn Scripts>,
    authenticator: Arc<dyn Authenticator>,
    engine: Engine,
    certificate: Option<Arc<Certificate>>,
    /// Whether passwords may come in plain text from other hosts without TLS.
    allows_plaintext: bool,
    limits: ManageSieveLimits,
    guests: Arc<Guests>,
}

impl ManageSieve {
    /// A server of these scripts for these people. Without [`with_certificate`](Self::with_certificate) there is no
    /// TLS, and passwords in plain text are taken from this host only.
    #[must_use]
    pub fn new(
        scripts: Arc<dyn Scripts>,
        authenticator: Arc<dyn Authenticator>,
        engine: Engine,
        limits: ManageSieveLimits,
    ) -> Self {
        let guests = Arc::default();
        Self { scripts, authenticator, engine, certificate: None, allows_plaintext: false, limits, guests }
    }

    /// The same, offering STARTTLS with this certificate.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Arc<Certificate>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The same, taking passwords in plain text from anywhere: for networks where nobody can listen.
    #[must_use]
    pub const fn allowing_plaintext(mut self) -> Self {
        self.allows_plaintext = true;
        self
    }

    /// What a client may use up.
    #[must_use]
    pub fn limits(&self) -> &ManageSieveLimits {
        &self.limits
    }
}

/// The other end of a connection: a host, or a process on this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<SocketAddr>);

impl Peer {
    /// Whether nobody can listen on the way.
    fn is_local(self) -> bool {
        self.0.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("unix"),
            Some(address) => address.fmt(formatter),
        }
    }
}
