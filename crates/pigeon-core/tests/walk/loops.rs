//! Mail that comes round: Delivered-To fields and the number of hops.

use crate::{ANN, MAIL, SENDER, act, world};

const LOOP: &str = "554 5.4.6 Mail forwarding loop detected";

#[tokio::test]
async fn a_message_delivered_here_before_is_refused() {
    let world = world();
    let receipt =
        world.mail(SENDER, ANN, &format!("Received: x\nDelivered-To: ANN@example.org\n{MAIL}")).await;
    assert_eq!(receipt.outcome.text(), LOOP);
    assert!(world.mails(ANN).is_empty());
    // Another account's field, and one that this hop's own server wrote, are no loop.
    for top in
        ["Received: x\nDelivered-To: bob@example.org\n", "Delivered-To: ann@example.org\nReceived: x\n"]
    {
        assert_eq!(
            world.mail(SENDER, ANN, &format!("{top}{MAIL}")).await.outcome.word(),
            "delivered",
            "{top}"
        );
    }
}

#[tokio::test]
async fn too_many_hops_are_refused() {
    let world = world();
    world.set("system", "trace.max_hops", 5);
    let with = |hops: usize| format!("{}{MAIL}", "Received: x\n".repeat(hops));
    assert_eq!(world.mail(SENDER, ANN, &with(5)).await.outcome.word(), "delivered");
    assert_eq!(world.mail(SENDER, ANN, &with(6)).await.outcome.text(), LOOP);
}

#[tokio::test]
async fn two_accounts_that_forward_to_each_other_stop() {
    let world = world();
    world.account("zoe@example.com");
    for (from, to) in [(ANN, "zoe@example.com"), ("zoe@example.com", ANN)] {
        act(&world, from, "drop");
        world.set(from, "act.to", vec![to]);
    }
    let mut recipient = ANN.to_owned();
    let mut text = MAIL.to_owned();
    for _ in 0..2 {
        assert_eq!(world.mail(SENDER, &recipient, &text).await.outcome.word(), "delivered");
        let sent = world.sent().pop().unwrap();
        (recipient, text) = (sent.recipient, sent.text);
    }
    assert_eq!(recipient, ANN, "it is back");
    assert_eq!(world.mail(SENDER, &recipient, &text).await.outcome.text(), LOOP);
    assert_eq!(world.sent().len(), 2);
}

#[tokio::test]
async fn an_alias_that_leads_outside_and_back_stops() {
    let world = world();
    world.alias("list@example.org", &["x@example.net"]);
    assert_eq!(world.mail(SENDER, "list@example.org", MAIL).await.outcome.word(), "delivered");
    let text = world.sent()[0].text.clone();
    assert!(text.starts_with("Delivered-To: list@example.org\n"), "{text}");
    // Every server on the way back writes a Received field on top.
    let text = format!("Received: from mx.example.net\n{text}");
    assert_eq!(world.mail(SENDER, "list@example.org", &text).await.outcome.text(), LOOP);
}
