//! A dry run of scripts on one message: what would be stored and sent, with nothing stored, sent or remembered.

mod config;
mod outcome;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pigeon_core::timestamp::Timestamp;
use serde_json::{Value, json};

use super::ScriptError;
use super::engine::{Origin, Question, Run, Script, World, run};
use super::mail::Mail;
use super::program::{Op, Program, compile};
use config::Config;

/// Finds the source of a script to include: global or personal, by name.
pub type Find = dyn Fn(bool, &str) -> Option<Vec<u8>> + Send + Sync;

/// What is tried.
pub struct Trial {
    /// The scripts' names and sources, in the order in which they run.
    pub scripts: Vec<(String, Vec<u8>)>,
    /// The message; nothing where scripts are only compiled.
    pub message: Option<Vec<u8>>,
    /// The reverse-path without angle brackets; may be malformed.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// The recipient as the sender wrote it; empty: the same.
    pub original_to: String,
    /// Who authenticated; empty: nobody.
    pub auth: String,
    /// Where included scripts are found.
    pub find: Arc<Find>,
    /// Mailboxes that exist besides the INBOX.
    pub mailboxes: Vec<String>,
    /// Annotations: mailbox (empty for the server), name, value.
    pub annotations: Vec<(String, String, String)>,
    /// Settings by the names that Pigeonhole gives them; unknown ones are ignored.
    pub config: BTreeMap<String, String>,
    /// The time.
    pub now: Timestamp,
    /// The name of this host.
    pub hostname: String,
}

impl fmt::Debug for Trial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.scripts.iter().map(|(name, _)| name.as_str()).collect();
        formatter.debug_struct("Trial").field("scripts", &names).finish_non_exhaustive()
    }
}

/// Compiles a source of any octets.
///
/// # Errors
/// What is wrong with it.
pub fn compile_octets(source: &[u8]) -> Result<Program, Vec<ScriptError>> {
    match std::str::from_utf8(source) {
        Ok(text) => compile(text),
        Err(error) => {
            let before = source.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(vec![ScriptError { line, message: "the script is not UTF-8 here".to_owned() }])
        }
    }
}

impl Trial {
    /// Runs it and says what came of it, as the object that `pigeon sieve test` prints.
    #[must_use]
    pub fn run(&self) -> Value {
        let config = Config::read(&self.config);
        let (mut scripts, mut errors, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for (name, source) in &self.scripts {
            match compile_octets(source) {
                Ok(program) => {
                    warnings.extend(program.warnings.iter().map(|warning| shown(name, warning)));
                    let mut walk =
                        Walk { trial: self, config: &config, count: 0, open: Vec::new(), errors: Vec::new() };
                    walk.program(&program);
                    errors.extend(walk.errors.iter().map(|error| shown(name, error)));
                    scripts.push(Script {
                        label: name.clone(),
                        origin: Origin::Personal,
                        program: Arc::new(program),
                    });
                }
                Err(found) => errors.extend(found.iter().map(|error| shown(name, error))),
            }
        }
        let compiled = json!({ "ok": errors.is_empty(), "errors": errors, "warnings": warnings });
        let bytes = self.message.as_deref().filter(|_| errors.is_empty());
        let Some(bytes) = bytes else { return not_run(&compiled, errors.is_empty()) };
        let mail = Arc::new(Mail::parse(bytes));
        let world = self.world(&config, &mail, bytes.len() as u64);
        let ran = self.answer_all(&scripts, &mail, world);
        outcome::describe(self, &config, &compiled, &ran, &mail)
    }

    /// Runs the scripts where nothing was ever seen before.
    fn answer_all(&self, scripts: &[Script], mail: &Arc<Mail>, mut world: World) -> (Run, World) {
        loop {
            match run(scripts, mail, &world) {
                Ok(run) => return (run, world),
                Err(Question::Folders) => world.folders = Some(self.mailboxes.clone()),
                Err(Question::Seen(key)) => {
                    world.seen.insert(key, false);
                }
            }
        }
    }

    fn world(&self, config: &Config, mail: &Mail, size: u64) -> World {
        let find = Arc::clone(&self.find);
        let original_to = if self.original_to.is_empty() { &self.to } else { &self.original_to };
        World {
            paths: super::engine::Paths {
                from: self.from.clone(),
                to: self.to.clone(),
                original_to: original_to.clone(),
                auth: self.auth.clone(),
            },
            own: config.user_email.clone().unwrap_or_default(),
            now: super::moment::Moment { seconds: self.now.micros().div_euclid(1_000_000), zone: 0 },
            size,
            delimiter: config.delimiter.clone(),
            environment: self.environment(),
            spam: config.spam.share(mail, false),
            spam_level: None,
            virus: config.virus.share(mail, true),
            lists: BTreeMap::new(),
            annotations: self.annotations.clone(),
            folders: Some(self.mailboxes.clone()),
            seen: BTreeMap::new(),
            protected: config.protected.clone(),
            limits: config.limits.clone(),
            includes: Arc::new(move |is_global, name, _| {
                compile_octets(&find(is_global, name)?).ok().map(Arc::new)
            }),
        }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let domain = self.hostname.split_once('.').map_or(self.hostname.as_str(), |(_, domain)| domain);
        let pairs = [
            ("name", "PigeonDeliver"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("location", "MDA"),
            ("phase", "during"),
            ("host", &self.hostname),
            ("domain", domain),
            ("vnd.dovecot.username", &self.to),
            ("vnd.dovecot.default-mailbox", "INBOX"),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn shown(script: &str, error: &ScriptError) -> Value {
    json!({ "line": error.line, "message": error.message, "script": script })
}

/// The object where nothing ran.
fn not_run(compiled: &Value, is_ok: bool) -> Value {
    let error = if is_ok { Value::Null } else { json!("the script does not compile") };
    json!({
        "compile": compiled,
        "run": null,
        "implicit_keep": false,
        "actions": [],
        "execute": { "ok": is_ok, "error": error, "errors": [] },
        "stored": [],
        "sent": [],
        "created": [],
    })
}

/// Follows includes before anything runs: what is missing, broken, circular or too deep is found at once.
struct Walk<'t> {
    trial: &'t Trial,
    config: &'t Config,
    count: usize,
    open: Vec<(bool, String)>,
    errors: Vec<ScriptError>,
}

impl Walk<'_> {
    fn program(&mut self, program: &Program) {
        if program.has("include") {
            self.ops(&program.commands);
        }
    }

    fn ops(&mut self, ops: &[Op]) {
        for op in ops {
            if op.name == "include" {
                self.include(op);
            }
            self.ops(&op.block);
        }
    }

    fn include(&mut self, op: &Op) {
        let Some(name) =
            op.positional.first().and_then(|value| value.texts().first()).map(|text| text.text.clone())
        else {
            return;
        };
        let key = (op.has("global"), name.clone());
        let mut refuse = |message: String| self.errors.push(ScriptError { line: op.line, message });
        if self.open.contains(&key) {
            refuse(format!("{name:?} includes itself"));
            return;
        }
        self.count += 1;
        if self.count > self.config.limits.includes {
            refuse("too many scripts are included".to_owned());
            return;
        }
        if self.open.len() >= self.config.limits.nesting {
            refuse(format!("{name:?} is included too deep"));
            return;
        }
        match (self.trial.find)(key.0, &name).map(|source| compile_octets(&source)) {
            None if op.has("optional") => {}
            None => refuse(format!("there is no script {name:?} to include")),
            Some(Err(errors)) => {
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                refuse(format!("{name:?} does not compile: {first}"));
            }
            Some(Ok(program)) => {
                self.open.push(key);
                let before = self.errors.len();
                self.program(&program);
                self.open.pop();
                for error in self.errors.iter_mut().skip(before) {
                    *error = ScriptError { line: op.line, message: format!("in {name:?}: {error}") };
                }
            }
        }
    }
}
