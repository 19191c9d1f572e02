//! Runs programs over messages: the way to everything that no service here can do.
//!
//! Which programs there are, and within which limits they run, is the site's configuration; people choose among their
//! names. `program.rs` is that configuration, `run.rs` starts a program and talks to it, `sandbox.rs` is what the
//! started process does to itself before it becomes the program.

mod program;
mod run;
pub mod sandbox;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::message::Message;
use pigeon_core::outcome::Next;
use pigeon_core::ports::spool::Spool;
use pigeon_core::service::{Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use program::{Action, Output, Program};
use run::Ran;

/// How many programs may run over one message.
const MAX_RUNS: usize = 5;
/// How much of what a program says goes into the receipt, in characters.
const SHOWN_LETTERS: usize = 200;

/// Runs programs over every message: each gets the message on its standard input, and its exit code decides.
///
/// The programs are set up by the system administrator (`command.programs`); what they print may replace the message or
/// add header fields, for this recipient alone. They run without privileges, within limits of time, memory and output,
/// and see no file but those of the system. What happens when a program fails says `command.on_fault`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The names of the programs to run, one after the other, five at most, like `["mark"]`. Each sees the message as the one
    /// before left it. Empty (the default): none.
    pub run: Vec<String>,
}

/// What happens on kernels that cannot confine a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// It runs with what there is, and the log says what is missing.
    #[default]
    BestEffort,
    /// It does not run.
    Required,
}

/// Which programs there are, and how they are confined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The programs by name: `{"mark": {"path": "/usr/local/bin/mark", "output": "header"}}`. docs/admin/command.md says what
    /// can be set for each.
    #[serde(deserialize_with = "read_programs")]
    pub programs: BTreeMap<String, Program>,
    /// The user and group, by number, that programs run as when PigeonDeliver itself runs as root. Otherwise they run as the
    /// mail user.
    pub run_as: RunAs,
    /// Whether programs run on kernels without Landlock or seccomp: `best_effort` (the default, with a warning in the log) or
    /// `required` (they do not).
    pub confinement: Confinement,
    /// Where each run gets a directory of its own, the only place that the program may write to. It is deleted afterwards.
    pub scratch: PathBuf,
    /// The program file `pigeon`, which confines itself before it becomes the program. Empty (the default): the file that
    /// is running.
    pub helper: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            programs: BTreeMap::new(),
            run_as: RunAs(65534, 65534),
            confinement: Confinement::BestEffort,
            scratch: PathBuf::from("/tmp"),
            helper: PathBuf::new(),
        }
    }
}

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAs(pub u32, pub u32);

fn read_programs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Program>, D::Error> {
    let programs = BTreeMap::<String, Program>::deserialize(deserializer)?;
    for (name, program) in &programs {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_letter) {
            let what = format!("{name:?} is no name of a program: write lower-case letters, digits and _");
            return Err(serde::de::Error::custom(what));
        }
        program.check().map_err(|why| serde::de::Error::custom(format!("{name}: {why}")))?;
    }
    Ok(programs)
}

/// The service.
pub struct Command {
    config: Config,
    spool: Arc<dyn Spool>,
}

impl Service for Command {
    const NAME: &'static str = "command";
    const STAGE: Stage = Stage::Inspect;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { config, spool: Arc::clone(&tools.spool) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.run.len() > MAX_RUNS {
            return Err(format!("run may list at most {MAX_RUNS} programs"));
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.decided_by("run");
        if settings.run.is_empty() {
            delivery.reason("there is no program to run");
        }
        for name in &settings.run {
            let Some(program) = self.config.programs.get(name) else {
                let known: Vec<&str> = self.config.programs.keys().map(String::as_str).collect();
                let what = format!("there is no program {name:?} in command.programs: {}", known.join(", "));
                return Err(Fault::temporary(what));
            };
            let ran = run::run(&self.config, &self.spool, (name, program), delivery).await?;
            let next = conclude(delivery, (name, program), ran)?;
            if next != Next::Continue {
                return Ok(next);
            }
        }
        Ok(Next::Continue)
    }
}

/// What follows from how a program ended.
fn conclude(delivery: &mut Delivery, (name, program): (&str, &Program), ran: Ran) -> Result<Next, Fault> {
    let said: String = ran.said.lines().next().unwrap_or_default().chars().take(SHOWN_LETTERS).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let Some(code) = ran.code else {
        return Err(Fault::temporary(format!("{name} was ended by signal {}{said}", ran.signal)));
    };
    delivery.set_fact(&format!("command.{name}"), Value::from(code));
    let Some(action) = program.action(code) else {
        return Err(Fault::temporary(format!("{name} ended with exit code {code}{said}")));
    };
    delivery.reason(format!("{name} ended with {code}{said}"));
    // RFC 3463 §3.8: X.7.1, delivery not authorized, message refused.
    match action {
        Action::Continue => take_output(delivery, (name, program), ran.output).map(|()| Next::Continue),
        Action::Discard => Ok(Next::Discard(format!("{name} discards it"))),
        Action::Reject => Ok(Next::Reject(Reply::new(550, (5, 7, 1), "The message was refused"))),
        Action::Defer => {
            Ok(Next::Reject(Reply::new(451, (4, 7, 1), "The message cannot be taken now, try again later")))
        }
    }
}

fn take_output(
    delivery: &mut Delivery,
    (name, program): (&str, &Program),
    output: Option<Message>,
) -> Result<(), Fault> {
    let Some(output) = output.filter(|_| program.output != Output::Ignore) else { return Ok(()) };
    if output.size() == 0 {
        return match program.output {
            Output::Message if !program.empty_is_unchanged => {
                Err(Fault::temporary(format!("{name} printed nothing where the message belongs")))
            }
            _ => Ok(()),
        };
    }
    // What is no field at the top is an error text or a body, and no message.
    if output.fields().next().is_none_or(|field| !output.head().starts_with(field.raw)) {
        return Err(Fault::temporary(format!("{name} printed something that begins with no header field")));
    }
    if program.output == Output::Message {
        delivery.reason("it replaced the message");
        // What was edited so far is in what the program got.
        *delivery.header() = pigeon_core::headers::HeaderEdits::new();
        delivery.replace_message(Arc::new(output));
        return Ok(());
    }
    let fields: Vec<(String, String)> = output
        .fields()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.raw_value).trim().to_owned()))
        .collect();
    delivery.reason(format!("it added {} header fields", fields.len()));
    for (name, value) in fields {
        delivery.header().append(&name, &value);
    }
    Ok(())
}
