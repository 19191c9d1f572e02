//! A copy of the repository with a few changes. Files that are right already are left alone, so that a second copy to
//! the same place is built quickly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::guide::Edit;

/// What a build does not need, or makes itself.
const SKIPPED: [&str; 3] = ["target", ".git", "results"];

/// The files of a repository, by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Makes `to` a copy of the repository `from` with the edits.
///
/// # Errors
/// When a file cannot be read or written, or an edit does not fit the files.
pub(super) fn mirror(from: &Path, to: &Path, edits: &[Edit]) -> anyhow::Result<()> {
    let mut files = Files::new();
    read(from, "", &mut files)?;
    for edit in edits {
        apply(edit, &mut files)?;
    }
    let mut old = Files::new();
    if to.exists() {
        read(to, "", &mut old)?;
    }
    for path in old.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(to.join(path)).with_context(|| path.clone())?;
    }
    for (path, content) in files.iter().filter(|(path, content)| old.get(*path) != Some(content)) {
        let place = to.join(path);
        fs::create_dir_all(place.parent().unwrap_or(to)).with_context(|| path.clone())?;
        fs::write(&place, content).with_context(|| path.clone())?;
    }
    Ok(())
}

fn read(directory: &Path, prefix: &str, files: &mut Files) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            read(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            files.insert(path, fs::read(entry.path()).with_context(|| entry.path().display().to_string())?);
        }
    }
    Ok(())
}

fn apply(edit: &Edit, files: &mut Files) -> anyhow::Result<()> {
    match edit {
        Edit::File { path, text } => {
            let old = files.insert(path.clone(), text.clone().into_bytes());
            ensure!(old.is_none(), "{path} exists already");
        }
        Edit::Line { path, below, line } => {
            let content = files.get_mut(path).with_context(|| format!("there is no {path}"))?;
            let text = String::from_utf8_lossy(content).into_owned();
            *content = with_line(&text, below.as_deref(), line)
                .with_context(|| format!("{path} has no line {below:?}"))?
                .into_bytes();
        }
    }
    Ok(())
}

/// The text with one more line below the first that says `below`, or at its end.
fn with_line(text: &str, below: Option<&str>, line: &str) -> Option<String> {
    let Some(below) = below else { return Some(format!("{text}{line}\n")) };
    let mut lines: Vec<&str> = text.lines().collect();
    let index = lines.iter().position(|line| line.trim() == below)?;
    lines.insert(index + 1, line);
    Some(format!("{}\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_where_the_guide_says() {
        assert_eq!(with_line("a\n", None, "b").unwrap(), "a\nb\n");
        assert_eq!(with_line("a\n  b,\nc\n", Some("b,"), "x").unwrap(), "a\n  b,\nx\nc\n");
        assert!(with_line("a\n", Some("b"), "x").is_none());
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        let mut files = Files::from([("a.rs".to_owned(), b"a\n".to_vec())]);
        let file = Edit::File { path: "a.rs".to_owned(), text: String::new() };
        assert!(apply(&file, &mut files).is_err());
        let line = Edit::Line { path: "b.rs".to_owned(), below: None, line: "b".to_owned() };
        assert!(apply(&line, &mut files).is_err());
    }
}
