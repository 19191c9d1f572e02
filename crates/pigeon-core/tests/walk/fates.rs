//! How a walk ends: faults, time-outs, panics, refusals, and what a retry repeats.

use pigeon_core::directory::Status;
use pigeon_core::receipt::Receipt;
use pigeon_testkit::memory::{StatePart, World, because_of, reason_of};

use crate::{ANN, BOB, CARL, MAIL, SENDER, act, world, world_where};

/// Delivers to ann and bob; ann's receipt must be the expected one, bob must have his mail.
async fn check(world: &World, word: &str, text: &str) -> Receipt {
    let receipts = world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    assert_eq!((receipts[0].outcome.word(), receipts[0].outcome.text().as_str()), (word, text));
    assert_eq!(receipts[1].outcome.text(), "stored in INBOX", "bob is not concerned");
    assert_eq!(world.mails(BOB).len(), 1);
    Receipt::clone(&receipts[0])
}

fn decision<'a>(receipt: &'a Receipt, service: &str) -> &'a str {
    let steps = &receipt.branches[0].steps;
    &steps.iter().find(|step| step.service == service).unwrap().decision
}

const LATER: &str = "451 4.3.0 Local error in processing, try again later";

#[tokio::test]
async fn a_fault_defers_one_recipient() {
    let world = world_where("fail");
    let receipt = check(&world, "deferred", LATER).await;
    assert_eq!(decision(&receipt, "act"), "defer");
    assert_eq!(reason_of(&receipt, "act"), "the scanner is away");
    assert!(world.mails(ANN).is_empty() && world.state.memories().is_empty());
}

#[tokio::test]
async fn a_fault_that_is_skipped_leaves_a_mark_and_nothing_else() {
    let world = world_where("fail");
    world.set(ANN, "act.on_fault", "skip").set(ANN, "act.to", vec!["x@example.net"]);
    let receipt = check(&world, "delivered", "stored in INBOX").await;
    assert_eq!((decision(&receipt, "act"), decision(&receipt, "keep")), ("skip", "continue"));
    assert_eq!(reason_of(&receipt, "act"), "the scanner is away");
    assert!(!world.mails(ANN)[0].text.contains("X-Act"), "{}", world.mails(ANN)[0].text);
    assert!(world.state.outbox().is_empty() && world.state.memories().is_empty());
}

#[tokio::test]
async fn a_permanent_fault_rejects() {
    check(&world_where("permanent"), "rejected", "554 5.3.0 The message cannot be delivered here").await;
}

#[tokio::test]
async fn a_panic_costs_one_recipient() {
    let world = world_where("panic");
    let receipt = check(&world, "deferred", LATER).await;
    assert_eq!(reason_of(&receipt, "act"), "act panicked: all is lost");
    world.set(ANN, "act.on_fault", "skip");
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
}

#[tokio::test]
async fn a_step_that_hangs_is_stopped() {
    let world = world_where("hang");
    world.set(ANN, "act.timeout_ms", 20);
    let receipt = check(&world, "deferred", LATER).await;
    assert_eq!(reason_of(&receipt, "act"), "act took longer than 20 ms");
    world.set(ANN, "act.on_fault", "skip");
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.text(), "stored in INBOX");
}

#[tokio::test]
async fn nothing_enabled_defers() {
    let world = world();
    world.set(ANN, "keep.enabled", false);
    let text = "451 4.3.5 No delivery is set up for this recipient, try again later";
    check(&world, "deferred", text).await;
    // Neither an answer nor a decision against keeping takes the mail.
    act(&world, ANN, "answer x@example.net");
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.text(), text);
    act(&world, ANN, "drop");
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.text(), text);
    assert!(world.state.outbox().is_empty());
}

#[tokio::test]
async fn reject_and_discard_clear_the_effects() {
    for (how, word, text) in [
        ("reject", "rejected", "554 5.7.1 Not wanted here"),
        ("defer", "deferred", "450 4.7.1 Not now"),
        ("discard", "discarded", "unwanted"),
    ] {
        let world = world_where(how);
        world.set(ANN, "act.to", vec!["x@example.net"]);
        let receipt = check(&world, word, text).await;
        assert!(receipt.branches[0].steps.iter().all(|step| step.service != "keep"), "{how}");
        assert!(world.mails(ANN).is_empty() && world.state.outbox().is_empty(), "{how}");
    }
}

#[tokio::test]
async fn who_ends_the_walk_may_tell_somebody() {
    for (how, word, text, subject) in [
        ("reject-and-tell", "rejected", "554 5.7.1 Not wanted here", "Subject: refused"),
        ("discard-and-tell", "discarded", "unwanted", "Subject: discarded"),
    ] {
        let world = world_where(&format!("{how} carl@example.net"));
        // What the step wanted beside the answer is void.
        world.set(ANN, "act.to", vec!["x@example.net"]);
        check(&world, word, text).await;
        let sent = world.sent();
        assert_eq!(sent.len(), 1, "{how}");
        assert!(sent[0].recipient == "carl@example.net" && sent[0].text.contains(subject), "{:?}", sent[0]);
        assert_eq!(world.state.memories().len(), usize::from(word == "rejected"), "{how}");
        // The mail server's retry tells nobody twice.
        world.deliver(SENDER, &[ANN], MAIL).await;
        assert_eq!(world.sent().len(), 1, "{how}");
        // A dry run tells nobody.
        world.rehearse(SENDER, ANN, "Subject: another\n\n").await;
        assert_eq!(world.sent().len(), 1, "{how}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_makes_the_message_wait() {
    let world = world_where("discard-and-tell carl@example.net");
    world.state.set_failing(StatePart::Stage, true);
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!(receipt.outcome.text(), LATER);
    world.state.set_failing(StatePart::Stage, false);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "discarded");
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn suspended_accounts_wait() {
    let world = world();
    let envelope = world.envelope(SENDER, &[ANN]).await;
    world.status(ANN, Status::Suspended);
    let transaction = world.transaction(SENDER, None);
    let text = "450 4.2.1 The mailbox is suspended, try again later";
    assert_eq!(world.admit(ANN, &transaction).await.unwrap_err().to_string(), text);
    // Admitted before, suspended now: the plan that was admitted is the one that holds.
    let message = std::sync::Arc::new(pigeon_core::message::Message::from_bytes(MAIL));
    assert_eq!(world.agent.deliver(&envelope, message).await[0].outcome.word(), "delivered");
}

#[tokio::test]
async fn unknown_is_not_nobody() {
    let world = world();
    let transaction = world.transaction(SENDER, None);
    let reply = world.admit("nobody@example.org", &transaction).await.unwrap_err();
    assert_eq!(reply.to_string(), "550 5.1.1 No such recipient here");
    world.directory.set_down(true);
    let reply = world.admit(CARL, &transaction).await.unwrap_err();
    assert_eq!(reply.to_string(), "451 4.4.3 Directory lookup failed, try again later");
}

#[tokio::test]
async fn the_gate_is_asked_at_rcpt_and_again() {
    let world = world();
    world.set("system", "gate.enabled", true);
    let envelope = world.envelope(SENDER, &[ANN]).await;
    world.set(ANN, "gate.how", "refuse");
    let transaction = world.transaction(SENDER, None);
    assert_eq!(world.admit(ANN, &transaction).await.unwrap_err().code, 552);
    world.set(ANN, "gate.how", "fail");
    assert_eq!(world.admit(ANN, &transaction).await.unwrap_err().code, 451);
    let message = std::sync::Arc::new(pigeon_core::message::Message::from_bytes(MAIL));
    let receipt = world.agent.deliver(&envelope, message).await.remove(0);
    assert_eq!(decision(&receipt, "gate"), "continue");
    // An alias is admitted when one of its targets takes the mail.
    world.set(ANN, "gate.how", "refuse").alias("team@example.org", &[ANN, BOB]);
    assert!(world.admit("team@example.org", &transaction).await.is_ok());
    world.set(BOB, "gate.how", "refuse");
    assert_eq!(world.admit("team@example.org", &transaction).await.unwrap_err().code, 552);
}

#[tokio::test]
async fn notify_can_fail_nothing() {
    let world = world();
    world.set("system", "after.enabled", true).set(ANN, "after.how", "panic");
    let receipt = check(&world, "delivered", "stored in INBOX").await;
    assert_eq!(decision(&receipt, "after"), "defer", "the fault is in the trail");
    act(&world, CARL, "reject");
    let receipt = world.mail(SENDER, CARL, MAIL).await;
    assert!(receipt.branches[0].steps.iter().all(|step| step.service != "after"));
}

#[tokio::test]
async fn receipts_say_which_setting_decided() {
    let world = world();
    let because = async || because_of(&*world.mail(SENDER, ANN, MAIL).await, "keep");
    assert_eq!(because().await, ["keep.how= (default)"]);
    world.set("example.org", "keep.how", "Domain");
    assert_eq!(because().await, ["keep.how=Domain (domain)"]);
    world.set(ANN, "keep.how", "Own");
    assert_eq!(because().await, ["keep.how=Own (account)"]);
    world.pin("example.org", "keep.how", "Pinned");
    assert_eq!(because().await, ["keep.how=Pinned (domain, pinned)"]);
    assert_eq!(world.folders(ANN), ["INBOX", "Domain", "Own", "Pinned"]);
}

#[tokio::test]
async fn header_edits_are_private() {
    let world = world_where("tag for ann");
    world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    assert!(world.mails(ANN)[0].text.contains("\nX-Tag: for ann\n\nhello\n"));
    assert!(!world.mails(BOB)[0].text.contains("X-Tag"));
}
