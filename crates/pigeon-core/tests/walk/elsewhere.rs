//! Mailboxes that other nodes keep: their mail is handed over, once, and never back and forth.

use std::sync::Arc;

use pigeon_core::fault::Reply;
use pigeon_core::message::Message;
use pigeon_testkit::memory::World;

use crate::{ANN, BOB, MAIL, SENDER, world};

fn handed(world: &World) -> Vec<String> {
    let show =
        |original: Option<String>| original.map(|original| format!(" for {original}")).unwrap_or_default();
    let all = world.nodes.handed().into_iter();
    all.map(|(node, handed)| format!("{node} {}{}", handed.address, show(handed.original))).collect()
}

#[tokio::test]
async fn mail_goes_to_the_node_that_keeps_the_mailbox() {
    let world = world();
    world.set(ANN, "storage.node", "there").set(BOB, "storage.node", "here");
    let receipts = world.deliver(SENDER, &[ANN, "ann+x@example.org", BOB], MAIL).await;
    let outcomes: Vec<String> = receipts.iter().map(|receipt| receipt.outcome.text()).collect();
    let taken = "handed over to there: 250 2.1.5 taken";
    assert_eq!(outcomes, [taken, taken, "stored in INBOX"]);
    assert_eq!(handed(&world), ["there ann@example.org", "there ann+x@example.org for ann+x@example.org"]);
    let because = &receipts[0].branches[0].steps[0].because;
    assert_eq!(because.concat(), "storage.node=there (account)");
    assert_eq!(world.mails(ANN).len(), 0, "this node stored it, too");
}

#[tokio::test]
async fn what_the_other_node_says_is_what_the_mta_hears() {
    let world = world();
    world.set("example.org", "storage.node", "there").set(BOB, "storage.node", "lost");
    world.nodes.refuse(ANN, Reply::new(552, (5, 2, 2), "over quota"));
    let receipts = world.deliver(SENDER, &[ANN, BOB], MAIL).await;
    let outcomes: Vec<String> = receipts.iter().map(|receipt| receipt.outcome.word().to_owned()).collect();
    assert_eq!(outcomes, ["rejected", "deferred"]);
    assert!(receipts[1].outcome.text().starts_with("451 4.4.1"), "{}", receipts[1].outcome.text());
}

#[tokio::test]
async fn two_nodes_that_disagree_hand_nothing_back() {
    let world = world();
    world.set(ANN, "storage.node", "there");
    let mut envelope = world.envelope(SENDER, &[ANN]).await;
    let transaction = Arc::get_mut(&mut envelope.transaction).unwrap();
    transaction.origin.handed_over_by = Some("there".to_owned());
    let message = Arc::new(Message::from_bytes(MAIL));
    let receipts = world.agent.deliver(&envelope, message).await;
    assert_eq!(receipts[0].outcome.reply().code, 451);
    assert!(handed(&world).is_empty());
}

#[tokio::test]
async fn a_dry_run_hands_nothing_over() {
    let world = world();
    world.set(ANN, "storage.node", "there");
    assert_eq!(world.rehearse(SENDER, ANN, MAIL).await.outcome.text(), "would be handed over to there");
    assert!(handed(&world).is_empty());
}
