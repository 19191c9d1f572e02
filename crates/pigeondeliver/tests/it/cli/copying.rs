//! A directory from one backend into another: everything is there, and what differs is found.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pigeon_testkit::peers::{
    MariaDb, MariaDbOptions, Postgres, PostgresOptions, Slapd, SlapdOptions, or_skip,
};
use serde_json::Value;

use super::Trial;

/// More than two batches.
const MANY: usize = 2100;
/// More than one, where each account takes longer.
const SOME: usize = 1050;

/// A node with something of every kind, and so many accounts more.
fn origin(more: usize) -> Trial {
    let trial = Trial::new(&["ann@example.org", "bob@example.org"]);
    trial.ok_with(&["account", "password", "ann@example.org", "--password-stdin"], b"correct horse\n");
    trial.ok(&["domain", "alias", "add", "example.org", "example.net"]);
    trial.ok(&["alias", "add", "team@example.org", "ann@example.org", "bob@example.org", "zoe@example.com"]);
    trial.ok(&["alias", "add", "sales-*@example.org", "ann@example.org"]);
    trial.ok(&["grant", "add", "ann@example.org", "--domain", "example.org"]);
    trial.ok(&[
        "settings",
        "set",
        "--domain",
        "example.org",
        "quota.octets=5M",
        "--pin",
        "--reason",
        "small",
    ]);
    trial.ok(&["settings", "set", "--account", "bob@example.org", "quota.octets=2M"]);
    trial.ok(&["account", "suspend", "bob@example.org"]);
    if more > 0 {
        grow(&trial, more);
    }
    trial
}

/// Adds accounts in one go.
fn grow(trial: &Trial, more: usize) {
    let exported = trial.ok(&["directory", "export", "-"]);
    let domain: Value = serde_json::from_str(exported.lines().nth(1).unwrap()).unwrap();
    let id = domain["id"].as_str().unwrap();
    let mut text = format!(
        "{{\"format\":\"pigeondeliver-directory\",\"version\":1,\"made\":\"2026-11-23T19:00:00Z\",\"entries\":{more}}}\n"
    );
    for number in 0..more {
        writeln!(
            text,
            "{{\"kind\":\"account\",\"id\":\"more-{number:05}\",\"domain\":\"{id}\",\
             \"address\":\"user{number}@example.org\",\"mailbox\":\"example.org/user{number}\"}}"
        )
        .unwrap();
    }
    trial.ok_with(&["directory", "import", "-"], text.as_bytes());
}

fn url_in(trial: &Trial, name: &str) -> String {
    format!("sqlite:{}", trial.path().join(name).display())
}

/// Copies to a URL and from there into a file: what comes back must be what went out.
fn there_and_back(trial: &Trial, url: &str, accounts: u64) {
    let copied = trial.json(&["directory", "copy", url]);
    assert_eq!(copied["copied"]["accounts"], accounts, "{copied:#}");
    assert_eq!((&copied["verified"]["differences"], &copied["changed_meanwhile"]), (&0.into(), &0.into()));
    assert!(copied["verified"]["addresses"].as_u64().unwrap() > accounts, "{copied:#}");
    assert!(!copied.to_string().contains("secret"), "a password is shown: {copied:#}");
    assert!(trial.refused(&["directory", "copy", url]).contains("is not empty"));

    let back = url_in(trial, "back.sqlite");
    let said = trial.ok(&["directory", "copy", url, &back]);
    assert!(said.contains("both answer alike"), "{said}");
    trial.ok(&["directory", "copy", "-", &back, "--verify-only"]);

    trial.ok(&["account", "remove", "ann@example.org"]);
    let output = trial.run(&["directory", "copy", "-", url, "--verify-only", "--json"], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = found["verified"]["list"].to_string();
    assert!(list.contains("the account ann@example.org differs: status is"), "{found:#}");
    assert!(
        list.contains("ann@example.org leads to nobody at FROM and to ann@example.org at TO"),
        "{found:#}"
    );
    trial.ok(&["directory", "copy", "-", url, "--overwrite"]);
}

#[test]
fn from_one_file_into_another() {
    let trial = origin(MANY);
    let url = url_in(&trial, "two.sqlite");
    there_and_back(&trial, &url, MANY as u64 + 2);
}

#[test]
fn to_postgresql_and_back() {
    let Some(server) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    there_and_back(&origin(SOME), &server.url(), SOME as u64 + 2);
}

#[test]
fn to_mariadb_and_back() {
    let settings = vec!["log_bin_trust_function_creators = ON".to_owned()];
    let Some(server) = or_skip(MariaDb::start(&MariaDbOptions { settings, ..MariaDbOptions::default() }))
    else {
        return;
    };
    there_and_back(&origin(SOME), &server.url(), SOME as u64 + 2);
}

#[test]
fn to_openldap_and_back() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/openldap");
    let indexes =
        ["pigeonId,pigeonDomain,pigeonLocalPart,pigeonDomainName eq", "pigeonMailbox,pigeonOwner eq"];
    let options = SlapdOptions {
        schemas: vec![packaging.join("pigeondeliver.schema")],
        indexes: indexes.map(str::to_owned).to_vec(),
        ..SlapdOptions::default()
    };
    let Some(server) = or_skip(Slapd::start(&options)) else { return };
    let who = options.root_dn.replace(',', "%2C");
    let url =
        format!("{}/ou=mail,{}????bindname={who},x-bindpw={}", server.url(), options.base, options.password);
    there_and_back(&origin(20), &url, 22);
}

#[test]
fn what_cannot_be_copied_is_said_before_anything_is_made() {
    let trial = Trial::new(&["ann@example.org"]);
    let here = url_in(&trial, "directory.sqlite");
    let check = |arguments: &[&str], expect: &str| {
        let said = trial.refused(&[&["directory", "copy"], arguments].concat());
        assert!(said.contains(expect), "{said}");
        assert!(!said.contains("hunter2"), "a password is shown: {said}");
    };
    check(&[&here], "the same directory");
    check(&["ldp://u:hunter2@host/x"], "TO: this is not a URL");
    check(&["postgres://u:hunter2@127.0.0.1:9/x"], "TO: ");
    check(&[&url_in(&trial, "nowhere.sqlite"), &url_in(&trial, "new.sqlite")], "FROM: ");
    check(&["@/nonexistent", &here], "FROM: the file /nonexistent cannot be read");
    assert!(!trial.path().join("new.sqlite").exists());
    let said =
        trial.refused(&["--as", "ann@example.org", "directory", "copy", &url_in(&trial, "new.sqlite")]);
    assert!(said.contains("leave --as away"), "{said}");
}

#[test]
fn urls_are_taken_from_files_and_need_no_configuration() {
    let trial = Trial::new(&["ann@example.org"]);
    let file = trial.path().join("url");
    fs::write(&file, format!("{}\n", url_in(&trial, "directory.sqlite"))).unwrap();
    fs::rename(trial.config(), trial.path().join("away.toml")).unwrap();
    let (from, to) = (format!("@{}", file.display()), url_in(&trial, "two.sqlite"));
    let said = trial.ok(&["directory", "copy", &from, &to]);
    assert!(said.contains("copied 1 domain, 1 account"), "{said}");
    assert!(trial.refused(&["directory", "copy", &to]).contains("there is no configuration"));
}
