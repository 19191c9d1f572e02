//! `pigeon sieve`: checks scripts and tries them, without a configuration or a directory; and keeps those of accounts.

mod scripts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use pigeon_core::clock::Clock as _;
use pigeon_services::sieve::trial::{Trial, compile_octets};
use serde_json::{Value, json};

use super::Global;
use super::output::{Output, report, write_out};
use crate::clock::SystemClock;

/// The exit code of a command line that is wrong.
const MISUSED: u8 = 2;

/// The commands of `pigeon sieve`.
#[derive(Debug, Subcommand)]
pub enum SieveCommand {
    /// Check that scripts compile; says what is wrong with them, with lines
    #[command(after_long_help = "\
The exit status is 1 when a script does not compile.

Examples:
  pigeon sieve check main.sieve
  pigeon sieve check --json *.sieve")]
    Check {
        /// The scripts; - is standard input
        #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Run scripts on a message and print as JSON what would come of it; nothing is stored, sent or remembered
    #[command(after_long_help = "\
Options:
  --script FILE            a script to run; several run one after the other, as before, own and after
  --message FILE           the message, with CRLF line ends
  --envelope-from PATH     the reverse path without angle brackets; empty is the null sender
  --envelope-to PATH       the recipient
  --orig-to PATH           the recipient as the sender wrote it
  --auth-user NAME         who authenticated
  --include-personal DIR   where include :personal \"x\" finds x.sieve or x
  --include-global DIR     where include :global \"x\" finds it
  --mailbox NAME           a mailbox that exists besides the INBOX; . separates its levels; repeated
  --metadata \"MAILBOX<TAB>KEY<TAB>VALUE\"   an annotation; an empty MAILBOX is the server; repeated
  --config KEY=VALUE       a setting by the name that Pigeonhole gives it; unknown ones are ignored; repeated
  --compile-only           compile, do not run
  --json                   is always on

The exit status is 0 unless the command line is wrong, also when a script does not compile.

Example:
  pigeon sieve test --script main.sieve --message mail.eml \\
    --envelope-from bob@example.net --envelope-to ann@example.org --mailbox Lists")]
    Test {
        /// See below
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        options: Vec<String>,
    },
    /// Those about scripts of accounts.
    #[command(flatten)]
    Scripts(scripts::ScriptsCommand),
}

/// Runs a command of `pigeon sieve`.
pub(super) async fn run(global: &Global, command: SieveCommand) -> anyhow::Result<ExitCode> {
    match command {
        SieveCommand::Scripts(command) => scripts::run(global, command).await.map(|()| ExitCode::SUCCESS),
        SieveCommand::Check { files } => check(Output::new(global.json), &files),
        SieveCommand::Test { options } => Ok(test(&options)),
    }
}

/// The options, where the program was started as `pigeon sieve test`: it has options of the names of others, and
/// begins at once.
#[must_use]
pub fn is_asked_for(arguments: &[String]) -> Option<&[String]> {
    match arguments {
        [_, sieve, test, options @ ..] if sieve == "sieve" && test == "test" => {
            let is_help = options.iter().any(|option| option == "--help" || option == "-h");
            (!is_help).then_some(options)
        }
        _ => None,
    }
}

fn check(out: Output, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    let mut is_ok = true;
    for file in files {
        let compiled = compile_octets(&read(file)?);
        let (errors, warnings) = match compiled {
            Ok(program) => (Vec::new(), program.warnings),
            Err(errors) => (errors, Vec::new()),
        };
        is_ok &= errors.is_empty();
        let name = file.display();
        lines.extend(errors.iter().map(|error| format!("{name}:{}: {}", error.line, error.message)));
        lines.extend(
            warnings.iter().map(|warning| format!("{name}:{}: warning: {}", warning.line, warning.message)),
        );
        if errors.is_empty() {
            lines.push(format!("{name}: ok"));
        }
        let listed = |all: &[pigeon_services::sieve::ScriptError]| -> Vec<Value> {
            all.iter().map(|error| json!({ "line": error.line, "message": error.message })).collect()
        };
        rows.push(json!({
            "file": file, "ok": errors.is_empty(), "errors": listed(&errors), "warnings": listed(&warnings),
        }));
    }
    out.print(&json!({ "files": rows }), |to| lines.iter().try_for_each(|line| writeln!(to, "{line}")))?;
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut octets = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut octets)
            .context("standard input cannot be read")?;
        return Ok(octets);
    }
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Runs `pigeon sieve test` with these options.
#[must_use]
pub fn test(options: &[String]) -> ExitCode {
    let printed = trial(options).and_then(|trial| {
        let object = trial.run();
        write_out(|out| writeln!(out, "{object:#}"))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(MISUSED)
        }
    }
}

/// Reads the options.
fn trial(options: &[String]) -> anyhow::Result<Trial> {
    let mut read_options = Options::default();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let (name, inline) = match option.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (option.as_str(), None),
        };
        if matches!(name, "--compile-only" | "--json") {
            read_options.is_compiled_only |= name == "--compile-only";
            continue;
        }
        let value = inline.or_else(|| rest.next().cloned());
        let Some(value) = value else {
            bail!("{name} needs a value; pigeon sieve test --help lists the options")
        };
        read_options.take(name, value)?;
    }
    read_options.trial()
}

/// The options as they were given.
#[derive(Debug, Default)]
struct Options {
    scripts: Vec<PathBuf>,
    message: Option<PathBuf>,
    from: String,
    to: String,
    original_to: String,
    auth: String,
    personal: Option<PathBuf>,
    global: Option<PathBuf>,
    mailboxes: Vec<String>,
    annotations: Vec<(String, String, String)>,
    config: BTreeMap<String, String>,
    is_compiled_only: bool,
}

impl Options {
    fn take(&mut self, name: &str, value: String) -> anyhow::Result<()> {
        match name {
            "--script" => self.scripts.push(value.into()),
            "--message" => self.message = Some(value.into()),
            "--envelope-from" => self.from = value,
            "--envelope-to" => self.to = value,
            "--orig-to" => self.original_to = value,
            "--auth-user" => self.auth = value,
            "--include-personal" => self.personal = Some(value.into()),
            "--include-global" => self.global = Some(value.into()),
            "--mailbox" => self.mailboxes.push(value),
            "--metadata" => {
                let mut parts = value.splitn(3, '\t').map(str::to_owned);
                let (Some(mailbox), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next())
                else {
                    bail!(
                        "--metadata takes a mailbox, a key and a value with tabs between them, not {value:?}"
                    );
                };
                self.annotations.push((mailbox, key, value));
            }
            "--config" => {
                let Some((key, value)) = value.split_once('=') else {
                    bail!("--config takes KEY=VALUE, not {value:?}");
                };
                self.config.insert(key.trim().to_owned(), value.to_owned());
            }
            other => bail!("there is no option {other}; pigeon sieve test --help lists them"),
        }
        Ok(())
    }

    fn trial(self) -> anyhow::Result<Trial> {
        if self.scripts.is_empty() {
            bail!("there is no script to run: give --script FILE");
        }
        let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let scripts =
            self.scripts.iter().map(|path| Ok((name(path), read(path)?))).collect::<anyhow::Result<_>>()?;
        let message = match &self.message {
            Some(path) if !self.is_compiled_only => Some(read(path)?),
            None if !self.is_compiled_only => {
                bail!("there is no message: give --message FILE, or --compile-only")
            }
            _ => None,
        };
        let (personal, global) = (self.personal, self.global);
        Ok(Trial {
            scripts,
            message,
            from: self.from,
            to: self.to,
            original_to: self.original_to,
            auth: self.auth,
            find: Arc::new(move |is_global, name| {
                included(if is_global { global.as_deref()? } else { personal.as_deref()? }, name)
            }),
            mailboxes: self.mailboxes,
            annotations: self.annotations,
            config: self.config,
            now: SystemClock::default().now(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        })
    }
}

/// The script of that name in the directory; no name leads out of it.
fn included(directory: &Path, name: &str) -> Option<Vec<u8>> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return None;
    }
    let with_suffix = std::fs::read(directory.join(format!("{name}.sieve")));
    with_suffix.or_else(|_| std::fs::read(directory.join(name))).ok()
}
