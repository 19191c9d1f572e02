//! `pigeon check`: the configuration and everything that it names, before a server is started.

mod managesieve;
mod probe;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use pigeon_backends::state::nodes::NodeStatus;
use pigeon_core::directory::Place;
use pigeon_core::plan::{Plan, Step};
use pigeon_core::ports::state::ReceiptQuery;
use pigeon_core::setting::Setting;
use serde::Serialize;
use serde_json::json;

use super::Global;
use super::node;
use super::output::Output;
use super::session::Session;
use crate::config::Config;
use crate::show::{Paper, Table, Tone, count};

/// The exit code for a configuration that is not right (sysexits `EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It is right.
    Ok,
    /// It is not right now; the server can be started, and loses nothing.
    Warning,
    /// It has to be mended first.
    Failed,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was checked.
    what: String,
    /// How it stands.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do, where it is not right.
    #[serde(skip_serializing_if = "String::is_empty")]
    to_do: String,
}

impl Finding {
    fn of(what: impl Into<String>, result: Result<String, Problem>) -> Self {
        let (verdict, found, to_do) = match result {
            Ok(found) => (Verdict::Ok, found, String::new()),
            Err(problem) => (problem.verdict, problem.found, problem.to_do),
        };
        Self { what: what.into(), verdict, found, to_do }
    }
}

/// What is not right, and what to do about it.
#[derive(Debug)]
struct Problem {
    verdict: Verdict,
    found: String,
    to_do: String,
}

impl Problem {
    fn new(found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, found: found.into(), to_do: to_do.into() }
    }

    /// One that passes by itself, or that nothing depends on.
    fn passing(found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, ..Self::new(found, to_do) }
    }
}

/// Runs `pigeon check`.
pub(super) async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let out = Output::new(global.json);
    let mut findings = Vec::new();
    let path = Config::path(global.config.as_deref());
    match Config::load(global.config.as_deref()) {
        Err(error) => {
            let problem = Problem::new(format!("{error:#}"), "mend the file; pigeon init makes a new one");
            findings.push(Finding::of("configuration", Err(problem)));
        }
        Ok(config) => {
            findings.push(Finding::of("configuration", Ok(path.display().to_string())));
            check_outside(&config, &mut findings).await;
            match Session::open(global).await {
                Ok(session) => check_inside(&session, &mut findings).await?,
                Err(error) => {
                    let to_do = "make an empty one with pigeon init, or mend the paths and permissions";
                    findings.push(Finding::of(
                        "directory and State",
                        Err(Problem::new(format!("{error:#}"), to_do)),
                    ));
                }
            }
        }
    }
    let is_ok = findings.iter().all(|finding| finding.verdict != Verdict::Failed);
    out.print(&json!({ "is_ok": is_ok, "checks": findings }), |to| write(to, out.paper, &findings))?;
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

/// What can be looked at without opening the directory.
async fn check_outside(config: &Config, findings: &mut Vec<Finding>) {
    findings.push(Finding::of("mail user", probe::mail_user(config)));
    if config.lmtp.is_empty() && config.managesieve.is_empty() {
        let problem = Problem::new(
            "there is none: pigeon serve has nothing to listen to",
            "add a [[lmtp]] section with listen = \"unix:/run/pigeondeliver/lmtp.sock\"",
        );
        findings.push(Finding::of("listener", Err(problem)));
    }
    for listener in &config.lmtp {
        findings.push(Finding::of(format!("listener {}", listener.listen), probe::listener(listener).await));
    }
    for listener in &config.managesieve {
        let what = format!("ManageSieve {}", listener.listen);
        findings.push(Finding::of(what, managesieve::probe(listener, config).await));
    }
    findings.push(Finding::of(format!("outbox {}", config.outbox.submit), probe::outbox(config).await));
}

/// What the opened site says about itself.
async fn check_inside(session: &Session, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let directory = match session.site.directory.count().await {
        Ok(entries) => Ok(format!("{}, {}", session.site.config.directory, count(entries, "entry"))),
        Err(error) => {
            Err(Problem::new(error.to_string(), "see that the database file is there and writable"))
        }
    };
    findings.push(Finding::of("directory", directory));
    let query = ReceiptQuery { limit: 1, ..ReceiptQuery::default() };
    let state = match session.site.state.receipts(&query).await {
        Ok(_) => Ok(session.site.state.place()),
        Err(error) => Err(Problem::new(error.to_string(), "see that the directory is there and writable")),
    };
    let is_there = state.is_ok();
    findings.push(Finding::of("State", state));
    if is_there {
        findings.push(Finding::of("nodes", nodes(session).await));
    }
    let root = session.site.config.mail.root.display().to_string();
    let mailstore = match session.site.mailstore.check().await {
        Ok(()) => probe::mail_root(&session.site.config).map(|()| root),
        Err(error) => {
            let to_do = format!("make {root} and give it to the mail user: chown -R USER {root}");
            Err(Problem::new(error.to_string(), to_do))
        }
    };
    findings.push(Finding::of("mail root", mailstore));
    check_settings(session, findings).await.context("the settings cannot be read")
}

/// Who else takes mail. A node that is lost is told and is no failure of this one, which must be able to start.
async fn nodes(session: &Session) -> Result<String, Problem> {
    let nodes = session.site.state.nodes().await;
    let nodes = nodes.map_err(|error| Problem::new(error.to_string(), "see that the database answers"))?;
    let of = |status: NodeStatus| nodes.iter().filter(move |node| node.status() == status);
    let running = count(of(NodeStatus::Running).count() as u64, "node");
    let lost: Vec<String> = of(NodeStatus::Lost)
        .map(|node| format!("{} (unheard for {})", node.report.name, node::age(node.unheard)))
        .collect();
    if lost.is_empty() {
        return Ok(format!("{running} running"));
    }
    Ok(format!(
        "{running} running; lost: {}. Start them again, or forget them with pigeon node remove",
        lost.join(", ")
    ))
}

/// Whether what is written at the outer layers can be read by the services, and whether mail ends anywhere.
async fn check_settings(session: &Session, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let system = session.site.directory.settings(&Place::System).await?;
    let plan = Plan::build(&system, &session.site.catalogue, session.now());
    findings.push(settings_finding(session, "settings of the system".to_owned(), &system, &plan));
    let mut steps: Vec<Step> = plan.steps().cloned().collect();
    for domain in session.domains(false).await? {
        let own = session.site.directory.settings(&Place::Domain(domain.name.clone())).await?;
        let all: Vec<Setting> = system.iter().chain(&own).cloned().collect();
        let plan = Plan::build(&all, &session.site.catalogue, session.now());
        findings.push(settings_finding(session, format!("settings of {}", domain.name), &own, &plan));
        let is_new = |step: &Step| steps.iter().all(|known| known.name != step.name);
        let new: Vec<Step> = plan.steps().filter(|step| is_new(step)).cloned().collect();
        steps.extend(new);
    }
    for step in steps {
        findings.extend(service_finding(&step).await);
    }
    Ok(())
}

/// Whether what a service needs at the site answers. A scanner that is down is no failure of this node, which loses
/// nothing without it.
async fn service_finding(step: &Step) -> Option<Finding> {
    let result = match step.probe().await {
        Ok(None) => return None,
        Ok(Some(found)) => Ok(found),
        Err(fault) => {
            let to_do = format!(
                "until then mail waits, or goes on without: pigeon service describe {} says what decides that",
                step.name
            );
            Err(Problem::passing(fault.explain(), to_do))
        }
    };
    Some(Finding::of(format!("service {}", step.name), result))
}

fn settings_finding(session: &Session, what: String, own: &[Setting], plan: &Plan) -> Finding {
    let catalogue = &session.site.catalogue;
    let mut problems: Vec<String> = own
        .iter()
        .filter_map(|setting| catalogue.validate(setting.layer, &setting.name, &setting.content).err())
        .collect();
    problems.extend(plan.steps().filter_map(Step::problem).map(str::to_owned));
    problems.dedup();
    if !problems.is_empty() {
        let to_do = "write them anew or take them away: pigeon settings set, pigeon settings unset";
        return Finding::of(what, Err(Problem::new(problems.join("; "), to_do)));
    }
    let contradictions =
        if own.is_empty() { Vec::new() } else { catalogue.contradictions(&plan.effective(catalogue)) };
    if !contradictions.is_empty() {
        let to_do = "no mail fails by it; write one of the two anew: pigeon settings set";
        return Finding::of(what, Err(Problem::passing(contradictions.join("; "), to_do)));
    }
    if !plan.steps().any(|step| step.name == "mailbox") {
        return Finding::of(
            what,
            Ok(format!(
                "{}; mailbox is off: accounts that do not enable it get no mail",
                count(own.len() as u64, "setting")
            )),
        );
    }
    Finding::of(what, Ok(count(own.len() as u64, "setting")))
}

fn write(out: &mut dyn Write, paper: Paper, findings: &[Finding]) -> io::Result<()> {
    let mut table = Table::new(paper, &[]);
    for finding in findings {
        let (sign, tone) = match finding.verdict {
            Verdict::Ok => ("✓ ok", Tone::Good),
            Verdict::Warning => ("! warning", Tone::Warn),
            Verdict::Failed => ("✗ failed", Tone::Bad),
        };
        let to_do = if finding.to_do.is_empty() { String::new() } else { format!("\n→ {}", finding.to_do) };
        let found = format!("{}{to_do}", finding.found);
        table.row([(sign, tone), (finding.what.as_str(), Tone::Strong), (found.as_str(), Tone::Plain)]);
    }
    table.write(out)?;
    let of = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count() as u64;
    match (of(Verdict::Failed), of(Verdict::Warning)) {
        (0, 0) => writeln!(out, "\nAll is well."),
        (0, warnings) => {
            writeln!(out, "\nThe server can be started, with {}: see →.", count(warnings, "warning"))
        }
        (failed, _) => writeln!(out, "\n{} failed: mend what is marked with →.", count(failed, "check")),
    }
}
