//! The administration commands, as a person types them: the real binary in a scratch directory.

mod copying;
mod demonstration;
mod import;
mod outbox;
mod settings;
mod sieve;
mod subjects;
mod transfer;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pigeon_services::catalogue::SERVICES;
use serde_json::Value;

const PIGEON: &str = env!("CARGO_BIN_EXE_pigeon");
const MAIL: &[u8] = b"From: bob@example.net\nMessage-ID: <1@example.net>\nSubject: hi\n\nhello\n";

/// A node in a scratch directory, made by `pigeon init`.
struct Trial {
    directory: tempfile::TempDir,
}

impl Trial {
    /// A node with the domain `example.org` and these accounts.
    fn new(accounts: &[&str]) -> Self {
        let trial = Self { directory: tempfile::tempdir().unwrap() };
        trial.init(&["--domain", "example.org"]);
        for account in accounts {
            trial.ok(&["account", "add", account]);
        }
        trial
    }

    fn init(&self, arguments: &[&str]) -> String {
        let place = self.path().display().to_string();
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        self.ok(&[&["init", "--dir", &place, "--user", &user], arguments].concat())
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("pigeondeliver.toml")
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Output {
        let mut command = Command::new(PIGEON);
        command.env_clear().args(arguments);
        if self.config().exists() {
            command.env("PIGEON_CONFIG", self.config());
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may be gone already.
        drop(child.stdin.take().unwrap().write_all(input));
        child.wait_with_output().unwrap()
    }

    /// What a command prints that is expected to succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, b"")
    }

    fn ok_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pigeon {arguments:?}: {errors}");
        assert!(!output.stdout.contains(&0x1b), "colours where nobody sees them: {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON document that a command prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{printed}"))
    }

    /// What a command says that is expected to fail: one line.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, b"");
        assert_eq!(output.status.code(), Some(1), "pigeon {arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("pigeon: ") && said.lines().count() == 1, "{arguments:?}: {said}");
        said
    }

    fn deliver(&self, recipient: &str) {
        let output = self.run(&["deliver", "-f", "bob@example.net", recipient], MAIL);
        assert!(output.status.success(), "{output:?}");
    }

    /// The names of all files below the mail root.
    fn mails(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path().join("mail"), &mut found);
        found.retain(|path| path.parent().is_some_and(|parent| parent.ends_with("new")));
        found
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn init_makes_a_node_and_says_what_to_do_next() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    let said = trial.init(&["--domain", "example.org", "--admin", "root@example.org"]);
    for expect in ["account password root@example.org", "postconf -e", "check", "serve"] {
        assert!(said.contains(expect), "{expect} is missing: {said}");
    }
    let seeded = trial.json(&["settings", "show", "--system"]);
    let names: Vec<&Value> =
        seeded["settings"].as_array().unwrap().iter().map(|one| &one["name"]["key"]).collect();
    assert_eq!(names, ["enabled", "enabled", "enabled"]);
    assert_eq!(trial.json(&["grant", "list"])["grants"][0]["account"], "root@example.org");
    assert!(said.contains("account add ann@example.org") && said.contains("explain ann@"), "{said}");
    assert!(trial.refused(&["init"]).contains("exists already"));
    trial.deliver("root@example.org");
    assert_eq!(trial.mails().len(), 1);
}

#[test]
fn init_suggests_to_add_nobody_who_is_there() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    let said = trial.init(&["--admin", "ann@example.org"]);
    assert!(said.contains("account password ann@example.org"), "{said}");
    assert!(!said.contains("account add ann@") && said.contains("account add bob@example.org"), "{said}");
}

#[test]
fn init_keeps_a_configuration_that_is_there() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    let at = |name: &str| trial.path().join(name).display().to_string();
    let text = format!(
        "directory = \"sqlite:{}\"\nstate = \"{}\"\n[mail]\nroot = \"{}\"\n",
        at("d.sqlite"),
        at("s"),
        at("m")
    );
    fs::write(trial.config(), &text).unwrap();
    trial.ok(&["init", "--domain", "example.org"]);
    assert_eq!(fs::read_to_string(trial.config()).unwrap(), text);
    assert_eq!(trial.json(&["domain", "list"])["domains"][0]["name"], "example.org");
}

#[test]
fn check_tells_what_is_wrong_and_what_to_do() {
    let trial = Trial::new(&[]);
    let submit = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = submit.local_addr().unwrap().port();
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = submit.accept().unwrap();
        stream.write_all(b"220 mx.example.net ESMTP\r\n").unwrap();
    });
    let text = fs::read_to_string(trial.config()).unwrap();
    let text =
        text.replace("#submit = \"smtp://127.0.0.1:25\"", &format!("submit = \"smtp://127.0.0.1:{port}\""));
    fs::write(trial.config(), &text).unwrap();
    let checked = trial.json(&["check"]);
    greeter.join().unwrap();
    assert_eq!(checked["is_ok"], true, "{checked:#}");
    assert!(
        checked["checks"].as_array().unwrap().iter().all(|check| check["verdict"] == "ok"),
        "{checked:#}"
    );
    // The mail server is gone: what leaves waits, and nothing else does.
    let said = trial.ok(&["check"]);
    assert!(said.contains("! warning") && said.contains("→ start the mail server"), "{said}");
    assert!(said.ends_with("The server can be started, with 1 warning: see →.\n"), "{said}");
    let checked = trial.json(&["check"]);
    let verdicts: Vec<&Value> =
        checked["checks"].as_array().unwrap().iter().map(|check| &check["verdict"]).collect();
    assert_eq!(checked["is_ok"], true, "{checked:#}");
    assert_eq!(verdicts.iter().filter(|verdict| ***verdict == "warning").count(), 1, "{checked:#}");

    fs::write(trial.config(), text.replace("lmtp.sock", "nowhere/lmtp.sock").replace("smtp://", "smtp:"))
        .unwrap();
    let output = trial.run(&["check"], b"");
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nowhere is not there") && said.contains("→ mkdir"), "{said}");
    assert!(said.contains("mend outbox.submit"), "{said}");

    fs::write(trial.config(), "directroy = 1\n").unwrap();
    let output = trial.run(&["check", "--json"], b"");
    assert_eq!(output.status.code(), Some(78));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(checked["checks"][0]["found"].as_str().unwrap().contains("directroy"), "{checked:#}");
}

#[test]
fn without_a_configuration_there_is_one_thing_to_do() {
    let output = Command::new(PIGEON)
        .args(["domain", "list", "--config", "/nonexistent/pigeondeliver.toml"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/pigeondeliver.toml") && said.contains("pigeon init"), "{said}");
}

#[test]
fn explain_shows_the_plan_and_rehearses_without_a_trace() {
    let trial = Trial::new(&["ann@example.org", "bob@example.org"]);
    trial.ok(&["alias", "add", "sales@example.org", "ann@example.org", "bob@example.org"]);
    trial.ok(&["settings", "set", "--account", "ann@example.org", "mailbox.folder=Work"]);
    let text = trial.ok(&["explain", "sales@example.org"]);
    assert!(
        text.contains("sales@example.org → ann@example.org") && text.contains("folder=Work (account)"),
        "{text}"
    );
    assert!(text.contains("off: ") && text.contains("vacation"), "{text}");
    let plan = trial.json(&["explain", "sales@example.org"]);
    assert_eq!(plan["branches"].as_array().unwrap().len(), 2);
    assert_eq!(plan["branches"][0]["steps"][0]["service"], "quota");

    let output = trial.run(&["explain", "sales@example.org", "--message", "-", "--json"], MAIL);
    assert!(output.status.success(), "{output:?}");
    let rehearsed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let receipt = &rehearsed["receipts"][0];
    assert_eq!(
        (&receipt["is_dry_run"], &receipt["outcome"]),
        (&Value::Bool(true), &Value::from("delivered"))
    );
    assert_eq!(trial.mails(), Vec::<PathBuf>::new());
    assert_eq!(trial.json(&["receipts", "ann@example.org"])["receipts"], Value::Array(vec![]));
}

#[test]
fn explain_says_why_there_is_no_plan() {
    let trial = Trial::new(&["ann@example.org"]);
    let check = |address: &str, expect: &str| {
        let output = trial.run(&["explain", address], b"");
        assert_eq!(output.status.code(), Some(1), "{address}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expect), "{said}");
    };
    check("nobody@example.org", "550 5.1.1");
    check("ann@example.com", "pigeon domain add example.com");
    trial.ok(&[
        "settings",
        "set",
        "--account",
        "ann@example.org",
        "quota.octets=1K",
        "quota.grace=0%",
        "quota.over=reject",
    ]);
    let large = [MAIL, &b"x\n".repeat(2000)].concat();
    let output = trial.run(&["explain", "ann@example.org", "--message", "-"], &large);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("552"), "{output:?}");
}

#[test]
fn receipts_are_found_by_recipient_and_by_message_id() {
    let trial = Trial::new(&["ann@example.org"]);
    trial.deliver("ann@example.org");
    let text = trial.ok(&["receipts", "ann@example.org"]);
    assert!(text.contains("✓ delivered  ann@example.org   from bob@example.net"), "{text}");
    assert!(text.contains("mailbox") && text.contains("mailbox.folder=INBOX (default)"), "{text}");
    for about in ["ann@example.org", "<1@example.net>", "1@example.net"] {
        let found = trial.json(&["receipts", about]);
        assert_eq!(found["receipts"][0]["recipient"], "ann@example.org", "{about}");
        assert!(found["receipts"][0]["at"].as_str().unwrap().ends_with('Z'), "{found:#}");
    }
    assert_eq!(
        trial.json(&["receipts", "ann@example.org", "--since", "1h"])["receipts"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        trial.json(&["receipts", "ann@example.org", "--since", "2999-01-01"])["receipts"],
        Value::Array(vec![])
    );
    assert!(trial.ok(&["receipts", "<2@example.net>"]).contains("no receipt"));
}

#[test]
fn the_change_log_names_who_did_what_and_keeps_no_password() {
    let trial = Trial::new(&["ann@example.org"]);
    trial.ok_with(&["account", "password", "ann@example.org", "--password-stdin"], b"correct horse\n");
    trial.ok(&["--as", "ann@example.org", "settings", "set", "mailbox.folder=Work"]);
    let changes = trial.json(&["changes"]);
    let changes = changes["changes"].as_array().unwrap();
    let last = changes.last().unwrap();
    assert_eq!(last["what"], "set mailbox.folder=Work at the account ann@example.org");
    assert!(last["actor"].as_str().unwrap().contains("ann@example.org"), "{last:#}");
    assert!(!trial.ok(&["changes", "--json"]).contains("argon2"));
    let seq = last["seq"].as_u64().unwrap();
    let later = trial.json(&["changes", "--since", &(seq - 1).to_string()]);
    assert_eq!(later["changes"].as_array().unwrap().len(), 1);
    let few = trial.json(&["changes", "--limit", "2"]);
    assert_eq!(few["changes"].as_array().unwrap().last(), Some(last));
    assert!(trial.ok(&["changes"]).contains("changed the password of ann@example.org"));
}

#[test]
fn services_are_listed_and_described() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    let listed = trial.json(&["service", "list"]);
    let names: Vec<&str> = listed["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].as_str().unwrap())
        .collect();
    let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
    assert_eq!(names, known, "in the order in which they run");
    let described = trial.json(&["service", "describe", "quota"]);
    let keys: Vec<&str> =
        described["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"octets") && keys.contains(&"enabled"), "{keys:?}");
    assert!(trial.refused(&["service", "describe", "qouta"]).contains("did you mean quota?"));
}

#[test]
fn the_program_makes_its_own_documents_always_alike() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    let made = |name: &str| {
        let place = trial.path().join(name);
        trial.ok(&["generate", &place.display().to_string()]);
        let mut files = Vec::new();
        collect(&place, &mut files);
        files.sort();
        files
            .iter()
            .map(|file| (file.strip_prefix(&place).unwrap().to_owned(), fs::read(file).unwrap()))
            .collect::<Vec<_>>()
    };
    let (one, two) = (made("one"), made("two"));
    assert_eq!(one, two);
    let names: Vec<String> = one.iter().map(|(name, _)| name.display().to_string()).collect();
    for expect in ["docs/reference/cli.md", "docs/man/pigeon-settings.1", "docs/completions/_pigeon"] {
        assert!(names.iter().any(|name| name == expect), "{expect} is not in {names:?}");
    }
}

#[test]
fn usage_errors_are_code_two_and_completions_are_printed() {
    let trial = Trial { directory: tempfile::tempdir().unwrap() };
    for arguments in
        [&["domian", "list"][..], &["domain", "add"], &["account", "add", "ann"], &["settings", "set"]]
    {
        let output = trial.run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(trial.ok(&["completions", shell]).contains("pigeon"), "{shell}");
    }
    let late = trial.refused(&["--json", "deliver", "ann@example.org"]);
    assert!(late.contains("first word"), "{late}");
}
