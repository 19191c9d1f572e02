//! Every recipient gets exactly one receipt, in the order of the envelope, whatever happens to the others.

use std::sync::Arc;

use pigeon_core::agent::Agent;
use pigeon_core::message::Message;
use pigeon_testkit::memory::MailboxFailure;
use proptest::prelude::*;

use crate::{ANN, MAIL, SENDER, act, world};

/// What an account does with its mail, and the word that its receipt must have.
const FATES: &[(&str, &str)] = &[
    ("", "delivered"),
    ("fail", "deferred"),
    ("panic", "deferred"),
    ("hang", "deferred"),
    ("permanent", "rejected"),
    ("reject", "rejected"),
    ("defer", "deferred"),
    ("discard", "discarded"),
    ("full", "deferred"),
    ("answer x@example.net", "delivered"),
];

async fn check(fates: Vec<(usize, bool)>) {
    let world = world();
    world.set("system", "act.timeout_ms", 5);
    let mut recipients = Vec::new();
    for (number, (fate, is_alias)) in fates.iter().enumerate() {
        let address = format!("user{number}@example.org");
        let (how, _) = FATES[*fate];
        world.account(&address);
        act(&world, &address, how);
        if how == "full" {
            world.failure(&address, Some(MailboxFailure::Full));
        }
        if *is_alias {
            let alias = format!("alias{number}@example.org");
            world.alias(&alias, &[&address, ANN]);
            recipients.push(alias);
        } else {
            recipients.push(address);
        }
    }
    let named: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let receipts = world.deliver(SENDER, &named, MAIL).await;
    let got: Vec<(&str, usize)> =
        receipts.iter().map(|receipt| (&*receipt.recipient, receipt.branches.len())).collect();
    let expect: Vec<(&str, usize)> = named
        .iter()
        .zip(&fates)
        .map(|(name, (_, is_alias))| (*name, if *is_alias { 2 } else { 1 }))
        .collect();
    assert_eq!(got, expect);
    for (receipt, (fate, is_alias)) in receipts.iter().zip(&fates) {
        let (how, word) = FATES[*fate];
        assert_eq!(receipt.branches[0].outcome.word(), word, "{how}");
        // With a second branch that ends well, only what must be tried again shows.
        let expect = if *is_alias && word != "deferred" { "delivered" } else { word };
        assert_eq!(receipt.outcome.word(), expect, "{how}, alias: {is_alias}");
        let reply = Agent::reply(receipt);
        assert_eq!(
            reply.code / 100,
            if expect == "deferred" {
                4
            } else if expect == "rejected" {
                5
            } else {
                2
            }
        );
    }
    assert_eq!(world.state.recorded().len(), recipients.len(), "each is recorded once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn there_is_one_receipt_for_each_recipient_in_order(
        fates in proptest::collection::vec((0..FATES.len(), any::<bool>()), 1..30)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(check(fates));
    }
}

#[tokio::test]
async fn an_envelope_without_recipients_makes_no_receipt() {
    let world = world();
    let envelope = world.envelope(SENDER, &[]).await;
    assert!(world.agent.deliver(&envelope, Arc::new(Message::from_bytes(MAIL))).await.is_empty());
}
