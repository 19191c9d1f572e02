//! The whole directory as a file, out of one node and into another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Trial;

fn entries(exported: &str) -> Vec<&str> {
    exported.lines().skip(1).collect()
}

#[test]
fn a_directory_moves_with_everything_in_it() {
    let one = Trial::new(&["ann@example.org", "bob@example.org"]);
    one.ok_with(&["account", "password", "ann@example.org", "--password-stdin"], b"correct horse\n");
    one.ok(&["alias", "add", "sales@example.org", "ann@example.org"]);
    one.ok(&["grant", "add", "ann@example.org", "--domain", "example.org"]);
    one.ok(&["settings", "set", "--domain", "example.org", "quota.octets=5M", "--pin", "--reason", "small"]);
    let file = one.path().join("backup.jsonl").display().to_string();
    assert!(
        one.ok(&["directory", "export", &file])
            .contains("1 domain, 2 accounts, 1 alias, 1 grant, 4 settings")
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let exported = fs::read_to_string(&file).unwrap();
    assert!(exported.starts_with("{\"format\":\"pigeondeliver-directory\",\"version\":1,"), "{exported}");

    let two = Trial { directory: tempfile::tempdir().unwrap() };
    two.init(&[]);
    assert!(two.ok(&["directory", "import", &file, "--check"]).contains("2 accounts"));
    assert!(two.ok(&["account", "list"]).contains("no such account"), "a check writes nothing");
    let imported = two.json(&["directory", "import", &file]);
    assert_eq!(imported["imported"]["accounts"], 2);
    assert_eq!(entries(&two.ok(&["directory", "export", "-"])), entries(&exported));
    assert!(two.ok(&["changes"]).contains("imported 9 entries"), "{}", two.ok(&["changes"]));
    two.ok(&["directory", "import", &file]);
    assert_eq!(
        entries(&two.ok(&["directory", "export", "-"])),
        entries(&exported),
        "importing twice changes nothing"
    );
    two.deliver("sales@example.org");
    assert_eq!(two.mails().len(), 1);
}

#[test]
fn a_damaged_file_changes_nothing() {
    let one = Trial::new(&["ann@example.org"]);
    let exported = one.ok(&["directory", "export", "-"]);
    let two = Trial { directory: tempfile::tempdir().unwrap() };
    two.init(&[]);
    let file = two.path().join("damaged.jsonl").display().to_string();
    let check = |text: &str, expect: &str| {
        fs::write(&file, text).unwrap();
        let said = two.refused(&["directory", "import", &file]);
        assert!(said.contains(expect), "{said}");
        assert!(two.ok(&["domain", "list"]).contains("no domain yet"));
    };
    let cut: Vec<&str> = exported.lines().take(2).collect();
    check(&cut.join("\n"), "cut short");
    check(&exported.replace("\"kind\":\"account\"", "\"kind\":\"planet\""), "is no entry");
    check(&exported.replace("\"version\":1", "\"version\":2"), "version 2");
    check("not a directory\n", "no exported directory");
    let said = two.refused(&["directory", "import", "/nonexistent.jsonl"]);
    assert!(said.contains("/nonexistent.jsonl"), "{said}");
}

#[test]
fn only_a_system_administrator_imports() {
    let trial = Trial::new(&["ann@example.org"]);
    let file = trial.path().join("backup.jsonl").display().to_string();
    trial.ok(&["directory", "export", &file]);
    trial.refused(&["--as", "ann@example.org", "directory", "import", &file]);
}
