//! `docs/reference/cli.md`: every command with its help.

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;

/// The page.
pub(super) fn page() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut text = String::from("# Commands\n");
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    text.extend([format!(
        "\n{about}\n\nExit status: 0 done, 1 failed, 2 wrong usage, 78 from `pigeon check` "
    )]);
    text.push_str("when something is not right; `pigeon deliver` has its own.\n\n");
    contents(&mut text, &root, "pigeon", 0);
    text.push_str("\n## Options of every command\n\n");
    for argument in root.get_arguments().filter(|argument| argument.is_global_set() && is_ours(argument)) {
        option(&mut text, argument);
    }
    for command in visible(&root) {
        section(&mut text, command, &format!("pigeon {}", command.get_name()), 2);
    }
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set())
}

/// `--help` and `--version` need no explanation.
fn is_ours(argument: &Arg) -> bool {
    !matches!(argument.get_id().as_str(), "help" | "version")
}

fn contents(text: &mut String, command: &Command, name: &str, depth: usize) {
    for inner in visible(command) {
        let name = format!("{name} {}", inner.get_name());
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        let indent = "  ".repeat(depth);
        text.extend([format!("{indent}- [`{name}`](#{}): {about}\n", name.replace(' ', "-"))]);
        contents(text, inner, &name, depth + 1);
    }
}

fn section(text: &mut String, command: &Command, name: &str, level: usize) {
    let hashes = "#".repeat(level.min(4));
    text.extend([format!("\n{hashes} {name}\n\n")]);
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    text.extend([format!("{about}\n")]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    text.extend([format!("\n```text\n{}\n```\n", tidy_lines(usage))]);
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && !argument.is_hide_set() && is_ours(argument))
        .collect();
    if !arguments.is_empty() {
        text.push('\n');
    }
    for argument in arguments {
        option(text, argument);
    }
    if let Some(after) = command.get_after_long_help() {
        text.extend([format!("\n```text\n{}\n```\n", tidy_lines(&after.to_string()))]);
    }
    for inner in visible(command) {
        section(text, inner, &format!("{name} {}", inner.get_name()), level + 1);
    }
}

/// Usage lines may be continued far to the right; here each begins at the left.
fn tidy_lines(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn option(text: &mut String, argument: &Arg) {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let mut help = help.map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !argument.is_hide_default_value_set() && argument.get_action().takes_values() {
        help.extend([format!(" [default: {}]", defaults.join(" "))]);
    }
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && argument.get_action().takes_values())
        .map(|value| value.get_name().to_owned())
        .collect();
    if !choices.is_empty() {
        help.extend([format!(" (one of {})", choices.join(", "))]);
    }
    text.extend([format!("- `{}`: {}\n", argument.to_string().trim(), help.replace('\n', " "))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_on_the_page() {
        let page = page();
        for expect in [
            "## pigeon settings\n",
            "### pigeon settings set\n",
            "#### pigeon domain alias add\n",
            "`--pin",
            "`--config <FILE>`",
            "one of domain, system",
            "pigeon settings describe vacation",
        ] {
            assert!(page.contains(expect), "{expect} is missing");
        }
        assert!(!page.contains("generate"));
        assert_eq!(page.matches("`--config <FILE>`").count(), 1);
    }
}
