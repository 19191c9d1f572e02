//! The reference pages, man pages and completions, made from the types that the program itself runs on.
//!
//! The same input gives the same bytes on every machine, so that a check can tell whether they are fresh.

mod cli;
mod config;
mod man;
mod services;

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// What the reference pages begin with.
const MADE: &str =
    "<!-- Made by `cargo xtask docs` from the program's own types: change those, not this page. -->\n";
/// The shells that get completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes everything below a directory: `docs/reference`, `docs/man` and `docs/completions`.
///
/// # Errors
/// When something cannot be written.
pub fn generate(directory: &Path) -> anyhow::Result<()> {
    for (name, text) in pages() {
        write(&directory.join("docs/reference").join(name), text.as_bytes())?;
    }
    for (name, page) in man::pages()? {
        write(&directory.join("docs/man").join(name), &page)?;
    }
    for shell in SHELLS {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "pigeon", &mut script);
        write(&directory.join("docs/completions").join(completion_name(shell)), &script)?;
    }
    Ok(())
}

/// The reference pages, by name.
fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("cli.md", format!("{MADE}{}", cli::page())),
        ("config.md", format!("{MADE}{}", config::page())),
        ("services.md", format!("{MADE}{}", services::page())),
        ("pigeondeliver.toml", config::example()),
    ]
}

fn completion_name(shell: Shell) -> &'static str {
    match shell {
        Shell::Zsh => "_pigeon",
        Shell::Fish => "pigeon.fish",
        _ => "pigeon.bash",
    }
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    std::fs::write(path, content).with_context(failed)
}

/// A text inside of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_same_each_time() {
        assert_eq!(pages(), pages());
        assert_eq!(man::pages().unwrap(), man::pages().unwrap());
    }
}
