//! `pigeon import`: takes over the directories of other mail systems.
//!
//! The readers are in `pigeon_backends::directory::foreign`; here are their arguments, what is read from where, and
//! the report. Nothing is written unless that is said.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pigeon_backends::directory::foreign::plan::{Known, Plan, Terms, plan};
use pigeon_backends::directory::foreign::{Foreign, passwd_file};
use pigeon_core::address::DomainName;
use pigeon_core::directory::Entry;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Layer, Setting};

use super::Global;
use super::session::Session;
use super::transfer::{Counts, progress};

mod files;
mod postfixadmin;
mod report;
mod unix;

/// How many entries are moved at a time, each time in one transaction.
const BATCH: usize = 1000;
/// How many entries one question to the directory asks for.
const PAGE: u32 = 1000;

/// The systems that `pigeon import` knows.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Users of Dovecot's passwd-file
    #[command(after_long_help = "\
Passwords go on working in their schemes; quota rules become settings. Without --write nothing is written: the report \
says what would be.

Examples:
  pigeon import passwd-file /etc/dovecot/users --mail-location maildir:/var/vmail/%d/%n
  pigeon import passwd-file /etc/dovecot/users --mail-location maildir:/var/vmail/%d/%n --write
  pigeon import passwd-file users --domain example.org --scheme PLAIN")]
    PasswdFile(PasswdFileArgs),
    /// Users, aliases and forwards of a Unix system
    #[command(after_long_help = "\
Reads /etc/passwd, /etc/shadow (where that is allowed), /etc/aliases, and ~/.forward and ~/.vacation.msg of each user. \
Without --write nothing is written: the report says what would be.

Examples:
  pigeon import unix --domain example.org --mail-location maildir:~/Maildir
  pigeon import unix --domain example.org --root /mnt/old-server --write")]
    Unix(unix::UnixArgs),
    /// A database of `PostfixAdmin`
    #[command(about = "Domains, mailboxes, aliases and vacations of PostfixAdmin")]
    #[command(after_long_help = "\
The database is only read, all of it as it was at one moment. Without --write nothing is written: the report says \
what would be.

Examples:
  pigeon import postfixadmin postgres://postfix@localhost/postfixadmin --password-file secret
  pigeon import postfixadmin 'mysql://postfix@localhost/postfixadmin?socket=/run/mysqld/mysqld.sock' --write")]
    Postfixadmin(postfixadmin::PostfixadminArgs),
}

/// What every import asks.
#[derive(Debug, Args)]
pub struct Taking {
    /// Write what was found; without it nothing is changed
    #[arg(long)]
    pub write: bool,
    /// Give every account a new mailbox, even where its Maildir lies below the mail root as DOMAIN/NAME
    #[arg(long)]
    pub new_mailboxes: bool,
}

/// Arguments of `pigeon import passwd-file`.
#[derive(Debug, Args)]
pub struct PasswdFileArgs {
    /// The file
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// The domain of users that are named without one
    #[arg(long)]
    pub domain: Option<DomainName>,
    /// The scheme of passwords without {SCHEME} [default: CRYPT]
    #[arg(long)]
    pub scheme: Option<String>,
    /// Dovecot's `mail_location`, for users without one of their own
    #[arg(long, value_name = "LOCATION")]
    pub mail_location: Option<String>,
    #[command(flatten)]
    pub taking: Taking,
}

/// Runs a command of `pigeon import`.
pub(super) async fn run(global: &Global, command: ImportCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let (taking, foreign) = match command {
        ImportCommand::PasswdFile(args) => {
            let foreign = passwd_file(&args)?;
            (args.taking, foreign)
        }
        ImportCommand::Unix(args) => {
            let foreign = unix::read(&args)?;
            (args.taking, foreign)
        }
        ImportCommand::Postfixadmin(args) => {
            let foreign = postfixadmin::read(&args, &session.site.config.mail.root).await?;
            (args.taking, foreign)
        }
    };
    let plan = make_plan(&session, foreign, &taking).await?;
    let mut counts = Counts::default();
    plan.groups.iter().flatten().for_each(|entry| counts.add(entry));
    if taking.write {
        write(&session, &plan.groups).await?;
    }
    report::print(&session.out, &plan, counts, taking.write)
}

fn passwd_file(args: &PasswdFileArgs) -> anyhow::Result<Foreign> {
    let octets =
        files::read(&args.file).with_context(|| format!("{} cannot be read", args.file.display()))?;
    let file = args.file.display().to_string();
    Ok(passwd_file::read(&passwd_file::Source {
        file: &file,
        octets: &octets,
        domain: args.domain.as_ref(),
        scheme: args.scheme.as_deref(),
        location: args.mail_location.as_deref(),
    }))
}

async fn make_plan(session: &Session, foreign: Foreign, taking: &Taking) -> anyhow::Result<Plan> {
    let known = known(session).await?;
    let mail_root: &Path = &session.site.config.mail.root;
    let is_there = |path: &MailboxPath| mail_root.join(&path.0).symlink_metadata().is_ok();
    let catalogue = &session.site.catalogue;
    let check = |setting: Setting, taken: &[Setting]| {
        catalogue.validate(Layer::Account, &setting.name, &setting.content)?;
        let content = catalogue.normalised(&setting.name, &setting.content);
        let setting = Setting { content, ..setting };
        catalogue.check_together(&setting, taken)?;
        Ok(setting)
    };
    let terms =
        Terms { mail_root, keeps_mailboxes: !taking.new_mailboxes, is_there: &is_there, check: &check };
    Ok(plan(foreign, known, &terms))
}

/// Everything by name that the directory has.
async fn known(session: &Session) -> anyhow::Result<Known> {
    let mut known = Known::default();
    let mut cursor = None;
    loop {
        let (entries, next) = session.site.directory.export(cursor, PAGE).await?;
        entries.iter().for_each(|entry| known.add(entry));
        // Grants and settings come last, and do not matter.
        let is_behind = matches!(entries.last(), None | Some(Entry::Grant(_) | Entry::Setting { .. }));
        if is_behind || next.is_none() {
            return Ok(known);
        }
        cursor = next;
    }
}

/// Writes group by group: an account and its settings in one transaction.
async fn write(session: &Session, groups: &[Vec<Entry>]) -> anyhow::Result<()> {
    let total = groups.iter().map(|group| group.len() as u64).sum();
    let bar = progress(total, "importing");
    let mut groups = groups.iter().peekable();
    while groups.peek().is_some() {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(group) = groups.next()
        {
            batch.extend(group.iter().cloned());
        }
        let count = batch.len() as u64;
        let imported = session.site.directory.import(&session.actor, batch).await;
        imported.with_context(|| match bar.position() {
            0 => "nothing was imported".to_owned(),
            done => format!("the first {done} entries are imported (import again to go on), then"),
        })?;
        bar.inc(count);
    }
    bar.finish_and_clear();
    Ok(())
}
