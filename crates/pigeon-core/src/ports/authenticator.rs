//! Who somebody is: for servers that people log in to.

use async_trait::async_trait;
use thiserror::Error;

use crate::address::Address;
use crate::directory::Id;
use crate::sasl::ScramKeys;

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Id,
    /// Its address as the directory writes it.
    pub address: Address,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The password is wrong, there is no such account, or it may not log in. Nobody is told which of these it is.
    #[error("the name or the password is wrong")]
    Refused,
    /// Nothing is known: the directory does not answer, or too many log in at the same time. Says what, for the log.
    #[error("nobody can be let in now: {0}")]
    Unavailable(String),
}

/// The keys with which SCRAM checks a name.
#[derive(Debug, Clone)]
pub struct ScramAccount {
    /// The account's keys; for a name that has none, made up ones that stay the same.
    pub keys: ScramKeys,
    /// Whose keys they are; none where they are made up, or their owner may not log in.
    pub holder: Option<Identity>,
}

/// Checks who logs in. A login name is an account's whole address.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Whether this is the password of that name. Takes about as long for a name that nobody has.
    async fn check_password(&self, login: &str, password: &str) -> Result<Identity, LoginError>;

    /// The keys of a name for SCRAM-SHA-256. Every name has some: who asks does not learn which accounts there are
    /// (RFC 5802 §9).
    async fn scram_sha_256(&self, login: &str) -> Result<ScramAccount, LoginError>;
}
