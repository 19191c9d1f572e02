//! `pigeon changes`: the directory's change log.

use clap::Args;
use pigeon_core::directory::LoggedChange;
use serde_json::{Value, json};

use super::Global;
use super::session::Session;
use crate::show::{Table, Tone, describe_logged, moment, printable};

/// Arguments of `pigeon changes`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pigeon changes                         the last fifty changes, oldest first
  pigeon changes --since 120 --json      everything behind change 120, with the rows before and after")]
pub struct ChangesArgs {
    /// Only changes behind this number [default: the last ones]
    #[arg(long, value_name = "NUMBER")]
    pub since: Option<u64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Runs `pigeon changes`.
pub(super) async fn run(global: &Global, args: ChangesArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let since = match args.since {
        Some(since) => since,
        None => last(&session).await?.saturating_sub(u64::from(args.limit)),
    };
    let changes = session.site.directory.changes(since, args.limit).await?;
    // What is written now holds no secret; the log of an older node may.
    let shown = changes.into_iter().map(|logged| session.site.catalogue.logged_without_secret(logged));
    let changes: Vec<LoggedChange> = shown.collect();
    let rows: Vec<Value> = changes
        .iter()
        .map(|logged| {
            json!({
                "seq": logged.seq,
                "at": logged.at.to_rfc3339(),
                "actor": logged.actor,
                "what": describe_logged(&logged.change),
                "change": logged.change,
                "before": logged.before,
                "after": logged.after,
            })
        })
        .collect();
    session.out.print(&json!({ "changes": rows }), |out| {
        let mut table = Table::new(session.out.paper, &["NUMBER", "WHEN (UTC)", "WHO", "WHAT"]);
        for logged in &changes {
            table.row([
                (logged.seq.to_string().as_str(), Tone::Dim),
                (moment(logged.at).as_str(), Tone::Plain),
                (printable(&logged.actor).as_str(), Tone::Strong),
                (printable(&describe_logged(&logged.change)).as_str(), Tone::Plain),
            ]);
        }
        if table.is_empty() {
            return writeln!(out, "Nothing was changed.");
        }
        table.write(out)
    })
}

/// The number of the last change.
async fn last(session: &Session) -> anyhow::Result<u64> {
    // Nothing changed behind the end of time: the answer is the position alone.
    Ok(session.site.directory.feed(i64::MAX.unsigned_abs()).await?.seq)
}
