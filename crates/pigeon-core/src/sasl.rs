//! How people log in to servers: the server's side of SASL mechanisms (RFC 4422), for every protocol that has them.
//!
//! An [`Exchange`] takes the client's responses and says what to answer; how both are written on the wire is the
//! protocol's own affair.

mod scram;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::ports::authenticator::{Authenticator, Identity, Login, LoginError};

pub use scram::{DEFAULT_ITERATIONS, ScramKeys};

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Name and password in plain text (RFC 4616): over TLS only.
    Plain,
    /// Both sides prove that they know the password, and it is not sent (RFC 5802, RFC 7677).
    ScramSha256,
    /// The same, bound to the TLS connection: nobody can stand between (RFC 9266).
    ScramSha256Plus,
}

impl Mechanism {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of that name, in any case of letters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Plain, Self::ScramSha256, Self::ScramSha256Plus];
        all.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// Why an exchange ended without a login.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaslError {
    /// The client breaks the rules of the mechanism.
    #[error("{0}")]
    Malformed(&'static str),
    /// The client is not let in.
    #[error(transparent)]
    Login(#[from] LoginError),
}

/// What the server does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It sends this and waits for a response.
    Challenge(Vec<u8>),
    /// Somebody has logged in; this goes to the client together with the success, if there is something.
    Done(Login, Option<Vec<u8>>),
}

/// One login under way.
pub struct Exchange {
    mechanism: Mechanism,
    nonce: String,
    /// What binds the exchange to its TLS connection (RFC 9266 §3); some exactly where the server offers `-PLUS`.
    exporter: Option<Vec<u8>>,
    login: Option<String>,
    /// The authorization identity that the client gave; empty where it gave none.
    acts_as: String,
    pending: Option<Box<scram::Pending>>,
}

impl Exchange {
    /// Begins a login. The client speaks first in all of these mechanisms: without an initial response it is sent an
    /// empty challenge.
    ///
    /// `nonce` is random text without commas, 18 octets or more of it.
    #[must_use]
    pub const fn new(mechanism: Mechanism, nonce: String, exporter: Option<Vec<u8>>) -> Self {
        Self { mechanism, nonce, exporter, login: None, acts_as: String::new(), pending: None }
    }

    /// The name that the client gave, for the log.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// Whom the client wants to act for, for the log; empty where that was not said.
    #[must_use]
    pub fn acts_as(&self) -> &str {
        &self.acts_as
    }

    /// Takes a response of the client.
    ///
    /// # Errors
    /// The exchange is over, and nobody has logged in.
    pub async fn respond(
        &mut self,
        authenticator: &dyn Authenticator,
        response: &[u8],
    ) -> Result<Step, SaslError> {
        if self.mechanism == Mechanism::Plain {
            return self.plain(authenticator, response).await;
        }
        match self.pending.take() {
            Some(pending) => {
                let (identity, last) = pending.finish(response)?;
                Ok(Step::Done(self.acting(authenticator, identity).await?, Some(last)))
            }
            None => self.scram(authenticator, response).await,
        }
    }

    /// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
    async fn plain(&mut self, authenticator: &dyn Authenticator, response: &[u8]) -> Result<Step, SaslError> {
        let malformed = SaslError::Malformed("the response of PLAIN is a name and a password");
        let text = std::str::from_utf8(response).map_err(|_| malformed.clone())?;
        let mut fields = text.split('\0');
        let (Some(acts_as), Some(login), Some(password), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed);
        };
        if login.is_empty() || password.is_empty() {
            return Err(malformed);
        }
        (self.login, self.acts_as) = (Some(login.to_owned()), acts_as.to_owned());
        let identity = authenticator.check_password(login, password).await?;
        Ok(Step::Done(self.acting(authenticator, identity).await?, None))
    }

    async fn scram(&mut self, authenticator: &dyn Authenticator, response: &[u8]) -> Result<Step, SaslError> {
        let first = scram::ClientFirst::read(response)?;
        (self.login, self.acts_as) = (Some(first.login.clone()), first.acts_as.clone());
        let is_bound = self.mechanism == Mechanism::ScramSha256Plus;
        let binding = first.binding(is_bound, self.exporter.as_deref())?;
        let account = authenticator.scram_sha_256(&first.login).await?;
        let (pending, challenge) = scram::Pending::begin(&first, binding, account, &self.nonce);
        self.pending = Some(Box::new(pending));
        Ok(Step::Challenge(challenge))
    }

    /// Whom they act for is asked only once they have shown who they are: others learn nothing by asking.
    async fn acting(&self, authenticator: &dyn Authenticator, actor: Identity) -> Result<Login, SaslError> {
        let is_own = |login: &String| self.acts_as.eq_ignore_ascii_case(login);
        if self.acts_as.is_empty() || self.login.as_ref().is_some_and(is_own) {
            return Ok(Login::own(actor));
        }
        let owner = authenticator.account_to_act_for(&actor, &self.acts_as).await?;
        Ok(Login { actor, owner })
    }
}
