//! Lets people in by what the directory has of their passwords.

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use pigeon_core::address::Address;
use pigeon_core::clock::Clock;
use pigeon_core::directory::{Account, Lookup, Status, TargetKind};
use pigeon_core::ports::authenticator::{Authenticator, Identity, LoginError, ScramAccount};
use pigeon_core::ports::directory::{Administration, Directory, DirectoryError};
use pigeon_core::ports::state::{Memory, State, StateChanges};
use pigeon_core::rights::{Actor, Reach, may_read};
use pigeon_core::sasl::{DEFAULT_ITERATIONS, ScramKeys};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::error;

use crate::passwords::{self, ScramMaterial};

/// How long a login waits for others that are being checked.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long the secret for made up keys is remembered: longer than anything that runs.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
const SALT_OCTETS: usize = 16;

/// Checks logins against a directory.
pub struct DirectoryAuthenticator {
    directory: Arc<dyn Directory>,
    grants: Option<Arc<dyn Administration>>,
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    /// Checking passwords takes memory and time: only so many at once.
    places: Semaphore,
}

impl DirectoryAuthenticator {
    /// Checks logins against `directory`. `state` keeps a secret for it. Everybody acts for themselves alone.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, state: Arc<dyn State>, clock: Arc<dyn Clock>) -> Self {
        let places = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { directory, grants: None, state, clock, places: Semaphore::new(places) }
    }

    /// The same, letting administrators act for the accounts that their grants in `directory` reach.
    #[must_use]
    pub fn with_grants(mut self, directory: Arc<dyn Administration>) -> Self {
        self.grants = Some(directory);
        self
    }

    /// The account whose whole address this is, if it may log in.
    async fn account(&self, login: &str) -> Result<Option<Account>, LoginError> {
        let account = self.any_account(login).await?;
        Ok(account.filter(|account| account.status == Status::Active))
    }

    /// The account whose whole address this is.
    async fn any_account(&self, login: &str) -> Result<Option<Account>, LoginError> {
        let Ok(address) = Address::parse(login) else { return Ok(None) };
        let lookup = self.directory.lookup(&address).await;
        let found = match lookup.map_err(|error| LoginError::Unavailable(error.to_string()))? {
            Lookup::Found(resolution) => resolution,
            Lookup::None(_) => return Ok(None),
        };
        // Aliases and sub-addresses are no names to log in with.
        let target = found.branches.into_iter().next().filter(|target| target.via.is_empty());
        match target.map(|target| target.to) {
            Some(TargetKind::Account(account, None)) => Ok(Some(account)),
            _ => Ok(None),
        }
    }

    /// Does work that takes a while, off the threads that talk to clients.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoginError> {
        let busy = || LoginError::Unavailable("too many logins are being checked".to_owned());
        let place = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| LoginError::Unavailable(format!("a login could not be checked: {error}")))
    }

    /// The secret that makes up keys for names that have none: the same on all nodes and after every start. The
    /// first login that needs it makes it.
    async fn secret(&self) -> Result<String, LoginError> {
        let unknown = |error: &dyn std::fmt::Display| LoginError::Unavailable(error.to_string());
        let now = self.clock.now();
        let recall = || self.state.recall("", "login", "secret", now);
        if let Some(secret) = recall().await.map_err(|error| unknown(&error))? {
            return Ok(secret);
        }
        let octets: [u8; 32] = passwords::random().map_err(|error| unknown(&error))?;
        let made = Memory {
            account: String::new(),
            service: "login".to_owned(),
            key: "secret".to_owned(),
            value: HEXLOWER.encode(&octets),
            expires: now.plus(FOR_EVER),
        };
        let changes = StateChanges { memories: vec![made], ..StateChanges::default() };
        self.state.commit(changes, now).await.map_err(|error| unknown(&error))?;
        // Another node may have written its own meanwhile: the one that stays counts, from the next login on.
        recall().await.map_err(|error| unknown(&error))?.ok_or_else(|| unknown(&"the State keeps no secret"))
    }
}

fn identity(account: &Account) -> Identity {
    Identity { account: account.id.clone(), address: account.address.clone() }
}

/// A hash that belongs to nobody: checking it takes as long as somebody's.
fn nobodys_hash() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| passwords::hash("nobody").unwrap_or_default()).clone()
}

/// What is stored cannot be used: nobody can say whether the password is right.
fn unusable(login: &str, error: &passwords::PasswordError) -> LoginError {
    error!("{} cannot log in: {error}", login.escape_debug());
    LoginError::Unavailable("a stored password cannot be used".to_owned())
}

#[async_trait]
impl Authenticator for DirectoryAuthenticator {
    async fn check_password(&self, login: &str, password: &str) -> Result<Identity, LoginError> {
        let account = self.account(login).await?.filter(|account| account.password.is_some());
        let stored = account.as_ref().and_then(|account| account.password.clone());
        let password = password.to_owned();
        let verified =
            self.work(move || passwords::verify(&stored.unwrap_or_else(nobodys_hash), &password)).await?;
        match (account, verified) {
            (Some(account), Ok(true)) => Ok(identity(&account)),
            (Some(_), Err(error)) => Err(unusable(login, &error)),
            _ => Err(LoginError::Refused),
        }
    }

    async fn scram_sha_256(&self, login: &str) -> Result<ScramAccount, LoginError> {
        // One name has one salt, however it is written.
        let name = Address::parse(login).map_or_else(|_| login.to_lowercase(), |address| address.key());
        let secret = self.secret().await?;
        let account = self.account(login).await?;
        let stored = account.as_ref().and_then(|account| account.password.as_deref());
        let material = stored.map_or(Ok(ScramMaterial::Nothing), passwords::scram_material);
        let material = material.map_err(|error| unusable(login, &error))?;
        let holder = account.as_ref().map(identity);
        if let ScramMaterial::Keys(keys) = material {
            return Ok(ScramAccount { keys, holder });
        }
        let salt = made_up(&secret, "salt", &name);
        let salt = salt.get(..SALT_OCTETS).unwrap_or_default().to_vec();
        if let ScramMaterial::Password(password) = material {
            let keys = self.work(move || ScramKeys::derive(&password, &salt, DEFAULT_ITERATIONS)).await?;
            return Ok(ScramAccount { keys, holder });
        }
        let (stored_key, server_key) = (made_up(&secret, "stored", &name), made_up(&secret, "server", &name));
        let keys = ScramKeys { iterations: DEFAULT_ITERATIONS, salt, stored_key, server_key };
        Ok(ScramAccount { keys, holder: None })
    }

    async fn account_to_act_for(&self, actor: &Identity, acts_as: &str) -> Result<Identity, LoginError> {
        let refused = || LoginError::MayNotAct(actor.address.clone());
        let owner = self.any_account(acts_as).await?.ok_or_else(refused)?;
        if owner.id == actor.account {
            return Ok(identity(&owner));
        }
        let grants = self.grants.as_ref().ok_or_else(refused)?;
        let authority = match grants.authority(&Actor::Account(actor.account.clone())).await {
            Ok(authority) => authority,
            Err(DirectoryError::Forbidden(_)) => return Err(refused()),
            Err(error) => return Err(LoginError::Unavailable(error.to_string())),
        };
        let reach = Reach::Account { account: owner.id.clone(), domain: owner.domain.clone() };
        may_read(&authority, &reach).map(|()| identity(&owner)).map_err(|_| refused())
    }
}

/// Octets that nobody can guess, the same each time. The secret has a fixed length: a plain digest will do.
fn made_up(secret: &str, what: &str, name: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(secret)
        .chain_update(what)
        .chain_update([0])
        .chain_update(name)
        .finalize()
        .into()
}
