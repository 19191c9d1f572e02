//! The generated documents: reference pages, man pages and completions, all made by the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::workspace::{cargo, root, run, say, target};

/// The directories that hold nothing but generated files.
const GENERATED: [&str; 3] = ["docs/reference", "docs/man", "docs/completions"];

/// Writes them anew, or tells which of them are not fresh; whether all is well.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn make(is_check: bool) -> anyhow::Result<bool> {
    let fresh = target().join("xtask-docs");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    let words = ["run", "--quiet", "--package", "pigeondeliver", "--bin", "pigeon", "--", "generate"];
    if !run(cargo(words).arg(&fresh))? {
        return Ok(false);
    }
    let mut is_fresh = true;
    for directory in GENERATED {
        let (made, kept) = (read(&fresh.join(directory))?, read(&root().join(directory))?);
        for name in differences(&made, &kept) {
            is_fresh = false;
            if is_check {
                say(&format!("{directory}/{name} is not fresh: run cargo xtask docs"))?;
            } else {
                replace(&root().join(directory), &name, made.get(&name))?;
                say(&format!("{directory}/{name} is written anew"))?;
            }
        }
    }
    Ok(is_fresh || !is_check)
}

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a directory, by name; one that does not exist has none.
fn read(directory: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    if !directory.exists() {
        return Ok(files);
    }
    let failed = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let content = fs::read(entry.path()).with_context(failed)?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), content);
    }
    Ok(files)
}

/// The names of files that are new, changed or no longer made.
fn differences(made: &Files, kept: &Files) -> Vec<String> {
    let mut names: Vec<String> = made.keys().chain(kept.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| made.get(name) != kept.get(name));
    names
}

/// Writes a file, or removes one that is no longer made.
fn replace(directory: &Path, name: &str, content: Option<&Vec<u8>>) -> anyhow::Result<()> {
    let path = directory.join(name);
    let failed = || format!("cannot write {}", path.display());
    fs::create_dir_all(directory).with_context(failed)?;
    match content {
        Some(content) => fs::write(&path, content).with_context(failed),
        None => fs::remove_file(&path).with_context(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_fresh_is_named() {
        let files = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect::<Files>()
        };
        let made = files(&[("a.md", "1"), ("b.md", "2"), ("new.md", "3")]);
        let kept = files(&[("a.md", "1"), ("b.md", "old"), ("gone.md", "4")]);
        assert_eq!(differences(&made, &kept), ["b.md", "gone.md", "new.md"]);
        assert!(differences(&made, &made).is_empty());
    }
}
