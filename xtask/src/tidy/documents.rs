//! Rules about what is written for people: commands and links in it exist, decisions are short and numbered.

use super::{File, Finding};

/// Longest decision record, in lines.
const MAX_DECISION_LINES: usize = 40;
const DECISIONS: &str = "docs/decisions/";
/// The generated page that names every command of the binary.
const COMMANDS: &str = "docs/reference/cli.md";

/// Checks the Markdown files among the files; `tasks` are the commands of xtask.
pub(super) fn check(files: &[File], tasks: &[&str]) -> Vec<Finding> {
    let reference = files.iter().find(|file| file.path == COMMANDS).map(|file| file.text.as_str());
    let mut findings = decisions(files);
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            findings.extend(
                commands(line, tasks, reference).map(|message| Finding::at(&file.path, index, message)),
            );
            findings.extend(
                links(line, &file.path, files).map(|message| Finding::at(&file.path, index, message)),
            );
        }
    }
    findings
}

/// What is wrong with the commands that a line names.
fn commands<'a>(
    line: &'a str,
    tasks: &'a [&str],
    reference: Option<&'a str>,
) -> impl Iterator<Item = String> + 'a {
    let of_xtask = words_after(line, "cargo xtask ")
        .filter(|word| !tasks.contains(word))
        .map(|word| format!("there is no `cargo xtask {word}`: name one of {}", tasks.join(", ")));
    let of_binary = ["`pigeon ", "$ pigeon ", "# pigeon ", "sudo pigeon ", "cargo run --release -- "]
        .into_iter()
        .flat_map(move |start| words_after(line, start))
        .chain(
            line.trim_start()
                .strip_prefix("pigeon ")
                .filter(|_| line.starts_with("    "))
                .and_then(first_word),
        )
        .filter(move |word| reference.is_some_and(|text| !text.contains(&format!("pigeon {word}"))))
        .map(|word| format!("there is no `pigeon {word}`: {COMMANDS} lists the commands"));
    of_xtask.chain(of_binary)
}

/// The command words (lower case, perhaps with `-`) that follow each `start` in the line.
fn words_after<'a>(line: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    line.split(start).skip(1).filter_map(first_word)
}

fn first_word(text: &str) -> Option<&str> {
    let end = text.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '-')).unwrap_or(text.len());
    let word = text.get(..end)?;
    word.starts_with(|letter: char| letter.is_ascii_lowercase()).then_some(word)
}

/// What is wrong with the links of a line to files of the repository.
fn links<'a>(line: &'a str, path: &'a str, files: &'a [File]) -> impl Iterator<Item = String> + 'a {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.contains('`'))
        .filter(move |target| {
            let place = resolve(path, target);
            !files.iter().any(|file| file.path == place || file.path.starts_with(&format!("{place}/")))
        })
        .map(|target| format!("the link {target} leads nowhere: mend it, or write the thing"))
}

/// The path from the top directory of a link in a file.
fn resolve(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Decision records: `NNN-title.md`, counted without gaps, short, with a title.
fn decisions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let records = files.iter().filter(|file| file.path.starts_with(DECISIONS) && file.path.ends_with(".md"));
    let records = records.filter(|file| !file.path.ends_with("/README.md"));
    for (index, file) in records.enumerate() {
        let number = format!("{DECISIONS}{:03}-", index + 1);
        if !file.path.starts_with(&number) {
            let message = format!(
                "decisions are counted without gaps, so that one is known by its number: rename it to {number}title.md"
            );
            findings.push(Finding::new(&file.path, message));
        }
        let lines = file.text.lines().count();
        if lines > MAX_DECISION_LINES {
            let message = format!(
                "{lines} lines, more than {MAX_DECISION_LINES}: keep context, choice, price, when to revisit"
            );
            findings.push(Finding::new(&file.path, message));
        }
        if !file.text.starts_with("# ") {
            findings.push(Finding::new(&file.path, "begin with its title: `# What was decided`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, lines};
    use super::*;

    fn findings(files: &[File]) -> Vec<String> {
        lines(&check(files, &["test", "check"]))
    }

    #[test]
    fn commands_exist() {
        let reference = || file(COMMANDS, "## pigeon explain\n## pigeon try\n");
        let good = "Run `cargo xtask test`, then `pigeon explain ADDRESS`.\n\n    cargo run --release -- try\n    pigeon try\n";
        assert!(findings(&[file("README.md", good), reference()]).is_empty());
        for bad in
            ["`cargo xtask tset`", "`pigeon explian x`", "    pigeon tyr", "cargo run --release -- tyr"]
        {
            assert_eq!(findings(&[file("README.md", bad), reference()]).len(), 1, "{bad}");
        }
        assert!(findings(&[file("README.md", "`cargo xtask COMMAND` and `pigeon explian`")]).is_empty());
    }

    #[test]
    fn links_lead_somewhere() {
        let text =
            "[a](docs/a.md), [b](docs/), [c](https://example.org/x), [d](#here), [e](docs/a.md#part)\n";
        assert!(findings(&[file("README.md", text), file("docs/a.md", "[up](../README.md)")]).is_empty());
        assert_eq!(findings(&[file("docs/a.md", "[up](README.md)"), file("README.md", "")]).len(), 1);
    }

    #[test]
    fn decisions_are_counted_and_short() {
        let record = |name: &str, text: &str| file(&format!("{DECISIONS}{name}"), text);
        assert!(findings(&[record("001-a.md", "# A\n"), record("002-b.md", "# B\n")]).is_empty());
        assert_eq!(findings(&[record("001-a.md", "# A\n"), record("003-b.md", "# B\n")]).len(), 1);
        assert_eq!(findings(&[record("001-a.md", "A\n")]).len(), 1);
        let long = format!("# A\n{}", "\n".repeat(MAX_DECISION_LINES));
        assert_eq!(findings(&[record("001-a.md", &long)]).len(), 1);
    }
}
