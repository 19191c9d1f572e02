//! The service over servers that say what a test wants: well, badly, slowly or not at all.

mod fake;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Descriptor, NoConfig};
use pigeon_core::setting::{Content, Layer, Range};
use pigeon_testkit::memory::{World, because_of, reason_of};
use serde_json::Value;
use tokio::net::UnixListener;

use fake::{Fake, Manner, serve};

use super::*;
use crate::mailbox::Mailbox;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const MAIL: &str = "From: eve@example.net\nSubject: hi\nX-Spam-Flag: NO\nX-Spam-Status: No, score=-99\n\
                    X-Pigeon-Spam: ham id=forged\n\nhello\n";

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn rspamd(score: f64) -> Manner {
    let body = format!(
        r#"{{"score": {score}, "required_score": 15, "action": "x", "symbols": {{"LOW": {{"score": 0.5}}, "HIGH": {{"score": 7}}}},
           "milter": {{"add_headers": {{"X-Rspamd": {{"value": "seen", "order": 0}}}}, "remove_headers": {{"X-Old": 0}}}}}}"#
    );
    Manner::Says(http("200 OK", &body))
}

fn spamd(score: f64) -> Manner {
    Manner::Says(format!(
        "SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: True ; {score} / 5.0\r\n\r\nONE,TWO\r\n"
    ))
}

/// Ann and bob, and an engine at this server.
fn world(engine: &str, servers: &[&str]) -> World {
    let world = World::new(crate::catalogue::SERVICES);
    world.account(ANN).account(BOB);
    for (key, value) in [
        ("mailbox.enabled", Value::from(true)),
        ("antispam.enabled", true.into()),
        ("antispam.engine", engine.into()),
        ("antispam.servers", servers.to_vec().into()),
    ] {
        world.set("system", key, value);
    }
    world
}

async fn mail(world: &World) -> Arc<Receipt> {
    world.mail("eve@example.net", ANN, MAIL).await
}

/// The text of ann's last mail.
fn stored(world: &World) -> String {
    world.mails(ANN).last().unwrap().text.clone()
}

/// Nor is the scanner left alone because somebody waits for it no longer than a moment.
#[tokio::test]
async fn a_recipient_with_little_time_harms_no_other() {
    let Manner::Says(answer) = rspamd(7.3) else { return };
    let server = Fake::start(Manner::Late(Duration::from_millis(300), answer)).await;
    let world = world("rspamd", &[&server.address]);
    world.set(BOB, "antispam.timeout_ms", 20).set(BOB, "antispam.on_fault", "skip");
    for _ in 0..4 {
        let receipts = world.deliver("eve@example.net", &[BOB, ANN], MAIL).await;
        assert_eq!(reason_of(&receipts[0], "antispam"), "antispam took longer than 20 ms");
        assert_eq!(reason_of(&receipts[1], "antispam"), "score 7.3 of 6.0: HIGH, LOW");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 4, "one scan for each message");
}

#[tokio::test]
async fn spam_goes_into_its_folder_with_fields_that_tell() {
    let server = Fake::start(rspamd(7.3)).await;
    let world = world("rspamd", &[&server.address]);
    let text = format!("X-Old: 1\n{MAIL}");
    let receipt = world.mail("eve@example.net", ANN, &text).await;
    assert_eq!(receipt.outcome.text(), "stored in Junk");
    assert_eq!(reason_of(&receipt, "antispam"), "score 7.3 of 6.0: HIGH, LOW");
    assert_eq!(
        because_of(&receipt, "antispam"),
        [
            "antispam.threshold=6.0 (default)",
            "antispam.action=folder (default)",
            "antispam.folder=Junk (default)"
        ]
    );
    let text = stored(&world);
    for line in [
        "X-Spam-Flag: YES",
        "X-Spam-Score: 7.3",
        "X-Spam-Level: *******",
        "X-Spam-Status: Yes, score=7.3 required=6.0 tests=[HIGH, LOW]",
        "X-Rspamd: seen",
    ] {
        assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line}: {text}");
    }
    assert!(text.contains("X-Pigeon-Spam: spam filed score=7.3 threshold=6.0 id=test-1\n"), "{text}");
    assert!(!text.contains("-99") && !text.contains("forged") && !text.contains("X-Old"), "{text}");
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /checkv2 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("from: <eve@example.net>\r\n") && request.contains("rcpt: ann@example.org\r\n"));
    assert!(request.contains("mta-name: mx.example.org\r\n") && request.contains("queue-id: test-1\r\n"));
    assert!(
        request.ends_with(
            "\r\n\r\nX-Old: 1\nFrom: eve@example.net\nSubject: hi\nX-Spam-Flag: NO\n\
        X-Spam-Status: No, score=-99\nX-Pigeon-Spam: ham id=forged\n\nhello\n"
        ),
        "as it came: {request}"
    );
}

#[tokio::test]
async fn spamd_is_asked_over_both_kinds_of_sockets() {
    let server = Fake::start(spamd(7.3)).await;
    let directory = tempfile_directory();
    let path = directory.join("spamd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&requests);
    let task = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        serve(connection, spamd(8.0), kept).await;
    });
    for (address, reason) in [
        (server.address.clone(), "score 7.3 of 6.0: ONE, TWO"),
        (format!("unix:{}", path.display()), "score 8.0 of 6.0: ONE, TWO"),
    ] {
        let world = world("spamassassin", &[&address]);
        world.set(ANN, "antispam.learn_scope", "user");
        let receipt = mail(&world).await;
        assert_eq!(
            (reason_of(&receipt, "antispam").as_str(), receipt.outcome.text().as_str()),
            (reason, "stored in Junk")
        );
    }
    task.await.unwrap();
    for request in server.requests().into_iter().chain(requests.lock().unwrap().clone()) {
        let sent = format!("Return-Path: <eve@example.net>\n{MAIL}");
        let expect = format!(
            "SYMBOLS SPAMC/1.5\r\nContent-length: {}\r\nUser: ann@example.org\r\n\r\n{sent}",
            sent.len()
        );
        assert_eq!(request, expect);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

fn tempfile_directory() -> std::path::PathBuf {
    let unique = format!("pigeon-spam-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(unique);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[tokio::test]
async fn bad_servers_cost_no_mail() {
    let truncated = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{\"score\": 9";
    let table = [
        ("rspamd", Manner::Silent, "gave no answer within 0.3 s"),
        ("rspamd", Manner::Slow("HTTP/1.1 200 OK\r\nX-".to_owned()), "gave no answer within 0.3 s"),
        ("rspamd", Manner::Hangs, "error sending request"),
        ("rspamd", Manner::Says("\u{0}\u{1}garbage\n\n\n".to_owned()), "error sending request"),
        (
            "rspamd",
            Manner::Says(http("500 Oops", "{\"error\": \"no\tmemory\"}")),
            "answered 500 Internal Server Error",
        ),
        ("rspamd", Manner::Says(http("200 OK", "{\"score\": 9")), "no JSON"),
        ("rspamd", Manner::Says(http("200 OK", "{}")), "without a score"),
        ("rspamd", Manner::Says(truncated.to_owned()), "broke off its answer"),
        ("rspamd", Manner::Says(http("200 OK", &" ".repeat(2 << 20))), "answered without an end"),
        ("spamassassin", Manner::Silent, "gave no answer within 0.3 s"),
        ("spamassassin", Manner::Slow("SPAMD".to_owned()), "gave no answer within 0.3 s"),
        ("spamassassin", Manner::Hangs, "gave no answer"),
        ("spamassassin", Manner::Says("garbage".to_owned()), "what spamd never says"),
        (
            "spamassassin",
            Manner::Says("SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n".to_owned()),
            "answered 75 EX_TEMPFAIL",
        ),
        (
            "spamassassin",
            Manner::Says("SPAMD/1.1 0 EX_OK\r\nContent-length: 99\r\nSpam: True ; 9 / 5\r\n\r\nA".to_owned()),
            "broke off in the middle",
        ),
    ];
    for (engine, manner, expect) in table {
        let shown = format!("{engine} {:.60}", format!("{manner:?}"));
        let server = Fake::start(manner).await;
        let world = world(engine, &[&server.address]);
        world.set("system", "antispam.scan_timeout_ms", 300);
        let receipt = mail(&world).await;
        let reason = reason_of(&receipt, "antispam");
        assert!(
            reason.contains(expect) && reason.starts_with("not scanned: 127.0.0.1:"),
            "{shown}: {reason}"
        );
        assert_eq!(receipt.outcome.text(), "stored in INBOX", "{shown}");
        assert_eq!(because_of(&receipt, "antispam"), ["antispam.when_down=pass (default)"], "{shown}");
        let text = stored(&world);
        assert!(text.contains("X-Spam-Status: No, not scanned: no scanner\n"), "{shown}: {text}");
        assert!(text.contains("X-Pigeon-Spam: unscanned id=test-1\n") && !text.contains("-99"), "{text}");
        world.set(ANN, "antispam.when_down", "defer").set(ANN, "antispam.mark_unscanned", false);
        let receipt = mail(&world).await;
        let later = "451 4.7.1 The message cannot be checked now, try again later";
        assert_eq!(receipt.outcome.text(), later, "{shown}");
    }
}

#[tokio::test]
async fn nobody_there_is_down_too_and_no_mark_is_a_setting() {
    let world = world("rspamd", &["unix:/nonexistent/rspamd.sock", "127.0.0.1:1"]);
    world.set(ANN, "antispam.mark_unscanned", false);
    let receipt = mail(&world).await;
    let reason = reason_of(&receipt, "antispam");
    assert!(
        reason.contains("unix:/nonexistent/rspamd.sock error") && reason.contains("127.0.0.1:1 error"),
        "{reason}"
    );
    assert!(!stored(&world).contains("X-Spam-Status"), "{}", stored(&world));
}

#[tokio::test]
async fn one_scan_serves_all_and_thresholds_are_everybodys_own() {
    let server = Fake::start(rspamd(5.0)).await;
    let world = world("rspamd", &[&server.address]);
    let people: Vec<String> = (0..50).map(|number| format!("user{number}@example.org")).collect();
    for (number, address) in people.iter().enumerate() {
        world.account(address);
        world.set(address, "antispam.threshold", if number % 2 == 0 { 4.5 } else { 5.5 });
    }
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let receipts = world.deliver("eve@example.net", &names, MAIL).await;
    for (number, receipt) in receipts.iter().enumerate() {
        let folder = if number % 2 == 0 { "stored in Junk" } else { "stored in INBOX" };
        assert_eq!(receipt.outcome.text(), folder, "{}", people[number]);
    }
    assert_eq!(because_of(&receipts[0], "antispam")[0], "antispam.threshold=4.5 (account)");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "one scan for fifty");
    let request = server.requests()[0].clone();
    assert_eq!(request.matches("\r\nrcpt: user").count(), 50, "{request}");
}

#[tokio::test]
async fn a_scan_serves_those_who_learn_together() {
    let server = Fake::start(rspamd(1.0)).await;
    let world = world("rspamd", &[&server.address]);
    world.account("cat@example.com").set("system", "antispam.learn_scope", "domain");
    world.deliver("eve@example.net", &[ANN, BOB, "cat@example.com"], MAIL).await;
    let mut requests = server.requests();
    requests.sort_by_key(|request| request.contains("deliver-to: example.org"));
    assert_eq!(requests.len(), 2, "one for each domain");
    assert!(
        requests[0].contains("deliver-to: example.com\r\n")
            && requests[0].contains("rcpt: cat@example.com\r\n")
    );
    assert!(!requests[0].contains("ann@example.org"), "{}", requests[0]);
    assert!(requests[1].contains("rcpt: ann@example.org\r\nrcpt: bob@example.org\r\n"), "{}", requests[1]);
    world.set(ANN, "antispam.learn_scope", "user");
    world.deliver("eve@example.net", &[ANN, BOB], MAIL).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests[2..].iter().any(|request| request.contains("deliver-to: ann@example.org\r\n")));
}

#[tokio::test]
async fn ranges_bind_what_people_choose() {
    let server = Fake::start(rspamd(5.0)).await;
    let world = world("rspamd", &[&server.address]);
    let number = |number: u32| Some(number.into());
    world.range("example.org", "antispam.threshold", Range::Between { min: number(4), max: number(8) });
    let because = async |value: f64| {
        world.set(ANN, "antispam.threshold", value);
        let receipt = mail(&world).await;
        (because_of(&receipt, "antispam")[0].clone(), receipt.outcome.text())
    };
    let (held, outcome) = because(5.5).await;
    assert_eq!((held.as_str(), outcome.as_str()), ("antispam.threshold=5.5 (account)", "stored in INBOX"));
    let (held, outcome) = because(2.0).await;
    assert!(held.starts_with("antispam.threshold=4 ") && outcome == "stored in Junk", "{held} {outcome}");
    let (held, outcome) = because(100.0).await;
    assert!(held.starts_with("antispam.threshold=8 ") && outcome == "stored in INBOX", "{held} {outcome}");
}

#[test]
fn values_that_do_harm_are_refused() {
    let world = World::new(crate::catalogue::SERVICES);
    let catalogue = world.agent.planner().catalogue();
    let check = |key: &str, value: Value, expect: &str| {
        let name = format!("antispam.{key}").parse().unwrap();
        let said = catalogue.validate(Layer::System, &name, &Content::Value(value)).err().unwrap_or_default();
        assert!(if expect.is_empty() { said.is_empty() } else { said.contains(expect) }, "{key}: {said}");
    };
    check("threshold", json!(0), "0.1 to 1000");
    check("threshold", json!("high"), "must be a number");
    check("reject_above", json!(-1), "0.1 to 1000");
    check("reject_above", Value::Null, "");
    check("folder", json!("inbox"), "another one than INBOX");
    check("subject_prefix", json!("a\nb"), "one line");
    check("servers", json!(["127.0.0.1:11333", "unix:/run/x", "[::1]:783", "https://a.example:1/"]), "");
    for server in ["127.0.0.1", "unix:run/x", "::1:783", "host:0", "host:99999", "http://", "a b:1", ":1"] {
        check("servers", json!([server]), "is no server");
    }
}

#[test]
fn limits_below_the_threshold_contradict_it() {
    let found = |reject_above, discard_above| {
        let settings = Settings { reject_above, discard_above, ..Settings::default() };
        settings.contradictions().into_iter().map(|found| found.keys).collect::<Vec<_>>()
    };
    assert!(found(None, None).is_empty() && found(Some(6.0), Some(9.0)).is_empty());
    assert_eq!(found(Some(5.9), None), [["threshold", "reject_above"]]);
    assert_eq!(found(Some(9.0), Some(3.0)), [["threshold", "discard_above"]]);
    assert_eq!(found(Some(9.0), Some(9.0)), [["reject_above", "discard_above"]]);
}

#[tokio::test]
async fn actions_are_settings() {
    let server = Fake::start(rspamd(12.0)).await;
    let world = world("rspamd", &[&server.address]);
    world.set(ANN, "antispam.subject_prefix", "[SPAM]").set(ANN, "antispam.fields", vec!["score"]);
    for (key, value, outcome) in [
        ("action", Value::from("tag"), "stored in INBOX"),
        ("action", "discard".into(), "it is spam"),
        ("action", "reject".into(), "550 5.7.1 The message is refused: it looks like spam"),
        ("action", "folder".into(), "stored in Junk"),
        ("folder", "Spam/new".into(), "stored in Spam/new"),
        ("reject_above", 12.0.into(), "550 5.7.1 The message is refused: it looks like spam"),
        ("discard_above", 12.5.into(), "550 5.7.1 The message is refused: it looks like spam"),
        ("reject_above", 20.0.into(), "stored in Spam/new"),
    ] {
        world.set(ANN, &format!("antispam.{key}"), value);
        assert_eq!(mail(&world).await.outcome.text(), outcome, "{key}");
    }
    let text = stored(&world);
    assert!(text.contains("\nSubject: [SPAM] hi\n") && text.contains("X-Spam-Score: 12.0\n"), "{text}");
    assert!(!text.contains("X-Spam-Status") && !text.contains("X-Spam-Flag"), "{text}");
    world.set(ANN, "antispam.scanner_fields", false);
    mail(&world).await;
    assert!(!stored(&world).contains("X-Rspamd"));
}

#[tokio::test]
async fn large_messages_pass_without_a_scan() {
    let server = Fake::start(rspamd(12.0)).await;
    let world = world("rspamd", &[&server.address]);
    world.set("system", "antispam.largest", 50);
    let receipt = mail(&world).await;
    assert_eq!(reason_of(&receipt, "antispam"), "not scanned: it is larger than antispam.largest, 50 octets");
    assert_eq!(because_of(&receipt, "antispam"), ["antispam.largest=50 (system)"]);
    assert!(stored(&world).contains("X-Spam-Status: No, not scanned: too large\n"));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn lists_have_the_last_word() {
    let server = Fake::start(rspamd(12.0)).await;
    let world = world("rspamd", &[&server.address]);
    world.set("system", "lists.enabled", true).set("system", "lists.allow_needs", "nothing");
    world.set(ANN, "lists.allow", vec!["eve@example.net"]);
    let receipt = mail(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "{}", reason_of(&receipt, "antispam"));
    let reason = reason_of(&receipt, "antispam");
    assert!(reason.contains("not acted on, the sender is allowed: eve@example.net"), "{reason}");
    assert!(stored(&world).contains("X-Spam-Status: No, score=12.0"), "{}", stored(&world));
    // Blocked mail is spam even where nobody scans.
    drop(server);
    world.set(ANN, "lists.allow", Vec::<String>::new()).set(ANN, "lists.block", vec!["eve@example.net"]);
    world.set(ANN, "lists.block_action", "none").set(ANN, "antispam.when_down", "defer");
    let receipt = mail(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in Junk", "{receipt:#?}");
    assert!(reason_of(&receipt, "antispam").contains("spam, the sender is blocked: eve@example.net"));
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_and_another_one_asked() {
    let (bad, good) = (Fake::start(Manner::Hangs).await, Fake::start(rspamd(1.0)).await);
    let world = world("rspamd", &[&bad.address, &good.address]);
    world.set("system", "antispam.failures", 2);
    for _ in 0..10 {
        let receipt = mail(&world).await;
        assert!(reason_of(&receipt, "antispam").starts_with("score 1.0"));
    }
    assert_eq!(bad.connections.load(Ordering::SeqCst), 2, "two failures were enough");
    world.clock.advance(Duration::from_secs(10));
    for _ in 0..10 {
        mail(&world).await;
    }
    assert_eq!(bad.connections.load(Ordering::SeqCst), 3, "one try after the rest");
    // Where all of them rest, mail does not wait.
    drop(good);
    let reasons = [mail(&world).await, mail(&world).await, mail(&world).await]
        .map(|receipt| reason_of(&receipt, "antispam"));
    assert_eq!(reasons[2].matches("is left alone after failures").count(), 2, "{reasons:?}");
}

#[tokio::test]
async fn what_was_found_is_told_to_later_services() {
    let server = Fake::start(rspamd(4.5)).await;
    let world =
        World::new(&[Descriptor::of::<Antispam>(), Descriptor::of::<Reader>(), Descriptor::of::<Mailbox>()]);
    world.account(ANN).set("system", "antispam.servers", vec![server.address.clone()]);
    for name in ["antispam", "reader", "mailbox"] {
        world.set("system", &format!("{name}.enabled"), true);
    }
    let receipt = mail(&world).await;
    assert_eq!(reason_of(&receipt, "reader"), "[4.5,6.0,false,7,75]");
    world.set("system", "antispam.largest", 5);
    let receipt = mail(&world).await;
    assert_eq!(reason_of(&receipt, "reader"), "[null,6.0,false,0,null]", "untested");
}

struct Reader;

impl Service for Reader {
    const NAME: &'static str = "reader";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoConfig;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        let names = ["score", "threshold", "is_spam", "level", "percent"];
        let facts = names.map(|name| delivery.fact(&format!("spam.{name}")).cloned());
        delivery.reason(json!(facts).to_string());
        Ok(Next::Continue)
    }
}
