//! Notices to the owners of aliases: who is told when one target refuses what others took, and how often.

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::message::Message;
use pigeon_core::receipt::{Receipt, StepRecord};
use pigeon_testkit::memory::{MailboxFailure, StatePart, World};

use crate::{ANN, BOB, CARL, MAIL, SENDER, act, world};

const TEAM: &str = "team@example.org";
const OWNER: &str = "owner@example.com";

/// An alias for ann and bob, who refuses; its domain wants notices.
fn team() -> World {
    let world = world();
    act(&world, BOB, "reject");
    world.alias(TEAM, &[ANN, BOB]).set("example.org", "alias.notice_to", OWNER);
    world
}

async fn send(world: &World, number: u32) -> Arc<Receipt> {
    world.mail(SENDER, TEAM, &format!("X-Number: {number}\n{MAIL}")).await
}

fn steps(receipt: &Arc<Receipt>, branch: usize) -> Vec<&StepRecord> {
    receipt.branches[branch].steps.iter().filter(|step| step.service == "alias").collect()
}

/// Checks that the refused branch (the second one) says so, and that nothing is sent.
async fn check_silent(world: &World, mail: &str, why: &str) {
    let receipt = world.mail(SENDER, TEAM, mail).await;
    assert_eq!(receipt.outcome.word(), "delivered");
    assert_eq!(steps(&receipt, 1)[0].reason, format!("no notice: {why}"));
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn the_owner_is_told_what_happened_and_what_to_do() {
    let world = team();
    let receipt = send(&world, 1).await;
    assert_eq!(receipt.outcome.word(), "delivered", "no bounce");
    assert!(steps(&receipt, 0).is_empty());
    let [step] = steps(&receipt, 1)[..] else { panic!("one step: {receipt:#?}") };
    assert_eq!(step.reason, "owner@example.com is told");
    assert_eq!(step.because, ["alias.notice_to=owner@example.com (domain)"]);
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    let notice = &sent[0];
    assert_eq!((notice.sender.as_str(), notice.recipient.as_str()), ("", OWNER));
    assert_eq!(notice.on_behalf_of, TEAM);
    insta::assert_snapshot!(notice.text);
    let message = Message::from_bytes(notice.text.clone());
    assert_eq!(message.field("Auto-Submitted").unwrap().value(), "auto-generated");
}

#[tokio::test]
async fn nobody_is_told_without_an_owner_or_without_a_refusal() {
    let world = team();
    world.set("example.org", "alias.notice_to", "");
    assert!(steps(&send(&world, 1).await, 1).is_empty());
    world.set("example.org", "alias.notice_to", OWNER);
    act(&world, BOB, "discard");
    assert!(steps(&send(&world, 2).await, 1).is_empty());
    assert!(world.state.outbox().is_empty() && world.state.memories().is_empty());
    // What all refuse is bounced by the mail server: the sender learns it.
    act(&world, BOB, "reject");
    act(&world, ANN, "reject");
    assert_eq!(send(&world, 3).await.outcome.word(), "rejected");
    assert!(world.state.outbox().is_empty());
    // An account alone is no alias.
    assert_eq!(world.mail(SENDER, BOB, MAIL).await.outcome.word(), "rejected");
    assert!(world.state.outbox().is_empty());
}

#[tokio::test]
async fn a_target_is_told_of_once_in_the_interval() {
    let world = team();
    world.set("example.org", "alias.notice_every_s", 3600);
    assert_eq!(steps(&send(&world, 1).await, 1)[0].reason, "owner@example.com is told");
    let receipt = send(&world, 2).await;
    let step = steps(&receipt, 1)[0];
    assert!(step.reason.starts_with("no notice: there was one at 2026-"), "{}", step.reason);
    let because = ["alias.notice_to=owner@example.com (domain)", "alias.notice_every_s=3600 (domain)"];
    assert_eq!(step.because, because);
    // Another target of the alias is another matter; so is the same target of another alias.
    act(&world, CARL, "reject");
    world.alias(TEAM, &[ANN, BOB, CARL]).alias("all@example.org", &[ANN, BOB]);
    send(&world, 3).await;
    world.mail(SENDER, "all@example.org", MAIL).await;
    assert_eq!(world.sent().len(), 3);
    world.clock.advance(Duration::from_secs(3600));
    send(&world, 4).await;
    assert_eq!(world.sent().len(), 5, "bob's and carl's interval is over");
    world.set("example.org", "alias.notice_every_s", 0);
    send(&world, 5).await;
    send(&world, 6).await;
    assert_eq!(world.sent().len(), 9, "every mail is told of");
}

#[tokio::test]
async fn a_retry_tells_nobody_twice() {
    let world = team();
    world.set("example.org", "alias.notice_every_s", 0);
    for _ in 0..3 {
        send(&world, 1).await;
    }
    assert_eq!(world.sent().len(), 1, "the key is the message's");
}

#[tokio::test]
async fn while_a_branch_waits_nobody_is_told() {
    let world = team();
    world.alias(TEAM, &[ANN, BOB, CARL]).failure(CARL, Some(MailboxFailure::Full));
    assert_eq!(send(&world, 1).await.outcome.word(), "deferred");
    assert_eq!(send(&world, 1).await.outcome.word(), "deferred");
    assert!(world.state.outbox().is_empty());
    world.failure(CARL, None);
    // On the last attempt bob might have been let in: what he says then counts.
    assert_eq!(send(&world, 1).await.outcome.word(), "delivered");
    assert_eq!(world.sent().len(), 1);
    assert_eq!((world.mails(ANN).len(), world.mails(CARL).len()), (1, 1));
}

#[tokio::test]
async fn notifications_and_programs_make_no_notices() {
    let world = team();
    let receipt = world.mail("<>", TEAM, MAIL).await;
    assert_eq!(steps(&receipt, 1)[0].reason, "no notice: the mail is a notification itself");
    let program = "the mail was sent by a program";
    check_silent(&world, &format!("Auto-Submitted: auto-generated; x=y\n{MAIL}"), program).await;
    check_silent(&world, &format!("auto-submitted: (why) Auto-Replied\n{MAIL}"), program).await;
    world.mail(SENDER, TEAM, &format!("Auto-Submitted: No\n{MAIL}")).await;
    assert_eq!(world.sent().len(), 1);
    // The notice itself, sent to an alias with the same trouble, ends there.
    let notice = world.sent()[0].text.clone();
    world.mail("<>", TEAM, &notice).await;
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn the_target_that_refused_is_not_told_of_itself() {
    let world = team();
    world.set("example.org", "alias.notice_to", BOB);
    check_silent(&world, MAIL, "bob@example.org is the target that refused it").await;
}

#[tokio::test]
async fn a_target_behind_two_recipients_is_told_of_once() {
    let world = team();
    world.alias("all@example.org", &[TEAM, CARL]);
    let receipts = world.deliver(SENDER, &[TEAM, "all@example.org"], MAIL).await;
    assert_eq!(steps(&receipts[0], 1)[0].reason, "owner@example.com is told");
    assert_eq!(steps(&receipts[1], 1)[0].reason, "no notice: owner@example.com is told already");
    assert_eq!(world.sent().len(), 1);
    assert!(world.sent()[0].text.contains("\nWay:         team@example.org -> bob@example.org\n"));
}

#[tokio::test]
async fn a_state_that_fails_costs_the_notice_and_not_the_mail() {
    for part in [StatePart::Stage, StatePart::Commit] {
        let world = team();
        world.state.set_failing(part, true);
        let receipt = send(&world, 1).await;
        assert_eq!(receipt.outcome.word(), "delivered");
        let step = steps(&receipt, 1)[0];
        assert_eq!(step.decision, "skip");
        assert!(step.reason.starts_with("no notice: the State in memory fails"), "{}", step.reason);
        assert!(world.sent().is_empty() && world.state.memories().is_empty());
        // What was staged is released when the same mail comes again.
        world.state.set_failing(part, false);
        send(&world, 1).await;
        assert_eq!(world.sent().len(), 1);
    }
    let world = team();
    world.state.set_failing(StatePart::Recall, true);
    send(&world, 1).await;
    assert_eq!(world.sent().len(), 1, "one too many is better than none");
}

#[tokio::test]
async fn a_dry_run_says_who_would_be_told_and_sends_nothing() {
    let world = team();
    let receipt = world.rehearse(SENDER, TEAM, MAIL).await;
    assert_eq!(steps(&receipt, 1)[0].reason, "owner@example.com would be told");
    assert!(world.state.outbox().is_empty() && world.state.memories().is_empty());
    send(&world, 1).await;
    let receipt = world.rehearse(SENDER, TEAM, MAIL).await;
    assert!(steps(&receipt, 1)[0].reason.starts_with("no notice: there was one at "));
    assert_eq!(world.state.outbox().len(), 1);
}

#[tokio::test]
async fn the_setting_is_that_of_the_domain_whose_alias_it_is() {
    let world = team();
    // Bob's own domain has nothing to say about it, nor has bob.
    let refused = |place: pigeon_core::setting::Layer| {
        let name = "alias.notice_to".parse().unwrap();
        let content = pigeon_core::setting::Content::Value(ANN.into());
        world.agent.planner().catalogue().validate(place, &name, &content)
    };
    let error = refused(pigeon_core::setting::Layer::Account).unwrap_err();
    assert!(error.contains("alias.notice_to at the account layer") && error.contains("domain"), "{error}");
    world.account("zoe@example.com");
    act(&world, "zoe@example.com", "reject");
    world.set("example.com", "alias.notice_to", "other@example.com");
    world.alias(TEAM, &[ANN, "zoe@example.com"]);
    send(&world, 1).await;
    let to: Vec<String> = world.sent().into_iter().map(|sent| sent.recipient).collect();
    assert_eq!(to, [OWNER]);
    // The system's value holds where the domain says nothing, and a pin of the system wins.
    world.pin("system", "alias.notice_to", "root@example.net");
    send(&world, 2).await;
    assert_eq!(world.sent().len(), 1, "the interval is the target's, whoever is told");
    world.clock.advance(Duration::from_secs(86_400));
    send(&world, 3).await;
    assert_eq!(world.sent()[1].recipient, "root@example.net");
}
