//! The reference pages, man pages and completions, made from the types that the program itself runs on.
//!
//! The same input gives the same bytes on every machine, so that a check can tell whether they are fresh.

mod cli;
mod config;
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
    for (name, page) in man_pages()? {
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

/// A man page for the program and for each of its commands.
fn man_pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    collect_man_pages(&command, &mut pages).context("a man page cannot be made")?;
    Ok(pages)
}

fn collect_man_pages(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).manual("PigeonDeliver").source("pigeon").date("");
    man.render(&mut page)?;
    pages.push((man.get_filename(), page));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect_man_pages(inner, pages)?;
    }
    Ok(())
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
        assert_eq!(man_pages().unwrap(), man_pages().unwrap());
    }

    #[test]
    fn every_command_has_a_man_page() {
        let names: Vec<String> = man_pages().unwrap().into_iter().map(|(name, _)| name).collect();
        for name in ["pigeon.1", "pigeon-settings-set.1", "pigeon-account-add.1", "pigeon-deliver.1"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("generate")));
    }
}
