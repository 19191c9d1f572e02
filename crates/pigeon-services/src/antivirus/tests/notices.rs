//! Who is told of a virus, and who never is.

use super::*;

fn telling(fake: &Fake, keys: &[&str]) -> World {
    let world = world(&[fake]);
    for key in keys {
        world.set("system", &format!("antivirus.{key}"), true);
    }
    world
}

fn told(world: &World) -> Vec<String> {
    world.sent().iter().map(|sent| sent.recipient.clone()).collect()
}

#[tokio::test]
async fn nobody_is_told_unless_it_is_set() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = telling(&fake, &[]);
    for action in ["folder", "discard", "reject", "tag"] {
        world.set("system", "antivirus.action", action);
        deliver(&world).await;
    }
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn the_recipient_is_told_whatever_is_done() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    for (action, done) in [
        ("folder", "It was put into the folder Quarantine."),
        ("discard", "It was thrown away."),
        ("reject", "It was refused."),
        ("tag", "It was delivered with a mark in the field X-Virus-Status."),
    ] {
        let world = telling(&fake, &["notify_recipient"]);
        world.set(ANN, "antivirus.action", action);
        deliver(&world).await;
        let sent = world.sent();
        assert_eq!(told(&world), [ANN], "{action}");
        assert!(sent[0].sender.is_empty() && sent[0].text.contains(done), "{}", sent[0].text);
        // The mail server's retry of the same message tells nobody twice.
        deliver(&world).await;
        assert_eq!(told(&world), [ANN], "{action}");
    }
}

#[tokio::test]
async fn a_notice_says_what_was_found() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = telling(&fake, &["notify_recipient"]);
    let mail = MAIL.replace("Subject: hi", "Subject: {virus} =?utf-8?q?Gr=C3=BC=C3=9Fe?=");
    world.mail(SAM, ANN, &mail).await;
    insta::assert_snapshot!(world.sent()[0].text);
    world.set("example.org", "antivirus.notice_subject", "Virus für {account}").set(
        "example.org",
        "antivirus.notice_text",
        "{unknown} {virus} von {sender} {",
    );
    world.mail("<>", ANN, MAIL).await;
    let text = &world.sent()[1].text;
    assert!(text.contains("Subject: =?UTF-8?B?"), "{text}");
    assert!(text.contains("{unknown} Eicar-Test von <> (a notification) {"), "{text}");
}

#[tokio::test]
async fn postmaster_is_told_once_for_a_message() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = telling(&fake, &["notify_postmaster"]);
    world.account("postmaster@example.org").set("postmaster@example.org", "antivirus.notify_recipient", true);
    let receipts = world.deliver(SAM, &[ANN, BOB], MAIL).await;
    assert_eq!(told(&world), ["postmaster@example.org"]);
    let text = &world.sent()[0].text;
    assert!(text.contains("\nThe message came for ann@example.org, bob@example.org. What is said"), "{text}");
    assert_eq!(because_of(&receipts[1], "antivirus")[2], "antivirus.notify_postmaster=true (system)");
    // Postmaster as a recipient gets one notice, not two.
    world.mail(SAM, "postmaster@example.org", &MAIL.replace("hi", "ho")).await;
    assert_eq!(told(&world).len(), 2);
}

#[tokio::test]
async fn a_notice_makes_no_notice() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = telling(&fake, &["notify_recipient", "notify_postmaster", "notify_sender"]);
    let receipt = world.mail("<>", ANN, &format!("Auto-Submitted: auto-generated\n{MAIL}")).await;
    assert!(reason_of(&receipt, "antivirus").contains("the message is a notification itself"));
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn the_sender_is_told_once_a_day_and_only_persons() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    let world = telling(&fake, &["notify_sender"]);
    deliver(&world).await;
    assert_eq!(told(&world), [SAM]);
    insta::assert_snapshot!(world.sent()[0].text);
    let receipt = world.mail(SAM, ANN, &MAIL.replace("hi", "ho")).await;
    assert!(reason_of(&receipt, "antivirus").contains("sam@example.net was told at 2026-11-23T12:00:00Z"));
    world.clock.advance(Duration::from_secs(86_401));
    world.mail(SAM, ANN, &MAIL.replace("hi", "hu")).await;
    assert_eq!(told(&world), [SAM, SAM]);
    // Thrown away: told and remembered all the same.
    world.set(BOB, "antivirus.action", "discard");
    world.mail(SAM, BOB, MAIL).await;
    world.mail(SAM, BOB, &MAIL.replace("hi", "ho")).await;
    assert_eq!(told(&world).len(), 3);
}

#[tokio::test]
async fn programs_lists_and_the_refused_are_not_told() {
    let fake = Fake::start(vec![Act::say(FOUND)]);
    for (sender, field, action) in [
        ("<>", "", "folder"),
        ("owner-list@example.net", "", "folder"),
        (SAM, "List-Id: <list.example.net>\n", "folder"),
        (SAM, "Precedence: bulk\n", "discard"),
        (SAM, "Auto-Submitted: auto-replied\n", "discard"),
        (SAM, "", "reject"),
        (SAM, "", "tag"),
    ] {
        let world = telling(&fake, &["notify_sender"]);
        world.set(ANN, "antivirus.action", action);
        world.mail(sender, ANN, &format!("{field}{MAIL}")).await;
        assert!(world.sent().is_empty(), "{sender} {field} {action}");
    }
}
