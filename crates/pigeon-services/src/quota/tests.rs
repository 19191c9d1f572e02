//! When a mailbox is full or nearly full, and who is told.

use pigeon_core::ports::mailstore::{MailStore as _, MailboxPath};
use pigeon_testkit::memory::{MailboxFailure, World, reason_of};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalogue::SERVICES;

const ANN: &str = "ann@example.org";
const MAIL: &str = "Subject: hi\n\nhello\n";

fn world(octets: &str) -> World {
    let world = World::new(SERVICES);
    world
        .person(ANN, "Ann Example")
        .set("system", "mailbox.enabled", true)
        .set("system", "quota.enabled", true)
        .set("example.org", "quota.octets", octets);
    world
}

async fn deliver(world: &World) -> Arc<pigeon_core::receipt::Receipt> {
    world.mail("bob@example.net", ANN, MAIL).await
}

#[tokio::test]
async fn what_fits_is_delivered_and_limits_are_written_down() {
    let world = world("1M");
    world.set(ANN, "quota.messages", 10);
    let receipt = deliver(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert_eq!(
        reason_of(&receipt, "quota"),
        "19 octets of 1.0 MiB with this message (0%); 1 messages of 10 messages with this message (10%)"
    );
    let quota = world.mailstore.quota(&MailboxPath("example.org/ann".into()));
    assert_eq!(quota, Some(Limits { octets: Some(1 << 20), messages: Some(10) }));
}

#[tokio::test]
async fn without_a_limit_the_mailbox_is_not_even_read() {
    let world = world("0");
    let receipt = deliver(&world).await;
    assert_eq!(reason_of(&receipt, "quota"), "no limit is set");
}

#[tokio::test]
async fn a_full_mailbox_is_known_at_rcpt() {
    let world = world("1M");
    world.usage(ANN, 1 << 20, 5);
    let refused = async |size| {
        let transaction = world.transaction("bob@example.net", size);
        world.admit(ANN, &transaction).await.map_err(|reply| reply.to_string()).err()
    };
    let full = Some("452 4.2.2 The mailbox is full, try again later".to_owned());
    assert_eq!(refused(None).await, full);
    assert_eq!(refused(Some(10)).await, full);
    world.set(ANN, "quota.over", "reject");
    assert_eq!(refused(None).await, Some("552 5.2.2 The mailbox is full".to_owned()));
    world.usage(ANN, 1 << 19, 5);
    assert_eq!(refused(None).await, None);
    assert_eq!(refused(Some(1 << 18)).await, None);
    assert_eq!(refused(Some(1 << 20)).await, Some("552 5.2.2 The mailbox is full".to_owned()));
    assert!(world.state.outbox().is_empty(), "nothing is warned of before there is a message");
}

#[tokio::test]
async fn the_real_size_counts_after_the_data() {
    let world = world("1K");
    world.set(ANN, "quota.grace", "0%").set(ANN, "quota.over", "reject");
    let big = format!("Subject: hi\n\n{}\n", "x".repeat(2000));
    let receipt = world.mail("bob@example.net", ANN, &big).await;
    assert_eq!(receipt.outcome.text(), "552 5.2.2 The mailbox is full");
    assert!(reason_of(&receipt, "quota").starts_with("the mailbox is full: 2.0 KiB of 1.0 KiB"));
    assert_eq!(world.mailstore.count(), 0);
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_read_defers() {
    let world = world("1M");
    let envelope = world.envelope("bob@example.net", &[ANN]).await;
    world.failure(ANN, Some(MailboxFailure::Unwritable));
    let message = Arc::new(pigeon_core::message::Message::from_bytes(MAIL));
    let receipts = world.agent.deliver(&envelope, message).await;
    assert_eq!(receipts[0].outcome.word(), "deferred");
}

#[tokio::test]
async fn the_owner_is_warned_when_a_threshold_is_crossed() {
    let world = world("1000");
    let day = Duration::from_secs(86_400);
    let steps = [
        (500, 0, None),
        (700, 0, None),
        (790, 0, Some("80%")),
        (850, 0, None),
        (940, 0, Some("95%")),
        (970, 0, None),
        (300, 0, None),
        // Over the same threshold again on the same day: not twice.
        (940, 0, None),
        (940, 1, Some("95%")),
        (790, 1, Some("80%")),
    ];
    let mut expected = 0;
    for (step, (used, days, warned)) in steps.into_iter().enumerate() {
        world.clock.advance(day * days);
        world.mailstore.purge(&MailboxPath("example.org/ann".into())).await.unwrap();
        world.usage(ANN, used, 1);
        // Each message is another one: the same one again would be a retry.
        let mail = format!("Subject: {step:04}{used}\n\n");
        world.mail("bob@example.net", ANN, &mail).await;
        expected += usize::from(warned.is_some());
        let sent = world.sent();
        assert_eq!(sent.len(), expected, "at {used}: {sent:#?}");
        if let Some(percent) = warned {
            assert!(sent[expected - 1].text.contains(percent), "at {used}: {}", sent[expected - 1].text);
        }
    }
}

#[tokio::test]
async fn the_warning_is_a_proper_message() {
    let world = world("1000");
    world.usage(ANN, 795, 1).set(ANN, "quota.warning_subject", "Postfach zu {percent}% gefüllt");
    deliver(&world).await;
    let sent = &world.sent()[0];
    assert_eq!((&*sent.sender, &*sent.recipient), ("", ANN));
    assert!(sent.key.contains(":answer:quota-warning:"), "{}", sent.key);
    insta::assert_snapshot!(sent.text);
}

#[tokio::test]
async fn a_dry_run_warns_nobody() {
    let world = world("1000");
    world.usage(ANN, 795, 1);
    let receipt = world.rehearse("bob@example.net", ANN, MAIL).await;
    assert_eq!(
        receipt.outcome.text(),
        "would be answered to ann@example.org (quota-warning); would be stored in INBOX"
    );
    assert!(world.state.outbox().is_empty() && world.state.memories().is_empty());
}

#[tokio::test]
async fn sizes_with_units_stay_inside_ranges() {
    let world = world("1M");
    let range = serde_json::from_value(json!({ "min": 1024, "max": 2_097_152 })).unwrap();
    world.range("system", "quota.octets", range).usage(ANN, 3 << 19, 1);
    let reason = async || reason_of(&*deliver(&world).await, "quota");
    world.set(ANN, "quota.octets", "1.9M");
    assert!(reason().await.contains("of 1.9 MiB"), "inside the range it is what was written");
    world.set(ANN, "quota.octets", "1G");
    assert!(reason().await.contains("of 2.0 MiB"), "outside it is the nearest end");
}

#[test]
fn graces_are_read() {
    let read = |value: serde_json::Value| serde_json::from_value::<Grace>(value).ok();
    assert_eq!(read(json!("10%")), Some(Grace::Percent(10)));
    assert_eq!(read(json!(" 0 %")), Some(Grace::Percent(0)));
    assert_eq!(read(json!("10M")), Some(Grace::Octets(Octets(10 << 20))));
    assert_eq!(read(json!(100)), Some(Grace::Octets(Octets(100))));
    assert_eq!(read(json!("101%")), None);
    assert_eq!(read(json!("-1%")), None);
    assert_eq!(read(json!(true)), None);
    assert_eq!(serde_json::to_value(Grace::Percent(10)).unwrap(), json!("10%"));
}

#[test]
fn values_out_of_bounds_are_refused() {
    let check = |settings: Settings| Quota::check(&settings).is_ok();
    assert!(check(Settings::default()));
    assert!(!check(Settings { warn_at: vec![0], ..Settings::default() }));
    assert!(!check(Settings { warn_at: vec![101], ..Settings::default() }));
    assert!(!check(Settings { warning_subject: "x".repeat(201), ..Settings::default() }));
}

proptest! {
    #[test]
    fn one_last_message_may_use_the_grace(before in 0..2000_u64, size in 1..2000_u64, grace in 0..100_u8) {
        let limits = Limits { octets: Some(1000), messages: None };
        let usage = Usage { octets: before, messages: 0 };
        let fits = levels(limits, usage, size)[0].fits(Grace::Percent(grace));
        // The rule in other words: what is reached takes nothing, what is not takes up to the grace.
        let expect = before < 1000 && before + size <= 1000 + u64::from(grace) * 10;
        prop_assert_eq!(fits, expect);
    }
}
