//! Domains, accounts, aliases and grants.

use serde_json::Value;

use super::Trial;

fn names(rows: &Value, key: &str) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn accounts_live_and_end() {
    let trial = Trial::new(&["ann@example.org", "bob@example.org"]);
    trial.deliver("ann@example.org");
    assert_eq!(trial.mails().len(), 1);
    trial.ok(&["account", "edit", "ann@example.org", "--name", "Ann Example"]);
    trial.ok(&["account", "rename", "ann@example.org", "anna@example.org"]);
    let shown = trial.json(&["account", "show", "anna@example.org"]);
    assert_eq!(shown["account"]["name"], "Ann Example");
    assert_eq!(shown["account"]["has_password"], false);
    trial.ok(&["account", "suspend", "bob@example.org"]);
    assert_eq!(trial.json(&["account", "show", "bob@example.org"])["account"]["status"], "suspended");
    trial.ok(&["account", "resume", "bob@example.org"]);

    assert!(trial.refused(&["account", "purge", "anna@example.org", "--yes"]).contains("anna@example.org"));
    trial.ok(&["account", "remove", "anna@example.org"]);
    assert_eq!(names(&trial.json(&["account", "list"])["accounts"], "address"), ["bob@example.org"]);
    assert_eq!(trial.json(&["account", "list", "--removed"])["accounts"].as_array().unwrap().len(), 2);
    trial.ok(&["account", "restore", "anna@example.org"]);
    trial.ok(&["account", "remove", "anna@example.org"]);
    assert_eq!(trial.mails().len(), 1, "removing only marks");
    assert!(trial.refused(&["account", "purge", "anna@example.org"]).contains("--yes"));
    trial.ok(&["account", "purge", "anna@example.org", "--yes"]);
    assert_eq!(trial.mails().len(), 0, "purging deletes the mail");
    assert!(trial.refused(&["account", "show", "anna@example.org"]).contains("does not exist"));
}

#[test]
fn accounts_are_listed_in_pages() {
    let trial = Trial::new(&["ann@example.org", "bob@example.org", "carol@example.org"]);
    let first = trial.json(&["account", "list", "--limit", "2"]);
    assert_eq!(names(&first["accounts"], "address"), ["ann@example.org", "bob@example.org"]);
    let next = first["next"].as_str().unwrap();
    let second = trial.json(&["account", "list", "--limit", "2", "--after", next]);
    assert_eq!(names(&second["accounts"], "address"), ["carol@example.org"]);
    assert_eq!(second["next"], Value::Null);
}

#[test]
fn near_misses_get_a_hint() {
    let trial = Trial::new(&["ann@example.org"]);
    let check = |arguments: &[&str], expect: &str| {
        let said = trial.refused(arguments);
        assert!(said.contains(expect), "{said}");
    };
    check(&["account", "show", "anm@example.org"], "did you mean ann@example.org?");
    check(&["account", "suspend", "ann@exmaple.org"], "did you mean example.org?");
    check(&["domain", "show", "exmaple.org"], "did you mean example.org?");
    check(&["account", "add", "ann@example.net"], "example.net");
    check(&["account", "rename", "ann@example.org", "ann@example.org"], "already");
}

#[test]
fn passwords_are_hashed_and_never_shown() {
    let trial = Trial::new(&[]);
    trial.ok_with(&["account", "add", "ann@example.org", "--password-stdin"], b"correct horse battery\n");
    let shown = trial.ok(&["account", "show", "ann@example.org"]);
    assert!(shown.contains("ARGON2ID") && !shown.contains("$argon2id"), "{shown}");
    let json = trial.ok(&["account", "show", "ann@example.org", "--json"]);
    assert!(json.contains("\"has_password\": true") && !json.contains("$argon2id"), "{json}");
    assert!(trial.refused(&["account", "password", "ann@example.org"]).contains("--password-stdin"));
    let hash = "{SSHA}pFvAQCFqoUVi3L7XFcqZxmk9UX8xZW9I";
    trial.ok(&["account", "password", "ann@example.org", "--password-hash", hash]);
    assert!(trial.ok(&["account", "show", "ann@example.org"]).contains("SSHA"));
    trial.refused(&["account", "password", "ann@example.org", "--password-hash", "secret"]);
    let short = trial.run(&["account", "password", "ann@example.org", "--password-stdin"], b"short\n");
    assert!(String::from_utf8_lossy(&short.stderr).contains("at least 8"), "{short:?}");
}

#[test]
fn domains_have_other_names_and_end_with_all_that_is_in_them() {
    let trial = Trial::new(&["ann@example.org"]);
    trial.ok(&["domain", "alias", "add", "example.org", "Example.NET"]);
    trial.deliver("ann@example.net");
    assert_eq!(trial.json(&["domain", "list"])["domains"][0]["aliases"][0], "example.net");
    trial.ok(&["domain", "alias", "remove", "example.net"]);
    trial.ok(&["domain", "rename", "example.org", "example.com"]);
    trial.deliver("ann@example.com");
    assert_eq!(trial.mails().len(), 2);
    let listed = trial.ok(&["domain", "list"]);
    assert!(listed.contains("example.com") && !listed.contains("example.org"), "{listed}");
    trial.ok(&["domain", "remove", "example.com"]);
    trial.ok(&["domain", "purge", "example.com", "--yes"]);
    assert_eq!(trial.mails().len(), 0);
    assert!(trial.ok(&["domain", "list"]).contains("pigeon domain add"));
}

#[test]
fn aliases_point_somewhere() {
    let trial = Trial::new(&["ann@example.org", "bob@example.org"]);
    trial.ok(&["alias", "add", "sales@example.org", "ann@example.org", "bob@example.org"]);
    trial.ok(&["alias", "add", "*@example.org", "ann@example.org"]);
    trial.deliver("sales@example.org");
    assert_eq!(trial.mails().len(), 2);
    trial.ok(&["alias", "set", "sales@example.org", "bob@example.org"]);
    assert_eq!(trial.json(&["alias", "show", "sales@example.org"])["alias"]["targets"][0], "bob@example.org");
    trial.ok(&["alias", "rename", "sales@example.org", "shop@example.org"]);
    let listed = trial.json(&["alias", "list", "--domain", "example.org"]);
    assert_eq!(names(&listed["aliases"], "pattern"), ["*@example.org", "shop@example.org"]);
    assert!(trial.refused(&["alias", "show", "shpo@example.org"]).contains("did you mean shop@example.org?"));
    trial.ok(&["alias", "remove", "shop@example.org"]);
    trial.ok(&["alias", "purge", "shop@example.org", "--yes"]);
    assert_eq!(trial.json(&["alias", "list"])["aliases"].as_array().unwrap().len(), 1);
}

#[test]
fn grants_bind_whoever_acts() {
    let trial = Trial::new(&["ann@example.org", "bob@example.org"]);
    trial.ok(&["domain", "add", "example.net"]);
    trial.refused(&["--as", "ann@example.org", "account", "add", "carol@example.org"]);
    trial.ok(&["grant", "add", "ann@example.org", "--domain", "example.org"]);
    trial.ok(&["--as", "ann@example.org", "account", "add", "carol@example.org"]);
    trial.refused(&["--as", "ann@example.org", "account", "add", "carol@example.net"]);
    trial.refused(&["--as", "ann@example.org", "domain", "add", "example.com"]);
    assert_eq!(trial.json(&["grant", "list", "ann@example.org"])["grants"][0]["domain"], "example.org");
    assert!(trial.ok(&["domain", "show", "example.org"]).contains("ann@example.org"));
    trial.ok(&["grant", "remove", "ann@example.org", "--domain", "example.org"]);
    trial.refused(&["--as", "ann@example.org", "account", "remove", "carol@example.org"]);
    trial.ok(&["account", "suspend", "ann@example.org"]);
    let said = trial.refused(&["--as", "ann@example.org", "settings", "set", "mailbox.folder=Work"]);
    assert!(said.contains("suspended"), "{said}");
}
