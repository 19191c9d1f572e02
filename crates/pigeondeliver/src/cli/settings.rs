//! `pigeon settings`: what holds for whom, and who said so; and changes to it.

mod describe;
mod show;
mod value;
mod write;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use pigeon_core::address::Address;
use pigeon_core::directory::Place;
use pigeon_core::setting::{Layer, Pin, SettingName};

use super::Global;
use super::parse::{self, Moment};
use super::session::Session;

pub(crate) use describe::groups;
pub(super) use describe::{describe_keys, find_service};
pub(super) use show::written_table;

/// Arguments of `pigeon settings`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = "\
A setting is written at a layer: the system, a domain or an account. For each key the value with the
highest pin holds; among equal pins the innermost layer; if none is written, the service's default.

Examples:
  pigeon settings ann@example.org                              everything that holds for ann, and why
  pigeon settings ann@example.org quota                        the settings of one service
  pigeon settings show --domain example.org                    what is written at a layer
  pigeon settings set --account ann@example.org mailbox.folder=Work
  pigeon settings set --domain example.org quota.octets=50M --pin
  pigeon settings set --domain example.org quota.octets=10M..2G
  pigeon settings describe vacation                            every key of a service, with help")]
pub struct SettingsArgs {
    /// What to do; without it: show.
    #[command(subcommand)]
    pub command: Option<SettingsCommand>,
    /// What to show.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// The commands of `pigeon settings`.
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show what holds for an address, or what is written at a layer
    Show(ShowArgs),
    /// Write settings at a layer
    #[command(after_long_help = "\
Values are JSON or bare words: yes, 6, 50M (where octets are counted), Archive/2026; lists with commas.
A..B is a range that inner layers may choose from; either end may be missing.

Examples:
  pigeon settings set --system mailbox.enabled=yes quota.enabled=yes
  pigeon settings set --account ann@example.org forward.to=bob@example.org,ann@example.net
  pigeon settings set --domain example.org quota.octets=50M --pin --reason 'contract of 2026'
  pigeon settings set --domain example.org redirect.allowed=no --pin=system --until 2026-12-31
  pigeon settings set --domain example.org quota.octets --min 10M --max 2G")]
    Set(SetArgs),
    /// Take settings away: nothing is said at that layer any more
    Unset(UnsetArgs),
    /// Impose settings that are written already
    #[command(after_long_help = "\
Example:
  pigeon settings pin --domain example.org quota.octets --reason 'contract of 2026'")]
    Pin(PinArgs),
    /// Let inner layers say otherwise again; the settings stay
    Unpin(UnsetArgs),
    /// Describe settings: what they are for, what they accept, their defaults
    Describe {
        /// A service, or one of its keys; nothing: everything
        #[arg(value_name = "SERVICE[.KEY]")]
        names: Vec<String>,
    },
}

/// What is shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The address whose settings are shown
    #[arg(conflicts_with_all = ["system", "domain"])]
    pub address: Option<Address>,
    /// Only these services or keys
    #[arg(value_name = "SERVICE[.KEY]")]
    pub only: Vec<String>,
    /// Show what is written at the system layer
    #[arg(long, conflicts_with = "domain")]
    pub system: bool,
    /// Show what is written at the layer of this domain
    #[arg(long, value_parser = parse::domain)]
    pub domain: Option<String>,
    /// Only what somebody has written, without the defaults
    #[arg(long)]
    pub written: bool,
    /// Show the values of secrets too
    #[arg(long)]
    pub secrets: bool,
}

/// A layer.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PlaceArgs {
    /// At the system layer: for everyone
    #[arg(long)]
    pub system: bool,
    /// At the layer of this domain
    #[arg(long, value_parser = parse::domain)]
    pub domain: Option<String>,
    /// At the layer of this account [default with --as: one's own]
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<Address>,
}

/// Somebody's authority to impose a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Authority {
    /// Of a domain administrator: a domain administrator may undo it.
    Domain,
    /// Of a system administrator: only a system administrator may undo it.
    System,
}

/// When a pin lapses, and why it is there.
#[derive(Debug, Args)]
pub struct PinDetails {
    /// When the pin lapses: 2026-12-31, or a distance like 7d
    #[arg(long, value_name = "DATE", value_parser = parse::moment)]
    pub until: Option<Moment>,
    /// Why it is pinned: shown to whoever meets the lock
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Settings to write.
#[derive(Debug, Args)]
pub struct SetArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Settings and their values
    #[arg(value_name = "SERVICE.KEY=VALUE", required = true)]
    pub settings: Vec<String>,
    /// Impose them on inner layers [default authority: system at the system layer, else domain]
    #[arg(long, value_name = "AUTHORITY", num_args = 0..=1, require_equals = true, value_enum)]
    pub pin: Option<Option<Authority>>,
    #[command(flatten)]
    pub details: PinDetails,
    /// The smallest value that inner layers may choose
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub min: Option<String>,
    /// The largest value that inner layers may choose
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub max: Option<String>,
    /// The values that inner layers may choose from, with commas
    #[arg(long, value_name = "VALUES", conflicts_with_all = ["min", "max"])]
    pub one_of: Option<String>,
}

/// Settings that are written.
#[derive(Debug, Args)]
pub struct UnsetArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The settings
    #[arg(value_name = "SERVICE.KEY", required = true)]
    pub names: Vec<SettingName>,
    /// The range that is written there, not the value
    #[arg(long)]
    pub range: bool,
}

/// Settings to impose.
#[derive(Debug, Args)]
pub struct PinArgs {
    #[command(flatten)]
    pub written: UnsetArgs,
    /// With which authority [default: system at the system layer, else domain]
    #[arg(long, value_enum)]
    pub authority: Option<Authority>,
    #[command(flatten)]
    pub details: PinDetails,
}

/// Runs a command of `pigeon settings`.
pub(super) async fn run(global: &Global, args: SettingsArgs) -> anyhow::Result<()> {
    if let Some(SettingsCommand::Describe { names }) = args.command {
        return describe::run(super::output::Output::new(global.json), &names);
    }
    let session = Session::open(global).await?;
    match args.command {
        None => show::run(&session, args.show).await,
        Some(SettingsCommand::Show(args)) => show::run(&session, args).await,
        Some(SettingsCommand::Set(args)) => write::set(&session, args).await,
        Some(SettingsCommand::Unset(args)) => write::unset(&session, args).await,
        Some(SettingsCommand::Pin(args)) => write::pin(&session, args).await,
        Some(SettingsCommand::Unpin(args)) => write::unpin(&session, args).await,
        Some(SettingsCommand::Describe { .. }) => Ok(()),
    }
}

impl PlaceArgs {
    /// The place that is meant; without a word about it, that of the account that acts.
    fn place(self, session: &Session) -> anyhow::Result<Place> {
        match (self.system, self.domain, self.account, &session.acting) {
            (true, ..) => Ok(Place::System),
            (_, Some(domain), ..) => Ok(Place::Domain(domain)),
            (_, _, Some(address), _) => Ok(Place::Account(address)),
            (.., Some(account)) => Ok(Place::Account(account.address.clone())),
            _ => bail!("where is it to be written? Say --system, --domain NAME or --account ADDRESS"),
        }
    }
}

impl Authority {
    /// The pin of this authority; without a word about it, the one that belongs to the layer.
    fn pin(authority: Option<Self>, layer: Layer) -> Pin {
        match (authority, layer) {
            (Some(Self::System), _) | (None, Layer::System) => Pin::System,
            (Some(Self::Domain), _) | (None, Layer::Domain | Layer::Account) => Pin::Domain,
        }
    }
}
