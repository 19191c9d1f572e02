//! What is stored and sent where a step replaced the message, or gave an effect a message of its own.

use pigeon_testkit::memory::World;

use crate::{ANN, BOB, MAIL, SENDER, world_where};

async fn deliver(how: &str) -> World {
    let world = world_where(how);
    let receipts = world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome.is_success()), "{receipts:?}");
    let others = &world.mails(BOB)[0].text;
    assert!(others.ends_with(MAIL) && !others.contains("X-Edit"), "bob is not concerned: {others}");
    world
}

/// The message without the trace fields on top.
fn without_trace(text: &str) -> String {
    let lines = text.split_inclusive('\n').skip_while(|line| !line.starts_with("Subject"));
    lines.collect()
}

#[tokio::test]
async fn a_message_is_replaced_for_one_recipient() {
    let world = deliver("replace").await;
    let mails = world.mails(ANN);
    assert!(mails[0].text.starts_with("Return-Path: <eve@example.net>\n"), "{}", mails[0].text);
    assert_eq!(without_trace(&mails[0].text), "Subject: another\nX-Edit: made\n\nfor one\n");
}

#[tokio::test]
async fn an_effect_carries_a_message_of_its_own() {
    let world = deliver("own x@example.net").await;
    let (mails, sent) = (world.mails(ANN), world.sent());
    assert_eq!(world.folders(ANN), ["Own", "INBOX"]);
    assert!(mails[0].text.starts_with("Return-Path: <eve@example.net>\n"), "{}", mails[0].text);
    assert_eq!(without_trace(&mails[0].text), "Subject: own\n\nown text\n", "edits are not made to it");
    assert!(mails[1].text.contains("X-Edit: made\n"), "they are to the delivery's message");
    assert!(sent[0].text.starts_with("Delivered-To: ann@example.org\n"), "{}", sent[0].text);
    assert_eq!(without_trace(&sent[0].text), "Subject: own\n\nown text\n");
}
