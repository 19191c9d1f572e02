//! Directories of other mail systems, taken over by the real binary; mail is then delivered by them.

use std::fs;
use std::path::{Path, PathBuf};

use pigeon_backends::passwords;
use pigeon_testkit::peers::or_skip;
use pigeon_testkit::peers::postgres::{Postgres, PostgresOptions};
use serde_json::Value;

use super::{MAIL, Trial};

/// What all imported hashes are of.
const PASSWORD: &str = "tr0ub4dor & 3";

fn data(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/import").join(path).display().to_string()
}

fn empty() -> Trial {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    trial.init(&[]);
    trial
}

/// The whole directory, by kind and name.
fn entries(trial: &Trial) -> Vec<Value> {
    trial
        .ok(&["directory", "export", "-"])
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn account(trial: &Trial, address: &str) -> Value {
    let is_it = |entry: &Value| entry["kind"] == "account" && entry["address"] == address;
    entries(trial).into_iter().find(is_it).unwrap_or_else(|| panic!("{address} is not imported"))
}

fn lets_in(trial: &Trial, address: &str) -> bool {
    let account = account(trial, address);
    let stored = account["password"].as_str().unwrap();
    assert_eq!(passwords::verify(stored, "wrong"), Ok(false), "{stored}");
    passwords::verify(stored, PASSWORD).unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn users_of_dovecot_move_in_with_their_passwords_and_maildirs() {
    let trial = empty();
    let root = trial.path().join("mail");
    // Their mail is where Dovecot put it, below what is the mail root now.
    let new = root.join("example.org/cay/new");
    fs::create_dir_all(&new).unwrap();
    let location = format!("maildir:{}/%d/%Ln", root.display());
    let users = data("dovecot/users");
    let import = ["import", "passwd-file", &users, "--domain", "example.org", "--mail-location", &location];

    let before = trial.ok(&["domain", "list"]);
    let report = trial.ok(&import);
    assert!(report.contains("Nothing was written: add --write"), "{report}");
    assert!(report.contains("DES-CRYPT is not supported"), "{report}");
    assert!(report.contains("mv -T /home/bob/Maildir"), "{report}");
    assert_eq!(trial.ok(&["domain", "list"]), before);

    let written = trial.json(&[&import[..], &["--write"]].concat());
    let number = |of: &Value| of.as_u64().unwrap();
    assert_eq!((number(&written["imported"]["domains"]), number(&written["imported"]["accounts"])), (2, 8));
    assert_eq!(number(&written["passwords"]["plain"]), 1);
    assert!(
        written["left"]
            .as_array()
            .unwrap()
            .iter()
            .any(|left| left["line"] == 5 && left["file"] == users.as_str())
    );
    for address in [
        "ann@example.org",
        "bob@example.org",
        "Cay@example.org",
        "dan@example.net",
        "eve@example.org",
        "gus@example.org",
    ] {
        let address = address.to_lowercase();
        assert!(lets_in(&trial, &address), "{address}");
    }
    assert_eq!(account(&trial, "dan@example.net")["status"], "suspended");
    assert!(trial.ok(&["settings", "show", "ann@example.org"]).contains("quota.octets"));
    trial.deliver("cay@example.org");
    assert_eq!(files(&new).len(), 1, "the mail is in the Maildir that was there");

    let all = entries(&trial);
    let again = trial.json(&[&import[..], &["--write"]].concat());
    assert_eq!(number(&again["imported"]["accounts"]) + number(&again["imported"]["settings"]), 0);
    assert_eq!(again["skipped"].as_array().unwrap().len(), 10);
    assert_eq!(entries(&trial), all, "importing twice changes nothing");
    assert!(trial.ok(&import).contains("There is nothing new to import."));
}

#[test]
fn a_unix_system_moves_in_with_its_aliases_and_forwards() {
    let trial = empty();
    let root = data("unix");
    let import = [
        "import",
        "unix",
        "--domain",
        "example.org",
        "--root",
        &root,
        "--mail-location",
        "maildir:~/Maildir",
    ];
    let written = trial.json(&[&import[..], &["--write"]].concat());
    assert_eq!(written["imported"]["accounts"], 5);
    assert_eq!(written["imported"]["aliases"], 10);
    assert_eq!(written["moves"].as_array().unwrap().len(), 5);
    assert_eq!(written["moves"][0]["from"], data("unix/home/ann/Maildir"));
    let left = written["left"].as_array().unwrap();
    let is_vacation = |left: &&Value| left["what"].as_str().unwrap().contains("program `|/usr/bin/vacation");
    let vacation = left.iter().find(is_vacation).unwrap();
    assert!(vacation["why"].as_str().unwrap().contains("set the vacation service") && vacation["line"] == 15);
    for address in ["ann@example.org", "bob@example.org", "dan@example.org"] {
        assert!(lets_in(&trial, address), "{address}");
    }
    // An alias of aliases, an included file, a forward that keeps a copy.
    let explained = trial.ok(&["explain", "mailer-daemon@example.org"]);
    for expect in ["ann@example.com", "bob@example.net", "admin@example.net"] {
        assert!(explained.contains(expect), "{expect}: {explained}");
    }
    assert!(trial.ok(&["explain", "eve@example.org"]).contains("vacation"));
    let output = trial.run(&["deliver", "-f", "bob@example.net", "about@example.org"], MAIL);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(trial.mails().len(), 1, "ann keeps a copy, cay's goes to ann, too");
    assert!(trial.ok(&import).contains("There is nothing new to import."));
}

#[test]
fn what_is_no_directory_is_refused() {
    let trial = empty();
    let check = |arguments: &[&str], expect: &str| {
        let said = trial.refused(arguments);
        assert!(said.contains(expect), "{said}");
    };
    check(&["import", "passwd-file", "/nowhere"], "/nowhere cannot be read");
    check(&["import", "passwd-file", "/dev/null"], "no regular file");
    check(&["import", "unix", "--domain", "example.org", "--passwd", "/nowhere"], "/nowhere cannot be read");
    check(&["import", "postfixadmin", "oracle:x"], "postgres://USER@HOST/DATABASE");
    check(&["import", "postfixadmin", "postgres://x@127.0.0.1:1/x"], "cannot be opened");
    let secret = trial.refused(&["import", "postfixadmin", "mysql://x:hunter2@127.0.0.1:1/x"]);
    assert!(!secret.contains("hunter2"), "{secret}");
    let trial = Trial::new(&["ann@example.org"]);
    let users = data("dovecot/users");
    let said = trial.refused(&["import", "passwd-file", &users, "--write", "--as", "ann@example.org"]);
    assert!(said.contains("nothing was imported"), "{said}");
}

/// A database with no more columns than Postfix itself needs.
#[test]
fn a_database_of_postfixadmin_moves_in() {
    let Some(server) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let sql = "CREATE TABLE domain (domain text, active boolean);
        CREATE TABLE mailbox (username text, password text, maildir text, quota bigint);
        CREATE TABLE alias (address text, goto text);
        INSERT INTO domain VALUES ('example.org', true);
        INSERT INTO mailbox VALUES ('ann@example.org', '$1$FFkGC9lG$mUdBAbAajZETcX7s4Gzll.', 'example.org/ann/', 5000000);
        INSERT INTO alias VALUES ('ann@example.org', 'ann@example.org,ann@example.com'), ('@example.org', 'ann@example.org');";
    server.psql(sql).unwrap();
    let trial = empty();
    let secret = trial.path().join("password");
    fs::write(&secret, "secret\n").unwrap();
    let (url, secret) = (server.url().replace(":secret@", "@"), secret.display().to_string());
    let import = ["import", "postfixadmin", &url, "--password-file", &secret];
    assert!(trial.ok(&import).contains("Nothing was written"));
    let written = trial.json(&[&import[..], &["--write"]].concat());
    assert_eq!(
        written["imported"],
        serde_json::json!({"domains": 1, "accounts": 1, "aliases": 1, "grants": 0, "settings": 5})
    );
    assert!(lets_in(&trial, "ann@example.org"));
    let explained = trial.ok(&["explain", "whoever@example.org"]);
    assert!(
        explained.contains("ann@example.com") && explained.contains("mailbox example.org/ann"),
        "{explained}"
    );
}
