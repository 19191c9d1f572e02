//! Rules about single files of code.

use super::{File, Finding};

/// Longest Rust file, in lines.
const MAX_LINES: usize = 500;

/// Rust files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words of unfinished work, in pieces: this file is checked too.
const UNFINISHED: &[(&str, &str)] = &[
    (
        concat!("TO", "DO"),
        "main holds finished work: do it, or open an issue and say in the code what is so today",
    ),
    (
        concat!("FIX", "ME"),
        "main holds finished work: mend it, or open an issue and say in the code what is so today",
    ),
    (concat!("dbg", "!("), "left over from debugging: remove it"),
    (concat!("to", "do!("), "main holds finished work: write it, or leave the feature out"),
    (concat!("unimpl", "emented!("), "main holds finished work: write it, or leave the feature out"),
    (concat!("for", " now"), "says that it will change, and not when: say what is so, and why"),
];

/// A test that is left out, in pieces; and what its reason must say.
const LEFT_OUT: (&str, &str) = (concat!("#[ig", "nore"), "started by");

/// Places that exist on one machine only, in pieces.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("../sha", "red")];

/// Checks one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = file.path.as_str();
    if path.ends_with(".rs") {
        findings.extend(shape(file));
    }
    let is_code = [".rs", ".sh", ".toml", ".py", ".c"].iter().any(|end| path.ends_with(end));
    let is_text = is_code || [".md", ".txt", ".yml", ".yaml"].iter().any(|end| path.ends_with(end));
    for (index, line) in file.text.lines().enumerate() {
        if is_code && let Some((word, why)) = UNFINISHED.iter().find(|(word, _)| has_word(line, word)) {
            findings.push(Finding::at(path, index, format!("{word}: {why}")));
        }
        if is_code && line.contains(LEFT_OUT.0) && !line.contains(LEFT_OUT.1) {
            let message = "nobody runs this test: print `SKIPPED: why` when it cannot run, or delete it; only a helper process of other tests may be left out, with the reason `started by …`";
            findings.push(Finding::at(path, index, message));
        }
        if is_text && let Some(place) = MACHINE_PATHS.iter().find(|place| names_place(line, place)) {
            let message = format!(
                "{place} exists on one machine only: use a path relative to the repository, or a temporary directory"
            );
            findings.push(Finding::at(path, index, message));
        }
    }
    findings
}

/// Whether the line has this word of unfinished work; plain English only counts in comments.
fn has_word(line: &str, word: &str) -> bool {
    let is_english = word.contains(' ');
    line.find(word)
        .is_some_and(|at| !is_english || line.get(..at).is_some_and(|before| before.contains("//")))
}

/// Rules about a Rust file as a whole.
fn shape(file: &File) -> Vec<Finding> {
    let path = file.path.as_str();
    let mut findings = Vec::new();
    if path.ends_with("/mod.rs") {
        findings.push(Finding::new(
            path,
            "a tab full of mod.rs tells nobody apart: name it after the module, x.rs beside x/",
        ));
    }
    if !file.text.starts_with("//!") {
        findings.push(Finding::new(
            path,
            "begin with `//!`: one sentence what the module is, then why it exists",
        ));
    }
    let lines = file.text.lines().count();
    if lines > MAX_LINES && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        let message = format!(
            "{lines} lines, more than {MAX_LINES}: nobody holds that in mind; split it by what its parts do"
        );
        findings.push(Finding::new(path, message));
    }
    findings
}

/// Whether the line has this absolute path, alone or as the beginning of a longer one.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + place.len()..).and_then(|text| text.chars().next());
        let is_start = before.is_none_or(|before| before.is_whitespace() || "\"'`=(:<[".contains(before));
        let is_end = after.is_none_or(|after| !(after.is_alphanumeric() || "-_.".contains(after)));
        is_start && is_end
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, lines};
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        lines(&check(&file(path, text)))
    }

    #[test]
    fn a_good_file_passes() {
        assert!(findings("src/a.rs", "//! What it is.\n\nfn main() {}\n").is_empty());
        assert!(findings("docs/a.md", "A list of things to do; forget now.\n").is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        for (word, _) in UNFINISHED {
            let found = findings("src/a.rs", &format!("//! What.\n// {word} x\n"));
            assert_eq!(found.len(), 1, "{word} {found:?}");
            assert!(found[0].starts_with("src/a.rs:2: "), "{found:?}");
        }
        let english = format!("//! What.\nlet text = \"unknown {}\";\n", concat!("for", " now"));
        assert!(findings("src/a.rs", &english).is_empty());
    }

    #[test]
    fn only_helper_processes_are_left_out() {
        let left_out = LEFT_OUT.0;
        assert_eq!(findings("src/a.rs", &format!("//! What.\n{left_out}]\n")).len(), 1);
        assert_eq!(findings("src/a.rs", &format!("//! What.\n{left_out} = \"slow\"]\n")).len(), 1);
        assert!(findings("src/a.rs", &format!("//! What.\n{left_out} = \"started by kills\"]\n")).is_empty());
    }

    #[test]
    fn a_file_has_a_heading_a_name_and_an_end() {
        assert_eq!(findings("src/a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(findings("src/x/mod.rs", "//! What.\n").len(), 1);
        let long = format!("//! What.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(findings("src/a.rs", &long).len(), 1);
        assert!(findings("src/a.txt", &long).is_empty());
    }

    #[test]
    fn machine_paths_are_found() {
        for (before, after) in [("cd ", "/main"), ("\"", "\""), ("`", "/x`"), ("HOME=", "")] {
            let found = findings("a.sh", &format!("{before}{}{after}\n", MACHINE_PATHS[0]));
            assert_eq!(found.len(), 1, "{before} {after}");
        }
        for (before, after) in [("run", "/x"), ("$run", ""), ("", "er"), ("https://example.org", "")] {
            let found = findings("a.sh", &format!("{before}{}{after}\n", MACHINE_PATHS[0]));
            assert!(found.is_empty(), "{before} {after}");
        }
    }
}
