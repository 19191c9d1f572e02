//! Rules about `Cargo.toml` and `clippy.toml`.

use super::{File, Finding};

const SHARED_LINTS: &str = "clippy.toml";

/// Checks the manifests among the files.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") && !file.path.contains("testdata"))
        .filter(|file| !file.text.contains("[lints]\nworkspace = true"))
        .map(|file| {
            Finding::new(&file.path, "the shared lints are off here: add `[lints]` with `workspace = true`")
        })
        .collect();
    if let Some(shared) = files.iter().find(|file| file.path == SHARED_LINTS) {
        let own = files.iter().filter(|file| file.path.ends_with("/clippy.toml"));
        findings.extend(own.flat_map(|file| missing_entries(shared, file)));
    }
    findings
}

/// A crate's own `clippy.toml` replaces the shared one, so it must repeat every entry of it.
fn missing_entries(shared: &File, file: &File) -> Vec<Finding> {
    let entries = shared.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    entries
        .filter(|entry| !file.text.lines().any(|line| line.trim() == entry.trim()))
        .map(|entry| {
            let message = format!(
                "lacks this line of the shared {SHARED_LINTS}, which it replaces for its crate: {}",
                entry.trim()
            );
            Finding::new(&file.path, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, lines};
    use super::*;

    #[test]
    fn lints_are_on_everywhere() {
        let good = file("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n");
        let bad = file("crates/b/Cargo.toml", "[package]\n");
        let found = lines(&check(&[file("Cargo.toml", "[workspace]"), good, bad]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/b/Cargo.toml"), "{found:?}");
    }

    #[test]
    fn a_crates_lint_settings_repeat_the_shared_ones() {
        let shared = file("clippy.toml", "a = 1\nlist = [\n  { path = \"x\" },\n]\n");
        let good =
            file("crates/a/clippy.toml", "a = 1\nlist = [\n  { path = \"y\" },\n  { path = \"x\" },\n]\n");
        let bad = file("crates/b/clippy.toml", "a = 2\nlist = [\n  { path = \"x\" },\n]\n");
        let found = lines(&check(&[shared, good, bad]));
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("a = 1"), "{found:?}");
    }
}
