//! The commit: what is durable together, what a failure costs, and what a retry does not repeat.

use std::sync::Arc;

use pigeon_core::directory::Status;
use pigeon_core::message::Message;
use pigeon_core::receipt::Receipt;
use pigeon_testkit::memory::{MailboxFailure, StatePart, World};

use crate::{ANN, BOB, CARL, MAIL, SENDER, act, world, world_where};

const TEAM: &str = "team@example.org";

async fn send(world: &World) -> Arc<Receipt> {
    world.mail(SENDER, TEAM, MAIL).await
}

#[tokio::test]
async fn finished_branches_are_not_repeated() {
    let world = world();
    world.alias(TEAM, &[ANN, BOB, "x@example.net"]).failure(BOB, Some(MailboxFailure::Full));
    let receipt = send(&world).await;
    assert_eq!(receipt.outcome.text(), "452 4.3.1 Insufficient system storage, try again later");
    let words: Vec<&str> = receipt.branches.iter().map(|branch| branch.outcome.word()).collect();
    assert_eq!(words, ["delivered", "deferred", "delivered"]);
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len(), world.sent().len()), (1, 0, 1));

    // Tried again, it fails again and repeats nothing.
    assert_eq!(send(&world).await.outcome.word(), "deferred");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len(), world.sent().len()), (1, 0, 1));

    world.failure(BOB, None);
    let receipt = send(&world).await;
    assert_eq!(receipt.outcome.word(), "delivered");
    assert_eq!(receipt.branches[0].outcome.text(), "done by an earlier attempt");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len(), world.sent().len()), (1, 1, 1));

    // Another message is another matter.
    let receipt = world.mail(SENDER, TEAM, &format!("X-Other: 1\n{MAIL}")).await;
    assert_eq!(receipt.branches[0].outcome.text(), "stored in INBOX");
}

#[tokio::test]
async fn a_fault_in_one_branch_is_a_temporary_reply_for_all() {
    let world = world();
    act(&world, BOB, "fail");
    world.alias(TEAM, &[ANN, BOB]);
    assert_eq!(send(&world).await.outcome.word(), "deferred");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len()), (1, 0));
    act(&world, BOB, "");
    assert_eq!(send(&world).await.outcome.word(), "delivered");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len()), (1, 1));
}

#[tokio::test]
async fn a_refused_branch_does_not_refuse_the_others() {
    let world = world();
    act(&world, BOB, "reject");
    world.alias(TEAM, &[ANN, BOB]);
    let receipt = send(&world).await;
    assert_eq!(receipt.outcome.word(), "delivered");
    assert_eq!(receipt.branches[1].outcome.word(), "rejected");
    assert!(world.state.finished_keys().is_empty(), "nothing is tried again");
}

#[tokio::test]
async fn a_refusal_is_never_taken_for_a_delivery() {
    let world = world();
    act(&world, ANN, "reject");
    act(&world, BOB, "fail");
    world.alias(TEAM, &[ANN, BOB]);
    assert_eq!(send(&world).await.outcome.word(), "deferred");
    // On the retry the other one is refused, too: the sender has to learn it.
    act(&world, BOB, "permanent");
    assert_eq!(send(&world).await.outcome.word(), "rejected");
}

#[tokio::test]
async fn a_store_that_fails_defers_its_recipient_alone() {
    let world = world();
    for (failure, text) in [
        (MailboxFailure::Full, "452 4.3.1 Insufficient system storage, try again later"),
        (MailboxFailure::Unwritable, "451 4.2.0 The mailbox cannot be written, try again later"),
    ] {
        world.failure(BOB, Some(failure));
        let receipts = world.deliver(SENDER, &[ANN, BOB, CARL], MAIL).await;
        let texts: Vec<String> = receipts.iter().map(|receipt| receipt.outcome.text()).collect();
        assert_eq!(texts, ["stored in INBOX", text, "stored in INBOX"]);
    }
}

#[tokio::test]
async fn a_failing_store_holds_the_redirect_until_the_retry() {
    let world = world();
    act(&world, ANN, "");
    world.set(ANN, "act.to", vec!["x@example.net"]).failure(ANN, Some(MailboxFailure::Full));
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "deferred");
    assert_eq!((world.state.outbox().len(), world.sent().len()), (1, 0), "staged and held");
    world.failure(ANN, None);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "delivered");
    assert_eq!((world.state.outbox().len(), world.sent().len()), (1, 1));
    assert_eq!(world.mails(ANN).len(), 1);
}

#[tokio::test]
async fn a_state_that_cannot_stage_stores_nothing() {
    let world = world();
    act(&world, ANN, "");
    world.set(ANN, "act.to", vec!["x@example.net"]);
    world.state.set_failing(StatePart::Stage, true);
    let receipts = world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    assert_eq!(receipts[0].outcome.word(), "deferred");
    assert_eq!(receipts[1].outcome.word(), "delivered", "bob has nothing to stage");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len(), world.sent().len()), (0, 1, 0));
}

#[tokio::test]
async fn a_state_that_cannot_commit_sends_nothing_and_asks_for_a_retry() {
    let world = world();
    act(&world, ANN, "");
    act(&world, BOB, "remember");
    world.set(ANN, "act.to", vec!["x@example.net"]);
    world.state.set_failing(StatePart::Commit, true);
    let receipts = world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    assert_eq!(receipts[0].outcome.word(), "deferred");
    assert_eq!(receipts[1].outcome.word(), "delivered", "a memory is not worth a second copy");
    assert!(world.sent().is_empty());
    world.state.set_failing(StatePart::Commit, false);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "delivered");
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn a_retry_sends_and_answers_nothing_twice() {
    let world = world_where("answer x@example.net");
    world.set(ANN, "act.to", vec!["y@example.net"]);
    for _ in 0..3 {
        assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "delivered");
    }
    let mut sent: Vec<(String, String)> =
        world.sent().into_iter().map(|sent| (sent.sender, sent.recipient)).collect();
    sent.sort();
    // An answer leaves with the null sender, a redirected message with the one it came with.
    assert_eq!(
        sent,
        [("", "x@example.net"), (SENDER, "y@example.net")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
}

#[tokio::test]
async fn an_answer_alone_takes_the_mail_only_when_no_copy_is_wanted() {
    let world = world_where("answer x@example.net");
    world.set(ANN, "keep.enabled", false);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "deferred");
    assert!(world.state.outbox().is_empty());
    act(&world, ANN, "drop-and-answer x@example.net");
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!(receipt.outcome.text(), "answered to x@example.net (test)");
    assert_eq!((world.sent().len(), world.mails(ANN).len()), (1, 0));
}

#[tokio::test]
async fn redirects_obey_the_policy() {
    let world = world_where("");
    let to: Vec<String> = (0..3).map(|number| format!("x{number}@example.net")).collect();
    world.set(ANN, "act.to", to.clone()).pin("system", "redirect.allowed", false);
    let receipt = world.mail(SENDER, ANN, MAIL).await;
    assert_eq!(receipt.outcome.text(), "451 4.7.1 Sending mail on is not allowed for this recipient");
    world.pin("system", "redirect.allowed", true).set("system", "redirect.max_targets", 2);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "deferred");
    assert!(world.mails(ANN).is_empty() && world.state.outbox().is_empty());
    world.set("system", "redirect.max_targets", 3);
    assert_eq!(world.mail(SENDER, ANN, MAIL).await.outcome.word(), "delivered");
    assert_eq!(world.sent().len(), 3);
}

#[tokio::test]
async fn the_policy_holds_for_aliases_that_lead_outside() {
    let world = world();
    world.alias(TEAM, &["x@example.net"]).set("example.org", "redirect.allowed", false);
    assert_eq!(send(&world).await.outcome.word(), "deferred");
    assert!(world.state.outbox().is_empty());
    world
        .set("example.org", "redirect.allowed", true)
        .set("system", "redirect.srs_domain", "srs.example.org")
        .set("system", "redirect.srs_secrets", vec!["secret"]);
    assert_eq!(send(&world).await.outcome.word(), "delivered");
    let sent = &world.sent()[0];
    assert!(sent.sender.starts_with("SRS0=") && sent.sender.ends_with("@srs.example.org"), "{}", sent.sender);
    assert_eq!(sent.on_behalf_of, TEAM);
}

#[tokio::test]
async fn a_dry_run_touches_nothing() {
    let world = world_where("answer x@example.net");
    world.set(ANN, "act.to", vec!["y@example.net"]).set("system", "after.enabled", true);
    let receipt = world.rehearse(SENDER, ANN, MAIL).await;
    assert!(receipt.is_dry_run);
    assert_eq!(
        receipt.outcome.text(),
        "would be redirected to y@example.net; would be answered to x@example.net (test); \
         would be stored in INBOX"
    );
    act(&world, BOB, "remember");
    world.rehearse(SENDER, BOB, MAIL).await;
    assert_eq!(world.mailstore.count(), 0);
    assert!(world.state.outbox().is_empty() && world.state.memories().is_empty());
    assert!(world.state.recorded().is_empty() && world.state.finished_keys().is_empty());
}

#[tokio::test]
async fn memories_last_until_they_expire_and_only_with_the_effects() {
    let world = world_where("remember");
    world.failure(ANN, Some(MailboxFailure::Full));
    world.mail(SENDER, ANN, MAIL).await;
    assert!(world.state.memories().is_empty(), "nothing was delivered");
    world.failure(ANN, None).mail(SENDER, ANN, MAIL).await;
    assert_eq!(world.state.memories().len(), 1);
}

#[tokio::test]
async fn copies_for_several_name_nobody_and_those_for_one_do() {
    let world = world();
    world.mail(SENDER, ANN, MAIL).await;
    world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    let mails = world.mails(ANN);
    assert!(mails[0].text.starts_with("Return-Path: <eve@example.net>\nDelivered-To: ann@example.org\n"));
    assert!(!mails[1].text.contains("Delivered-To"), "{}", mails[1].text);
    assert_eq!(mails[1].text, world.mails(BOB)[0].text, "they can share one file");
    world.set("system", "trace.delivered_to", "always");
    world.alias(TEAM, &[ANN, BOB]).mail(SENDER, TEAM, MAIL).await;
    let text = &world.mails(BOB)[1].text;
    assert!(text.contains("\nDelivered-To: bob@example.org\nX-Original-To: team@example.org\n"), "{text}");
}

#[tokio::test]
async fn the_return_path_of_final_delivery_is_the_only_one() {
    let world = world();
    world.mail("<>", ANN, &format!("Return-Path: <forged@example.net>\n{MAIL}")).await;
    let text = &world.mails(ANN)[0].text;
    let message = Message::from_bytes(text.clone());
    let paths: Vec<String> = message
        .fields()
        .filter(|field| field.name.eq_ignore_ascii_case("Return-Path"))
        .map(|field| field.value())
        .collect();
    assert_eq!(paths, ["<>"]);
}

#[tokio::test]
async fn a_suspended_target_of_an_alias_waits_alone() {
    let world = world();
    world.alias(TEAM, &[ANN, BOB]).status(ANN, Status::Suspended);
    let receipt = send(&world).await;
    assert_eq!(receipt.outcome.text(), "450 4.2.1 The mailbox is suspended, try again later");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len()), (0, 1));
    world.status(ANN, Status::Active);
    assert_eq!(send(&world).await.outcome.word(), "delivered");
    assert_eq!((world.mails(ANN).len(), world.mails(BOB).len()), (1, 1));
}

#[tokio::test]
async fn a_bounce_to_a_rewritten_sender_goes_back_to_the_original_one() {
    let world = world();
    world
        .account("somebody@srs.example.org")
        .alias(TEAM, &["x@example.net"])
        .set("system", "redirect.srs_domain", "srs.example.org")
        .set("system", "redirect.srs_secrets", vec!["secret"]);
    send(&world).await;
    let rewritten = world.sent()[0].sender.clone();
    let receipt = world.mail("<>", &rewritten, "Subject: bounce\n\n").await;
    assert_eq!(receipt.outcome.text(), format!("redirected to {SENDER}"));
    assert_eq!(world.sent()[1].sender, "", "a bounce stays a bounce");
    world.alias("*@srs.example.org", &[ANN]);
    world.clock.advance(std::time::Duration::from_secs(1));
    let receipt = world.mail("<>", &rewritten, "Subject: another bounce\n\n").await;
    assert_eq!(receipt.outcome.text(), format!("redirected to {SENDER}"), "a catch-all does not catch it");
    let world = self::world();
    world.account("somebody@srs.example.org");
    let forged = rewritten.replace("SRS0=", "SRS0=x");
    let transaction = world.transaction("<>", None);
    assert_eq!(world.admit(&forged, &transaction).await.unwrap_err().code, 550);
}
