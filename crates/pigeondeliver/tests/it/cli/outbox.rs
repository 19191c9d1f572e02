//! What leaves: it is listed, tried again, given up and sent by hand.

use std::fs;

use pigeon_testkit::peers::{PATIENCE, SinkStage, SmtpSink};
use serde_json::{Value, json};

use super::Trial;

/// The discard port: nobody listens there.
const NOBODY: u16 = 9;

/// A node whose ann sends her mail on to carol.
fn forwarding() -> Trial {
    let trial = Trial::new(&["ann@example.org"]);
    submit_to(&trial, NOBODY);
    let forward = ["forward.enabled=yes", "forward.to=carol@example.com"];
    trial.ok(&[&["settings", "set", "--account", "ann@example.org"], &forward[..]].concat());
    trial
}

fn submit_to(trial: &Trial, port: u16) {
    let is_submit = |line: &str| line.trim_start_matches('#').starts_with("submit = ");
    let text = fs::read_to_string(trial.config()).unwrap();
    let lines = text.lines().map(|line| {
        if is_submit(line) { format!("submit = \"smtp://127.0.0.1:{port}\"\n") } else { format!("{line}\n") }
    });
    fs::write(trial.config(), lines.collect::<String>()).unwrap();
}

#[test]
fn the_outbox_can_be_looked_after() {
    let trial = forwarding();
    assert_eq!(trial.ok(&["outbox", "list"]), "The outbox is empty.\n");
    trial.deliver("ann@example.org");
    let waiting = trial.json(&["outbox", "list"]);
    let entry = &waiting["entries"][0];
    assert_eq!(
        (&entry["recipient"], &entry["status"]),
        (&Value::from("carol@example.com"), &Value::from("ready"))
    );
    let number = entry["id"].to_string();
    assert!(trial.ok(&["outbox", "list"]).contains("carol@example.com"));
    trial.ok(&["outbox", "retry", &number]);
    trial.ok(&["outbox", "cancel", &number]);
    assert_eq!(trial.json(&["outbox", "list"])["entries"], Value::Array(vec![]));
    assert_eq!(
        trial.json(&["outbox", "list", "--status", "cancelled"])["entries"].as_array().unwrap().len(),
        1
    );
    assert!(trial.refused(&["outbox", "cancel", &number]).contains("has ended"));
    assert!(trial.refused(&["outbox", "retry", "999"]).contains("pigeon outbox list"));
}

#[test]
fn what_waits_can_be_sent_by_hand() {
    let trial = forwarding();
    assert_eq!(trial.ok(&["outbox", "flush", "--all"]), "Nothing is due.\n");
    trial.deliver("ann@example.org");
    // The delivery has tried it a moment ago: it waits for its next attempt.
    let said = trial.ok(&["outbox", "flush"]);
    assert_eq!(said, "Nothing is due: --all tries what waits for a later attempt, too.\n");
    let flush = |expect: Value| assert_eq!(trial.json(&["outbox", "flush", "--all"]), expect);
    flush(json!({ "sent": 0, "deferred": 1, "failed": 0 }));
    assert!(trial.ok(&["outbox", "flush", "--all"]).starts_with("1 entry not taken yet"));
    let waiting = trial.json(&["outbox", "list"]);
    assert_eq!(waiting["entries"][0]["attempts"], 3, "{waiting:#}");

    let mail_server = SmtpSink::smtp().unwrap();
    submit_to(&trial, mail_server.port());
    flush(json!({ "sent": 1, "deferred": 0, "failed": 0 }));
    let taken = mail_server.wait_for(1, PATIENCE);
    assert_eq!(taken[0].recipients, ["carol@example.com"]);
    assert_eq!(trial.ok(&["outbox", "list"]), "The outbox is empty.\n");
    flush(json!({ "sent": 0, "deferred": 0, "failed": 0 }));
    assert_eq!(mail_server.messages().len(), 1, "sent once");

    // What is due needs no --all; what the mail server refuses for good is given up.
    submit_to(&trial, NOBODY);
    let second = String::from_utf8_lossy(super::MAIL).replace("<1@", "<2@");
    let delivered = trial.run(&["deliver", "-f", "bob@example.net", "ann@example.org"], second.as_bytes());
    assert!(delivered.status.success(), "{delivered:?}");
    let waiting = trial.json(&["outbox", "list"]);
    trial.ok(&["outbox", "retry", &waiting["entries"][0]["id"].to_string()]);
    mail_server.fail_next(SinkStage::Recipient, 1, "550 5.1.1 No such user");
    submit_to(&trial, mail_server.port());
    let said = trial.ok(&["outbox", "flush"]);
    assert_eq!(said, "1 entry sent\n1 entry given up: see pigeon outbox list --status failed\n");
    // What was sent is the notice to the sender.
    assert_eq!(mail_server.wait_for(2, PATIENCE)[1].recipients, ["bob@example.net"]);
    assert!(trial.ok(&["outbox", "list", "--status", "failed"]).contains("No such user"));
}

#[test]
fn only_the_system_flushes() {
    let trial = forwarding();
    assert!(trial.refused(&["--as", "ann@example.org", "outbox", "flush"]).contains("leave out --as"));
}
