//! The repository's own rules, those that no compiler or lint knows. Each finding says why and what to do.

mod documents;
mod manifests;
mod sources;
mod walls;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::workspace::{cargo, root, say};
use crate::{TASKS, Task};

/// Directories that are not ours to judge: made by tools.
const SKIPPED_DIRECTORIES: [&str; 3] = ["target", ".git", "results"];

/// A text file of the repository.
#[derive(Debug)]
struct File {
    /// Its path from the top directory.
    path: String,
    text: String,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; none for the whole file.
    line: Option<usize>,
    /// What is wrong, why it matters, what to do.
    message: String,
}

impl Finding {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }

    /// `index` counts from 0, as `enumerate` does.
    fn at(path: &str, index: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(index + 1), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

/// Checks every rule and prints what is broken; whether nothing is.
///
/// # Errors
/// When the repository cannot be read.
pub(crate) fn run() -> anyhow::Result<bool> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let output = cargo(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata did not print JSON")?;

    let tasks: Vec<&str> = TASKS.iter().map(|Task { name, .. }| *name).collect();
    let mut findings = walls::check(&metadata);
    findings.extend(files.iter().flat_map(sources::check));
    findings.extend(manifests::check(&files));
    findings.extend(documents::check(&files, &tasks));
    for finding in &findings {
        say(&finding.to_string())?;
    }
    say(&match findings.len() {
        0 => format!("tidy: {} files follow the rules", files.len()),
        count => format!("tidy: {count} findings"),
    })?;
    Ok(findings.is_empty())
}

/// Reads the text files below a directory.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED_DIRECTORIES.contains(&name.as_str()) {
            collect(&entry.path(), &path, files)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            // What is not UTF-8 is no text of ours: sample mail with other bytes.
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file for the rules' tests.
    pub(super) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    /// The findings as a person reads them.
    pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_finding_says_where() {
        assert_eq!(Finding::at("a.rs", 0, "why").to_string(), "a.rs:1: why");
        assert_eq!(Finding::new("a.rs", "why").to_string(), "a.rs: why");
    }
}
