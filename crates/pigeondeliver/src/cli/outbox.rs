//! `pigeon outbox`: redirects and answers on their way to the mail server.

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use nix::unistd::geteuid;
use pigeon_backends::outbox::{Flushed, OutboxRecord, OutboxStatus, Which};
use serde_json::{Value, json};

use super::Global;
use super::serve::become_user;
use super::session::Session;
use crate::config::Config;
use crate::show::{Table, Tone, count, moment, printable, size};
use crate::wiring;

/// The commands of `pigeon outbox`.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// List what waits, is being sent, or was given up
    #[command(after_long_help = "\
Examples:
  pigeon outbox list                     what has not been sent
  pigeon outbox list --status sent       what was sent lately")]
    List(ListArgs),
    /// Try entries again now, also those that were given up
    Retry(Numbers),
    /// Give entries up: they are not sent
    Cancel(Numbers),
    /// Send what is due now, and say what became of it
    #[command(after_long_help = "\
A running server does this by itself. Entries that are being sent, or were given up, are left alone.

Examples:
  pigeon outbox flush                    what is due, where no server runs
  pigeon outbox flush --all              all that waits: the mail server is back")]
    Flush(FlushArgs),
}

/// Which entries are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those in this state [default: all that were not sent]
    #[arg(long, value_enum)]
    pub status: Option<Status>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Which entries are sent.
#[derive(Debug, Args)]
pub struct FlushArgs {
    /// Also what waits for a later attempt
    #[arg(long)]
    pub all: bool,
}

/// Entries.
#[derive(Debug, Args)]
pub struct Numbers {
    /// Their numbers, as the list shows them
    #[arg(value_name = "NUMBER", required = true)]
    pub numbers: Vec<i64>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// Durable, but its delivery has not been committed.
    Held,
    /// Waits for its next attempt.
    Ready,
    /// Being sent.
    Sending,
    /// Accepted by the mail server.
    Sent,
    /// Given up; the sender was told.
    Failed,
    /// Given up by an administrator.
    Cancelled,
}

impl Status {
    const fn of_outbox(self) -> OutboxStatus {
        match self {
            Self::Held => OutboxStatus::Held,
            Self::Ready => OutboxStatus::Ready,
            Self::Sending => OutboxStatus::Sending,
            Self::Sent => OutboxStatus::Sent,
            Self::Failed => OutboxStatus::Failed,
            Self::Cancelled => OutboxStatus::Cancelled,
        }
    }
}

/// Runs a command of `pigeon outbox`.
pub(super) async fn run(global: &Global, command: OutboxCommand) -> anyhow::Result<()> {
    if matches!(command, OutboxCommand::Flush(_)) && geteuid().is_root() {
        // Notices about what is given up are kept in files: they must be the server's to send.
        let owner = wiring::owner(&Config::load(global.config.as_deref())?)?;
        owner.map_or(Ok(()), become_user)?;
    }
    let session = Session::open(global).await?;
    if let Some(account) = &session.acting {
        bail!("the outbox belongs to the whole site, not to {}: leave out --as", account.address);
    }
    match command {
        OutboxCommand::List(args) => list(&session, &args).await,
        OutboxCommand::Retry(numbers) => each(&session, numbers, Act::Retry).await,
        OutboxCommand::Cancel(numbers) => each(&session, numbers, Act::Cancel).await,
        OutboxCommand::Flush(args) => flush(&session, &args).await,
    }
}

async fn list(session: &Session, args: &ListArgs) -> anyhow::Result<()> {
    let state = &session.site.state;
    let mut records = Vec::new();
    match args.status {
        Some(status) => records = state.entries(Some(status.of_outbox()), args.limit).await?,
        None => {
            for status in [Status::Held, Status::Ready, Status::Sending, Status::Failed] {
                records.extend(state.entries(Some(status.of_outbox()), args.limit).await?);
            }
        }
    }
    records.sort_by_key(|record| record.id);
    records.truncate(args.limit as usize);
    let rows: Vec<Value> = records.iter().map(document).collect();
    session.out.print(&json!({ "entries": rows }), |out| {
        let heads = ["NUMBER", "STATE", "TO", "FROM", "FOR", "SIZE", "TRIES", "NEXT (UTC)", "LAST ERROR"];
        let mut table = Table::new(session.out.paper, &heads);
        for record in &records {
            table.row([
                (record.id.to_string().as_str(), Tone::Strong),
                (standing(record).as_str(), tone(record.status)),
                (record.recipient.as_str(), Tone::Plain),
                (if record.sender.is_empty() { "<>" } else { record.sender.as_str() }, Tone::Plain),
                (record.on_behalf_of.as_str(), Tone::Dim),
                (size(record.octets).as_str(), Tone::Plain),
                (record.attempts.to_string().as_str(), Tone::Plain),
                (next(record).as_str(), Tone::Plain),
                (printable(&record.last_error).as_str(), Tone::Bad),
            ]);
        }
        if table.is_empty() {
            return writeln!(out, "The outbox is empty.");
        }
        table.write(out)
    })
}

/// Where it stands; and who is sending it, where nodes share the State.
fn standing(record: &OutboxRecord) -> String {
    match &record.node {
        Some(node) => format!("{} by {node}", record.status.word()),
        None => record.status.word().to_owned(),
    }
}

/// When an entry is tried next, where it will be.
fn next(record: &OutboxRecord) -> String {
    match record.status {
        OutboxStatus::Ready | OutboxStatus::Sending => moment(record.next_attempt),
        _ => String::new(),
    }
}

const fn tone(status: OutboxStatus) -> Tone {
    match status {
        OutboxStatus::Ready | OutboxStatus::Sending | OutboxStatus::Held => Tone::Warn,
        OutboxStatus::Sent => Tone::Good,
        OutboxStatus::Failed | OutboxStatus::Cancelled => Tone::Bad,
    }
}

fn document(record: &OutboxRecord) -> Value {
    let mut document = serde_json::to_value(record).unwrap_or_default();
    for (key, at) in [("next_attempt", record.next_attempt), ("created", record.created)] {
        if let Some(value) = document.get_mut(key) {
            *value = Value::String(at.to_rfc3339());
        }
    }
    document
}

/// What is done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Retry,
    Cancel,
}

async fn each(session: &Session, numbers: Numbers, act: Act) -> anyhow::Result<()> {
    let state = &session.site.state;
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for number in numbers.numbers {
        let is_done = match act {
            Act::Retry => state.retry(number).await?,
            Act::Cancel => state.cancel(number).await?,
        };
        if is_done { &mut done } else { &mut refused }.push(number);
    }
    let word = match act {
        Act::Retry => "is tried again now",
        Act::Cancel => "is given up",
    };
    session.out.print(&json!({ "done": done, "refused": refused }), |out| {
        done.iter().try_for_each(|number| writeln!(out, "entry {number} {word}"))
    })?;
    match refused.first() {
        None => Ok(()),
        Some(number) => {
            bail!("entry {number} is not there, has ended or is being sent: see pigeon outbox list")
        }
    }
}

async fn flush(session: &Session, args: &FlushArgs) -> anyhow::Result<()> {
    let outbox = &session.site.outbox;
    let mut flushed = Flushed::default();
    if args.all {
        let ready = session.site.state.entries(Some(OutboxStatus::Ready), u32::MAX).await?;
        flushed =
            outbox.flush_once(Which::Keys(ready.into_iter().map(|record| record.key).collect())).await?;
    }
    // What is given up above leaves notices to the senders.
    let due = outbox.flush_once(Which::Due).await?;
    flushed.sent += due.sent;
    flushed.deferred += due.deferred;
    flushed.failed += due.failed;
    session.out.print(&flushed, |out| {
        let entries = |number: u32| count(number.into(), "entry");
        if flushed == Flushed::default() {
            let hint = if args.all { "" } else { ": --all tries what waits for a later attempt, too" };
            return writeln!(out, "Nothing is due{hint}.");
        }
        if flushed.sent > 0 {
            writeln!(out, "{} sent", entries(flushed.sent))?;
        }
        if flushed.deferred > 0 {
            writeln!(
                out,
                "{} not taken yet, tried again later: see pigeon outbox list",
                entries(flushed.deferred)
            )?;
        }
        if flushed.failed > 0 {
            writeln!(out, "{} given up: see pigeon outbox list --status failed", entries(flushed.failed))?;
        }
        Ok(())
    })
}
