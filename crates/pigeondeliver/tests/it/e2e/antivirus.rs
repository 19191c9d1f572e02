//! Mail through the real binary and a real clamd into real Maildirs.

use pigeon_testkit::peers::{Clamd, ClamdOptions, eicar, or_skip};
use serde_json::Value;

use super::memory::{ALLOWANCE_KIB, message, peak_kib};
use crate::node::{FRESHNESS, Node, NodeOptions};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CARL: &str = "carl@example.org";

/// A node with these accounts whose mail is scanned.
fn node(clamd: &Clamd, accounts: &[&str]) -> Node {
    let options =
        NodeOptions { lmtp: vec!["max_message_size = 209715200".to_owned()], ..NodeOptions::default() };
    let node = Node::with(&options, accounts);
    let servers = format!(
        "antivirus.servers=[\"unix:{}\",\"tcp://127.0.0.1:{}\"]",
        clamd.socket().display(),
        clamd.port()
    );
    node.run(&["settings", "set", "--system", "antivirus.enabled=true", &servers]);
    node
}

/// What `pigeon check` says about the scanner: the verdict and what it found.
fn checked(node: &Node) -> (String, String) {
    let all = node.json(&["check"]);
    let checks = all["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["what"] == "service antivirus");
    let text = |key: &str| found.and_then(|check| check[key].as_str()).unwrap_or_default().to_owned();
    (text("verdict"), text("found"))
}

fn infected() -> Vec<u8> {
    format!("From: Sam <sam@example.com>\r\nSubject: x\r\n\r\n{}\r\n", eicar()).into_bytes()
}

#[test]
fn infected_mail_ends_where_each_account_wants_it() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let mut node = node(&clamd, &[ANN, BOB, CARL]);
    node.set(BOB, &["antivirus.action=tag", "antivirus.subject_tag=[VIRUS]"]);
    node.set(CARL, &["antivirus.action=discard"]);
    let (verdict, found) = checked(&node);
    assert!(verdict == "ok" && found.matches(": ClamAV 1.").count() == 2, "{verdict}: {found}");
    node.start();
    let send = |data: &[u8]| node.lmtp().send("sam@example.com", &[ANN, BOB, CARL], data).unwrap();
    let submission = send(&infected());
    assert!(submission.is_accepted(), "{submission:?}\n{}", node.log());
    let quarantined = node.folder(ANN, ".Quarantine");
    assert!(quarantined[0].text().contains("\nX-Virus-Status: Infected (Eicar-Test.UNOFFICIAL)\n"));
    assert!(node.inbox(BOB)[0].text().contains("\nSubject: [VIRUS] x\n"), "{}", node.inbox(BOB)[0].text());
    assert!(node.inbox(ANN).is_empty() && node.inbox(CARL).is_empty());
    assert!(send(b"Subject: fine\r\n\r\nx\r\n").is_accepted());
    assert_eq!([ANN, BOB, CARL].map(|account| node.inbox(account).len()), [1, 2, 1]);
    assert_eq!(clamd.scans(2), 2, "one scan for each message");
    let receipts = node.json(&["receipts", CARL]).to_string();
    assert!(receipts.contains("antivirus.action=discard (account)"), "{receipts}");
    // The Unix way, a process for each message.
    let output = node.deliver(&["-f", "sam@example.com", "-d", ANN], &infected());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(node.folder(ANN, ".Quarantine").len(), 2);
}

#[test]
fn without_the_scanner_mail_waits_or_passes_with_a_mark() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let mut node = node(&clamd, &[ANN, BOB]);
    node.set(BOB, &["antivirus.when_down=pass"]);
    node.start();
    clamd.stop().unwrap();
    let (verdict, found) = checked(&node);
    assert_eq!(verdict, "warning", "{found}");
    assert!(found.contains("cannot be reached") && found.contains("is it running"), "{found}");
    let send = || node.lmtp().send("sam@example.com", &[ANN, BOB], &infected()).unwrap();
    let submission = send();
    let codes: Vec<u16> = submission.outcomes.iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [451, 250], "{submission:?}");
    let passed = node.inbox(BOB)[0].text();
    assert!(passed.contains("\nX-Virus-Status: Unscanned (the scanner is not available)\n"), "{passed}");
    assert!(node.log().contains("passes unscanned: clamd at unix:"), "{}", node.log());
    or_skip(clamd.restart()).unwrap();
    assert!(send().is_accepted(), "{}", node.log());
    assert_eq!(node.folder(ANN, ".Quarantine").len(), 1);
}

/// A domain's administrator imposes it, and a dry run says so before any mail comes.
#[test]
fn a_pinned_scan_cannot_be_switched_off() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let mut node = node(&clamd, &[ANN]);
    node.set(ANN, &["antivirus.enabled=false"]);
    node.start();
    let send = || assert!(node.lmtp().send("sam@example.com", &[ANN], &infected()).unwrap().is_accepted());
    send();
    assert_eq!(node.inbox(ANN).len(), 1, "the user has switched it off");
    node.run(&["settings", "set", "--domain", "example.org", "antivirus.enabled=true", "--pin"]);
    std::thread::sleep(FRESHNESS);
    send();
    assert_eq!(node.folder(ANN, ".Quarantine").len(), 1, "{}", node.log());
    let explained: Value = node.json(&["explain", ANN]);
    assert!(explained.to_string().contains("antivirus"), "{explained}");
}

#[test]
fn thirty_mebibytes_are_scanned_in_the_memory_of_two() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let mut node = node(&clamd, &[ANN]);
    node.run(&["settings", "set", "--system", "antivirus.max_octets=60M", "antivirus.mark_clean=true"]);
    node.start();
    let process = node.process_id();
    let peak_after = |mebibytes| {
        let submission = node.lmtp().send("sam@example.com", &[ANN], &message(mebibytes, "\r\n")).unwrap();
        assert!(submission.is_accepted(), "{submission:?}\n{}", node.log());
        peak_kib(process).unwrap()
    };
    peak_after(2);
    let (small, large) = (peak_after(2), peak_after(30));
    println!("peak {small} KiB with 2 MiB, {large} KiB with 30 MiB");
    assert!(large < small + ALLOWANCE_KIB, "{large} KiB with 30 MiB, {small} KiB with 2 MiB");
    assert!(node.inbox(ANN).iter().all(|mail| mail.text().contains("\nX-Virus-Status: Clean\n")));
    assert_eq!(clamd.scans(3), 3);
}
