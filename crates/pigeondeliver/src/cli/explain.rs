//! `pigeon explain`: what would happen to the mail of an address, and why; nothing is touched.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use pigeon_core::address::{Address, ReversePath};
use pigeon_core::envelope::{Envelope, MailParameters, Named, Transaction};
use pigeon_core::message::Message;
use pigeon_core::plan::{Branch, BranchTarget, Planned, Step};
use pigeon_core::receipt::Receipt;
use pigeon_core::resolve::EffectiveSettings;
use pigeon_core::service::{Catalogue, Handling, OnFault};
use serde_json::{Value, json};

use super::Global;
use super::service::descriptors;
use super::session::Session;
use crate::show::{Paper, Table, Tone, receipt, receipt_json};

/// Arguments of `pigeon explain`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without a message: the services that mail for ADDRESS walks through, and who set what.
With one: a dry run. Nothing is stored, sent or remembered. The exit status is 1 when the message
would not be accepted.

Examples:
  pigeon explain ann@example.org
  pigeon explain sales@example.org --message mail.eml --from bob@example.net
  cat mail.eml | pigeon explain ann@example.org --message -")]
pub struct ExplainArgs {
    /// The recipient's address
    pub address: Address,
    /// Walk this message through the plan; - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub message: Option<PathBuf>,
    /// The sender of the message; <> is the null sender
    #[arg(long, value_name = "SENDER", default_value = "sender@example.net", value_parser = sender)]
    pub from: ReversePath,
}

fn sender(text: &str) -> Result<ReversePath, String> {
    ReversePath::parse(text).map_err(|error| error.to_string())
}

/// Runs `pigeon explain`.
pub(super) async fn run(global: &Global, args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let session = Session::open(global).await?;
    let planned = session.site.agent.planner().plan(&args.address).await?;
    let branches = match &planned {
        Planned::Found(branches) => Arc::clone(branches),
        Planned::Broken(why) => {
            return refused(&session, &args.address, &format!("its alias is broken: {why}"));
        }
        Planned::Nobody { is_our_domain: true } => {
            return refused(
                &session,
                &args.address,
                "nobody has this address: mail for it is refused (550 5.1.1)",
            );
        }
        Planned::Nobody { is_our_domain: false } => {
            let domain = args.address.domain();
            let why =
                format!("{domain} is not one of the domains here: add it with pigeon domain add {domain}");
            return refused(&session, &args.address, &why);
        }
    };
    match &args.message {
        None => plan(&session, &args.address, &branches).map(|()| ExitCode::SUCCESS),
        Some(path) => rehearse(&session, &args, path).await,
    }
}

/// Says why there is no plan.
fn refused(session: &Session, address: &Address, why: &str) -> anyhow::Result<ExitCode> {
    let document = json!({ "address": address, "problem": why, "branches": [] });
    session.out.print(&document, |out| writeln!(out, "{address}: {why}"))?;
    Ok(ExitCode::FAILURE)
}

fn plan(session: &Session, address: &Address, branches: &[Branch]) -> anyhow::Result<()> {
    let shown: Vec<Value> =
        branches.iter().map(|branch| branch_json(&session.site.catalogue, branch)).collect();
    session.out.print(&json!({ "address": address, "branches": shown }), |out| {
        for branch in branches {
            branch_text((&mut *out, session.out.paper), &session.site.catalogue, address, branch)?;
        }
        writeln!(out, "Every setting: pigeon settings {address}   A dry run: --message FILE")
    })
}

async fn rehearse(session: &Session, args: &ExplainArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let message = Arc::new(Message::from_bytes(read(path)?));
    let parameters =
        MailParameters { size: Some(message.size()), is_smtputf8: true, ..MailParameters::default() };
    let transaction = Arc::new(Transaction {
        id: "explain".to_owned(),
        sender: args.from.clone(),
        parameters,
        ..Transaction::default()
    });
    let named = Named { address: args.address.clone(), original: None };
    let agent = &session.site.agent;
    let recipient = match agent.plan(named, &transaction).await {
        Ok(recipient) => recipient,
        Err(reply) => return refused(session, &args.address, &reply.to_string()),
    };
    let envelope = Envelope { transaction, recipients: vec![recipient] };
    let receipts = agent.rehearse(&envelope, message).await;
    let shown: Vec<Value> = receipts.iter().map(|receipt| receipt_json(receipt)).collect();
    session.out.print(&json!({ "address": args.address, "receipts": shown }), |out| {
        receipts.iter().try_for_each(|one| receipt(out, one, session.out.paper))
    })?;
    let is_accepted = |receipt: &Arc<Receipt>| receipt.outcome.is_success();
    Ok(if receipts.iter().all(is_accepted) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The message with the line ends that messages have inside.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("the message cannot be read from standard input")?;
    } else {
        bytes =
            std::fs::read(path).with_context(|| format!("the message {} cannot be read", path.display()))?;
    }
    let mut lines = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines.extend_from_slice(line.strip_suffix(b"\r\n").unwrap_or(line));
        if line.ends_with(b"\r\n") {
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// The settings of a step that somebody wrote, as `key=value (layer)`.
fn written(effective: &EffectiveSettings, service: &str) -> Vec<String> {
    let entries = effective.entries(service).filter(|(_, held)| held.value.is_some());
    entries
        .map(|(name, held)| {
            let value = held.value.as_ref().map(crate::show::value).unwrap_or_default();
            format!("{}={value} ({})", name.key, held.origin())
        })
        .collect()
}

fn branch_text(
    (out, paper): (&mut dyn Write, Paper),
    catalogue: &Catalogue,
    address: &Address,
    branch: &Branch,
) -> io::Result<()> {
    writeln!(out, "{}", title(address, branch))?;
    let mut table = Table::new(paper, &["STAGE", "SERVICE", "SETTINGS (all others: default)"]).indented(2);
    let effective = branch.plan.effective(catalogue);
    for step in branch.plan.steps() {
        let mut settings = written(&effective, step.name);
        settings.extend(unusual(&step.handling));
        let (settings, tone) = match step.problem() {
            Some(problem) => (format!("cannot run: {problem}"), Tone::Bad),
            None => (settings.join("; "), Tone::Plain),
        };
        table.row([
            (step.stage.to_string().as_str(), Tone::Dim),
            (step.name, Tone::Strong),
            (&settings, tone),
        ]);
    }
    if table.is_empty() && matches!(branch.to, BranchTarget::Account(..)) {
        writeln!(
            out,
            "  no service is enabled: mail waits at the mail server. Enable one: \
             pigeon settings set --system mailbox.enabled=yes"
        )?;
    }
    table.write(out)?;
    let enabled: Vec<&str> = branch.plan.steps().map(|step| step.name).collect();
    let services = descriptors().into_iter().filter(|descriptor| descriptor.stage.is_some());
    let off: Vec<&str> =
        services.map(|descriptor| descriptor.name).filter(|name| !enabled.contains(name)).collect();
    if !off.is_empty() && matches!(branch.to, BranchTarget::Account(..)) {
        writeln!(out, "  off: {}", off.join(", "))?;
    }
    writeln!(out)
}

/// Who the branch leads to, and on which way.
fn title(address: &Address, branch: &Branch) -> String {
    let mut text = address.to_string();
    for alias in branch.via.iter().skip(1) {
        text.extend([format!(" → {alias}")]);
    }
    match &branch.to {
        BranchTarget::External(to, _) => text.extend([format!(" → {to}, an address elsewhere")]),
        BranchTarget::Account(account, detail) => {
            if account.address != *address {
                text.extend([format!(" → {}", account.address)]);
            }
            if let Some(detail) = detail {
                text.extend([format!(", sub-address {detail}")]);
            }
            text.extend([format!("   mailbox {}", account.mailbox.0)]);
            if account.status != pigeon_core::directory::Status::Active {
                text.extend([format!("   {}: its mail waits at the mail server", account.status)]);
            }
        }
    }
    text
}

/// What the core does with a step, where it differs from the default.
fn unusual(handling: &Handling) -> Option<String> {
    (handling.on_fault == OnFault::Skip).then(|| "a fault lets the mail go on".to_owned())
}

fn branch_json(catalogue: &Catalogue, branch: &Branch) -> Value {
    let effective = branch.plan.effective(catalogue);
    let step = |step: &Step| {
        json!({
            "service": step.name,
            "stage": step.stage,
            "handling": step.handling,
            "settings": written(&effective, step.name),
            "problem": step.problem(),
        })
    };
    let (kind, detail) = match &branch.to {
        BranchTarget::Account(_, detail) => ("account", detail.clone()),
        BranchTarget::External(..) => ("external", None),
    };
    json!({
        "target": branch.address(),
        "kind": kind,
        "detail": detail,
        "via": branch.via.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "steps": branch.plan.steps().map(step).collect::<Vec<_>>(),
    })
}
