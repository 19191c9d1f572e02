//! Scripts of an account: put, get, list, activate, remove and rename, with the rights of whoever asks.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pigeon_core::address::Address;
use pigeon_core::ports::scripts::ScriptName;
use serde_json::json;

use crate::cli::Global;
use crate::cli::session::Session;
use crate::show::{Table, Tone};

/// The commands of `pigeon sieve` about scripts of accounts.
#[derive(Debug, Subcommand)]
pub enum ScriptsCommand {
    /// Keep a script of an account, in the place of one of that name
    #[command(after_long_help = "\
Examples:
  pigeon sieve put ann@example.org main filters.sieve --activate
  echo 'keep;' | pigeon sieve put ann@example.org main -")]
    Put(PutArgs),
    /// Print a script of an account
    Get(ScriptArgs),
    /// List the scripts of an account
    List(OwnerArgs),
    /// Choose the script of an account that runs, or none
    Activate(ActivateArgs),
    /// Delete scripts of an account that do not run
    Remove(RemoveArgs),
    /// Give a script of an account another name; the one that runs goes on running
    Rename(RenameArgs),
}

/// Runs one of them.
pub(super) async fn run(global: &Global, command: ScriptsCommand) -> anyhow::Result<()> {
    match command {
        ScriptsCommand::Put(args) => put(global, args).await,
        ScriptsCommand::Get(args) => get(global, args).await,
        ScriptsCommand::List(args) => list(global, args).await,
        ScriptsCommand::Activate(args) => activate(global, args).await,
        ScriptsCommand::Remove(args) => remove(global, args).await,
        ScriptsCommand::Rename(args) => rename(global, args).await,
    }
}

/// Arguments of `pigeon sieve put`.
#[derive(Debug, Args)]
pub struct PutArgs {
    #[command(flatten)]
    script: ScriptArgs,
    /// The file with the script; - for standard input
    #[arg(default_value = "-", hide_default_value = true, value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Have it run from now on
    #[arg(long)]
    activate: bool,
}

/// A script of an account.
#[derive(Debug, Args)]
pub struct ScriptArgs {
    /// The account
    address: Address,
    /// The script's name
    name: ScriptName,
}

/// An account.
#[derive(Debug, Args)]
pub struct OwnerArgs {
    /// The account
    address: Address,
}

/// Arguments of `pigeon sieve activate`.
#[derive(Debug, Args)]
pub struct ActivateArgs {
    /// The account
    address: Address,
    /// The script that runs from now on
    #[arg(required_unless_present = "none")]
    name: Option<ScriptName>,
    /// No script runs
    #[arg(long, conflicts_with = "name")]
    none: bool,
}

/// Arguments of `pigeon sieve remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The account
    address: Address,
    /// The names of the scripts
    #[arg(value_name = "NAME", required = true)]
    names: Vec<ScriptName>,
}

/// Arguments of `pigeon sieve rename`.
#[derive(Debug, Args)]
pub struct RenameArgs {
    #[command(flatten)]
    script: ScriptArgs,
    /// Its name from now on
    to: ScriptName,
}

/// `pigeon sieve put`
async fn put(global: &Global, args: PutArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let ScriptArgs { address, name } = args.script;
    session.account(&address).await?;
    let source = read(&args.file)?;
    let scripts = session.site.scripts();
    let mut notes = scripts.put(&session.actor, &address, &name, &source).await?;
    let mut done = format!("kept the script {name} of {address}");
    if args.activate {
        notes.extend(scripts.activate(&session.actor, &address, Some(&name)).await?);
        done.push_str(", which runs from now on");
    }
    say(&session, &done, &notes)
}

/// `pigeon sieve get`
async fn get(global: &Global, args: ScriptArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    session.account(&args.address).await?;
    let source = session.site.scripts().get(&session.actor, &args.address, &args.name).await?;
    let document = json!({ "name": args.name, "source": source });
    session.out.print(&document, |out| out.write_all(source.as_bytes()))
}

/// `pigeon sieve list`
async fn list(global: &Global, args: OwnerArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    session.account(&args.address).await?;
    let scripts = session.site.scripts().list(&session.actor, &args.address).await?;
    session.out.print(&json!({ "scripts": scripts }), |out| {
        let mut table = Table::new(session.out.paper, &["SCRIPT", "OCTETS", ""]);
        for script in &scripts {
            let (word, tone) = if script.is_active { ("runs", Tone::Good) } else { ("", Tone::Plain) };
            let octets = script.octets.to_string();
            table.row([(script.name.as_str(), Tone::Strong), (octets.as_str(), Tone::Plain), (word, tone)]);
        }
        if table.is_empty() {
            let address = &args.address;
            return writeln!(out, "There is none: keep one with pigeon sieve put {address} NAME FILE");
        }
        table.write(out)
    })
}

/// `pigeon sieve activate`
async fn activate(global: &Global, args: ActivateArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let address = &args.address;
    session.account(address).await?;
    let notes = session.site.scripts().activate(&session.actor, address, args.name.as_ref()).await?;
    let done = match &args.name {
        Some(name) => format!("the script {name} of {address} runs from now on"),
        None => format!("no script of {address} runs any more"),
    };
    say(&session, &done, &notes)
}

/// `pigeon sieve remove`
async fn remove(global: &Global, args: RemoveArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    session.account(&args.address).await?;
    let scripts = session.site.scripts();
    for name in &args.names {
        scripts.delete(&session.actor, &args.address, name).await?;
    }
    let names: Vec<&str> = args.names.iter().map(ScriptName::as_str).collect();
    say(&session, &format!("deleted {} of {}", names.join(", "), args.address), &[])
}

/// `pigeon sieve rename`
async fn rename(global: &Global, args: RenameArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let ScriptArgs { address, name } = args.script;
    session.account(&address).await?;
    session.site.scripts().rename(&session.actor, &address, &name, &args.to).await?;
    say(&session, &format!("the script {name} of {address} is called {} now", args.to), &[])
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file != Path::new("-") {
        return std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let mut source = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut source)
        .context("the script cannot be read from standard input")?;
    Ok(source)
}

fn say(session: &Session, done: &str, notes: &[String]) -> anyhow::Result<()> {
    session.out.print(&json!({ "done": done, "notes": notes }), |out| {
        writeln!(out, "{done}")?;
        notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"))
    })
}
