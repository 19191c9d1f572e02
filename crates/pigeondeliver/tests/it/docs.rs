//! The pages for administrators say what is so: their commands are commands, their configuration is what tests run.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use pigeondeliver::cli::Cli;
use pigeondeliver::config::Config;

/// A fenced block of a page.
struct Block {
    page: String,
    /// What stands behind the fence.
    info: String,
    lines: Vec<String>,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for entry in fs::read_dir(top().join("docs/admin")).unwrap() {
        let path = entry.unwrap().path();
        let page = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for (index, part) in text.split("```").enumerate().filter(|(index, _)| index % 2 == 1) {
            let (info, content) = part.split_once('\n').unwrap_or_else(|| panic!("{page}: fence {index}"));
            let lines = content.lines().map(str::to_owned).collect();
            blocks.push(Block { page: page.clone(), info: info.to_owned(), lines });
        }
    }
    blocks
}

/// The words of a shell command up to what the shell does with it.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match (index % 2, part) {
            (1, quoted) => words.push(quoted.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    let end = words.iter().position(|word| ["|", "<", ">", "#"].contains(&word.as_str()));
    words.truncate(end.unwrap_or(words.len()));
    words
}

#[test]
fn commands_are_commands() {
    let mut count = 0;
    for block in blocks() {
        let commands = block.lines.iter().filter_map(|line| {
            let line = line.rsplit_once(" | ").map_or(line.as_str(), |(_, after)| after);
            let line = line.strip_prefix("$ ").unwrap_or(line);
            line.starts_with("pigeon ").then(|| words(line))
        });
        for command in commands {
            let parsed = Cli::try_parse_from(&command);
            assert!(parsed.is_ok(), "{}: {command:?}: {}", block.page, parsed.unwrap_err());
            count += 1;
        }
    }
    assert!(count > 30, "{count}: are the pages read?");
}

#[test]
fn parts_of_the_configuration_are_right() {
    let parts: Vec<Block> = blocks().into_iter().filter(|block| block.info == "toml").collect();
    assert!(!parts.is_empty());
    for part in parts {
        let is_whole = part.lines.iter().any(|line| line.starts_with("directory ="));
        let before = if is_whole { "" } else { "directory = \"sqlite:/x\"\n" };
        let text = format!("{before}{}", part.lines.join("\n"));
        let config: Config = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", part.page));
        for listener in &config.lmtp {
            listener.listener().unwrap();
        }
    }
}

/// Whether a line of a template, with `@NAME@` for what differs, says this. Names that differ by the site are numbers and paths.
fn says(template: &str, line: &str) -> bool {
    let (template, line) = (collapsed(template), collapsed(line));
    let Some((start, rest)) = template.split_once('@') else { return template == line };
    let end = rest.rsplit_once('@').map_or("", |(_, end)| end);
    line.starts_with(start) && line.ends_with(end)
}

fn collapsed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn configuration_of_others_is_what_the_tests_run() {
    let mut count = 0;
    for block in blocks() {
        let Some(path) = block.info.strip_prefix("ini tested=") else { continue };
        let text = fs::read_to_string(top().join(path)).unwrap();
        for line in &block.lines {
            let is_run = text.lines().any(|template| says(template, line));
            assert!(is_run, "{}: no test runs {line:?} of {path}", block.page);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
    assert!(says("a = @X@/b", "a  = /c/b") && says("a =", "a = ") && !says("a = @X@/b", "a = /c"));
}

#[test]
fn the_unit_files_do_what_the_page_says() {
    let unit = |name: &str| fs::read_to_string(top().join("packaging/systemd").join(name)).unwrap();
    let service = unit("pigeondeliver.service");
    let command = service.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    assert!(Cli::try_parse_from(command.split(' ')).is_ok());
    for call in ["pidfd_getfd", "@system-service", "landlock_restrict_self", "seccomp"] {
        assert!(service.lines().any(|line| line.starts_with("SystemCallFilter=") && line.contains(call)));
    }
    assert!(unit("pigeondeliver.socket").lines().any(|line| line == "FileDescriptorName=lmtp"));
    let page = fs::read_to_string(top().join("docs/admin/install.md")).unwrap();
    assert!(page.contains("listen = \"inherited:lmtp\""));
}
