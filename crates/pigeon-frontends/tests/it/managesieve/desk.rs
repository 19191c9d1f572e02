//! Scripts in memory, and a few people: what a ManageSieve server is tested with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::Id;
use pigeon_core::ports::authenticator::{Authenticator, Identity, LoginError, ScramAccount};
use pigeon_core::ports::scripts::{ScriptEntry, ScriptName, ScriptQuota, Scripts, ScriptsError};
use pigeon_core::rights::Actor;
use pigeon_core::sasl::{DEFAULT_ITERATIONS, ScramKeys};
use pigeon_frontends::managesieve::{Engine, ManageSieve, ManageSieveLimits};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "secret";
const MAX_SCRIPTS: u64 = 3;
const MAX_OCTETS: u64 = 100;

/// Ann's scripts, and who may log in: `ann@` by password and SCRAM, and `admin@`, who acts for `bob@`; for `down@` the
/// directory does not answer.
#[derive(Default)]
pub(crate) struct Desk {
    /// How many scripts were given out.
    pub(crate) given: AtomicUsize,
    scripts: Mutex<(BTreeMap<String, String>, String)>,
}

/// A server over a desk, with limits that tests change.
pub(crate) fn server(limits: ManageSieveLimits) -> ManageSieve {
    server_of(&Arc::default(), limits)
}

/// A server over this desk.
pub(crate) fn server_of(desk: &Arc<Desk>, limits: ManageSieveLimits) -> ManageSieve {
    let engine =
        Engine { extensions: vec!["fileinto".into(), "vacation".into()], notify: vec!["mailto".into()] };
    ManageSieve::new(Arc::clone(desk) as _, Arc::clone(desk) as _, engine, limits)
}

/// Limits without waits.
pub(crate) fn limits() -> ManageSieveLimits {
    ManageSieveLimits {
        failure_delay: Duration::ZERO,
        script_octets: 200,
        line_octets: 1000,
        ..ManageSieveLimits::default()
    }
}

fn identity(login: &str) -> Identity {
    Identity { account: Id(login.to_owned()), address: login.parse().unwrap() }
}

#[async_trait]
impl Authenticator for Desk {
    async fn check_password(&self, login: &str, password: &str) -> Result<Identity, LoginError> {
        match login {
            "ann@example.org" | "admin@example.org" if password == PASSWORD => Ok(identity(login)),
            "down@example.org" => Err(LoginError::Unavailable("it is down".into())),
            _ => Err(LoginError::Refused),
        }
    }

    async fn scram_sha_256(&self, login: &str) -> Result<ScramAccount, LoginError> {
        let keys = ScramKeys::derive(PASSWORD, b"0123456789abcdef", DEFAULT_ITERATIONS);
        match login {
            "down@example.org" => Err(LoginError::Unavailable("it is down".into())),
            _ => Ok(ScramAccount { keys, holder: (login == "ann@example.org").then(|| identity(login)) }),
        }
    }

    async fn account_to_act_for(&self, actor: &Identity, acts_as: &str) -> Result<Identity, LoginError> {
        match acts_as {
            "bob@example.org" if actor.address.local() == "admin" => Ok(identity(acts_as)),
            "down@example.org" => Err(LoginError::Unavailable("it is down".into())),
            _ => Err(LoginError::MayNotAct(actor.address.clone())),
        }
    }
}

/// Who acts for an account in these tests.
fn acting_for(owner: &Address) -> &str {
    match owner.local() {
        "bob" => "admin@example.org",
        _ => "ann@example.org",
    }
}

impl Desk {
    /// Keeps a script of any size.
    pub(crate) fn keep(&self, name: &str, source: &str) {
        self.with(|scripts, _| scripts.insert(name.to_owned(), source.to_owned()));
    }

    fn with<T>(&self, edit: impl FnOnce(&mut BTreeMap<String, String>, &mut String) -> T) -> T {
        let mut kept = self.scripts.lock().unwrap();
        let (scripts, active) = &mut *kept;
        edit(scripts, active)
    }
}

fn compile(source: &str) -> Result<Vec<String>, ScriptsError> {
    if source.contains("wrong") {
        return Err(ScriptsError::Invalid("line 1: \"wrong\"\nline 2: too".into()));
    }
    Ok(source.contains("odd").then(|| "line 1: odd".to_owned()).into_iter().collect())
}

#[async_trait]
impl Scripts for Desk {
    async fn list(&self, actor: &Actor, owner: &Address) -> Result<Vec<ScriptEntry>, ScriptsError> {
        assert_eq!(*actor, Actor::Account(Id(acting_for(owner).to_owned())), "who acts for {owner}");
        Ok(self.with(|scripts, active| {
            let entry = |(name, source): (&String, &String)| ScriptEntry {
                name: name.parse().unwrap(),
                octets: source.len(),
                is_active: name == active,
            };
            scripts.iter().map(entry).collect()
        }))
    }

    async fn get(&self, _actor: &Actor, _owner: &Address, name: &ScriptName) -> Result<String, ScriptsError> {
        self.given.fetch_add(1, Ordering::Relaxed);
        if name.as_str() == "down" {
            return Err(ScriptsError::Unavailable("sqlite:/secret/path is down".into()));
        }
        self.with(|scripts, _| scripts.get(name.as_str()).cloned())
            .ok_or_else(|| ScriptsError::NotFound(name.clone()))
    }

    async fn put(
        &self,
        actor: &Actor,
        owner: &Address,
        name: &ScriptName,
        source: &str,
    ) -> Result<Vec<String>, ScriptsError> {
        assert_eq!(*actor, Actor::Account(Id(acting_for(owner).to_owned())), "who acts for {owner}");
        self.has_space(actor, owner, name, source.len() as u64).await?;
        match name.as_str() {
            "pinned" => return Err(ScriptsError::Forbidden("this setting is pinned".into())),
            "busy" => return Err(ScriptsError::Busy),
            _ => {}
        }
        let warnings = compile(source)?;
        self.with(|scripts, _| scripts.insert(name.to_string(), source.to_owned()));
        Ok(warnings)
    }

    async fn check(
        &self,
        _actor: &Actor,
        _owner: &Address,
        source: &str,
    ) -> Result<Vec<String>, ScriptsError> {
        compile(source)
    }

    async fn activate(
        &self,
        actor: &Actor,
        owner: &Address,
        name: Option<&ScriptName>,
    ) -> Result<Vec<String>, ScriptsError> {
        if let Some(name) = name {
            self.get(actor, owner, name).await?;
        }
        self.with(|_, active| *active = name.map(ToString::to_string).unwrap_or_default());
        Ok(Vec::new())
    }

    async fn delete(&self, actor: &Actor, owner: &Address, name: &ScriptName) -> Result<(), ScriptsError> {
        self.get(actor, owner, name).await?;
        if self.with(|_, active| *active == name.as_str()) {
            return Err(ScriptsError::Active(name.clone()));
        }
        self.with(|scripts, _| scripts.remove(name.as_str()));
        Ok(())
    }

    async fn rename(
        &self,
        actor: &Actor,
        owner: &Address,
        from: &ScriptName,
        to: &ScriptName,
    ) -> Result<(), ScriptsError> {
        let source = self.get(actor, owner, from).await?;
        if self.get(actor, owner, to).await.is_ok() {
            return Err(ScriptsError::Exists(to.clone()));
        }
        self.with(|scripts, _| {
            scripts.remove(from.as_str());
            scripts.insert(to.to_string(), source);
        });
        Ok(())
    }

    async fn has_space(
        &self,
        _actor: &Actor,
        _owner: &Address,
        name: &ScriptName,
        octets: u64,
    ) -> Result<(), ScriptsError> {
        if octets > MAX_OCTETS {
            return Err(ScriptQuota::Octets(MAX_OCTETS).into());
        }
        let is_full = |scripts: &mut BTreeMap<String, String>| {
            !scripts.contains_key(name.as_str()) && scripts.len() as u64 >= MAX_SCRIPTS
        };
        if self.with(|scripts, _| is_full(scripts)) {
            return Err(ScriptQuota::Scripts(MAX_SCRIPTS).into());
        }
        Ok(())
    }

    async fn max_redirects(&self, _actor: &Actor, _owner: &Address) -> Result<Option<u64>, ScriptsError> {
        Ok(Some(4))
    }
}
