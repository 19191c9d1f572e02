//! What every administration command works with: the opened site, who acts, and where the answer goes.

use std::collections::VecDeque;

use anyhow::{Context as _, anyhow, bail};
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Change, Domain, Status};
use pigeon_core::ports::directory::{DirectoryError, Page};
use pigeon_core::rights::Actor;
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::Global;
use super::output::Output;
use super::parse::nearest;
use crate::config::Config;
use crate::show::describe_change;
use crate::wiring::{Mode, Site};

/// How many rows one question to the directory asks for.
pub(super) const ROWS: u32 = 1000;

/// An opened site and somebody who acts on it.
pub(crate) struct Session {
    /// The site.
    pub(crate) site: Site,
    /// Who acts.
    pub(crate) actor: Actor,
    /// The account that acts, where it is one.
    pub(crate) acting: Option<Account>,
    /// Where the answer goes.
    pub(crate) out: Output,
}

/// A change that was made.
#[derive(Debug, Serialize)]
struct Done {
    /// Its position in the change log.
    seq: u64,
    /// What was done.
    what: String,
    /// What the person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Session {
    /// Opens the site that the configuration names.
    pub(crate) async fn open(global: &Global) -> anyhow::Result<Self> {
        let site = Site::open(Config::load(global.config.as_deref())?, Mode::Command)?;
        let mut session = Self { site, actor: system_actor(), acting: None, out: Output::new(global.json) };
        if let Some(address) = &global.actor {
            let account = session.account(address).await?;
            if account.status != Status::Active {
                bail!("{address} is {}: only an active account can act", account.status);
            }
            session.actor = Actor::Account(account.id.clone());
            session.acting = Some(account);
        }
        Ok(session)
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.site.catalogue.tools().clock.now()
    }

    /// Makes changes in order and prints what was done; after a refusal none of the later ones is tried, but for
    /// settings of the same service: one that contradicts what is written may fit once they are.
    pub(crate) async fn change(&self, changes: Vec<Change>) -> anyhow::Result<()> {
        let mut done = Vec::new();
        let mut refused = Ok(());
        let mut waiting = VecDeque::from(changes);
        let mut postponed = 0;
        while let Some(change) = waiting.pop_front() {
            let what = describe_change(&self.site.catalogue.change_without_secret(change.clone()));
            match self.site.directory.apply(&self.actor, change.clone()).await {
                Ok(applied) => {
                    postponed = 0;
                    let mut notes = applied.notes;
                    for orphan in &applied.orphans {
                        match self.site.mailstore.purge(orphan).await {
                            Ok(()) => notes.push(format!("its mail in {} is deleted", orphan.0)),
                            Err(error) => notes.push(format!(
                                "its mail in {} could not be deleted ({error}): delete it by hand",
                                orphan.0
                            )),
                        }
                    }
                    done.push(Done { seq: applied.seq, what, notes });
                }
                Err(DirectoryError::Invalid(_))
                    if postponed < waiting.len() && self.may_fit(&change, &waiting) =>
                {
                    postponed += 1;
                    waiting.push_back(change);
                }
                Err(error) => {
                    refused = Err(self.with_suggestion(error).await);
                    break;
                }
            }
        }
        if !done.is_empty() || refused.is_ok() {
            self.print_done(&done)?;
        }
        refused
    }

    /// Whether a setting that was refused is right by itself, and others of its service are still to be written.
    fn may_fit(&self, change: &Change, waiting: &VecDeque<Change>) -> bool {
        let Change::Set { place, name, content, .. } = change else { return false };
        let is_right = self.site.catalogue.validate(place.layer(), name, content).is_ok();
        let is_kin = |other: &Change| matches!(other, Change::Set { name: other, .. } if other.service == name.service);
        is_right && waiting.iter().any(is_kin)
    }

    fn print_done(&self, done: &[Done]) -> anyhow::Result<()> {
        self.out.print(&json!({ "changes": done }), |out| {
            for done in done {
                writeln!(out, "{}", done.what)?;
                for note in &done.notes {
                    writeln!(out, "  note: {note}")?;
                }
            }
            Ok(())
        })
    }

    /// Settings as lists show them: with nothing in the place of secrets.
    pub(crate) fn without_secrets(&self, settings: Vec<Setting>) -> Vec<Setting> {
        settings.into_iter().map(|setting| self.site.catalogue.without_secret(setting)).collect()
    }

    /// The account of that address.
    pub(crate) async fn account(&self, address: &Address) -> anyhow::Result<Account> {
        match self.site.directory.account(address).await {
            Ok(account) => Ok(account),
            Err(error) => Err(self.with_suggestion(error).await),
        }
    }

    /// The domain of that name, or one of its other names.
    pub(crate) async fn domain(&self, name: &str) -> anyhow::Result<Domain> {
        let domains = self.domains(true).await?;
        let is_named =
            |domain: &&Domain| domain.name == name || domain.aliases.iter().any(|alias| alias == name);
        if let Some(domain) = domains.iter().find(is_named) {
            return Ok(domain.clone());
        }
        let hint = nearest(name, domains.iter().map(|domain| domain.name.as_str()));
        bail!("the domain {name} does not exist{}", did_you_mean(hint))
    }

    /// All domains, by name.
    pub(crate) async fn domains(&self, with_removed: bool) -> anyhow::Result<Vec<Domain>> {
        let mut all: Vec<Domain> = Vec::new();
        loop {
            let after = all.last().map(|domain| domain.name.clone());
            let page = Page { after, limit: ROWS, with_removed };
            let rows = self.site.directory.domains(&page).await?;
            let is_last = rows.len() < ROWS as usize;
            all.extend(rows);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Adds the name that was probably meant to an error about one that does not exist.
    async fn with_suggestion(&self, error: DirectoryError) -> anyhow::Error {
        let DirectoryError::NotFound { what, .. } = &error else { return error.into() };
        let given = what.rsplit(' ').next().unwrap_or_default();
        match self.similar(given).await {
            Some(similar) => anyhow!("{what} does not exist{}", did_you_mean(Some(&similar))),
            None => error.into(),
        }
    }

    /// An account or domain with a name like this one; looks at the first rows only, for it must be cheap.
    async fn similar(&self, given: &str) -> Option<String> {
        let domain = given.rsplit_once('@').map(|(_, domain)| domain);
        let domains = self.domains(false).await.ok()?;
        let is_known = domain.is_some_and(|name| domains.iter().any(|known| known.name == name));
        let page = Page { limit: ROWS, ..Page::default() };
        let mut names: Vec<String> = Vec::new();
        if domain.is_some() {
            let of = domain.filter(|_| is_known);
            let accounts = self.site.directory.accounts(of, &page).await.ok()?;
            names.extend(accounts.iter().map(|account| account.address.to_string()));
            let aliases = self.site.directory.aliases(of, &page).await.ok()?;
            names.extend(aliases.iter().map(|alias| alias.pattern.to_string()));
        } else {
            names.extend(domains.into_iter().map(|domain| domain.name));
        }
        nearest(given, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// `: did you mean …?`, or nothing.
pub(crate) fn did_you_mean(name: Option<&str>) -> String {
    name.map(|name| format!(": did you mean {name}?")).unwrap_or_default()
}

/// The system's own authority, under the name of the Unix user.
pub(crate) fn system_actor() -> Actor {
    let user = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.name);
    Actor::System(name.unwrap_or_else(|| format!("uid {user}")))
}

/// Asks on the terminal whether something irrevocable is meant; without a terminal the answer must come as an option.
pub(crate) fn confirm(question: &str) -> anyhow::Result<()> {
    use std::io::{IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        bail!("{question} Nobody can be asked here: add --yes if that is meant");
    }
    write!(anstream::stderr(), "{question} Type yes to go on: ")
        .context("standard error cannot be written")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("standard input cannot be read")?;
    if answer.trim() == "yes" { Ok(()) } else { bail!("nothing was done") }
}
