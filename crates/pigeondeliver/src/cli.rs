//! The command line: the whole tree of commands, and where each of them is run.
//!
//! Each group of commands is a file in `cli/`: its arguments with their help texts, and what it does.
//! Help, man pages, completions and the reference page all come from the types here.

mod account;
mod alias;
mod changes;
mod check;
pub mod deliver;
mod domain;
mod explain;
mod grant;
mod import;
mod init;
mod node;
mod outbox;
mod output;
mod parse;
mod receipts;
pub mod serve;
mod service;
mod session;
mod settings;
pub mod sieve;
mod spam;
mod subject;
mod transfer;
pub mod try_out;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use pigeon_core::address::Address;

pub(crate) use init::template;
pub use output::report;
pub(crate) use service::descriptors;
pub(crate) use settings::groups;

/// A mail delivery agent: for each recipient it decides what happens to a message, and says why.
#[derive(Debug, Parser)]
#[command(name = "pigeon", version, propagate_version = false, arg_required_else_help = true)]
#[command(after_long_help = "\
First steps:
  pigeon try                                       see it work, with nothing to configure
  pigeon init --domain example.org                 make a configuration and a directory
  pigeon account add ann@example.org --password    add somebody
  pigeon explain ann@example.org                   see what would happen to their mail
  pigeon serve                                     take mail from the mail server")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Make changes with the rights of this account [default: the system's authority]
    #[arg(long = "as", global = true, value_name = "ADDRESS")]
    pub actor: Option<Address>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a configuration and an empty directory
    Init(init::InitArgs),
    /// Check the configuration and everything that it names
    Check,
    /// Show it at work in a scratch directory, with nothing to configure
    Try(TryArgs),
    /// Take mail from mail servers (LMTP), until stopped
    Serve,
    /// Speak LMTP on standard input and output, for inetd and Sendmail
    Lmtp(LmtpArgs),
    /// Deliver one message from standard input (the Unix MDA interface)
    Deliver(DeliverArgs),
    /// Show what happens to the mail of an address, and why
    Explain(explain::ExplainArgs),
    /// Show and change settings
    #[command(visible_alias = "setting")]
    Settings(settings::SettingsArgs),
    /// Domains: add, list, rename, remove, …
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// Accounts: add, list, rename, set a password, …
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Aliases: addresses that stand for others
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    /// Who may administer what
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Show what became of messages
    #[command(visible_alias = "receipt")]
    Receipts(receipts::ReceiptsArgs),
    /// Show who changed what in the directory
    Changes(changes::ChangesArgs),
    /// The delivery services and their settings
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Sieve scripts: check and try them, keep those of accounts
    #[command(subcommand)]
    Sieve(sieve::SieveCommand),
    /// Export and import the whole directory
    #[command(subcommand)]
    Directory(transfer::DirectoryCommand),
    /// Take over the directory of another mail system
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Redirects and answers on their way to the mail server
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Spam: teach the scanner
    #[command(subcommand)]
    Spam(spam::SpamCommand),
    /// The nodes that take mail for this site
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Write man pages, completions and reference pages
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// Arguments of `pigeon try`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pigeon try                           the directory is a file
  pigeon try --directory postgres      it is on a PostgreSQL server, started for this and gone afterwards
  pigeon try --keep ./loft             keep it all, and play on")]
pub struct TryArgs {
    /// What keeps the directory: for all but a file a private server is started from what is installed
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub directory: try_out::Engine,
    /// Keep everything in this directory, for playing on
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub keep: Option<PathBuf>,
}

/// Arguments of `pigeon lmtp`.
#[derive(Debug, Args)]
pub struct LmtpArgs {
    /// Speak on standard input and output (the only way there is)
    #[arg(long, required = true)]
    pub stdio: bool,
}

/// Arguments of `pigeon deliver`, for its manual: the command reads its own command line, without this type.
#[derive(Debug, Args)]
#[command(after_long_help = "\
What is not given is taken from the environment, where mail servers put it: the sender from SENDER; the \
recipient from RECIPIENT, or LOCAL_PART, LOCAL_PART_SUFFIX and DOMAIN (Exim), or LOCAL and DOMAIN \
(OpenSMTPD, Postfix local), or LOGNAME and USER; the detail from EXTENSION (Postfix local).

Exit status: 0 done, 67 no such recipient, 69 refused, 73 over quota, 75 try again, 77 refused by policy.

Started under the name procmail, maildrop, dovecot-lda or deliver it takes their options:
  procmail     -d RECIPIENT...  -f SENDER  -a DETAIL    (-o -t -Y are accepted)
  maildrop     -d RECIPIENT  -f SENDER                  (-V LEVEL -w PERCENT are accepted)
  dovecot-lda  -d RECIPIENT  -f SENDER  -a ORIGINAL  -m FOLDER    (-e -k are accepted)

Examples:
  pigeon deliver -f bob@example.net ann@example.org < message
  pigeon deliver -a lists ann < message              to ann+lists at the default domain")]
pub struct DeliverArgs {
    /// The recipients
    #[arg(value_name = "RECIPIENT")]
    pub recipients: Vec<String>,
    /// One more recipient; may be given several times
    #[arg(short = 'd', long = "recipient", value_name = "ADDRESS")]
    pub more_recipients: Vec<String>,
    /// The envelope sender; <> or nothing is the null sender
    #[arg(short = 'f', long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// The detail of the sub-address: delivers to RECIPIENT+DETAIL
    #[arg(short = 'a', long, value_name = "DETAIL")]
    pub mailbox: Option<String>,
    /// The recipient before aliases, for X-Original-To
    #[arg(long, value_name = "ADDRESS")]
    pub original: Option<String>,
    /// Take off an mbox "From " line at the top
    #[arg(long)]
    pub strip_from_line: bool,
}

/// Arguments of `pigeon completions`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pigeon completions bash > /etc/bash_completion.d/pigeon
  pigeon completions fish > ~/.config/fish/completions/pigeon.fish")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `pigeon generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The directory to write below
    pub directory: PathBuf,
}

/// Threads that wait for disks: so many syncs share a journal's commits well, and more only cost memory.
const BLOCKING_THREADS: usize = 32;

/// Threads that talk to clients: half of the processors. The others are for the threads that wait for disks, which do
/// most of the work; more of the former wake one another for nothing.
fn async_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| (count.get() / 2).max(1))
}

/// Runs the program with the command line that it was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(async_threads());
    let runtime = match builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report(&anyhow::Error::new(error).context("the program cannot start its threads"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli)).unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    });
    // What still runs by itself (a name being looked up) must not keep the program.
    runtime.shutdown_background();
    ended
}

/// Runs a command; the exit code says whether it found everything right.
///
/// # Errors
/// What failed, what it concerns and what to do, for [`report`].
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    let done = match cli.command {
        Command::Init(args) => Box::pin(init::run(global, args)).await,
        Command::Check => return Box::pin(check::run(global)).await,
        Command::Try(args) => return Box::pin(try_out::run(global, args)).await,
        Command::Serve => return Box::pin(serve::run(global)).await,
        Command::Lmtp(_) => return Box::pin(serve::run_stdio(global)).await,
        Command::Deliver(_) => bail!(
            "deliver must be the first word, so that it starts at once: write pigeon deliver [OPTIONS] [RECIPIENT]..."
        ),
        Command::Explain(args) => return Box::pin(explain::run(global, args)).await,
        Command::Settings(args) => Box::pin(settings::run(global, args)).await,
        Command::Domain(command) => Box::pin(domain::run(global, command)).await,
        Command::Account(command) => Box::pin(account::run(global, command)).await,
        Command::Alias(command) => Box::pin(alias::run(global, command)).await,
        Command::Grant(command) => Box::pin(grant::run(global, command)).await,
        Command::Receipts(args) => Box::pin(receipts::run(global, args)).await,
        Command::Changes(args) => Box::pin(changes::run(global, args)).await,
        Command::Service(command) => service::run(global, command),
        Command::Sieve(command) => return Box::pin(sieve::run(global, command)).await,
        Command::Directory(command) => Box::pin(transfer::run(global, command)).await,
        Command::Import(command) => Box::pin(import::run(global, command)).await,
        Command::Outbox(command) => Box::pin(outbox::run(global, command)).await,
        Command::Spam(command) => Box::pin(spam::run(global, command)).await,
        Command::Node(command) => Box::pin(node::run(global, command)).await,
        Command::Completions(args) => completions(&args),
        Command::Generate(args) => crate::docs::generate(&args.directory),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    output::write_out(|out| {
        clap_complete::generate(args.shell, &mut Cli::command(), "pigeon", &mut &mut *out);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_stand_anywhere() {
        let check = |line: &[&str]| {
            let cli = Cli::try_parse_from(line).unwrap();
            assert!(cli.global.json, "{line:?}");
            assert_eq!(cli.global.config, Some("/tmp/x".into()));
        };
        check(&["pigeon", "--json", "--config", "/tmp/x", "domain", "list"]);
        check(&["pigeon", "domain", "list", "--config", "/tmp/x", "--json"]);
        check(&["pigeon", "settings", "ann@example.org", "--config", "/tmp/x", "--json"]);
    }
}
