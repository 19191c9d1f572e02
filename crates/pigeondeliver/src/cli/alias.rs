//! `pigeon alias`: addresses that stand for others.

use anyhow::bail;
use clap::{Args, Subcommand};
use pigeon_core::address::Address;
use pigeon_core::directory::{Alias, AliasPattern, Change, Subject};
use pigeon_core::ports::directory::Page;
use serde_json::json;

use super::Global;
use super::parse;
use super::session::{ROWS, Session, did_you_mean};
use super::subject::{Fate, decide};
use crate::show::{Table, Tone};

/// The commands of `pigeon alias`.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Add an alias
    #[command(after_long_help = "\
Examples:
  pigeon alias add sales@example.org ann@example.org bob@example.org
  pigeon alias add 'info-*@example.org' ann@example.org     every address that begins with info-
  pigeon alias add '*@example.org' ann@example.org          the catch-all: every other address
  pigeon alias add old@example.org ann@example.net          an address elsewhere")]
    Add(Targets),
    /// Give an alias other targets
    Set(Targets),
    /// List aliases
    List(ListArgs),
    /// Show an alias
    Show(Name),
    /// Give an alias another address; its targets stay
    Rename {
        /// Its address now
        alias: AliasPattern,
        /// Its address from now on
        to: AliasPattern,
    },
    /// Let mail for aliases wait at the mail server
    Suspend(Names),
    /// Take mail for suspended aliases again
    Resume(Names),
    /// Mark aliases as removed
    Remove(Names),
    /// Undo remove
    Restore(Names),
    /// Delete removed aliases for good
    Purge {
        #[command(flatten)]
        names: Names,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// An alias and its targets.
#[derive(Debug, Args)]
pub struct Targets {
    /// The alias: an address, perhaps with * in its local part
    pub alias: AliasPattern,
    /// Where its mail goes: accounts, other aliases, addresses elsewhere
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<Address>,
}

/// Which aliases are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this domain
    #[arg(long, value_parser = parse::domain)]
    pub domain: Option<String>,
    /// Also those marked as removed
    #[arg(long)]
    pub removed: bool,
    /// Only those that sort behind this one
    #[arg(long, value_name = "ALIAS")]
    pub after: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = ROWS, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// One alias.
#[derive(Debug, Args)]
pub struct Name {
    /// The alias
    pub alias: AliasPattern,
}

/// Aliases.
#[derive(Debug, Args)]
pub struct Names {
    /// The aliases
    #[arg(value_name = "ALIAS", required = true)]
    pub aliases: Vec<AliasPattern>,
}

impl Names {
    fn subjects(self) -> Vec<Subject> {
        self.aliases.into_iter().map(Subject::Alias).collect()
    }
}

/// Runs a command of `pigeon alias`.
pub(super) async fn run(global: &Global, command: AliasCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    match command {
        AliasCommand::Add(Targets { alias: pattern, targets }) => {
            session.change(vec![Change::AddAlias { pattern, targets }]).await
        }
        AliasCommand::Set(Targets { alias: pattern, targets }) => {
            session.change(vec![Change::EditAlias { pattern, targets }]).await
        }
        AliasCommand::List(args) => list(&session, &args).await,
        AliasCommand::Show(name) => show(&session, &name.alias).await,
        AliasCommand::Rename { alias, to } => {
            if alias == to {
                bail!("the alias {alias} has that address already");
            }
            let subject = Subject::Alias(alias);
            session.change(vec![Change::Rename { subject, to: to.to_string() }]).await
        }
        AliasCommand::Suspend(names) => decide(&session, names.subjects(), Fate::Suspend).await,
        AliasCommand::Resume(names) => decide(&session, names.subjects(), Fate::Resume).await,
        AliasCommand::Remove(names) => decide(&session, names.subjects(), Fate::Remove).await,
        AliasCommand::Restore(names) => decide(&session, names.subjects(), Fate::Restore).await,
        AliasCommand::Purge { names, yes } => {
            decide(&session, names.subjects(), Fate::Purge { is_confirmed: yes }).await
        }
    }
}

fn targets(alias: &Alias) -> String {
    alias.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn list(session: &Session, args: &ListArgs) -> anyhow::Result<()> {
    if let Some(domain) = &args.domain {
        session.domain(domain).await?;
    }
    let page = Page { after: args.after.clone(), limit: args.limit, with_removed: args.removed };
    let aliases = session.site.directory.aliases(args.domain.as_deref(), &page).await?;
    let is_cut = aliases.len() >= args.limit as usize;
    let next = aliases.last().filter(|_| is_cut).map(|alias| alias.pattern.to_string());
    session.out.print(&json!({ "aliases": aliases, "next": next }), |out| {
        let mut table = Table::new(session.out.paper, &["ALIAS", "STATUS", "GOES TO"]);
        for alias in &aliases {
            let (status, tone) = super::account::status(alias.status);
            let pattern = alias.pattern.to_string();
            table.row([(pattern.as_str(), Tone::Strong), (status, tone), (&targets(alias), Tone::Plain)]);
        }
        if table.is_empty() {
            return writeln!(
                out,
                "There is no such alias: add one with pigeon alias add sales@example.org ann@example.org"
            );
        }
        table.write(out)
    })?;
    if let Some(next) = next.filter(|_| !session.out.is_json()) {
        session.out.remark(&format!("there may be more: add --after '{next}', or --limit"));
    }
    Ok(())
}

async fn show(session: &Session, pattern: &AliasPattern) -> anyhow::Result<()> {
    let alias = find(session, pattern).await?;
    session.out.print(&json!({ "alias": alias }), |out| {
        let mut table = Table::new(session.out.paper, &[]);
        let (status, tone) = super::account::status(alias.status);
        table.fact("alias", &alias.pattern.to_string(), Tone::Strong);
        table.fact("status", status, tone);
        for target in &alias.targets {
            table.fact("goes to", &target.to_string(), Tone::Plain);
        }
        table.fact("id", &alias.id.0, Tone::Plain);
        table.write(out)
    })
}

async fn find(session: &Session, pattern: &AliasPattern) -> anyhow::Result<Alias> {
    let domain = session.domain(pattern.domain.as_str()).await?.name;
    let mut names: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = Page { after: after.take(), limit: ROWS, with_removed: true };
        let rows = session.site.directory.aliases(Some(&domain), &page).await?;
        if let Some(found) = rows.iter().find(|alias| alias.pattern.local == pattern.local) {
            return Ok(found.clone());
        }
        names.extend(rows.iter().map(|alias| alias.pattern.to_string()));
        if rows.len() < ROWS as usize {
            break;
        }
        after = rows.last().map(|alias| alias.pattern.to_string());
    }
    let near = parse::nearest(&pattern.to_string(), names.iter().map(String::as_str));
    bail!("the alias {pattern} does not exist{}", did_you_mean(near))
}
