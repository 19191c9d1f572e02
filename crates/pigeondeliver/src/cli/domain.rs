//! `pigeon domain`: the mail domains and their other names.

use anyhow::bail;
use clap::{Args, Subcommand};
use pigeon_core::directory::{Change, Place, Subject};
use serde_json::json;

use super::Global;
use super::parse;
use super::session::Session;
use super::settings::written_table;
use super::subject::{Fate, decide};
use crate::show::{Table, Tone};

/// The commands of `pigeon domain`.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Add domains
    #[command(after_long_help = "\
Example:
  pigeon domain add example.org
  pigeon domain alias add example.org example.net     a second name for the same domain")]
    Add(Names),
    /// List the domains
    List {
        /// Also those marked as removed
        #[arg(long)]
        removed: bool,
    },
    /// Show a domain: its names, administrators and settings
    Show(Name),
    /// Give a domain another name; its mail and settings stay
    Rename {
        /// Its name now
        #[arg(value_parser = parse::domain)]
        domain: String,
        /// Its name from now on
        #[arg(value_parser = parse::domain)]
        to: String,
    },
    /// Let mail for domains wait at the mail server
    Suspend(Names),
    /// Take mail for suspended domains again
    Resume(Names),
    /// Mark domains as removed; everything is kept until purge
    Remove(Names),
    /// Undo remove
    Restore(Names),
    /// Delete removed domains for good, with everything in them
    Purge {
        /// The domains
        #[command(flatten)]
        names: Names,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Other names that mean the same domain
    #[command(subcommand)]
    Alias(DomainAliasCommand),
}

/// The commands of `pigeon domain alias`.
#[derive(Debug, Subcommand)]
pub enum DomainAliasCommand {
    /// Add another name for a domain
    Add {
        /// The domain
        #[arg(value_parser = parse::domain)]
        domain: String,
        /// Its other name
        #[arg(value_parser = parse::domain)]
        alias: String,
    },
    /// Take another name away again
    Remove {
        /// The other name
        #[arg(value_parser = parse::domain)]
        alias: String,
    },
}

/// One domain.
#[derive(Debug, Args)]
pub struct Name {
    /// The domain
    #[arg(value_name = "DOMAIN", value_parser = parse::domain)]
    pub name: String,
}

/// Domains.
#[derive(Debug, Args)]
pub struct Names {
    /// The domains
    #[arg(value_name = "DOMAIN", required = true, value_parser = parse::domain)]
    pub names: Vec<String>,
}

impl Names {
    fn subjects(self) -> Vec<Subject> {
        self.names.into_iter().map(Subject::Domain).collect()
    }
}

/// Runs a command of `pigeon domain`.
pub(super) async fn run(global: &Global, command: DomainCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    match command {
        DomainCommand::Add(names) => {
            let changes = names.names.into_iter().map(|name| Change::AddDomain { name });
            session.change(changes.collect()).await
        }
        DomainCommand::List { removed } => list(&session, removed).await,
        DomainCommand::Show(name) => show(&session, &name.name).await,
        DomainCommand::Rename { domain, to } => {
            if domain == to {
                bail!("the domain {domain} has that name already");
            }
            session.change(vec![Change::Rename { subject: Subject::Domain(domain), to }]).await
        }
        DomainCommand::Suspend(names) => decide(&session, names.subjects(), Fate::Suspend).await,
        DomainCommand::Resume(names) => decide(&session, names.subjects(), Fate::Resume).await,
        DomainCommand::Remove(names) => decide(&session, names.subjects(), Fate::Remove).await,
        DomainCommand::Restore(names) => decide(&session, names.subjects(), Fate::Restore).await,
        DomainCommand::Purge { names, yes } => {
            decide(&session, names.subjects(), Fate::Purge { is_confirmed: yes }).await
        }
        DomainCommand::Alias(DomainAliasCommand::Add { domain, alias }) => {
            session.change(vec![Change::AddDomainAlias { domain, alias }]).await
        }
        DomainCommand::Alias(DomainAliasCommand::Remove { alias }) => {
            session.change(vec![Change::RemoveDomainAlias { alias }]).await
        }
    }
}

async fn list(session: &Session, with_removed: bool) -> anyhow::Result<()> {
    let domains = session.domains(with_removed).await?;
    session.out.print(&json!({ "domains": domains }), |out| {
        let mut table = Table::new(session.out.paper, &["DOMAIN", "STATUS", "OTHER NAMES"]);
        for domain in &domains {
            let (status, tone) = super::account::status(domain.status);
            table.row([
                (domain.name.as_str(), Tone::Strong),
                (status, tone),
                (&domain.aliases.join(", "), Tone::Plain),
            ]);
        }
        if table.is_empty() {
            return writeln!(out, "There is no domain yet: add one with pigeon domain add example.org");
        }
        table.write(out)
    })
}

async fn show(session: &Session, name: &str) -> anyhow::Result<()> {
    let domain = session.domain(name).await?;
    let settings = session.site.directory.settings(&Place::Domain(domain.name.clone())).await?;
    let settings = session.without_secrets(settings);
    let grants = session.site.directory.grants(None).await?;
    let administrators: Vec<String> = grants
        .into_iter()
        .filter(|(_, of)| of.as_deref() == Some(domain.name.as_str()))
        .map(|(account, _)| account.to_string())
        .collect();
    let document = json!({ "domain": domain, "administrators": administrators, "settings": settings });
    session.out.print(&document, |out| {
        let mut table = Table::new(session.out.paper, &[]);
        let (status, tone) = super::account::status(domain.status);
        table.fact("domain", &domain.name, Tone::Strong);
        table.fact("status", status, tone);
        table.fact("id", &domain.id.0, Tone::Plain);
        table.fact("other names", &domain.aliases.join(", "), Tone::Plain);
        table.fact("administrators", &administrators.join(", "), Tone::Plain);
        table.write(out)?;
        if settings.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        written_table(session.out.paper, &settings, session.now()).write(out)
    })
}
