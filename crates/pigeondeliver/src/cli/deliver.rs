//! `pigeon deliver`: the Unix MDA interface. Nothing of the command-line library is loaded on this path.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use nix::unistd::geteuid;
use pigeon_frontends::pipe::{self, Arguments, Dialect, Ended};
use tokio::runtime::Builder;

use super::serve::become_user;
use crate::config::Config;
use crate::wiring::{self, OneShot};

/// The dialect and the arguments, where the program was started for a delivery: under the name of another
/// delivery agent, or as `pigeon deliver`.
#[must_use]
pub fn is_asked_for(arguments: &[String]) -> Option<(Dialect, Vec<String>)> {
    let (program, rest) = arguments.split_first()?;
    if let Some(dialect) = Dialect::of_program(program) {
        return Some((dialect, rest.to_vec()));
    }
    match rest.split_first() {
        Some((word, rest)) if word == "deliver" => Some((Dialect::Pigeon, rest.to_vec())),
        _ => None,
    }
}

/// Delivers the message on standard input; returns the process' exit code.
#[must_use]
pub fn run(dialect: Dialect, arguments: Vec<String>) -> ExitCode {
    // Whatever happens, the MTA must be able to try again: a panic is a temporary failure.
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("4.3.0 internal error, the message is kept by the mail server: {panic}"));
        std::process::exit(75);
    }));
    #[expect(clippy::disallowed_methods, reason = "MTAs hand the envelope over in the environment")]
    let environment = |name: &str| std::env::var(name).ok();
    let arguments = match Arguments::parse(dialect, arguments, &environment) {
        Ok(arguments) if arguments.is_help => {
            drop(std::io::stdout().write_all(pipe::HELP.as_bytes()));
            return ExitCode::SUCCESS;
        }
        Ok(arguments) => arguments,
        // A wrong command line is the administrator's to mend; no mail is lost by it.
        Err(error) => return ExitCode::from(end(&Ended::temporary(format!("4.3.5 {error}")))),
    };
    let ended = deliver(&arguments).unwrap_or_else(|error| Ended::temporary(format!("4.3.5 {error:#}")));
    ExitCode::from(end(&ended))
}

fn deliver(arguments: &Arguments) -> anyhow::Result<Ended> {
    let config = Config::load(arguments.config.as_deref().map(Path::new))?;
    // Started by root, what this process leaves in the State must be the server's to take up.
    let owner = if geteuid().is_root() { wiring::owner(&config)? } else { None };
    owner.map_or(Ok(()), become_user)?;
    let site = OneShot::open(&config)?;
    let pipe = pipe::Site {
        agent: Arc::clone(&site.agent),
        spool: Arc::clone(&site.spool),
        clock: Arc::clone(&site.clock),
        default_domain: config.default_domain(),
    };
    // Scanners and databases are behind sockets; which of them a message needs is known only on the way.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(pipe::deliver(&pipe, arguments, &mut std::io::stdin()));
    if !site.has_released() {
        // Nothing is left to do: closing everything in order would only cost time.
        std::process::exit(i32::from(end(&ended)));
    }
    runtime.block_on(site.finish());
    runtime.shutdown_background();
    Ok(ended)
}

/// Says what there is to say; returns the code to exit with.
fn end(ended: &Ended) -> u8 {
    if !ended.line.is_empty() {
        say(&ended.line);
    }
    ended.code as u8
}

fn say(line: &str) {
    // There is nobody to tell when standard error is closed.
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}
