//! The Sieve scripts of accounts, kept as settings in the directory.
//!
//! An account's scripts are one value (`sieve.scripts`, by name), its active one another (`sieve.active`). Who changes
//! a part of them says what they saw; where somebody else was quicker, it is looked at again and tried anew, so two
//! writers lose nothing of each other's.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Change, Lookup, Place, Status, TargetKind};
use pigeon_core::ports::directory::{Administration, DirectoryError};
use pigeon_core::ports::scripts::{ScriptEntry, ScriptName, ScriptQuota, Scripts, ScriptsError};
use pigeon_core::resolve::{EffectiveSettings, resolve};
use pigeon_core::rights::{Actor, Reach, may_read};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Content, ContentKind, Layer, Pin, Setting, SettingName};
use serde_json::{Map, Value};

use crate::passwords;

/// How often a change is tried anew when somebody else was quicker.
const ATTEMPTS: u32 = 30;
/// How long the second attempt waits; later ones wait longer.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Whether a script is right: what is odd about it, or what is wrong.
pub type Compile = fn(&str) -> Result<Vec<String>, Vec<String>>;

/// The scripts in a directory.
pub struct DirectoryScripts {
    directory: Arc<dyn Administration>,
    catalogue: Arc<Catalogue>,
    compile: Compile,
}

/// What an account has, as it was seen at one moment.
struct Shelf {
    address: Address,
    /// The value of `sieve.scripts` at the account.
    written: Option<Value>,
    scripts: BTreeMap<String, String>,
    /// The value of `sieve.active` at the account.
    written_active: Option<Value>,
    /// Whether an outer layer names a script, too.
    is_active_further_out: bool,
    effective: EffectiveSettings,
}

impl Shelf {
    fn active(&self) -> &str {
        self.written_active.as_ref().and_then(Value::as_str).unwrap_or_default()
    }

    /// A script of that name, with the name as it was written: by another way than a client's it may be any.
    fn find(&self, name: &ScriptName) -> Option<(&String, &String)> {
        let exactly = self.scripts.get_key_value(name.as_str());
        exactly.or_else(|| self.scripts.iter().find(|(written, _)| is_written(written, name)))
    }

    fn get(&self, name: &ScriptName) -> Result<(&String, &String), ScriptsError> {
        self.find(name).ok_or_else(|| ScriptsError::NotFound(name.clone()))
    }

    fn is_active(&self, name: &ScriptName) -> bool {
        is_written(self.active(), name)
    }

    /// `change` is made only if everything is as it was seen.
    fn if_unchanged(&self, change: Change) -> Change {
        let seen = vec![(key("scripts"), self.written.clone()), (key("active"), self.written_active.clone())];
        Change::IfWritten { place: self.place(), seen, then: Box::new(change) }
    }

    fn place(&self) -> Place {
        Place::Account(self.address.clone())
    }

    /// The change to these scripts; without any, nothing is said about them.
    fn keep(&self, scripts: &BTreeMap<String, String>) -> Change {
        if scripts.is_empty() {
            return self.if_unchanged(unset(self.place(), "scripts"));
        }
        let scripts = scripts.iter().map(|(name, source)| (name.clone(), Value::from(source.as_str())));
        self.if_unchanged(set(self.place(), "scripts", Value::Object(scripts.collect::<Map<_, _>>())))
    }

    /// The change to this active script; none where nothing is to be changed.
    fn activate(&self, name: Option<&ScriptName>) -> Option<Change> {
        let change = match name {
            Some(name) if self.is_active(name) => return None,
            Some(name) => {
                let written = self.find(name).map_or(name.as_str(), |(written, _)| written);
                set(self.place(), "active", written.into())
            }
            // Nothing said would leave it to the outer layer.
            None if self.is_active_further_out => set(self.place(), "active", "".into()),
            None if self.written_active.is_none() => return None,
            None => unset(self.place(), "active"),
        };
        Some(self.if_unchanged(change))
    }
}

/// Whether this is that name, perhaps with letters composed in another way.
fn is_written(written: &str, name: &ScriptName) -> bool {
    written == name.as_str()
        || !written.is_ascii() && written.parse::<ScriptName>().is_ok_and(|written| written == *name)
}

fn key(key: &str) -> SettingName {
    SettingName { service: "sieve".to_owned(), key: key.to_owned() }
}

fn set(place: Place, name: &str, value: Value) -> Change {
    let content = Content::Value(value);
    Change::Set { place, name: key(name), content, pin: Pin::None, until: None, reason: None }
}

fn unset(place: Place, name: &str) -> Change {
    Change::Unset { place, name: key(name), kind: ContentKind::Value }
}

fn value_at(settings: &[Setting], layer: Layer, name: &str) -> Option<Value> {
    let name = key(name);
    settings.iter().find_map(|setting| match &setting.content {
        Content::Value(value) if setting.layer == layer && setting.name == name => Some(value.clone()),
        _ => None,
    })
}

fn explain(error: DirectoryError) -> ScriptsError {
    match error {
        DirectoryError::Unavailable { .. } => ScriptsError::Unavailable(error.to_string()),
        DirectoryError::Changed(_) => ScriptsError::Busy,
        DirectoryError::Invalid(what) => ScriptsError::Invalid(what),
        DirectoryError::NotFound { .. } | DirectoryError::Exists { .. } | DirectoryError::Forbidden(_) => {
            ScriptsError::Forbidden(error.to_string())
        }
    }
}

impl DirectoryScripts {
    /// The scripts in `directory`, of the accounts there; `compile` says whether one is right.
    #[must_use]
    pub fn new(directory: Arc<dyn Administration>, catalogue: Arc<Catalogue>, compile: Compile) -> Self {
        Self { directory, catalogue, compile }
    }

    async fn shelf(&self, actor: &Actor, owner: &Address) -> Result<Shelf, ScriptsError> {
        let nobody = || ScriptsError::Forbidden(format!("the account {owner} does not exist"));
        let found = match self.directory.lookup(owner).await.map_err(explain)? {
            Lookup::Found(resolution) => resolution,
            Lookup::None(_) => return Err(nobody()),
        };
        let target = found.branches.into_iter().next().filter(|target| target.via.is_empty());
        let target = target.ok_or_else(nobody)?;
        let TargetKind::Account(account, None) = target.to else { return Err(nobody()) };
        self.may_read(actor, &account).await?;
        let written = value_at(&target.settings, Layer::Account, "scripts");
        let written_active = value_at(&target.settings, Layer::Account, "active");
        let is_named = |layer| value_at(&target.settings, layer, "active").is_some_and(|value| value != "");
        let now = self.catalogue.tools().clock.now();
        let scripts = written.as_ref().and_then(Value::as_object).into_iter().flatten();
        Ok(Shelf {
            address: account.address,
            scripts: scripts
                .filter_map(|(name, source)| Some((name.clone(), source.as_str()?.to_owned())))
                .collect(),
            written,
            written_active,
            is_active_further_out: [Layer::System, Layer::Domain].into_iter().any(is_named),
            effective: resolve(&target.settings, now, &|name| self.catalogue.default_of(name)),
        })
    }

    /// Refuses whoever is neither the owner nor an administrator of the account. Writes are refused by the directory
    /// itself.
    async fn may_read(&self, actor: &Actor, account: &Account) -> Result<(), ScriptsError> {
        match actor {
            Actor::System(_) => return Ok(()),
            // What the look-up said is enough: a question less for each command.
            Actor::Account(id) if *id == account.id && account.status == Status::Active => return Ok(()),
            Actor::Account(_) => {}
        }
        let authority = self.directory.authority(actor).await.map_err(explain)?;
        let reach = Reach::Account { account: account.id.clone(), domain: account.domain.clone() };
        may_read(&authority, &reach).map_err(ScriptsError::Forbidden)
    }

    /// What holds for a number among the account's settings.
    fn limit(&self, shelf: &Shelf, name: &str) -> Option<u64> {
        let held = shelf.effective.keys.get(&key(name)).and_then(|held| held.value.clone());
        held.or_else(|| self.catalogue.default_of(&key(name)))?.as_u64()
    }

    fn check_space(&self, shelf: &Shelf, name: Option<&ScriptName>, octets: u64) -> Result<(), ScriptsError> {
        if let Some(limit) = self.limit(shelf, "max_script_size").filter(|limit| octets > *limit) {
            return Err(ScriptQuota::Octets(limit).into());
        }
        if name.is_none_or(|name| shelf.find(name).is_some()) {
            return Ok(());
        }
        match self.limit(shelf, "max_scripts") {
            Some(limit) if shelf.scripts.len() as u64 >= limit => Err(ScriptQuota::Scripts(limit).into()),
            _ => Ok(()),
        }
    }

    /// Compiles off the threads that talk to clients; what is odd about the script.
    async fn compiled(&self, source: &str) -> Result<Vec<String>, ScriptsError> {
        let (compile, source) = (self.compile, source.to_owned());
        let compiled = tokio::task::spawn_blocking(move || compile(&source)).await;
        match compiled {
            Ok(Ok(warnings)) => Ok(warnings),
            Ok(Err(errors)) => Err(ScriptsError::Invalid(errors.join("\n"))),
            Err(_) => Err(ScriptsError::Invalid("the script cannot be read".to_owned())),
        }
    }

    /// Looks at the scripts and makes the change that follows, until nobody else is quicker. Without a change there is
    /// nothing to do.
    async fn edit(
        &self,
        actor: &Actor,
        owner: &Address,
        mut decide: impl FnMut(&Shelf) -> Result<Option<Change>, ScriptsError> + Send,
    ) -> Result<Vec<String>, ScriptsError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                // Different writers come back at different moments.
                let [jitter] = passwords::random::<1>().unwrap_or_default();
                tokio::time::sleep(FIRST_PAUSE * attempt + Duration::from_millis(jitter.into()) / 16).await;
            }
            let Some(change) = decide(&self.shelf(actor, owner).await?)? else { return Ok(Vec::new()) };
            match self.directory.apply(actor, change).await {
                Ok(applied) => return Ok(applied.notes),
                Err(DirectoryError::Changed(_)) => {}
                Err(error) => return Err(explain(error)),
            }
        }
        Err(ScriptsError::Busy)
    }
}

/// What the person should know about a script that is active now.
fn note_disabled(shelf: &Shelf) -> Option<String> {
    let enabled = shelf.effective.keys.get(&key("enabled")).and_then(|held| held.value.clone());
    (enabled != Some(Value::Bool(true)))
        .then(|| "it does not run yet: sieve.enabled is off for this account".to_owned())
}

#[async_trait]
impl Scripts for DirectoryScripts {
    async fn list(&self, actor: &Actor, owner: &Address) -> Result<Vec<ScriptEntry>, ScriptsError> {
        let shelf = self.shelf(actor, owner).await?;
        let entry = |(name, source): (&String, &String)| {
            let name: ScriptName = name.parse().ok()?;
            let is_active = shelf.is_active(&name);
            Some(ScriptEntry { name, octets: source.len(), is_active })
        };
        Ok(shelf.scripts.iter().filter_map(entry).collect())
    }

    async fn get(&self, actor: &Actor, owner: &Address, name: &ScriptName) -> Result<String, ScriptsError> {
        self.shelf(actor, owner).await?.get(name).map(|(_, source)| source.clone())
    }

    async fn put(
        &self,
        actor: &Actor,
        owner: &Address,
        name: &ScriptName,
        source: &str,
    ) -> Result<Vec<String>, ScriptsError> {
        self.has_space(actor, owner, name, source.len() as u64).await?;
        let mut warnings = self.compiled(source).await?;
        let notes = self.edit(actor, owner, |shelf| {
            self.check_space(shelf, Some(name), source.len() as u64)?;
            let mut scripts = shelf.scripts.clone();
            let written = shelf.find(name).map_or(name.as_str(), |(written, _)| written);
            scripts.insert(written.to_owned(), source.to_owned());
            Ok(Some(shelf.keep(&scripts)))
        });
        warnings.extend(notes.await?);
        Ok(warnings)
    }

    async fn check(&self, actor: &Actor, owner: &Address, source: &str) -> Result<Vec<String>, ScriptsError> {
        let shelf = self.shelf(actor, owner).await?;
        self.check_space(&shelf, None, source.len() as u64)?;
        self.compiled(source).await
    }

    async fn activate(
        &self,
        actor: &Actor,
        owner: &Address,
        name: Option<&ScriptName>,
    ) -> Result<Vec<String>, ScriptsError> {
        let mut disabled = None;
        let notes = self.edit(actor, owner, |shelf| {
            if let Some(name) = name {
                shelf.get(name)?;
                disabled = note_disabled(shelf);
            }
            Ok(shelf.activate(name))
        });
        let mut notes = notes.await?;
        notes.extend(disabled);
        Ok(notes)
    }

    async fn delete(&self, actor: &Actor, owner: &Address, name: &ScriptName) -> Result<(), ScriptsError> {
        let notes = self.edit(actor, owner, |shelf| {
            let (written, _) = shelf.get(name)?;
            if shelf.is_active(name) {
                return Err(ScriptsError::Active(name.clone()));
            }
            let mut scripts = shelf.scripts.clone();
            scripts.remove(written);
            Ok(Some(shelf.keep(&scripts)))
        });
        notes.await.map(drop)
    }

    /// The active script is copied first, then the copy made active, then the old one deleted: at every moment an
    /// active script is there.
    async fn rename(
        &self,
        actor: &Actor,
        owner: &Address,
        from: &ScriptName,
        to: &ScriptName,
    ) -> Result<(), ScriptsError> {
        let mut copied = false;
        let notes = self.edit(actor, owner, |shelf| {
            let (written, source) = shelf.get(from)?;
            if shelf.find(to).is_some() {
                return Err(ScriptsError::Exists(to.clone()));
            }
            let mut scripts = shelf.scripts.clone();
            copied = shelf.is_active(from);
            if copied {
                self.check_space(shelf, Some(to), source.len() as u64)?;
            } else {
                scripts.remove(written);
            }
            scripts.insert(to.to_string(), source.clone());
            Ok(Some(shelf.keep(&scripts)))
        });
        notes.await?;
        if !copied {
            return Ok(());
        }
        // Where another writer has made another script active meanwhile, that one stays so.
        let follow = |shelf: &Shelf| Ok(shelf.is_active(from).then(|| shelf.activate(Some(to))).flatten());
        self.edit(actor, owner, follow).await?;
        self.delete(actor, owner, from).await
    }

    async fn has_space(
        &self,
        actor: &Actor,
        owner: &Address,
        name: &ScriptName,
        octets: u64,
    ) -> Result<(), ScriptsError> {
        self.check_space(&self.shelf(actor, owner).await?, Some(name), octets)
    }

    async fn max_redirects(&self, actor: &Actor, owner: &Address) -> Result<Option<u64>, ScriptsError> {
        let shelf = self.shelf(actor, owner).await?;
        Ok(self.limit(&shelf, "max_redirects"))
    }
}
