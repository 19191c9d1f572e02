//! Who is told of what, and how often.

use pigeon_testkit::memory::{World, because_of, reason_of};

use super::*;
use crate::catalogue::SERVICES;

const MAIL: &str = "From: Eve <eve@example.net>\nTo: ann@example.org\nSubject: hi =?utf-8?q?=C3=BC?=\nMessage-ID: <1@example.net>\n\nhello\n";

fn world() -> World {
    let world = World::new(SERVICES);
    world.account("ann@example.org").set("system", "mailbox.enabled", true).set(
        "system",
        "notify.enabled",
        true,
    );
    world
}

/// Mails with different contents, so that none is another one's retry.
async fn mail(world: &World, number: usize) -> std::sync::Arc<pigeon_core::receipt::Receipt> {
    world.mail("eve@example.net", "ann@example.org", &format!("X-Number: {number}\n{MAIL}")).await
}

#[tokio::test]
async fn a_server_is_told_what_is_stored_once() {
    let world = world();
    world.set("ann@example.org", "notify.url", "https://hooks.example.net/secret/path");
    for _ in 0..2 {
        let receipt = mail(&world, 1).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX; announced to hooks.example.net");
        assert_eq!(
            because_of(&receipt, "notify"),
            ["notify.url=https://hooks.example.net/secret/path (account)"]
        );
    }
    let [sent] = &world.sent()[..] else { panic!("{:?}", world.sent()) };
    assert_eq!((&*sent.recipient, &*sent.sender), ("https://hooks.example.net/secret/path", ""));
    let told: Value = serde_json::from_str(&sent.text).unwrap();
    assert_eq!(
        (&told["version"], &told["kind"], &told["subject"]),
        (&json!(1), &json!("stored"), &json!("hi ü"))
    );
    assert_eq!(told["stored"], json!([{ "folder": "INBOX", "flags": [] }]));
}

#[tokio::test]
async fn rules_say_of_what() {
    let check = async |settings: &[(&str, Value)], count: usize, why: &str| {
        let world = world();
        world.set("ann@example.org", "notify.url", "https://hooks.example.net/");
        for (name, value) in settings {
            world.set("ann@example.org", name, value.clone());
        }
        let receipt = mail(&world, 1).await;
        assert_eq!(receipt.outcome.word(), "delivered", "{receipt:#?}");
        assert_eq!(world.sent().len(), count, "{settings:?}: {receipt:#?}");
        assert!(reason_of(&receipt, "notify").contains(why), "{settings:?}: {receipt:#?}");
    };
    check(&[("notify.folders", json!(["INBOX"]))], 1, "the server is told").await;
    check(&[("notify.folders", json!(["Work"]))], 0, "nobody is told of its folder").await;
    check(&[("mailbox.folder", json!("Junk"))], 0, "nobody is told of its folder").await;
    check(&[("notify.senders", json!(["@example.net"]))], 1, "the server is told").await;
    check(&[("notify.senders", json!(["bob@example.net"]))], 0, "nobody is told of this sender").await;
    check(&[("mailbox.folder", json!("Quarantine"))], 0, "nobody is told of its folder").await;
    check(&[("notify.flags", json!(["\\Flagged"]))], 0, "none of the flags").await;
    let flagged = [("notify.flags", json!(["work"])), ("mailbox.flags", json!(["Work"]))];
    check(&flagged, 1, "the server is told").await;
    check(&[("notify.url", json!(""))], 0, "there is nobody to tell").await;
    let sent_on = [
        ("forward.enabled", json!(true)),
        ("forward.to", json!(["ann@example.com"])),
        ("forward.keep", json!(false)),
    ];
    check(&sent_on, 1, "nothing new is stored").await;
}

#[tokio::test]
async fn nobody_is_told_of_spam() {
    let check = async |spam: bool, count: usize| {
        let world = world();
        world
            .set("system", "lists.enabled", true)
            .set("system", "antispam.enabled", true)
            .set("ann@example.org", "lists.block", vec!["eve@example.net"])
            .set("ann@example.org", "antispam.action", "tag")
            .set("ann@example.org", "notify.not_in", Vec::<String>::new())
            .set("ann@example.org", "notify.spam", spam)
            .set("ann@example.org", "notify.url", "https://hooks.example.net/");
        let receipt = mail(&world, 1).await;
        assert_eq!(world.sent().len(), count, "{receipt:#?}");
    };
    check(false, 0).await;
    check(true, 1).await;
}

#[tokio::test]
async fn mails_are_few_and_about_people() {
    let world = world();
    world.set("ann@example.org", "notify.mailto", "phone@example.com").set(
        "ann@example.org",
        "notify.at_most",
        2,
    );
    for number in 0..4 {
        world.clock.advance(Duration::from_secs(60));
        mail(&world, number).await;
    }
    assert_eq!(world.sent().len(), 2);
    let text = &world.sent()[0].text;
    for part in [
        "To: phone@example.com\n",
        "Folder: INBOX\n",
        "Auto-Submitted: auto-generated\n",
        "From: ann@example.org\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // The window began with the first of them.
    world.clock.advance(Duration::from_secs(121));
    mail(&world, 5).await;
    assert_eq!(world.sent().len(), 3);
    world.clock.advance(Duration::from_secs(3600));
    world.mail("<>", "ann@example.org", MAIL).await;
    let list = format!("List-Id: <x.example.net>\n{MAIL}");
    world.mail("eve@example.net", "ann@example.org", &list).await;
    assert_eq!(world.sent().len(), 3, "neither bounces nor lists");
    world.set("ann@example.org", "notify.mailto", "ann@example.org");
    let receipt = mail(&world, 6).await;
    assert!(reason_of(&receipt, "notify").contains("it would come here"), "{receipt:#?}");
}

#[test]
fn settings_are_checked() {
    let check = |settings: Settings, part: &str| {
        assert!(Notify::check(&settings).unwrap_err().contains(part), "{settings:?}");
    };
    check(Settings { url: "x".into(), ..Settings::default() }, "https://host/path");
    check(Settings { at_most: 0, ..Settings::default() }, "at_most");
    check(Settings { senders: vec!["bob".into()], ..Settings::default() }, "@example.net");
    assert_eq!(Notify::check(&Settings::default()), Ok(()));
    let both = Settings { folders: vec![Folder::parse("Junk").unwrap()], ..Settings::default() };
    assert_eq!(Notify::contradictions(&both).len(), 1);
}

#[test]
fn senders_are_compared_as_addresses() {
    let check = |rule: &str, sender: &str, expect: bool| {
        let is_it = rule_of(rule).is_some_and(|rule| rule.is(&sender.parse().unwrap()));
        assert_eq!(is_it, expect, "{rule} {sender}");
    };
    check("@example.net", "bob@EXAMPLE.net", true);
    check("@example.net", "bob@sub.example.net", false);
    check("@example.net", "bob@badexample.net", false);
    check("Bob@example.net", "bob@example.net", true);
    check("@bücher.example", "bob@xn--bcher-kva.example", true);
    check("@", "bob@example.net", false);
}
