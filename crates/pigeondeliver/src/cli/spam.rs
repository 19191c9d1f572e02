//! `pigeon spam`: the scanner learns what people say about their mail.

mod lesson;
mod moved;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand};
use nix::unistd::geteuid;
use pigeon_core::address::Address;
use pigeon_services::antispam::{Class, Learned};
use serde_json::json;

use super::Global;
use super::serve::become_user;
use super::session::Session;
use crate::config::Config;
use crate::show::count;
use crate::wiring;
use lesson::Lesson;

/// The commands of `pigeon spam`.
#[derive(Debug, Subcommand)]
pub enum SpamCommand {
    /// Teach the scanner what is spam and what is not
    #[command(after_long_help = "\
With --ham or --spam: what the files (or standard input) hold, one message in each. With --moved: mail
that its owners moved into their folder for spam since it was delivered, or out of it. Only mail that
antispam has judged at delivery counts, nothing is learned twice, and what is moved back is unlearned.

A time-out or a scanner that is down ends the command with status 1; the next run goes on from there.

Examples:
  pigeon spam learn --spam ~/uncaught/*.eml
  pigeon spam learn --ham --address ann@example.org < newsletter.eml
  pigeon spam learn --moved --all                 what a timer runs
  pigeon spam learn --moved ann@example.org --dry-run")]
    Learn(LearnArgs),
}

/// What is learned.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("kind").required(true).args(["ham", "spam", "moved"])))]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct LearnArgs {
    /// The messages are wanted
    #[arg(long)]
    pub ham: bool,
    /// The messages are spam
    #[arg(long)]
    pub spam: bool,
    /// Learn from mail that people moved into their folder for spam, or out of it
    #[arg(long)]
    pub moved: bool,
    /// The messages, one in each file [default: standard input]; with --moved the accounts
    #[arg(value_name = "FILE|ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    pub names: Vec<String>,
    /// Learn for this account, or for its domain, where `antispam.learn_scope` says so
    #[arg(long, value_name = "ADDRESS", conflicts_with = "moved")]
    pub address: Option<Address>,
    /// The mail of all accounts
    #[arg(long, requires = "moved", conflicts_with = "names")]
    pub all: bool,
    /// Look at all mail again, not only at what changed since the last time
    #[arg(long, requires = "moved")]
    pub again: bool,
    /// Say what would be learned, and learn nothing
    #[arg(long, requires = "moved")]
    pub dry_run: bool,
}

/// Runs a command of `pigeon spam`.
pub(super) async fn run(global: &Global, command: SpamCommand) -> anyhow::Result<()> {
    let SpamCommand::Learn(args) = command;
    if !args.moved {
        let session = Session::open(global).await?;
        return learn(&session, &args).await;
    }
    if geteuid().is_root() {
        // Mailboxes are read with their owner's rights, and what is remembered is the server's.
        let owner = wiring::owner(&Config::load(global.config.as_deref())?)?;
        owner.map_or(Ok(()), become_user)?;
    }
    let session = Session::open(global).await?;
    let wanted = moved::Wanted { is_again: args.again, is_dry_run: args.dry_run };
    match (args.names.as_slice(), args.all) {
        ([], false) => bail!("whose mail? Name accounts, or --all"),
        ([], true) => {
            may_teach_for(&session, None)?;
            moved::run(&session, None, wanted).await
        }
        (names, _) => {
            let mut addresses = Vec::new();
            for name in names {
                let address = Address::parse(name).with_context(|| format!("{name} is no account"))?;
                may_teach_for(&session, Some(&address))?;
                addresses.push(address);
            }
            moved::run(&session, Some(addresses), wanted).await
        }
    }
}

/// Who acts as an account teaches with that account's mail only.
fn may_teach_for(session: &Session, address: Option<&Address>) -> anyhow::Result<()> {
    match (&session.acting, address) {
        (Some(acting), address) if address != Some(&acting.address) => {
            bail!("{} may teach the scanner for that account only: name it", acting.address)
        }
        _ => Ok(()),
    }
}

async fn learn(session: &Session, args: &LearnArgs) -> anyhow::Result<()> {
    may_teach_for(session, args.address.as_ref())?;
    let class = if args.spam { Class::Spam } else { Class::Ham };
    let lesson = match &args.address {
        Some(address) => Lesson::of_account(session, address).await?,
        None => Lesson::of_site(session).await?,
    };
    let files: Vec<Option<PathBuf>> = match args.names.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| (name != "-").then(|| name.into())).collect(),
    };
    let (mut learned, mut known) = (0_u64, 0_u64);
    for file in files {
        let (message, name) = match &file {
            None => (lesson.message(io::stdin().lock()), "standard input".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let opened = File::open(path).with_context(|| format!("{name} cannot be opened"))?;
                (lesson.message(opened), name)
            }
        };
        let message = message.with_context(|| format!("{name} cannot be read"))?;
        match lesson.learn(class, message).await {
            Ok(Learned::New) => learned += 1,
            Ok(Learned::Known) => known += 1,
            Err(fault) => bail!("{name}: {}", fault.explain()),
        }
    }
    let document = json!({
        "class": class, "learned": learned, "known": known, "learned_for": lesson.learner(),
    });
    session.out.print(&document, |out| {
        let whom = lesson.learner().map(|learner| format!(" for {learner}")).unwrap_or_default();
        writeln!(out, "{} learned as {}{whom}", count(learned, "message"), class.word())?;
        if known > 0 {
            writeln!(out, "{} known as such already", count(known, "message"))?;
        }
        Ok(())
    })
}
