//! What becomes of a message for each answer of a scanner, and of none: with a scripted clamd.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::message::MessageWriter;
use pigeon_testkit::memory::{World, because_of, reason_of};
use serde_json::json;

use crate::catalogue::SERVICES;
use fake::{Act, Fake};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const SAM: &str = "sam@example.net";
const MAIL: &str =
    "From: Sam <sam@example.net>\nTo: ann@example.org\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";
const FOUND: &str = "stream: Eicar-Test FOUND";

/// A world whose scanners are these.
fn world(fakes: &[&Fake]) -> World {
    let world = World::new(SERVICES);
    let servers: Vec<String> = fakes.iter().map(|fake| fake.url()).collect();
    world
        .account(ANN)
        .account(BOB)
        .set("system", "mailbox.enabled", true)
        .set("system", "antivirus.enabled", true)
        .set("system", "antivirus.servers", servers)
        .set("system", "antivirus.answer_timeout_ms", 2000);
    world
}

/// Delivers to ann; the outcome and the reason.
async fn deliver(world: &World) -> (String, String) {
    let receipt = world.mail(SAM, ANN, MAIL).await;
    (receipt.outcome.text(), reason_of(&receipt, "antivirus"))
}

fn last(world: &World, account: &str) -> String {
    world.mails(account).last().unwrap().text.clone()
}

const LATER: &str = "451 4.7.1 The message cannot be checked now, try again later";

/// One answer of a scanner: the outcome, and what the reason holds.
async fn check(act: Act, settings: &[(&str, &str)], outcome: &str, reason: &str) -> (World, Fake) {
    let fake = Fake::start(vec![act]);
    let world = world(&[&fake]);
    for (key, value) in settings {
        world.set("system", key, *value);
    }
    let (got, why) = deliver(&world).await;
    assert_eq!(got, outcome, "{why}");
    assert!(why.contains(reason), "{why}");
    (world, fake)
}

#[tokio::test]
async fn clean_mail_goes_its_way() {
    let (world, fake) =
        check(Act::say("stream: OK"), &[], "stored in INBOX", "clean (tcp://127.0.0.1:").await;
    assert!(!last(&world, ANN).contains("X-Virus-Status"));
    assert_eq!(fake.streams(), [MAIL.as_bytes()], "what was scanned is the message");
    world.set(ANN, "antivirus.mark_clean", true);
    let receipt = world.mail(SAM, ANN, MAIL).await;
    assert_eq!(because_of(&receipt, "antivirus"), ["antivirus.mark_clean=true (account)"]);
    assert!(last(&world, ANN).contains("X-Virus-Status: Clean\n\nhello"));
}

#[tokio::test]
async fn infected_mail_is_kept_apart() {
    let (world, _fake) =
        check(Act::say(FOUND), &[], "stored in Quarantine", "infected: Eicar-Test (tcp:").await;
    assert!(last(&world, ANN).contains("X-Virus-Status: Infected (Eicar-Test)\n\nhello"));
    let receipt = world.mail(SAM, ANN, MAIL).await;
    let because = because_of(&receipt, "antivirus");
    assert_eq!(because, ["antivirus.action=folder (default)", "antivirus.folder=Quarantine (default)"]);
}

#[tokio::test]
async fn each_action_does_what_it_says() {
    let found = || Act::say(FOUND);
    let refused = "554 5.7.1 The message contains a virus";
    check(found(), &[("antivirus.action", "reject")], refused, "infected: Eicar-Test").await;
    let discard = [("antivirus.action", "discard")];
    check(found(), &discard, "infected: Eicar-Test", "found by tcp://127.0.0.1:").await;
    let folder = [("antivirus.folder", "Viruses/New")];
    check(found(), &folder, "stored in Viruses/New", "kept in Viruses/New").await;
    let tag = [("antivirus.action", "tag"), ("antivirus.subject_tag", "[VIRUS ä]")];
    let (world, _fake) = check(found(), &tag, "stored in INBOX", "infected").await;
    let text = last(&world, ANN);
    assert!(text.contains("\nSubject: =?UTF-8?B?W1ZJUlVTIMOkXQ==?= hi\n"), "{text}");
    assert!(text.contains("\nX-Virus-Status: Infected (Eicar-Test)\n"), "{text}");
}

#[tokio::test]
async fn names_of_viruses_break_no_header() {
    let name = format!("A\tb\r\nBcc: x@example.net {} Grüße", "x".repeat(150));
    let (world, _fake) =
        check(Act::say(&format!("stream: {name} FOUND")), &[], "stored in Quarantine", "infected: A?b").await;
    let text = last(&world, ANN);
    assert!(!text.contains("\nBcc:") && text.contains("X-Virus-Status: "), "{text}");
    assert!(text.lines().all(|line| line.len() < 999), "{text}");
}

#[tokio::test]
async fn nobody_can_forge_the_mark() {
    let fake = Fake::start(vec![Act::say("stream: OK")]);
    let world = world(&[&fake]);
    let forged = format!("X-Virus-Status: Clean\nx-VIRUS-status: Clean\n{MAIL}");
    let receipt = world.mail(SAM, ANN, &forged).await;
    assert!(reason_of(&receipt, "antivirus").contains("the sender's X-Virus-Status is taken away"));
    assert!(!last(&world, ANN).to_lowercase().contains("x-virus-status"));
}

#[tokio::test]
async fn facts_tell_later_services() {
    for (said, status, level) in [
        ("stream: OK", "clean", 1),
        (FOUND, "infected", 5),
        ("stream: Heuristics.Phishing.Email FOUND", "infected", 4),
        ("INSTREAM size limit exceeded. ERROR", "unscanned", 0),
    ] {
        let fake = Fake::start(vec![Act::say(said)]);
        let world = fake::world_with_facts(&fake.url());
        let receipt = world.mail(SAM, ANN, MAIL).await;
        let facts = reason_of(&receipt, "facts");
        assert!(facts.contains(&format!("status={status:?} level={level}")), "{said}: {facts}");
        assert_eq!(facts.contains("name=\""), status == "infected", "{said}: {facts}");
    }
}

#[tokio::test]
async fn without_an_answer_mail_waits() {
    for (act, reason) in [
        (Act::Refuse, "cannot be reached: Connection refused"),
        (Act::Hang, "gave no answer within 300 ms"),
        (Act::Close, "ended the connection without an answer"),
        (Act::CloseAfterStream, "ended the connection without an answer"),
        (Act::raw(b"220 mx.example.org ESMTP\r\n\0"), "answers \"220 mx.example.org ESMTP\""),
        (Act::raw(b"1: stream: O"), "ended the connection without an answer"),
        (Act::raw(b"2: stream: OK\0"), "which is no answer of clamd"),
        (Act::raw(b"1: stream: OKAY\0"), "which is no answer of clamd"),
        (Act::raw(&[b'x'; 10_000]), "which is no answer of clamd"),
        (Act::say("stream: Can't allocate memory ERROR"), "says \"stream: Can't allocate memory\""),
    ] {
        let limit = ("antivirus.answer_timeout_ms", 300);
        let fake = Fake::start(vec![act.clone()]);
        let world = world(&[&fake]);
        world.set("system", limit.0, limit.1);
        let (outcome, why) = deliver(&world).await;
        assert_eq!(outcome, LATER, "{act:?}: {why}");
        assert!(why.contains(reason) && why.contains(&fake.url()), "{act:?}: {why}");
        assert!(world.mails(ANN).is_empty());
        // By setting it passes, and says so.
        world.set("system", "antivirus.when_down", "pass");
        let receipt = world.mail(SAM, ANN, MAIL).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX", "{act:?}");
        assert!(reason_of(&receipt, "antivirus").contains("passed on unscanned: "), "{act:?}");
        assert_eq!(because_of(&receipt, "antivirus"), ["antivirus.when_down=pass (system)"]);
        assert!(last(&world, ANN).contains("X-Virus-Status: Unscanned (the scanner is not available)\n"));
    }
}

#[tokio::test]
async fn without_servers_mail_waits() {
    let world = world(&[]);
    assert_eq!(deliver(&world).await, (LATER.to_owned(), "antivirus.servers names no server".to_owned()));
}

#[tokio::test]
async fn what_is_too_large_is_not_clean() {
    let limit = Act::say("INSTREAM size limit exceeded. ERROR");
    let (world, _fake) =
        check(limit.clone(), &[], "stored in INBOX", "larger than StreamMaxLength of clamd").await;
    assert!(last(&world, ANN).contains("X-Virus-Status: Unscanned (too large)\n"));
    for (value, outcome) in [
        ("folder", "stored in Quarantine"),
        ("defer", "452 4.3.4 The message is too large now, try again later"),
        ("reject", "552 5.3.4 The message is too large to be accepted here"),
    ] {
        check(limit.clone(), &[("antivirus.too_large", value)], outcome, "StreamMaxLength").await;
    }
    let part = Act::say("stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND");
    check(part, &[], "stored in INBOX", "looked at a part of it only").await;
}

#[tokio::test]
async fn our_own_limit_asks_nobody() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = world(&[&fake]);
    world.set("system", "antivirus.max_octets", "10K");
    let receipt = world.mail(SAM, ANN, &format!("{MAIL}{}", "x".repeat(11_000))).await;
    let expect = "not scanned: it has 10.8 KiB, and antivirus.max_octets is 10.0 KiB";
    assert_eq!(reason_of(&receipt, "antivirus"), expect);
    assert_eq!((receipt.outcome.text().as_str(), fake.streams().len()), ("stored in INBOX", 0));
}

/// A scanner that drops large messages without a word takes others, and answers a PING.
#[tokio::test]
async fn a_large_message_that_is_dropped_is_too_large() {
    let fake = Fake::start(vec![Act::CloseAfter(100_000)]);
    let world = world(&[&fake]);
    let large = format!("{MAIL}{}", "x".repeat(8 << 20));
    let receipt = world.mail(SAM, ANN, &large).await;
    let reason = reason_of(&receipt, "antivirus");
    assert!(reason.contains("not scanned: clamd drops it while it is sent"), "{reason}");
    assert!(last(&world, ANN).contains("X-Virus-Status: Unscanned (too large)\n"));
}

/// An answer that comes before the end of a message is not about the message.
#[tokio::test]
async fn what_was_seen_in_part_is_not_clean() {
    let fake = Fake::start(vec![Act::CleanAfter(100_000)]);
    let world = world(&[&fake]);
    let receipt = world.mail(SAM, ANN, &format!("{MAIL}{}", "x".repeat(8 << 20))).await;
    let reason = reason_of(&receipt, "antivirus");
    assert!(reason.contains("not scanned: clamd drops it while it is sent"), "{reason}");
}

#[tokio::test]
async fn one_scan_serves_fifty_recipients() {
    let fake = Fake::start(vec![Act::Slow(Duration::from_millis(100), FOUND.to_owned())]);
    let world = world(&[&fake]);
    let accounts: Vec<String> = (0..50).map(|number| format!("u{number}@example.org")).collect();
    for (number, account) in accounts.iter().enumerate() {
        world.account(account);
        match number % 5 {
            0 => world.set(account, "antivirus.action", "tag"),
            1 => world.set(account, "antivirus.action", "reject"),
            2 => world.set(account, "antivirus.action", "discard"),
            3 => world.set(account, "antivirus.enabled", false),
            _ => &world,
        };
    }
    let names: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let receipts = world.deliver(SAM, &names, MAIL).await;
    for (number, receipt) in receipts.iter().enumerate() {
        let expect = [
            "stored in INBOX",
            "554 5.7.1 The message contains a virus",
            "infected: Eicar-Test",
            "stored in INBOX",
            "stored in Quarantine",
        ];
        assert_eq!(receipt.outcome.text(), expect[number % 5], "{number}");
    }
    assert_eq!((fake.streams().len(), fake.connections()), (1, 1));
    assert!(!last(&world, "u3@example.org").contains("X-Virus-Status"), "switched off");
}

/// A recipient with little time waits no longer, and takes the scan from nobody.
#[tokio::test]
async fn a_recipient_with_little_time_harms_no_other() {
    let fake = Fake::start(vec![Act::Slow(Duration::from_millis(600), "stream: OK".to_owned())]);
    let world = world(&[&fake]);
    world.set(ANN, "antivirus.timeout_ms", 50);
    let receipts = world.deliver(SAM, &[ANN, BOB], MAIL).await;
    assert_eq!(receipts[0].outcome.text(), "451 4.3.0 Local error in processing, try again later");
    assert_eq!(reason_of(&receipts[0], "antivirus"), "antivirus took longer than 50 ms");
    assert_eq!(receipts[1].outcome.text(), "stored in INBOX");
    assert_eq!(fake.streams().len(), 1);
}

#[tokio::test]
async fn a_pin_keeps_users_from_switching_it_off() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = world(&[&fake]);
    world.set(ANN, "antivirus.enabled", false).set(ANN, "antivirus.action", "tag");
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    world.pin("example.org", "antivirus.enabled", true).pin("example.org", "antivirus.action", "discard");
    let receipt = world.mail(SAM, ANN, MAIL).await;
    assert_eq!(receipt.outcome.word(), "discarded");
    assert!(
        because_of(&receipt, "antivirus")[0].starts_with("antivirus.action=discard (domain"),
        "{receipt:#?}"
    );
}

#[tokio::test]
async fn the_next_server_is_tried() {
    let (away, broken, well) = (
        Fake::start(vec![Act::Refuse]),
        Fake::start(vec![Act::say("stream: Can't open file ERROR")]),
        Fake::start(vec![Act::say("stream: OK")]),
    );
    let world = world(&[&away, &broken, &well]);
    let (outcome, why) = deliver(&world).await;
    assert_eq!(outcome, "stored in INBOX");
    assert_eq!(why, format!("clean ({})", well.url()));
}

#[tokio::test]
async fn sessions_are_kept_and_renewed() {
    let fake = Fake::start(vec![Act::say("stream: OK")]);
    let world = world(&[&fake]);
    for _ in 0..5 {
        assert_eq!(deliver(&world).await.0, "stored in INBOX");
    }
    assert_eq!((fake.streams().len(), fake.connections()), (5, 1));
    // One that has rested for long is not used again.
    world.clock.advance(Duration::from_secs(21));
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    assert_eq!(fake.connections(), 2);
    // One that the server has ended meanwhile costs nothing but a new connection.
    fake.close_all().await;
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    assert_eq!((fake.streams().len(), fake.connections()), (7, 3));
    // After an error the session is over.
    fake.script(vec![Act::say("stream: Can't allocate memory ERROR"), Act::say("stream: OK")]);
    assert_eq!(deliver(&world).await.0, LATER);
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    assert_eq!(fake.connections(), 4);
}

#[tokio::test]
async fn connections_are_limited() {
    let fake = Fake::start(vec![Act::Slow(Duration::from_millis(30), "stream: OK".to_owned())]);
    let world = world(&[&fake]);
    world.set("system", "antivirus.connections", 2).set("system", "antivirus.answer_timeout_ms", 20_000);
    let mails = (0..12).map(|_| world.mail(SAM, ANN, MAIL));
    let receipts = futures_util::future::join_all(mails).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome.is_success()));
    assert_eq!((fake.streams().len(), fake.connections()), (12, 2));
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_for_a_while() {
    let fake = Fake::start(vec![Act::Close]);
    let world = world(&[&fake]);
    world.set("system", "antivirus.failures", 3).set("system", "antivirus.rest_s", 30);
    for _ in 0..3 {
        assert!(deliver(&world).await.1.contains("ended the connection"));
    }
    let tried = fake.connections();
    fake.script(vec![Act::say("stream: OK")]);
    let (outcome, why) = deliver(&world).await;
    assert_eq!((outcome.as_str(), fake.connections()), (LATER, tried), "nobody is asked");
    assert!(why.contains("ended the connection without an answer"), "{why}");
    assert!(why.ends_with("(several times in a row, so it is left alone for a while)"), "{why}");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
}

/// It is not the scanner's fault, and does not count as one; nor is the message clean.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_not_clean() {
    let fake = Fake::start(vec![Act::say("stream: OK")]);
    let world = world(&[&fake]);
    world.set("system", "antivirus.failures", 1);
    for _ in 0..2 {
        let mut writer = MessageWriter::new(Arc::new(fake::BrokenSpool), u64::MAX, false);
        writer.write(MAIL.as_bytes()).unwrap();
        let envelope = world.envelope(SAM, &[ANN]).await;
        let receipt = world.agent.deliver(&envelope, Arc::new(writer.finish())).await.remove(0);
        assert_eq!(receipt.outcome.text(), LATER);
        let reason = reason_of(&receipt, "antivirus");
        assert_eq!(reason, "the spooled message cannot be read: the disk is broken");
    }
    assert_eq!(deliver(&world).await.0, "stored in INBOX");
    assert_eq!(fake.streams().len(), 1, "only the whole one was taken");
}

#[tokio::test]
async fn infected_mail_is_not_sent_on_nor_answered() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = world(&[&fake]);
    for service in ["forward", "vacation", "subaddress"] {
        world.set(ANN, &format!("{service}.enabled"), true);
    }
    world.set(ANN, "forward.to", vec!["ann@example.net"]).set(ANN, "forward.keep", false);
    world.folder(ANN, "shop");
    let receipt = world.mail(SAM, "ann+shop@example.org", MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in Quarantine");
    assert_eq!(reason_of(&receipt, "forward"), "not sent on: the message is infected");
    assert_eq!(reason_of(&receipt, "vacation"), "no answer: the message is infected");
    assert_eq!(reason_of(&receipt, "subaddress"), "an earlier service keeps it in Quarantine");
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn the_check_says_what_answers() {
    let (well, away) = (Fake::start(vec![Act::say("stream: OK")]), Fake::start(vec![Act::Refuse]));
    let probe = async |fakes: &[&Fake]| {
        let world = world(fakes);
        let branches = world.envelope(SAM, &[ANN]).await.recipients.remove(0).branches;
        let step = branches[0].plan.steps().find(|step| step.name == "antivirus").unwrap();
        step.probe().await.map_err(|fault| fault.explain())
    };
    assert_eq!(probe(&[&well]).await, Ok(Some(format!("{}: ClamAV 1.4.6/fake", well.url()))));
    let error = probe(&[&well, &away]).await.unwrap_err();
    assert!(error.contains("ClamAV 1.4.6/fake; clamd at tcp://127.0.0.1:"), "{error}");
    assert!(error.contains("is it running, with TCPSocket and TCPAddr in clamd.conf?"), "{error}");
}

#[test]
fn settings_are_checked_on_write() {
    let world = World::new(SERVICES);
    let catalogue = world.agent.planner().catalogue();
    let check = |name: &str, value: serde_json::Value| {
        let content = pigeon_core::setting::Content::Value(value);
        catalogue
            .validate(pigeon_core::setting::Layer::System, &name.parse().unwrap(), &content)
            .err()
            .unwrap_or_default()
    };
    assert_eq!(check("antivirus.servers", json!(["unix:/run/x", "tcp://h:1"])), "");
    assert!(check("antivirus.servers", json!(["clamd"])).contains("write unix:/run/clamav/clamd.ctl"));
    assert!(check("antivirus.connections", json!(0)).contains("must be 1 to 1000"));
    assert!(check("antivirus.connect_timeout_ms", json!(0)).contains("must be 1 to 600000"));
    assert!(check("antivirus.subject_tag", json!("a\nb")).contains("one line"));
    assert!(check("antivirus.folder", json!("../x")).contains("folder name"));
    assert!(check("antivirus.action", json!("delete")).contains("reject"));
}

mod notices;
