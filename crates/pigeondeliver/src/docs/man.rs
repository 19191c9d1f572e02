//! The man pages: one for the program, and one for each command with all that is below it.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::Cli;

/// The pages, by file name.
pub(super) fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![page(&root, false)];
    pages.extend(visible(&root).map(|command| page(command, true)));
    pages.into_iter().collect::<io::Result<_>>().context("a man page cannot be made")
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set())
}

fn man(command: Command) -> Man {
    Man::new(command).manual("PigeonDeliver").source("pigeon").date("")
}

fn page(command: &Command, is_whole: bool) -> io::Result<(String, Vec<u8>)> {
    let man = man(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if is_whole {
        for inner in visible(command) {
            below(&mut text, inner)?;
        }
    } else {
        man.render_subcommands_section(&mut text)?;
    }
    notes(&mut text, &man, command, ".SH NOTES")?;
    Ok((man.get_filename(), text))
}

/// The section about a command inside of another one's page.
fn below(text: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    // The options of every command stand once, in the page's own section.
    let own = command.clone().mut_args(|argument| {
        let is_hidden = argument.is_global_set() || argument.get_id() == "help";
        argument.hide(is_hidden)
    });
    let man = man(own);
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section)?;
    man.render_description_section(&mut section)?;
    let has_options =
        command.get_arguments().any(|argument| !argument.is_global_set() && argument.get_id() != "help");
    if has_options {
        man.render_options_section(&mut section)?;
    }
    writeln!(text, ".SH \"{}\"", name.to_uppercase())?;
    for line in String::from_utf8_lossy(&section).lines() {
        match line.strip_prefix(".SH ") {
            Some("SYNOPSIS") => {}
            Some("DESCRIPTION") => writeln!(text, ".PP")?,
            Some(heading) => writeln!(text, ".SS {heading}")?,
            None => writeln!(text, "{line}")?,
        }
    }
    notes(text, &man, command, ".SS NOTES")?;
    visible(command).try_for_each(|inner| below(text, inner))
}

/// The examples, with their line ends kept.
fn notes(text: &mut Vec<u8>, man: &Man, command: &Command, heading: &str) -> io::Result<()> {
    if command.get_after_long_help().is_none() {
        return Ok(());
    }
    let mut section = Vec::new();
    man.render_extra_section(&mut section)?;
    let section = String::from_utf8_lossy(&section).replace(".SH EXTRA", &format!("{heading}\n.nf"));
    writeln!(text, "{}\n.fi", section.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_page() {
        let pages = pages().unwrap();
        let check = |name: &str, expect: &str| {
            let (_, page) =
                pages.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
            let page = String::from_utf8(page.clone()).unwrap();
            assert!(page.contains(expect), "{expect} is not in {name}: {page}");
        };
        check("pigeon.1", "pigeon\\-settings(1)");
        check("pigeon-settings.1", ".SH \"PIGEON SETTINGS SET\"");
        check("pigeon-domain.1", ".SH \"PIGEON DOMAIN ALIAS ADD\"");
        check("pigeon-account.1", "--password".replace('-', "\\-").as_str());
        check("pigeon-deliver.1", "Exit status: 0 done");
        assert!(!pages.iter().any(|(name, _)| name.contains("generate")));
    }
}
