//! Where the repository is, and how its commands run programs and speak.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The repository's top directory.
pub(crate) fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace.canonicalize().unwrap_or(workspace)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(target)
}

/// The cargo that started this program, in the top directory.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments).current_dir(root());
    command
}

/// Whether cargo has this subcommand here (`clippy`, `nextest`, `deny`).
pub(crate) fn has_cargo(subcommand: &str) -> bool {
    cargo([subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Whether the machine has this program, also where only root's path leads.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(name).is_file())
}

/// Runs a program with its output shown; whether it ended well.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<bool> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let line = match words.split_first() {
        Some((program, rest)) => {
            let name = Path::new(program.as_ref()).file_name().map(|name| name.to_string_lossy());
            format!("{} {}", name.as_ref().unwrap_or(program), rest.join(" "))
        }
        None => String::new(),
    };
    say(&format!("\n── {line}"))?;
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    Ok(status.success())
}

/// Prints a line.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// The text in this ANSI style (`1;31` is bold red) on a terminal, plain elsewhere.
pub(crate) fn styled(style: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}
