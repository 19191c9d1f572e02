//! `pigeon directory copy`: a directory from one backend into another, and the proof that both answer alike.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use pigeon_backends::directory::ldap::LdapOptions;
use pigeon_core::clock::Clock;
use pigeon_core::directory::Entry;
use pigeon_core::ports::directory::Administration;
use pigeon_core::service::Catalogue;
use serde_json::json;

use super::verify;
use super::{BATCH, Counts, progress};
use crate::cli::Global;
use crate::cli::output::Output;
use crate::cli::session::system_actor;
use crate::clock::SystemClock;
use crate::config::{Config, DirectoryUrl};
use crate::show::count;
use crate::wiring::{self, Mode};

/// Which directory is copied, and where to.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_long_help = "\
A directory is named by its URL, as in pigeondeliver.toml: sqlite:/path, postgres://…, mariadb://… or ldap://…;
- is the one that the configuration names. Others see a command line and the passwords in it: @FILE stands for the
first line of a file. Whom to bind as in LDAP stands in the URL: ldap://host/BASE????bindname=DN,x-bindpw=PASSWORD
with the commas of DN as %2C.

Entries keep their identity and their mailboxes; mail, the change log and people whom directory_mapping finds in LDAP
are not copied. Afterwards all entries are
compared, and every address of an account, an alias or a domain is looked up on both sides. Exit status 1 says that
something differs, or that FROM was changed meanwhile, so that the copy is of no one moment: stop changes at FROM,
and run it again with --overwrite.

Examples:
  pigeon directory copy postgres://pigeon:secret@db/pigeon       from the configured directory
  pigeon directory copy - sqlite:/var/tmp/copy.sqlite
  pigeon directory copy @old-url @new-url --verify-only          only compare the two"
)]
pub struct CopyArgs {
    /// The directory to copy [default: the configured one]
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// The directory to copy it to; it is made if it is not there
    #[arg(value_name = "TO", required = true)]
    to: Option<String>,
    /// Also write to a directory that is not empty: what has the same identity is overwritten, the rest stays
    #[arg(long, conflicts_with = "verify_only")]
    overwrite: bool,
    /// Only compare the two, and write nothing
    #[arg(long)]
    verify_only: bool,
}

/// One of the two directories.
pub(super) struct Side {
    /// What the command line calls it.
    pub(super) name: &'static str,
    /// Where it is, without a password.
    place: String,
    pub(super) directory: Arc<dyn Administration>,
}

impl Side {
    fn open(name: &'static str, url: DirectoryUrl, catalogue: &Arc<Catalogue>) -> anyhow::Result<Self> {
        let place = url.to_string();
        let directory = wiring::open_directory(url, catalogue, Mode::Command).context(name)?;
        Ok(Self { name, place, directory })
    }

    /// The last position of its change log.
    async fn position(&self) -> anyhow::Result<u64> {
        Ok(self.directory.feed(i64::MAX.unsigned_abs()).await.context(self.name)?.seq)
    }

    /// All its entries, in pages.
    pub(super) const fn pages(&self) -> Pages<'_> {
        Pages { side: self, cursor: None, is_done: false }
    }
}

/// An export under way.
pub(super) struct Pages<'a> {
    side: &'a Side,
    cursor: Option<String>,
    is_done: bool,
}

impl Pages<'_> {
    /// The next entries; none at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Entry>> {
        if self.is_done {
            return Ok(Vec::new());
        }
        let exported = self.side.directory.export(self.cursor.take(), BATCH).await;
        let (entries, next) = exported.context(self.side.name)?;
        self.is_done = entries.is_empty() || next.is_none();
        self.cursor = next;
        Ok(entries)
    }
}

/// Copies, then compares.
pub(super) async fn run(global: &Global, args: CopyArgs) -> anyhow::Result<()> {
    ensure!(
        global.actor.is_none(),
        "a directory is copied with the system's authority, which has all of it: leave --as away"
    );
    let to = args.to.unwrap_or_default();
    let from = args.from.unwrap_or_else(|| "-".to_owned());
    let config = configuration(global, &[&from, &to])?;
    let (from, to) = (located(&from, "FROM", &config)?, located(&to, "TO", &config)?);
    ensure!(from != to, "FROM and TO are the same directory, {from}: name two");
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let catalogue = Arc::new(wiring::catalogue(&config, &clock));
    let from = Side::open("FROM", from, &catalogue)?;
    let before = from.position().await?;
    if !args.verify_only {
        wiring::create_directory(&to, wiring::owner(&config)?).await.context("TO")?;
    }
    let to = Side::open("TO", to, &catalogue)?;
    let copied = match args.verify_only {
        true => None,
        false => Some(copy(&from, &to, args.overwrite).await?),
    };
    let verdict = verify::compare(&from, &to).await?;
    let changed = from.position().await?.saturating_sub(before);
    let document = json!({
        "from": from.place,
        "to": to.place,
        "copied": copied,
        "verified": verdict,
        "changed_meanwhile": changed,
    });
    Output::new(global.json).print(&document, |out| {
        if let Some(copied) = copied {
            writeln!(out, "copied {}\n  from {}\n  to {}", copied.words(), from.place, to.place)?;
        }
        verdict.write(out)
    })?;
    judge(verdict.count(), changed)
}

/// The configuration; one with nothing in it where none is needed and none is there.
fn configuration(global: &Global, urls: &[&str]) -> anyhow::Result<Config> {
    let is_needed = urls.contains(&"-") || global.config.is_some();
    if !is_needed && !Config::path(None).exists() {
        let nowhere = std::path::Path::new("/nonexistent");
        return Ok(Config::new(nowhere, nowhere, nowhere));
    }
    Config::load(global.config.as_deref())
}

/// The configuration for other directories than its own: another LDAP server has other people and passwords.
fn elsewhere(config: &Config) -> Config {
    let (bind_dn, password, password_file) = (None, None, None);
    let ldap = LdapOptions {
        bind_dn,
        password,
        password_file,
        replicas: Vec::new(),
        ..config.directory_ldap.clone()
    };
    Config { directory_ldap: ldap, directory_mapping: None, ..config.clone() }
}

fn located(text: &str, name: &'static str, config: &Config) -> anyhow::Result<DirectoryUrl> {
    let url = match text.strip_prefix('@') {
        _ if text == "-" => return config.directory_url(),
        None => text.to_owned(),
        Some(file) => {
            let read = std::fs::read_to_string(file);
            let read = read.with_context(|| format!("{name}: the file {file} cannot be read"))?;
            read.lines().next().unwrap_or_default().trim().to_owned()
        }
    };
    elsewhere(config).read_url(&url).context(name)
}

async fn copy(from: &Side, to: &Side, overwrite: bool) -> anyhow::Result<Counts> {
    let there = to.directory.count().await.context(to.name)?;
    ensure!(
        there == 0 || overwrite,
        "TO, {}, is not empty but has {}: take another place, or add --overwrite to write over them; nothing was \
         copied",
        to.place,
        count(there, "entry")
    );
    let actor = system_actor();
    let bar = progress(from.directory.count().await.context(from.name)?, "copying");
    let mut pages = from.pages();
    let mut counts = Counts::default();
    loop {
        let entries = pages.next().await?;
        if entries.is_empty() {
            bar.finish_and_clear();
            return Ok(counts);
        }
        let done = counts.total();
        entries.iter().for_each(|entry| counts.add(entry));
        to.directory.import(&actor, entries).await.with_context(|| match done {
            0 => "TO: nothing was copied".to_owned(),
            done => format!("TO: {} were copied, then", count(done, "entry")),
        })?;
        bar.set_position(counts.total());
    }
}

/// What a script learns from the exit status, and what a person is told to do.
fn judge(differences: u64, changed: u64) -> anyhow::Result<()> {
    let meanwhile = match changed {
        0 => String::new(),
        changed => format!(
            "FROM was changed meanwhile (its change log grew by {changed}): stop changes there, or wait for a quiet \
             moment, and run it again with --overwrite"
        ),
    };
    match (differences, changed) {
        (0, 0) => Ok(()),
        (0, _) => bail!("{meanwhile}; what was compared is alike"),
        (differences, 0) => bail!(
            "the two directories differ in {}: what is only at TO stays until somebody removes it there; for the \
             rest, run it again with --overwrite",
            count(differences, "place")
        ),
        (differences, _) => {
            bail!("the two directories differ in {}; {meanwhile}", count(differences, "place"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_directory_that_changes_is_not_called_right() {
        let said = |differences, changed| judge(differences, changed).unwrap_err().to_string();
        assert!(judge(0, 0).is_ok());
        assert!(said(0, 2).contains("stop changes there") && said(0, 2).contains("grew by 2"));
        assert!(said(3, 0).contains("differ in 3 places") && !said(3, 0).contains("meanwhile"));
        assert!(said(1, 1).contains("differ in 1 place;") && said(1, 1).contains("meanwhile"));
    }
}
