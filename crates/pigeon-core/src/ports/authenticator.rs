//! Who somebody is: for servers that people log in to.

use async_trait::async_trait;
use thiserror::Error;

use crate::address::Address;
use crate::directory::Id;
use crate::rights::Actor;
use crate::sasl::ScramKeys;

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Id,
    /// Its address as the directory writes it.
    pub address: Address,
}

/// What a login came to: who it is, and whose things they have in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who has logged in, and acts: with their own rights, and under their own name in the change log.
    pub actor: Identity,
    /// The account that they act for (SASL's authorization identity, RFC 4422 §2): their own, or another one.
    pub owner: Identity,
}

impl Login {
    /// Somebody who acts for themselves.
    #[must_use]
    pub fn own(identity: Identity) -> Self {
        Self { actor: identity.clone(), owner: identity }
    }

    /// Who acts, as the directory asks it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Account(self.actor.account.clone())
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The password is wrong, there is no such account, or it may not log in. Nobody is told which of these it is.
    #[error("the name or the password is wrong")]
    Refused,
    /// The password is right, but whom they name as the account to act for is none that they administer, or none at
    /// all. Nobody is told which of these it is.
    #[error("there is no such account that {0} may act for")]
    MayNotAct(Address),
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

    /// The account that `acts_as` names, if whoever has logged in may act for it: it is their own, or their grants
    /// reach it.
    async fn account_to_act_for(&self, actor: &Identity, acts_as: &str) -> Result<Identity, LoginError>;
}
