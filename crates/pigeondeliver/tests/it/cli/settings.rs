//! Settings: written, imposed, shown with whoever won.

use serde_json::{Value, json};

use super::Trial;

/// The row of a key in `pigeon settings ADDRESS --json`.
fn row(trial: &Trial, address: &str, name: &str) -> Value {
    let shown = trial.json(&["settings", address]);
    let rows = shown["branches"][0]["settings"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {shown:#}")).clone()
}

#[test]
fn values_are_read_by_their_schema() {
    let trial = Trial::new(&["ann@example.org"]);
    let ann = "ann@example.org";
    trial.ok(&[
        "settings",
        "set",
        "--account",
        ann,
        "mailbox.folder=2026",
        "forward.to=bob@example.com, carol@example.com",
        "forward.enabled=yes",
        "quota.octets=2K",
        "quota.warn_at=70,90",
        "headers.add=X-Room: 1, second floor",
    ]);
    let check = |name: &str, expect: Value| {
        let row = row(&trial, ann, name);
        assert_eq!((&row["value"], &row["from"]), (&expect, &Value::from("account")), "{name}");
    };
    check("mailbox.folder", json!("2026"));
    check("forward.to", json!(["bob@example.com", "carol@example.com"]));
    check("forward.enabled", json!(true));
    check("quota.octets", json!(2048));
    check("quota.warn_at", json!([70, 90]));
    check("headers.add", json!(["X-Room: 1, second floor"]));
    assert_eq!(row(&trial, ann, "trace.max_hops")["from"], "default");
    trial.ok(&["settings", "unset", "--account", ann, "mailbox.folder"]);
    assert_eq!(row(&trial, ann, "mailbox.folder")["from"], "default");
    let text = trial.ok(&["settings", ann, "quota.octets"]);
    assert!(text.contains("2048 (2.0 KiB)") && text.lines().count() == 2, "{text}");
}

#[test]
fn pins_impose_and_exempt() {
    let trial = Trial::new(&["ann@example.org", "root@example.org"]);
    let ann = "ann@example.org";
    trial.ok(&["grant", "add", "root@example.org", "--domain", "example.org"]);
    trial.ok(&["--as", ann, "settings", "set", "quota.messages=9"]);
    let domain =
        ["--as", "root@example.org", "settings", "set", "--domain", "example.org", "quota.messages=5"];
    trial.ok(&[&domain[..], &["--pin", "--reason", "contract of 2026"]].concat());
    let held = row(&trial, ann, "quota.messages");
    assert_eq!((&held["value"], &held["from"]), (&json!(5), &json!("domain, pinned")));
    let text = trial.ok(&["settings", ann, "quota"]);
    assert!(text.contains("contract of 2026") && text.contains("the account says 9"), "{text}");

    trial.refused(&["--as", ann, "settings", "set", "quota.messages=7", "--pin"]);
    trial.ok(&["--as", "root@example.org", "settings", "pin", "--account", ann, "quota.messages"]);
    assert_eq!(row(&trial, ann, "quota.messages")["value"], 9, "the administrator's exemption");
    trial.refused(&["--as", ann, "settings", "unpin", "quota.messages"]);
    trial.ok(&["settings", "unpin", "--account", ann, "quota.messages"]);
    assert_eq!(row(&trial, ann, "quota.messages")["value"], 5);

    trial.ok(&["settings", "set", "--domain", "example.org", "quota.messages=3", "--pin=system"]);
    let said = trial.refused(&[
        "--as",
        "root@example.org",
        "settings",
        "unset",
        "--domain",
        "example.org",
        "quota.messages",
    ]);
    assert!(said.contains("pinned"), "{said}");
    trial.ok(&["settings", "set", "--domain", "example.org", "quota.messages=3", "--pin", "--until", "1s"]);
    assert_eq!(row(&trial, ann, "quota.messages")["value"], 3);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(row(&trial, ann, "quota.messages")["value"], 9, "a pin that has lapsed imposes nothing");
}

#[test]
fn ranges_bind_inner_layers() {
    let trial = Trial::new(&["ann@example.org"]);
    let ann = "ann@example.org";
    trial.ok(&["settings", "set", "--domain", "example.org", "quota.octets=1K..4K"]);
    let said = trial.refused(&["--as", ann, "settings", "set", "quota.octets=1M"]);
    assert!(said.contains("quota.octets") && said.contains("4096"), "{said}");
    trial.ok(&["--as", ann, "settings", "set", "quota.octets=2K"]);
    trial.ok(&["settings", "set", "--domain", "example.org", "quota.octets", "--max", "1K"]);
    let held = row(&trial, ann, "quota.octets");
    assert_eq!((&held["value"], &held["is_clamped"]), (&json!(1024), &json!(true)));
    trial.ok(&["settings", "set", "--domain", "example.org", "quota.over", "--one-of", "reject,defer"]);
    trial.ok(&["settings", "unset", "--domain", "example.org", "quota.octets", "--range"]);
    assert_eq!(row(&trial, ann, "quota.octets")["value"], 2048);
    let written = trial.ok(&["settings", "show", "--domain", "example.org"]);
    assert!(written.contains("may be one of") && written.lines().count() == 2, "{written}");
}

#[test]
fn mistakes_name_the_key_and_what_is_allowed() {
    let trial = Trial::new(&["ann@example.org"]);
    let check = |setting: &[&str], expect: &str| {
        let said = trial.refused(&[&["settings", "set", "--account", "ann@example.org"], setting].concat());
        assert!(said.contains(expect), "{said}");
    };
    check(&["qouta.octets=5"], "did you mean quota?");
    check(&["quota.octest=5"], "did you mean octets?");
    check(&["quota.octets"], "quota.octets=VALUE");
    check(&["quota.messages=many"], "quota.messages");
    check(&["quota.messages=1..5"], "range");
    check(&["mailbox=5"], "service.key");
    check(&["mailbox.folder=A", "--reason", "because"], "--pin");
    check(&["mailbox.folder=A", "--pin", "system"], "--pin=system");
    assert!(trial.refused(&["settings", "set", "mailbox.folder=A"]).contains("--account"));
    assert!(trial.refused(&["settings", "unset", "--system", "quota.octets"]).contains("not written"));
    assert!(trial.refused(&["settings"]).contains("ADDRESS"));
    assert!(trial.refused(&["settings", "nobody@example.org"]).contains("does not exist"));
}

#[test]
fn settings_are_described() {
    let trial = Trial::new(&[]);
    let described = trial.json(&["settings", "describe", "quota.octets"]);
    let keys = described["services"][0]["settings"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["name"], "quota.octets");
    assert!(trial.ok(&["settings", "describe", "mailbox"]).contains("mailbox.folder"));
    let all = trial.ok(&["settings", "describe"]);
    assert!(all.contains("trace.max_hops") && all.contains("vacation.timeout_ms"));
}

#[test]
fn secrets_are_shown_to_who_asks() {
    let trial = Trial::new(&["ann@example.org"]);
    let said = trial.ok(&["settings", "set", "--system", "redirect.srs_secrets=hunter2"]);
    assert_eq!(said, "set redirect.srs_secrets=(secret) at the system\n");
    for arguments in [
        &["settings", "show", "--system"][..],
        &["settings", "ann@example.org"],
        &["changes"],
        &["settings", "describe", "redirect.srs_secrets"],
        &["explain", "ann@example.org"],
    ] {
        let (text, document) = (trial.ok(arguments), trial.json(arguments).to_string());
        assert!(
            !text.contains("hunter2") && !document.contains("hunter2"),
            "{arguments:?}: {text}{document}"
        );
    }
    assert!(trial.ok(&["settings", "show", "--system"]).contains("(secret)"));
    assert!(trial.ok(&["settings", "show", "--system", "--secrets"]).contains("hunter2"));
    let asked = ["settings", "ann@example.org", "redirect.srs_secrets", "--secrets"];
    assert!(trial.ok(&asked).contains("hunter2"));
    let exported = trial.ok(&["directory", "export", "-"]);
    assert!(exported.contains("hunter2"), "an export is whole: {exported}");
}

#[test]
fn values_that_fit_together_are_written_in_one_command() {
    let trial = Trial::new(&["ann@example.org"]);
    let set = |settings: [&'static str; 2]| {
        ["settings", "set", "--account", "ann@example.org", settings[0], settings[1]]
    };
    trial.ok(&set(["vacation.start=2026-12-01", "vacation.end=2026-12-10"]));
    let refused = trial.refused(&set(["vacation.start=2027-01-01", "mailbox.folder=Work"]));
    assert!(refused.contains("vacation.start") && refused.contains("vacation.end is"), "{refused}");
    // The start alone would lie behind the end: the end is written first.
    let said = trial.ok(&set(["vacation.start=2027-01-01", "vacation.end=2027-01-10"]));
    let lines: Vec<&str> = said.lines().map(|line| line.split_once('=').unwrap().0).collect();
    assert_eq!(lines, ["set vacation.end", "set vacation.start"]);
    // Nothing is tried behind a value that is wrong by itself, nor for ever behind two that never fit.
    let refused = trial.refused(&set(["vacation.days=400", "vacation.subject=x"]));
    assert!(refused.contains("vacation.days"), "{refused}");
    assert_eq!(row(&trial, "ann@example.org", "vacation.subject")["from"], "default");
    let refused = trial.refused(&set(["vacation.end=2020-01-01", "vacation.start=2028-01-01"]));
    assert!(refused.contains("the end must not lie before the start"), "{refused}");
    assert_eq!(row(&trial, "ann@example.org", "vacation.start")["value"], "2027-01-01");
}

#[test]
fn check_warns_of_contradictions_that_layers_brought_together() {
    let trial = Trial::new(&[]);
    trial.ok(&["settings", "set", "--domain", "example.org", "vacation.end=2026-12-10"]);
    assert!(!trial.ok(&["check"]).contains("vacation"));
    trial.ok(&["settings", "set", "--system", "vacation.start=2027-01-01"]);
    let said = trial.ok(&["check"]);
    assert!(said.contains("! warning  settings of example.org"), "{said}");
    assert!(said.contains("vacation.start is \"2027-01-01\" (system) and vacation.end is"), "{said}");
}
