//! Kept plans: right with the next mail after a change, and kept when the change is somebody else's.

use std::time::Duration;

use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;
use pigeon_testkit::memory::World;

use crate::{ANN, BOB, MAIL, SENDER, world};

/// Longer than the interval at which the feed is asked.
const MOMENT: Duration = Duration::from_millis(150);
/// Longer than that at which a feed is asked again that gave no answer.
const RETRY: Duration = Duration::from_millis(1100);

async fn folder(world: &World, recipient: &str) -> String {
    let text = world.mail(SENDER, recipient, MAIL).await.outcome.text();
    text.strip_prefix("stored in ").unwrap_or(&text).to_owned()
}

#[tokio::test]
async fn a_plan_is_looked_up_once() {
    let world = world();
    for _ in 0..5 {
        assert_eq!(folder(&world, ANN).await, "INBOX");
        world.clock.advance(MOMENT);
    }
    assert_eq!(world.directory.lookups(), 1);
    let feeds = world.directory.feeds();
    for _ in 0..5 {
        folder(&world, ANN).await;
    }
    assert!(world.directory.feeds() <= feeds + 1, "the feed is asked at most every 100 ms");
}

#[tokio::test]
async fn a_change_at_any_layer_holds_for_the_next_mail() {
    let world = world();
    assert_eq!(folder(&world, ANN).await, "INBOX");
    for (place, name) in [("system", "System"), ("example.org", "Domain"), (ANN, "Account")] {
        world.set_elsewhere(place, "keep.how", name);
        world.clock.advance(MOMENT);
        assert_eq!(folder(&world, ANN).await, name);
    }
}

#[tokio::test]
async fn changes_of_others_keep_the_plan() {
    let world = world();
    world.account("zoe@example.com");
    folder(&world, ANN).await;
    let before = world.directory.lookups();
    world.set_elsewhere(BOB, "keep.how", "Bob").set_elsewhere("example.com", "keep.how", "Com");
    world.directory.add_account(&"new@example.com".parse().unwrap(), "");
    world.clock.advance(MOMENT);
    assert_eq!(folder(&world, ANN).await, "INBOX");
    assert_eq!(world.directory.lookups(), before, "ann's plan was right all the time");
}

#[tokio::test]
async fn addresses_that_nobody_has_are_kept_until_somebody_has() {
    let world = world();
    let transaction = world.transaction(SENDER, None);
    for _ in 0..3 {
        assert_eq!(world.admit("new@example.org", &transaction).await.unwrap_err().code, 550);
        world.clock.advance(MOMENT);
    }
    assert_eq!(world.directory.lookups(), 1);
    world.directory.add_account(&"new@example.org".parse().unwrap(), "");
    assert_eq!(folder(&world, "new@example.org").await, "INBOX");
}

#[tokio::test]
async fn a_change_between_two_first_look_ups_is_not_missed() {
    let world = world();
    world.set_elsewhere(ANN, "keep.how", "Before");
    assert_eq!(folder(&world, ANN).await, "Before");
    world.set_elsewhere(ANN, "keep.how", "After");
    // The feed is followed from the position of the first answer, not from the one at which it is first asked.
    folder(&world, BOB).await;
    world.clock.advance(MOMENT);
    assert_eq!(folder(&world, ANN).await, "After");
}

#[tokio::test]
async fn known_recipients_are_served_while_the_directory_is_down() {
    let world = world();
    let age = |receipt: &Receipt| receipt.snapshot_age_ms;
    assert_eq!(age(&*world.mail(SENDER, ANN, MAIL).await), None);
    world.directory.set_down(true);
    world.clock.advance(MOMENT);
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!((receipt.outcome.text().as_str(), age(&receipt)), ("stored in INBOX", Some(150)));
    let transaction = world.transaction(SENDER, None);
    assert_eq!(world.admit(BOB, &transaction).await.unwrap_err().code, 451);
    world.directory.set_down(false);
    world.set_elsewhere(ANN, "keep.how", "Up");
    world.clock.advance(RETRY);
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!((receipt.outcome.text().as_str(), age(&receipt)), ("stored in Up", None));
}

#[tokio::test]
async fn a_directory_that_hangs_does_not_hold_up_known_recipients() {
    let world = world();
    assert_eq!(folder(&world, ANN).await, "INBOX");
    world.directory.set_stalled(true);
    world.clock.advance(MOMENT);
    let receipt =
        tokio::time::timeout(RETRY, world.mail(SENDER, ANN, MAIL)).await.expect("it waits too long");
    assert!(receipt.snapshot_age_ms.is_some());
    let feeds = world.directory.feeds();
    for _ in 0..5 {
        world.clock.advance(MOMENT);
        assert_eq!(folder(&world, ANN).await, "INBOX");
    }
    assert!(world.directory.feeds() <= feeds + 1, "a directory that hangs is asked once a second");
    world.directory.set_stalled(false);
    world.set_elsewhere(ANN, "keep.how", "Up");
    world.clock.advance(RETRY);
    assert_eq!(folder(&world, ANN).await, "Up");
}

#[tokio::test]
async fn a_directory_that_is_slower_than_deliveries_wait_is_followed_all_the_same() {
    let world = world();
    assert_eq!(folder(&world, ANN).await, "INBOX");
    let latency = Duration::from_millis(400);
    world.directory.delay_feed(latency);
    for round in ["One", "Two", "Three"] {
        world.set_elsewhere(ANN, "keep.how", round);
        // The first mail asks and does not wait for the answer; the next one hears it.
        world.clock.advance(RETRY);
        assert!(world.mail(SENDER, ANN, MAIL).await.snapshot_age_ms.is_some());
        tokio::time::sleep(latency).await;
        world.clock.advance(RETRY);
        assert_eq!(folder(&world, ANN).await, round);
    }
    world.directory.delay_feed(Duration::ZERO);
    tokio::time::sleep(latency).await;
    world.clock.advance(RETRY);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.snapshot_age_ms, None);
}

#[tokio::test]
async fn a_pin_lapses_in_a_kept_plan() {
    let world = world();
    let until = Timestamp::parse("2026-11-23T13:00:00Z").unwrap();
    world.set(ANN, "keep.how", "Own").pin_until("example.org", "keep.how", "Pinned", until);
    assert_eq!(folder(&world, ANN).await, "Pinned");
    world.clock.set(Timestamp::parse("2026-11-23T12:59:59Z").unwrap());
    assert_eq!(folder(&world, ANN).await, "Pinned");
    assert_eq!(world.directory.lookups(), 1);
    world.clock.set(until);
    assert_eq!(folder(&world, ANN).await, "Own");
    world.clock.set(Timestamp::parse("2027-11-23").unwrap());
    assert_eq!(folder(&world, ANN).await, "Own");
    assert_eq!(world.directory.lookups(), 2, "a pin that has lapsed lapses no more");
}
