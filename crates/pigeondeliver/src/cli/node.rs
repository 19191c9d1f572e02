//! `pigeon node`: the nodes that take mail for this site.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use pigeon_backends::state::nodes::{NodeRecord, NodeStatus};
use pigeon_core::timestamp::Timestamp;
use serde_json::{Value, json};

use super::Global;
use super::output::Output;
use super::parse::nearest;
use super::session::{Session, did_you_mean};
use crate::show::{Table, Tone, count, printable};

/// The commands of `pigeon node`.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes: who runs, since when, how much they do, and how far behind they are
    #[command(after_long_help = "\
A node registers itself when pigeon serve starts, and is lost when nothing is heard of it for 30 seconds.
CHANGES is how many changes of the directory it has not seen yet; a node without mail asks for none.")]
    List,
    /// Show everything that is known about one node
    Show(Name),
    /// Forget a node that will not come back
    #[command(after_long_help = "\
A node that runs comes back with its next heartbeat. What the node left in the outbox is sent by the others; receipts \
that wait on its disk stay there until it is started again.")]
    Remove(Name),
}

/// A node.
#[derive(Debug, Args)]
pub struct Name {
    /// Its name
    pub name: String,
}

/// Runs a command of `pigeon node`.
pub(super) async fn run(global: &Global, command: NodeCommand) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    if let Some(account) = &session.acting {
        bail!("the nodes belong to the whole site, not to {}: leave out --as", account.address);
    }
    match command {
        NodeCommand::List => list(&session).await,
        NodeCommand::Show(Name { name }) => show(&session, &name).await,
        NodeCommand::Remove(Name { name }) => remove(&session, &name).await,
    }
}

/// The position of the directory's change log; none while it does not answer, for this is a command for bad days, too.
async fn head(session: &Session, nodes: &[NodeRecord]) -> Option<u64> {
    let known = nodes.iter().filter_map(|node| node.report.feed.as_ref()).map(|feed| feed.position).max()?;
    session.site.directory.feed(known).await.ok().map(|feed| feed.seq)
}

/// Changes that a node has not seen.
fn behind(node: &NodeRecord, head: Option<u64>) -> Option<u64> {
    Some(head?.saturating_sub(node.report.feed.as_ref()?.position))
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let nodes = session.site.state.nodes().await?;
    let (head, now) = (head(session, &nodes).await, session.now());
    let documents: Vec<Value> = nodes.iter().map(|node| document(node, head)).collect();
    session.out.print(&json!({ "nodes": documents }), |out| {
        let heads = [
            "NODE",
            "STATE",
            "HEARD OF",
            "VERSION",
            "UP",
            "PER MIN",
            "OPEN",
            "LOAD",
            "CHANGES",
            "LAST MAIL",
            "RECEIPTS",
        ];
        let mut table = Table::new(session.out.paper, &heads);
        for node in &nodes {
            let (report, status) = (&node.report, node.status());
            let is_running = status == NodeStatus::Running;
            let while_running = |text: String| if is_running { text } else { "–".to_owned() };
            let changes = behind(node, head).map_or_else(|| "–".to_owned(), |behind| behind.to_string());
            let receipts = waiting(report.receipts_waiting, report.receipts_lost);
            table.row([
                (report.name.as_str(), Tone::Strong),
                (status.word(), tone(status)),
                (ago(node.unheard).as_str(), Tone::Plain),
                (printable(&report.version).as_str(), Tone::Plain),
                (while_running(age(now.since(report.started))).as_str(), Tone::Plain),
                (while_running(report.deliveries_per_minute.to_string()).as_str(), Tone::Plain),
                (while_running(report.connections.to_string()).as_str(), Tone::Plain),
                (while_running(format!("{:.2}", report.load_average)).as_str(), Tone::Plain),
                (while_running(changes).as_str(), Tone::Plain),
                (since(report.last_mail, now).as_str(), Tone::Plain),
                (receipts.as_str(), if report.receipts_lost > 0 { Tone::Bad } else { Tone::Plain }),
            ]);
        }
        if table.is_empty() {
            return writeln!(out, "No node is known: pigeon serve registers one when it starts.");
        }
        table.write(out)
    })
}

async fn show(session: &Session, name: &str) -> anyhow::Result<()> {
    let nodes = session.site.state.nodes().await?;
    let Some(node) = nodes.iter().find(|node| node.report.name == name) else {
        return Err(unknown(name, &nodes));
    };
    let (head, now) = (head(session, &nodes).await, session.now());
    let lines = lines(node, head, now);
    session.out.print(&document(node, head), |out| write_lines(out, &session.out, &lines))
}

/// What is known about a node, as a name and a text each.
fn lines(node: &NodeRecord, head: Option<u64>, now: Timestamp) -> Vec<(&'static str, String)> {
    let report = &node.report;
    let changes = match (&report.feed, behind(node, head)) {
        (None, _) => "none asked for yet".to_owned(),
        (Some(feed), behind) => {
            let asked = ago(Duration::from_millis(feed.age_ms).saturating_add(node.unheard));
            let behind = match behind {
                Some(0) => "all seen".to_owned(),
                Some(behind) => format!("{} not seen", count(behind, "change")),
                None => "the directory does not answer".to_owned(),
            };
            let answer = if feed.is_behind { ", and gave no answer since" } else { "" };
            format!("{behind}; at {}, told by the directory {asked}{answer}", feed.position)
        }
    };
    vec![
        ("node", report.name.clone()),
        ("state", node.status().word().to_owned()),
        ("heard of", ago(node.unheard)),
        ("host", report.hostname.clone()),
        ("version", format!("{}, schema {} of the State", report.version, report.schema)),
        ("started", ago(now.since(report.started))),
        ("listens to", report.listeners.join(", ")),
        ("mail root", report.mail_root.clone()),
        ("load", format!("{:.2}", report.load_average)),
        ("deliveries", format!("{} in a minute", report.deliveries_per_minute)),
        ("connections", report.connections.to_string()),
        ("last mail", since(report.last_mail, now)),
        ("changes", changes),
        ("receipts", waiting(report.receipts_waiting, report.receipts_lost)),
        ("id", report.id.clone()),
    ]
}

fn write_lines(out: &mut dyn Write, output: &Output, lines: &[(&'static str, String)]) -> io::Result<()> {
    let mut table = Table::new(output.paper, &[]);
    for (name, text) in lines {
        table.row([(*name, Tone::Dim), (printable(text).as_str(), Tone::Plain)]);
    }
    table.write(out)
}

async fn remove(session: &Session, name: &str) -> anyhow::Result<()> {
    let nodes = session.site.state.nodes().await?;
    if !session.site.state.remove_node(name).await? {
        return Err(unknown(name, &nodes));
    }
    let removed = nodes.iter().find(|node| node.report.name == name);
    let is_running = removed.is_some_and(|node| node.status() == NodeStatus::Running);
    session.out.print(&json!({ "removed": name, "is_running": is_running }), |out| {
        writeln!(out, "the node {name} is forgotten")?;
        if is_running {
            writeln!(out, "  note: it runs, and comes back with its next heartbeat: stop it first")?;
        }
        Ok(())
    })
}

fn unknown(name: &str, nodes: &[NodeRecord]) -> anyhow::Error {
    let hint = nearest(name, nodes.iter().map(|node| node.report.name.as_str()));
    anyhow::anyhow!("there is no node {name}{}", did_you_mean(hint))
}

fn document(node: &NodeRecord, head: Option<u64>) -> Value {
    let mut document = serde_json::to_value(&node.report).unwrap_or_default();
    if let Value::Object(fields) = &mut document {
        let moment = |at: Timestamp| Value::String(at.to_rfc3339());
        fields.insert("started".to_owned(), moment(node.report.started));
        fields.insert("last_mail".to_owned(), node.report.last_mail.map_or(Value::Null, moment));
        fields.insert("status".to_owned(), json!(node.status()));
        let unheard = u64::try_from(node.unheard.as_millis()).unwrap_or(u64::MAX);
        fields.insert("unheard_ms".to_owned(), json!(unheard));
        fields.insert("changes_behind".to_owned(), json!(behind(node, head)));
    }
    document
}

const fn tone(status: NodeStatus) -> Tone {
    match status {
        NodeStatus::Running => Tone::Good,
        NodeStatus::Stopped => Tone::Dim,
        NodeStatus::Lost => Tone::Bad,
    }
}

fn waiting(waiting: u64, lost: u64) -> String {
    match (waiting, lost) {
        (0, 0) => "kept".to_owned(),
        (_, 0) => format!("{waiting} wait"),
        _ => format!("{waiting} wait, {lost} lost"),
    }
}

fn since(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "none".to_owned(), |at| ago(now.since(at)))
}

fn ago(span: Duration) -> String {
    if span < Duration::from_secs(1) { "now".to_owned() } else { format!("{} ago", age(span)) }
}

/// A span in the one unit that matters.
pub(super) fn age(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use pigeon_backends::state::nodes::{NodeFeed, NodeReport};

    use super::*;

    #[test]
    fn ages_have_one_unit() {
        for (seconds, expect) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (259_200, "3 days"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), expect);
        }
    }

    #[test]
    fn a_node_says_how_far_behind_it_is() {
        let now = Timestamp::from_seconds(1_795_435_200);
        let feed = NodeFeed { position: 40, age_ms: 1500, is_behind: true };
        let report = NodeReport {
            name: "mx1".to_owned(),
            feed: Some(feed),
            receipts_waiting: 7,
            last_mail: Some(now.minus(Duration::from_secs(300))),
            ..NodeReport::default()
        };
        let node = NodeRecord { report, unheard: Duration::from_secs(2) };
        let shown = lines(&node, Some(42), now);
        let of = |name: &str| shown.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        assert_eq!(
            of("changes"),
            "2 changes not seen; at 40, told by the directory 3 s ago, and gave no answer since"
        );
        assert_eq!((of("receipts"), of("last mail"), of("state")), ("7 wait", "5 min ago", "running"));
        assert_eq!(document(&node, Some(42))["changes_behind"], 2);
        assert_eq!(document(&node, None)["changes_behind"], Value::Null);
    }
}
