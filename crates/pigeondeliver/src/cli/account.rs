//! `pigeon account`: the people with a mailbox.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Change, Place, Status, Subject};
use pigeon_core::ports::directory::Page;
use serde_json::{Value, json};

use super::Global;
use super::parse;
use super::session::{ROWS, Session};
use super::settings::written_table;
use super::subject::{Fate, decide};
use crate::show::{Table, Tone};

mod password;
mod relocate;

/// The commands of `pigeon account`.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account; its domain must exist
    #[command(after_long_help = "\
Examples:
  pigeon account add ann@example.org --name 'Ann Example' --password
  pigeon account add robot@example.org                 without a password nobody can log in")]
    Add {
        /// Its address
        address: Address,
        /// The person's name
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List accounts, by address
    List(ListArgs),
    /// Show an account: its mailbox, roles and settings
    Show(Name),
    /// Change the person's name
    Edit {
        /// The account
        address: Address,
        /// The person's name
        #[arg(long)]
        name: String,
    },
    /// Set the password
    #[command(after_long_help = "\
Examples:
  pigeon account password ann@example.org                          asks for it, twice
  pwgen 20 1 | pigeon account password ann@example.org --password-stdin
  pigeon account password ann@example.org --scheme scram-sha-256   for mail programs that log in by SCRAM")]
    Password {
        /// The account
        address: Address,
        #[command(flatten)]
        source: PasswordSource,
    },
    /// Give an account another address; its mail and settings stay
    Rename {
        /// Its address now
        address: Address,
        /// Its address from now on
        to: Address,
    },
    /// Have another node keep the mailbox; mail goes on arriving meanwhile
    Move(relocate::MoveArgs),
    /// Let mail for accounts wait at the mail server
    Suspend(Names),
    /// Take mail for suspended accounts again
    Resume(Names),
    /// Mark accounts as removed: unknown to senders, but everything is kept until purge
    Remove(Names),
    /// Undo remove
    Restore(Names),
    /// Delete removed accounts for good, with their mail
    Purge {
        #[command(flatten)]
        names: Names,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Whether a new account gets a password.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// Ask for a password
    #[arg(long, conflicts_with_all = ["password_stdin", "password_hash"])]
    pub password: bool,
    #[command(flatten)]
    pub source: PasswordSource,
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "password_hash")]
    pub password_stdin: bool,
    /// Take a hash that exists already, with its scheme: {SHA512-CRYPT}$6$…
    #[arg(long, value_name = "HASH")]
    pub password_hash: Option<String>,
    /// How the password is kept
    #[arg(long, value_enum, default_value_t, conflicts_with = "password_hash")]
    pub scheme: Scheme,
}

/// How a password is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// A slow hash: the password comes over TLS when people log in
    #[default]
    Argon2id,
    #[value(name = "scram-sha-256")]
    /// Keys for SCRAM-SHA-256: the password never leaves the mail program of who has one that can
    ScramSha256,
}

/// Which accounts are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this domain
    #[arg(long, value_parser = parse::domain)]
    pub domain: Option<String>,
    /// Also those marked as removed
    #[arg(long)]
    pub removed: bool,
    /// Only those whose address sorts behind this one
    #[arg(long, value_name = "ADDRESS")]
    pub after: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = ROWS, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// One account.
#[derive(Debug, Args)]
pub struct Name {
    /// The account
    pub address: Address,
}

/// Accounts.
#[derive(Debug, Args)]
pub struct Names {
    /// The accounts
    #[arg(value_name = "ADDRESS", required = true)]
    pub addresses: Vec<Address>,
}

impl Names {
    fn subjects(self) -> Vec<Subject> {
        self.addresses.into_iter().map(Subject::Account).collect()
    }
}

/// Runs a command of `pigeon account`.
pub(super) async fn run(global: &Global, command: AccountCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    match command {
        AccountCommand::Add { address, name, password } => {
            let password = password.hash(&address)?;
            session.change(vec![Change::AddAccount { address, name, password }]).await
        }
        AccountCommand::List(args) => list(&session, &args).await,
        AccountCommand::Show(name) => show(&session, &name.address).await,
        AccountCommand::Edit { address, name } => {
            session.change(vec![Change::EditAccount { address, name: Some(name), password: None }]).await
        }
        AccountCommand::Password { address, source } => {
            session.account(&address).await?;
            let password = Some(source.hash(&address)?);
            session.change(vec![Change::EditAccount { address, name: None, password }]).await
        }
        AccountCommand::Move(args) => relocate::run(&session, args).await,
        AccountCommand::Rename { address, to } => {
            if address == to {
                bail!("the account {address} has that address already");
            }
            let subject = Subject::Account(address);
            session.change(vec![Change::Rename { subject, to: to.to_string() }]).await
        }
        AccountCommand::Suspend(names) => decide(&session, names.subjects(), Fate::Suspend).await,
        AccountCommand::Resume(names) => decide(&session, names.subjects(), Fate::Resume).await,
        AccountCommand::Remove(names) => decide(&session, names.subjects(), Fate::Remove).await,
        AccountCommand::Restore(names) => decide(&session, names.subjects(), Fate::Restore).await,
        AccountCommand::Purge { names, yes } => {
            decide(&session, names.subjects(), Fate::Purge { is_confirmed: yes }).await
        }
    }
}

impl PasswordArgs {
    fn hash(&self, address: &Address) -> anyhow::Result<Option<String>> {
        let is_given = self.source.password_stdin || self.source.password_hash.is_some();
        if self.password || is_given { self.source.hash(address).map(Some) } else { Ok(None) }
    }
}

impl PasswordSource {
    fn hash(&self, address: &Address) -> anyhow::Result<String> {
        if let Some(hash) = &self.password_hash {
            return password::check_hash(hash);
        }
        let plain = if self.password_stdin { password::from_stdin()? } else { password::ask(address)? };
        password::hash(&plain, self.scheme)
    }
}

/// A status in words, and how it looks.
pub(super) fn status(status: Status) -> (&'static str, Tone) {
    match status {
        Status::Active => ("active", Tone::Good),
        Status::Suspended => ("suspended", Tone::Warn),
        Status::Removed => ("removed", Tone::Bad),
    }
}

async fn list(session: &Session, args: &ListArgs) -> anyhow::Result<()> {
    if let Some(domain) = &args.domain {
        session.domain(domain).await?;
    }
    let page = Page { after: args.after.clone(), limit: args.limit, with_removed: args.removed };
    let accounts = session.site.directory.accounts(args.domain.as_deref(), &page).await?;
    let is_cut = accounts.len() >= args.limit as usize;
    let next = accounts.last().filter(|_| is_cut).map(|account| account.address.key());
    let rows: Vec<Value> = accounts.iter().map(document).collect();
    session.out.print(&json!({ "accounts": rows, "next": next }), |out| {
        let mut table = Table::new(session.out.paper, &["ACCOUNT", "STATUS", "NAME", "MAILBOX"]);
        for account in &accounts {
            let (status, tone) = status(account.status);
            table.row([
                (account.address.to_string().as_str(), Tone::Strong),
                (status, tone),
                (account.name.as_str(), Tone::Plain),
                (account.mailbox.0.as_str(), Tone::Dim),
            ]);
        }
        if table.is_empty() {
            return writeln!(
                out,
                "There is no such account: add one with pigeon account add ann@example.org"
            );
        }
        table.write(out)
    })?;
    if let Some(next) = next.filter(|_| !session.out.is_json()) {
        session.out.remark(&format!("there may be more: add --after {next}, or --limit"));
    }
    Ok(())
}

/// An account as JSON: whether there is a password, but not its hash.
fn document(account: &Account) -> Value {
    let mut document = serde_json::to_value(account).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("password");
        fields.insert("has_password".to_owned(), account.password.is_some().into());
    }
    document
}

async fn show(session: &Session, address: &Address) -> anyhow::Result<()> {
    let account = session.account(address).await?;
    let grants = session.site.directory.grants(Some(address)).await?;
    let roles: Vec<String> = grants
        .into_iter()
        .map(|(_, domain)| {
            domain.map_or_else(|| "the system".to_owned(), |name| format!("the domain {name}"))
        })
        .collect();
    let place = Place::Account(account.address.clone());
    let settings = session.site.directory.settings(&place).await.context("its settings cannot be read")?;
    let settings = session.without_secrets(settings);
    let document = json!({ "account": document(&account), "administers": roles, "settings": settings });
    session.out.print(&document, |out| {
        let mut table = Table::new(session.out.paper, &[]);
        let (status, tone) = status(account.status);
        let scheme = account.password.as_deref().map_or("none: nobody can log in", password::scheme);
        table.fact("account", &account.address.to_string(), Tone::Strong);
        table.fact("name", &account.name, Tone::Plain);
        table.fact("status", status, tone);
        table.fact("password", scheme, Tone::Plain);
        table.fact("mailbox", &account.mailbox.0, Tone::Plain);
        table.fact("administers", &roles.join(", "), Tone::Plain);
        table.fact("id", &account.id.0, Tone::Plain);
        table.write(out)?;
        if !settings.is_empty() {
            writeln!(out)?;
            written_table(session.out.paper, &settings, session.now()).write(out)?;
        }
        writeln!(out, "\nAll settings that hold: pigeon settings {address}")
    })
}
