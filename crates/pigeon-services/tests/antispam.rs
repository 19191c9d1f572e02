//! Real scanners: rspamd and spamd judge, learn, stop and come back.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::message::Message;
use pigeon_core::service::{Service as _, Tools};
use pigeon_services::antispam::settings::Config;
use pigeon_services::antispam::{Antispam, Class, Learned};
use pigeon_services::catalogue::SERVICES;
use pigeon_testkit::memory::{HOSTNAME, TestClock, World, because_of, reason_of};
use pigeon_testkit::peers::{Rspamd, Spamd, or_skip};
use serde_json::{Value, json};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const EVE: &str = "eve@example.net";
/// In two parts, so that no scanner takes this file for spam.
const GTUBE: [&str; 2] = ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"];

fn mail(subject: &str, body: &str) -> String {
    format!(
        "From: Eve <eve@example.net>\nTo: ann@example.org\nSubject: {subject}\nX-Old: 1\n\
         Date: Tue, 24 Nov 2026 03:00:00 +0000\nMessage-ID: <{subject}@example.net>\n\n{body}\n"
    )
}

fn gtube() -> String {
    mail("gtube", &GTUBE.concat())
}

fn ham() -> String {
    mail("minutes", "Please find the minutes of our meeting below, and bring the printed slides tomorrow.")
}

/// Ann and bob with an engine at these servers.
fn world(engine: &str, servers: &[String]) -> World {
    let world = World::new(SERVICES);
    world.account(ANN).account(BOB);
    world.set("system", "mailbox.enabled", true).set("system", "antispam.enabled", true);
    world.set("system", "antispam.engine", engine).set("system", "antispam.servers", servers.to_vec());
    world
}

fn rspamd_config(rspamd: &Rspamd) -> Value {
    json!({
        "engine": "rspamd",
        "servers": [format!("127.0.0.1:{}", rspamd.port())],
        "learn_servers": [format!("127.0.0.1:{}", rspamd.controller_port())],
        "learn_password": rspamd.password(),
    })
}

fn spamd_config(spamd: &Spamd) -> Value {
    json!({ "engine": "spamassassin", "servers": [format!("unix:{}", spamd.socket())] })
}

fn open(config: Value) -> Antispam {
    let tools = Tools {
        clock: Arc::new(TestClock::default()),
        hostname: HOSTNAME.into(),
        spool: Arc::new(pigeon_core::ports::spool::NoSpool),
    };
    Antispam::open(serde_json::from_value::<Config>(config).unwrap(), &tools).unwrap()
}

/// Spam and good mail through both kinds of sockets, and what the receipts say.
async fn judges(engine: &str, servers: [String; 2], (score, symbol): (&str, &str)) {
    for server in servers {
        let world = world(engine, std::slice::from_ref(&server));
        let receipt = world.mail(EVE, ANN, &gtube()).await;
        assert_eq!(receipt.outcome.text(), "stored in Junk", "{server}: {receipt:#?}");
        let reason = reason_of(&receipt, "antispam");
        assert!(reason.starts_with(&format!("score {score} of 6.0")) && reason.contains(symbol), "{reason}");
        let receipt = world.mail(EVE, ANN, &ham()).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX", "{server}");
        assert!(reason_of(&receipt, "antispam").starts_with("score 0.0 of 6.0"), "{receipt:#?}");
        let text = &world.mails(ANN)[1].text;
        assert!(text.contains("\nX-Spam-Status: No, score=0.0 required=6.0 tests=["), "{text}");
        let text = &world.mails(ANN)[0].text;
        assert!(
            text.contains("\nX-Spam-Flag: YES\n") && text.contains("\nX-Pigeon-Spam: spam filed "),
            "{text}"
        );
        let receipts = world.deliver(EVE, &[ANN, BOB], &mail("TEST-SPAM", "hi")).await;
        assert_eq!(receipts[1].outcome.text(), "stored in Junk", "8 of 6");
        world.set(BOB, "antispam.threshold", 8.5);
        let receipts = world.deliver(EVE, &[ANN, BOB], &mail("TEST-SPAM", "hi")).await;
        assert_eq!(receipts[0].outcome.text(), "stored in Junk");
        assert_eq!(receipts[1].outcome.text(), "stored in INBOX", "8 of 8.5");
        assert_eq!(because_of(&receipts[1], "antispam"), ["antispam.threshold=8.5 (account)"]);
    }
}

#[tokio::test]
async fn rspamd_judges() {
    let Some(rspamd) = or_skip(Rspamd::start()) else { return };
    let servers = [format!("127.0.0.1:{}", rspamd.port()), format!("unix:{}", rspamd.socket())];
    judges("rspamd", servers.clone(), ("15.0", "")).await;
    let world = world("rspamd", &servers[..1]);
    let receipt = world.mail(EVE, ANN, &mail("TEST-FORCED", "hi")).await;
    assert_eq!(reason_of(&receipt, "antispam"), "score 0.0 of 6.0, the scanner says reject");
    assert_eq!(receipt.outcome.text(), "stored in Junk");
    world.deliver(EVE, &[ANN, BOB], &ham()).await;
    let text = &world.mails(BOB)[0].text;
    assert!(
        text.starts_with("X-Rspamd-Test: rcpts=2 ip=nil\n")
            || text.contains("\nX-Rspamd-Test: rcpts=2 ip=nil\n")
    );
    assert!(!text.contains("X-Old"), "{text}");
}

#[tokio::test]
async fn spamd_judges() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    let servers = [format!("127.0.0.1:{}", spamd.port()), format!("unix:{}", spamd.socket())];
    judges("spamassassin", servers, ("1000.0", "GTUBE")).await;
}

#[tokio::test]
async fn fifty_recipients_are_one_scan() {
    let (rspamd, spamd) = (or_skip(Rspamd::start()), or_skip(Spamd::start()));
    let rspamd_at = rspamd.as_ref().map(|rspamd| ("rspamd", format!("127.0.0.1:{}", rspamd.port())));
    let spamd_at = spamd.as_ref().map(|spamd| ("spamassassin", format!("127.0.0.1:{}", spamd.port())));
    for (engine, server) in [rspamd_at, spamd_at].into_iter().flatten() {
        let scans = || match engine {
            "rspamd" => rspamd.as_ref().map(Rspamd::scans),
            _ => spamd.as_ref().map(Spamd::scans),
        };
        let world = world(engine, &[server]);
        let people: Vec<String> = (0..50).map(|number| format!("user{number}@example.org")).collect();
        for (number, address) in people.iter().enumerate() {
            world.account(address).set(address, "antispam.threshold", if number < 25 { 7 } else { 9 });
        }
        let before = scans();
        let names: Vec<&str> = people.iter().map(String::as_str).collect();
        let receipts = world.deliver(EVE, &names, &mail("TEST-SPAM", "hi")).await;
        let filed = receipts.iter().filter(|receipt| receipt.outcome.text() == "stored in Junk").count();
        assert_eq!(filed, 25, "{engine}: a score of 8 is spam to those who say 7");
        // The log may come a moment behind the answer.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(scans(), before.map(|before| before + 1), "{engine}: one scan for fifty");
    }
}

#[tokio::test]
async fn a_scanner_may_stop_stand_still_and_come_back() {
    let Some(rspamd) = or_skip(Rspamd::start()) else { return };
    let world = world("rspamd", &[format!("127.0.0.1:{}", rspamd.port())]);
    world.set("system", "antispam.scan_timeout_ms", 1000);
    let reason = async |world: &World| {
        let receipt = world.mail(EVE, ANN, &mail("TEST-SPAM", "hi")).await;
        (receipt.outcome.text(), reason_of(&receipt, "antispam"))
    };
    assert_eq!(reason(&world).await.0, "stored in Junk");
    rspamd.pause().unwrap();
    let (outcome, said) = reason(&world).await;
    assert!(outcome == "stored in INBOX" && said.contains("gave no answer within"), "{outcome}: {said}");
    rspamd.resume().unwrap();
    rspamd.stop().unwrap();
    for _ in 0..3 {
        assert_eq!(reason(&world).await.0, "stored in INBOX");
    }
    let (_, said) = reason(&world).await;
    assert!(said.contains("is left alone after failures"), "{said}");
    rspamd.restart().unwrap();
    world.clock.advance(Duration::from_secs(10));
    world.set("system", "antispam.scan_timeout_ms", 20_000);
    assert_eq!(reason(&world).await.0, "stored in Junk", "it is asked again");
}

/// Teaches three messages of each kind, and looks whether a fourth is judged by it.
async fn learns(antispam: &Antispam, world: &World, who: Option<&str>) {
    let spam = |number: u32| {
        let body =
            format!("cheap pills casino winner lottery millions prince transfer urgent a{number} {number}");
        mail(&format!("offer{number}"), &body)
    };
    let good = |number: u32| {
        let body =
            format!("meeting agenda project review please bring the printed slides b{number} {number}");
        mail(&format!("minutes{number}"), &body)
    };
    let mut known = 0;
    for number in 1..=3 {
        for (class, text) in [(Class::Spam, spam(number)), (Class::Ham, good(number))] {
            let message = Arc::new(Message::from_bytes(text));
            let learner = who.map(str::to_owned);
            let learned = antispam.learn(class, learner.clone(), Arc::clone(&message)).await.unwrap();
            assert_eq!(learned, Learned::New, "{class:?} {number}");
            let again = antispam.learn(class, learner, message).await.unwrap();
            known += u32::from(again == Learned::Known);
        }
    }
    // rspamd with SQLite keeps no cache of ham, and writes the one of spam a moment later.
    assert!(known > 0, "nothing was known");
    let receipt = world.mail(EVE, ANN, &spam(9)).await;
    assert!(reason_of(&receipt, "antispam").contains("BAYES_SPAM"), "{}", reason_of(&receipt, "antispam"));
    assert_eq!(receipt.outcome.text(), "stored in Junk");
    let receipt = world.mail(EVE, ANN, &good(9)).await;
    assert!(reason_of(&receipt, "antispam").contains("BAYES_HAM"), "{}", reason_of(&receipt, "antispam"));
}

#[tokio::test]
async fn spamd_learns() {
    let Some(spamd) = or_skip(Spamd::start()) else { return };
    let world = world("spamassassin", &[format!("unix:{}", spamd.socket())]);
    learns(&open(spamd_config(&spamd)), &world, None).await;
}

#[tokio::test]
async fn rspamd_learns() {
    let Some(rspamd) = or_skip(Rspamd::start()) else { return };
    let world = world("rspamd", &[format!("127.0.0.1:{}", rspamd.port())]);
    learns(&open(rspamd_config(&rspamd)), &world, None).await;
    let mut wrong = rspamd_config(&rspamd);
    wrong["learn_password"] = "guessed".into();
    let message = Arc::new(Message::from_bytes(mail("other", "quite another text with some words in it")));
    let refused = open(wrong).learn(Class::Spam, None, message).await.unwrap_err();
    assert!(refused.explain().contains("set antispam.learn_password"), "{}", refused.explain());
}

#[tokio::test]
async fn rspamd_learns_for_each_user() {
    let Some(rspamd) = or_skip(Rspamd::start_per_user()) else { return };
    let world = world("rspamd", &[format!("127.0.0.1:{}", rspamd.port())]);
    world.set("system", "antispam.learn_scope", "user");
    learns(&open(rspamd_config(&rspamd)), &world, Some(ANN)).await;
    let text = mail("offer9", "cheap pills casino winner lottery millions prince transfer urgent");
    let receipt = world.mail(EVE, BOB, &text).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "bob has taught nothing: {receipt:#?}");
}
