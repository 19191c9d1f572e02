//! Copies of one message, over the ports in memory.

use pigeon_core::service::Descriptor;
use pigeon_testkit::memory::{MailboxFailure, StatePart, World, because_of, reason_of};

use super::*;
use crate::catalogue::SERVICES;
use crate::mailbox::Mailbox;

const ANN: &str = "ann@example.org";
const MAIL: &str = "From: Bob <bob@example.net>\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";

fn world() -> World {
    with(SERVICES)
}

fn with(services: &[Descriptor]) -> World {
    let world = World::new(services);
    world.account(ANN).set("system", "mailbox.enabled", true).set("system", "duplicate.enabled", true);
    world
}

async fn send(world: &World, recipients: &[&str], mail: &str) -> Vec<String> {
    let receipts = world.deliver("bob@example.net", recipients, mail).await;
    receipts.iter().map(|receipt| receipt.outcome.text()).collect()
}

#[tokio::test]
async fn a_second_copy_is_not_stored() {
    let world = world();
    let first = world.mail("bob@example.net", ANN, MAIL).await;
    assert_eq!(first.outcome.text(), "stored in INBOX");
    assert_eq!(reason_of(&first, "duplicate"), "the first copy for INBOX");
    let copy = format!("Received: from a by b\nX-Original-To: sales@example.org\n{MAIL}");
    let second = world.mail("bounces@lists.example", ANN, &copy).await;
    assert_eq!(second.outcome.text(), "already stored in INBOX");
    assert_eq!(second.outcome.reply().code, 250);
    let reason = reason_of(&second, "duplicate");
    let expect = format!("INBOX has it already: stored at {} as {}", first.at, first.id);
    assert_eq!(reason, expect);
    let because = ["duplicate.by=both (default)", "duplicate.window_hours=24 (default)"];
    assert_eq!(because_of(&second, "duplicate"), because);
    assert_eq!(world.mails(ANN).len(), 1);
    let rehearsed = world.rehearse("bob@example.net", ANN, MAIL).await;
    assert_eq!(rehearsed.outcome.text(), "already stored in INBOX");
}

#[tokio::test]
async fn what_is_the_same_is_a_setting() {
    let check = async |by: &str, first: &str, second: &str, is_same: bool| {
        let world = world();
        world.set(ANN, "duplicate.by", by);
        send(&world, &[ANN], first).await;
        send(&world, &[ANN], second).await;
        assert_eq!(world.mails(ANN).len(), if is_same { 1 } else { 2 }, "{by}: {first:?} {second:?}");
    };
    let footer = MAIL.replace("hello\n", "hello\n-- \nthe list\n");
    let subject = MAIL.replace("Subject: hi", "Subject: [list] hi");
    let other_id = MAIL.replace("<1@", "<2@");
    let folded = MAIL.replace("Subject: hi", "SUBJECT:\n hi");
    let no_id = MAIL.replace("Message-ID: <1@example.net>\n", "");
    let resent = format!("Resent-Message-ID: <9@example.net>\n{MAIL}");
    for (by, second, is_same) in [
        ("both", MAIL, true),
        ("both", &*folded, true),
        ("both", &*footer, false),
        ("both", &*subject, false),
        ("both", &*other_id, false),
        ("both", &*no_id, false),
        ("both", &*resent, false),
        ("content", MAIL, true),
        ("content", &*other_id, true),
        ("content", &*no_id, true),
        ("content", &*footer, false),
        ("content", &*resent, false),
        ("message-id", MAIL, true),
        ("message-id", &*footer, true),
        ("message-id", &*subject, true),
        ("message-id", &*other_id, false),
        ("message-id", &*no_id, false),
        ("message-id", &*resent, false),
    ] {
        check(by, MAIL, second, is_same).await;
    }
    for by in ["both", "content", "message-id"] {
        check(by, &no_id, &no_id, true).await;
        check(by, &no_id, &no_id.replace("hello", "hallo"), false).await;
    }
}

#[tokio::test]
async fn the_window_ends() {
    let world = world();
    world.set(ANN, "duplicate.window_hours", 2);
    send(&world, &[ANN], MAIL).await;
    world.clock.advance(Duration::from_secs(7199));
    assert_eq!(send(&world, &[ANN], MAIL).await, ["already stored in INBOX"]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(send(&world, &[ANN], MAIL).await, ["stored in INBOX"]);
    for hours in [0, 721] {
        assert!(Duplicate::check(&Settings { window_hours: hours, ..Settings::default() }).is_err());
    }
}

#[tokio::test]
async fn several_recipients_at_one_mailbox_get_one_copy() {
    let world = world();
    world.account("bob@example.org");
    world.alias("sales@example.org", &[ANN, "bob@example.org"]);
    let recipients = ["ann+a@example.org", "ann+b@example.org", "sales@example.org", ANN];
    let outcomes = send(&world, &recipients, MAIL).await;
    let sales = "ann@example.org: already stored in INBOX; bob@example.org: stored in INBOX";
    assert_eq!(outcomes, ["stored in INBOX", "already stored in INBOX", sales, "already stored in INBOX"]);
    assert_eq!((world.mails(ANN).len(), world.mails("bob@example.org").len()), (1, 1));
    let receipts =
        world.deliver("bob@example.net", &["ann+a@example.org", "ann+b@example.org"], "A: b\n\n").await;
    let last = receipts[1].branches[0].steps.iter().find(|step| step.service == "commit").unwrap();
    assert_eq!(last.reason, "INBOX has the same copy by the recipient ann+a@example.org");
}

#[tokio::test]
async fn other_folders_and_other_accounts_get_their_own() {
    let world = world();
    world.account("bob@example.org").set("system", "subaddress.enabled", true);
    world.set("system", "subaddress.create", true);
    let recipients = ["ann+a@example.org", "ann+b@example.org", ANN, "bob@example.org"];
    send(&world, &recipients, MAIL).await;
    send(&world, &recipients, MAIL).await;
    assert_eq!(world.folders(ANN), ["a", "b", "INBOX"]);
    assert_eq!(world.folders("bob@example.org"), ["INBOX"]);
}

#[tokio::test]
async fn rules_see_every_copy() {
    let world = world();
    world.set(ANN, "forward.enabled", true).set(ANN, "forward.to", vec!["ann@example.net"]);
    let outcomes = send(&world, &["ann+a@example.org", "ann+b@example.org"], MAIL).await;
    let forwarded = "redirected to ann@example.net";
    assert_eq!(
        outcomes,
        [format!("{forwarded}; stored in INBOX"), format!("{forwarded}; already stored in INBOX")]
    );
    assert_eq!((world.sent().len(), world.mails(ANN).len()), (2, 1));
    world.set(ANN, "forward.keep", false);
    let receipt = world.mail("bob@example.net", ANN, &MAIL.replace("<1@", "<2@")).await;
    assert_eq!(reason_of(&receipt, "duplicate"), "nothing is to be stored");
    assert_eq!(receipt.outcome.text(), forwarded);
}

#[tokio::test]
async fn what_was_not_stored_is_stored_by_the_retry() {
    let world = world();
    world.failure(ANN, Some(MailboxFailure::Full));
    let full = "452 4.3.1 Insufficient system storage, try again later";
    assert_eq!(send(&world, &[ANN], MAIL).await, [full]);
    assert!(world.state.memories().is_empty());
    // All copies of one message share the fate of the one that is made.
    let recipients = ["ann+a@example.org", "ann+b@example.org"];
    assert_eq!(send(&world, &recipients, MAIL).await, [full, full]);
    world.failure(ANN, None);
    assert_eq!(send(&world, &recipients, MAIL).await, ["stored in INBOX", "already stored in INBOX"]);
    assert_eq!(send(&world, &recipients[1..], MAIL).await, ["already stored in INBOX"]);
    assert_eq!(world.mails(ANN).len(), 1);
}

#[tokio::test]
async fn what_is_not_remembered_is_stored_again() {
    let world = world();
    world.state.set_failing(StatePart::Commit, true);
    assert_eq!(send(&world, &[ANN], MAIL).await, ["stored in INBOX"]);
    world.state.set_failing(StatePart::Commit, false);
    assert_eq!(send(&world, &[ANN], MAIL).await, ["stored in INBOX"], "two are better than none");
    world.state.set_failing(StatePart::Recall, true);
    let outcome = send(&world, &[ANN], &MAIL.replace("<1@", "<2@")).await;
    assert!(outcome[0].starts_with("451"), "on_fault says defer: {outcome:?}");
    world.set("system", "duplicate.on_fault", "skip");
    assert_eq!(send(&world, &[ANN], &MAIL.replace("<1@", "<2@")).await, ["stored in INBOX"]);
}

/// Takes its time with recipients whose address says so: before the judgement and behind it.
struct Slow<const IS_EARLY: bool>;

impl<const IS_EARLY: bool> Service for Slow<IS_EARLY> {
    const NAME: &'static str = if IS_EARLY { "early" } else { "late" };
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoConfig;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        if delivery.detail() == Some(Self::NAME) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Next::Continue)
    }
}

fn slow_world() -> World {
    let world = with(&[
        Descriptor::of::<Mailbox>(),
        Descriptor::of::<Slow<true>>(),
        Descriptor::of::<Duplicate>(),
        Descriptor::of::<Slow<false>>(),
    ]);
    world.account("bob@example.org").set("system", "early.enabled", true).set("system", "late.enabled", true);
    world
}

#[tokio::test]
async fn transactions_at_the_same_time_store_one_copy() {
    let world = slow_world();
    let copies =
        || futures_util::future::join_all((0..5).map(|_| send(&world, &["ann+late@example.org"], MAIL)));
    world.failure(ANN, Some(MailboxFailure::Full));
    let outcomes = copies().await.concat();
    assert!(outcomes.iter().all(|outcome| outcome.starts_with("452")), "each is tried: {outcomes:?}");
    world.failure(ANN, None);
    let mut outcomes = copies().await.concat();
    outcomes.sort();
    assert_eq!(outcomes[..4], vec!["already stored in INBOX"; 4]);
    assert_eq!((outcomes[4].as_str(), world.mails(ANN).len()), ("stored in INBOX", 1));
}

#[tokio::test]
async fn transactions_that_wait_for_each_other_both_end() {
    let world = slow_world();
    // Each holds one mailbox before it asks for the other's.
    let (one, two) = tokio::join!(
        send(&world, &[ANN, "bob+early@example.org"], MAIL),
        send(&world, &["bob@example.org", "ann+early@example.org"], MAIL),
    );
    assert!(one.iter().chain(&two).all(|outcome| outcome.ends_with("stored in INBOX")), "{one:?} {two:?}");
    for account in [ANN, "bob@example.org"] {
        assert!((1..=2).contains(&world.mails(account).len()), "none is lost");
    }
}
