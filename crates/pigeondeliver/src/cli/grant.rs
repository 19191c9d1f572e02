//! `pigeon grant`: who may administer what.

use clap::{Args, Subcommand};
use pigeon_core::address::Address;
use pigeon_core::directory::Change;
use serde_json::{Value, json};

use super::Global;
use super::parse;
use super::session::Session;
use crate::show::{Table, Tone};

/// The commands of `pigeon grant`.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Make an account an administrator
    #[command(after_long_help = "\
Examples:
  pigeon grant add ann@example.org --domain example.org     may administer that domain and its accounts
  pigeon grant add root@example.org --system                may administer everything")]
    Add(GrantArgs),
    /// List who may administer what
    List {
        /// Only the grants of this account
        address: Option<Address>,
    },
    /// Take a grant back
    Remove(GrantArgs),
}

/// A grant.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The account
    pub address: Address,
    #[command(flatten)]
    pub over: Over,
}

/// What is administered.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Over {
    /// One domain and its accounts
    #[arg(long, value_parser = parse::domain)]
    pub domain: Option<String>,
    /// Everything
    #[arg(long)]
    pub system: bool,
}

/// Runs a command of `pigeon grant`.
pub(super) async fn run(global: &Global, command: GrantCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    match command {
        GrantCommand::Add(GrantArgs { address: account, over }) => {
            session.change(vec![Change::AddGrant { account, domain: over.domain }]).await
        }
        GrantCommand::Remove(GrantArgs { address: account, over }) => {
            session.change(vec![Change::RemoveGrant { account, domain: over.domain }]).await
        }
        GrantCommand::List { address } => list(&session, address.as_ref()).await,
    }
}

async fn list(session: &Session, address: Option<&Address>) -> anyhow::Result<()> {
    if let Some(address) = address {
        session.account(address).await?;
    }
    let grants = session.site.directory.grants(address).await?;
    let rows: Vec<Value> =
        grants.iter().map(|(account, domain)| json!({ "account": account, "domain": domain })).collect();
    session.out.print(&json!({ "grants": rows }), |out| {
        let mut table = Table::new(session.out.paper, &["ACCOUNT", "ADMINISTERS"]);
        for (account, domain) in &grants {
            let over = domain.as_ref().map_or("the system".to_owned(), |name| format!("the domain {name}"));
            table.row([(account.to_string().as_str(), Tone::Strong), (over.as_str(), Tone::Plain)]);
        }
        if table.is_empty() {
            return writeln!(
                out,
                "Nobody has a grant: give one with pigeon grant add ann@example.org --domain example.org"
            );
        }
        table.write(out)
    })
}
