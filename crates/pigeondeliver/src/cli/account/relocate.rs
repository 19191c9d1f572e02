//! `pigeon account move`: another node keeps the mailbox from now on, and mail goes on arriving meanwhile.
//!
//! Everything is copied, the account's `storage.node` is changed, and once every node knows of that, what came
//! meanwhile is copied, too. Only then the old mailbox is deleted. Killed at any moment, the command is run again.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pigeon_backends::mailstore::maildir::transfer::{Pass, Transfer};
use pigeon_backends::state::nodes::{HEARTBEAT, NodeRecord, NodeStatus};
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Change, Place};
use pigeon_core::plan::{BranchTarget, Planned};
use pigeon_core::setting::{Content, Pin, SettingName};
use serde_json::json;

use super::super::session::Session;
use crate::show;

/// How long deliveries may be under way that were planned before the change.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// How long nodes may take to hear of the change; a running one speaks every few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the old place is emptied again when something arrived there all the same.
const MAX_ROUNDS: usize = 10;

/// Arguments of `pigeon account move`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
For clusters whose nodes do not share their mail root. Run it on the node that keeps the mailbox now. The mail root of \
the other node must be reachable as a directory here: mount it by NFS or sshfs, and name it with --mail-root. Mail that \
arrives meanwhile is kept where it arrives and taken along. What was interrupted is finished by running it again.

Examples:
  pigeon account move ann@example.org --to mx2 --mail-root /mnt/mx2/mail
  pigeon account move ann@example.org --to mx2 --mail-root /mnt/mx2/mail --dry-run")]
pub struct MoveArgs {
    /// The account
    pub address: Address,
    /// The node that keeps the mailbox from now on (see: pigeon node list)
    #[arg(long, value_name = "NODE")]
    pub to: String,
    /// Where that node's mail root can be reached from here
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub mail_root: Option<PathBuf>,
    /// Only say what would be moved
    #[arg(long)]
    pub dry_run: bool,
    /// Leave the old mailbox where it is, under another name
    #[arg(long)]
    pub keep_old: bool,
}

/// Runs `pigeon account move`.
pub(super) async fn run(session: &Session, args: MoveArgs) -> anyhow::Result<()> {
    let journey = Journey::plan(session, args).await?;
    let mut transfer = Transfer::new(&journey.from, &journey.to);
    let (messages, octets) = transfer.measure().context("the mailbox cannot be read")?;
    let what = format!("{} ({})", show::count(messages, "message"), show::size(octets));
    if journey.args.dry_run {
        let (from, to) = (&journey.from, &journey.to);
        let document = json!({ "from": from, "to": to, "messages": messages, "octets": octets });
        return session.out.print(&document, |out| {
            writeln!(out, "would move {what} from {} to {}", from.display(), to.display())
        });
    }
    let bar = progress(session, octets);
    let mut total = journey.copy(&mut transfer, &bar)?;
    journey.switch(session).await?;
    journey.wait_for_nodes(session).await?;
    add(&mut total, journey.copy(&mut transfer, &bar)?);
    add(&mut total, journey.close(&mut transfer, &bar).await?);
    bar.finish_and_clear();
    let node = &journey.args.to;
    let document = json!({
        "account": journey.account.address, "node": node, "from": journey.from, "to": journey.to, "moved": total,
    });
    session.out.print(&document, |out| {
        let moved = show::count(total.messages, "message");
        writeln!(out, "{} is kept by {node} now: {moved} moved", journey.account.address)
    })
}

/// What goes where.
struct Journey {
    args: MoveArgs,
    account: Account,
    from: PathBuf,
    to: PathBuf,
}

impl Journey {
    async fn plan(session: &Session, args: MoveArgs) -> anyhow::Result<Self> {
        let account = session.account(&args.address).await?;
        let here = session.site.config.node_name();
        ensure!(args.to != here, "{} is this node: run this on the one that keeps the mailbox now", args.to);
        let home = home(session, &account.address).await?;
        // What was interrupted behind the change goes on: the account is the other node's already then.
        if let Some(home) = home.filter(|home| *home != here && *home != args.to) {
            bail!("{} is kept by the node {home}: run this there", account.address);
        }
        let nodes = session.site.state.nodes().await?;
        let target = nodes
            .iter()
            .find(|record| record.report.name == args.to)
            .with_context(|| format!("no node {} is registered: see \"pigeon node list\"", args.to))?;
        ensure!(
            target.status() == NodeStatus::Running,
            "the node {} does not run: start it first, or mail for {} would have to wait",
            args.to,
            account.address
        );
        let root = reachable_root(&args, target, &session.site.config.mail.root)?;
        let from = session.site.config.mail.root.join(&account.mailbox.0);
        let to = root.join(&account.mailbox.0);
        Ok(Self { args, account, from, to })
    }

    fn copy(&self, transfer: &mut Transfer, bar: &ProgressBar) -> anyhow::Result<Pass> {
        let pass = transfer.pass(&mut |octets| bar.inc(octets));
        pass.with_context(|| {
            format!("{} is not copied whole; nothing is lost, run the command again", self.from.display())
        })
    }

    /// From here on nodes hand its mail over to the new home.
    async fn switch(&self, session: &Session) -> anyhow::Result<()> {
        if home(session, &self.account.address).await?.as_deref() == Some(self.args.to.as_str()) {
            return Ok(());
        }
        let name = SettingName { service: "storage".to_owned(), key: "node".to_owned() };
        let change = Change::Set {
            place: Place::Account(self.account.address.clone()),
            name,
            content: Content::Value(json!(self.args.to)),
            pin: Pin::None,
            until: None,
            reason: None,
        };
        let applied = session.site.directory.apply(&session.actor, change).await?;
        if let Some(note) = applied.notes.first() {
            bail!("storage.node of {} cannot be changed: {note}", self.account.address);
        }
        Ok(())
    }

    /// Waits until every running node has spoken after the change, and answers mail by what it says now.
    ///
    /// A node without mail asks nothing: it hears of the change before it delivers the next one.
    async fn wait_for_nodes(&self, session: &Session) -> anyhow::Result<()> {
        let changed = std::time::Instant::now();
        let position = session.site.directory.feed(u64::MAX).await.map(|feed| feed.seq)?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let nodes = session.site.state.nodes().await?;
            let waiting: Vec<String> = nodes
                .iter()
                .filter(|record| record.status() == NodeStatus::Running)
                .filter(|record| !knows(record, position, changed.elapsed()))
                .map(|record| record.report.name.clone())
                .collect();
            if waiting.is_empty() {
                tokio::time::sleep(UNDER_WAY).await;
                return Ok(());
            }
            ensure!(
                changed.elapsed() < PATIENCE,
                "{} did not hear of the change within {} s: see \"pigeon node list\"; new mail goes to {} \
                 already, and running this command again takes the rest along",
                waiting.join(", "),
                PATIENCE.as_secs(),
                self.args.to
            );
        }
    }

    /// Takes the old mailbox away once everything in it is at the new place; also what an interrupted move left.
    async fn close(&self, transfer: &mut Transfer, bar: &ProgressBar) -> anyhow::Result<Pass> {
        let mut total = Pass::default();
        for _ in 0..MAX_ROUNDS {
            if self.from.is_dir() {
                // A delivery that has the directory open still ends in it, under whatever name.
                let aside = self.aside("moved");
                std::fs::rename(&self.from, &aside)
                    .with_context(|| format!("{} cannot be renamed", self.from.display()))?;
                tokio::time::sleep(UNDER_WAY / 5).await;
            }
            let left = self.left_aside()?;
            if left.is_empty() {
                return Ok(total);
            }
            for aside in left {
                transfer.source_is_now(&aside);
                add(&mut total, self.copy(transfer, bar)?);
                self.give_up(transfer, &aside)?;
            }
        }
        bail!("mail goes on arriving in {}: is there a node that is not registered?", self.from.display())
    }

    /// Deletes what is copied, and only that.
    fn give_up(&self, transfer: &Transfer, aside: &Path) -> anyhow::Result<()> {
        let missing = transfer.missing().context("the copies cannot be read")?;
        if let Some(first) = missing.first() {
            bail!(
                "{} in {} are not at {}, the first is {}: nothing is deleted, run the command again",
                show::count(missing.len() as u64, "message"),
                aside.display(),
                self.to.display(),
                first.display()
            );
        }
        let given_up = match self.args.keep_old {
            true => std::fs::rename(aside, self.aside("kept")),
            false => std::fs::remove_dir_all(aside),
        };
        given_up.with_context(|| format!("{} cannot be taken away; it is copied", aside.display()))
    }

    /// Names beside the mailbox begin with this; no account's does.
    fn prefix(&self, word: &str) -> String {
        let name = self.from.file_name().unwrap_or_default().to_string_lossy();
        format!(".{word}-{name}-{}-", self.account.id)
    }

    /// A free name beside the mailbox.
    fn aside(&self, word: &str) -> PathBuf {
        let mut number = 0_u64;
        loop {
            let path = self.from.with_file_name(format!("{}{number}", self.prefix(word)));
            if !path.exists() {
                return path;
            }
            number += 1;
        }
    }

    /// Mailboxes that were renamed and not yet taken away.
    fn left_aside(&self) -> anyhow::Result<Vec<PathBuf>> {
        let Some(parent) = self.from.parent().filter(|parent| parent.is_dir()) else { return Ok(Vec::new()) };
        let prefix = self.prefix("moved");
        let mut left = Vec::new();
        for entry in std::fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                left.push(entry.path());
            }
        }
        Ok(left)
    }
}

/// The node that keeps an account's mailbox by its settings; none where storage is shared.
async fn home(session: &Session, address: &Address) -> anyhow::Result<Option<String>> {
    session.site.agent.planner().forget();
    let planned = session.site.agent.planner().plan(address).await?;
    let Planned::Found(branches) = planned else { bail!("{address} receives no mail") };
    let own = branches.iter().find(
        |branch| matches!(&branch.to, BranchTarget::Account(account, _) if account.address.key() == address.key()),
    );
    Ok(own.and_then(|branch| branch.plan.storage.node.clone()))
}

/// Whether a node goes by the change: it has read it, or has spoken since and follows the directory.
fn knows(record: &NodeRecord, position: u64, since: Duration) -> bool {
    let spoke_since = record.unheard < since;
    match &record.report.feed {
        Some(feed) => feed.position >= position || (spoke_since && !feed.is_behind && since > HEARTBEAT),
        None => spoke_since,
    }
}

fn reachable_root(args: &MoveArgs, target: &NodeRecord, own: &Path) -> anyhow::Result<PathBuf> {
    let root = args.mail_root.clone().unwrap_or_else(|| PathBuf::from(&target.report.mail_root));
    let resolved = root.canonicalize().with_context(|| {
        format!(
            "the mail root {} of {} cannot be reached here: mount it, and name the place with --mail-root",
            root.display(),
            args.to
        )
    })?;
    ensure!(
        own.canonicalize().ok().as_ref() != Some(&resolved),
        "{} is this node's own mail root: with shared storage nothing has to be moved; else name the place where \
         the one of {} is mounted with --mail-root",
        resolved.display(),
        args.to
    );
    Ok(resolved)
}

fn add(total: &mut Pass, pass: Pass) {
    total.messages += pass.messages;
    total.octets += pass.octets;
    total.renamed += pass.renamed;
    total.deleted += pass.deleted;
}

/// A bar on a terminal; elsewhere nothing.
fn progress(session: &Session, octets: u64) -> ProgressBar {
    if session.out.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("moving {wide_bar} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(octets).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
