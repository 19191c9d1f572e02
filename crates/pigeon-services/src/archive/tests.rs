//! What is archived, once, and what nobody can avoid.

use pigeon_core::fault::Reply;
use pigeon_core::service::{Descriptor, NoConfig};
use pigeon_testkit::memory::{MailboxFailure, StatePart, StoredMail, World, reason_of};

use super::*;
use crate::forward::Forward;
use crate::headers::Headers;
use crate::mailbox::Mailbox;

const MAIL: &str = "Received: from a\nSubject: hi\n\nhello\n";
/// The day on which the clock of a [`World`] stands.
const DAY: &str = ".archive/example.org/2026/11/23";

/// Does with every message what its settings say.
#[derive(Debug)]
struct Judge;

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Verdict {
    says: String,
}

impl Service for Judge {
    const NAME: &'static str = "judge";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = Verdict;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn handle(&self, verdict: &Verdict, _delivery: &mut Delivery) -> Result<Next, Fault> {
        match &*verdict.says {
            "discard" => Ok(Next::Discard("it is not wanted".into())),
            "reject" => Ok(Next::Reject(Reply::new(550, (5, 7, 1), "no"))),
            "fault" => Err(Fault::temporary("it is broken")),
            _ => Ok(Next::Continue),
        }
    }
}

const SERVICES: &[Descriptor] = &[
    Descriptor::of::<Judge>(),
    Descriptor::of::<Headers>(),
    Descriptor::of::<Forward>(),
    Descriptor::of::<Archive>(),
    Descriptor::of::<Mailbox>(),
];

fn world() -> World {
    let world = World::new(SERVICES);
    for address in ["ann@example.org", "bob@example.org", "carl@example.net"] {
        world.account(address);
    }
    for name in ["judge", "headers", "archive", "mailbox"] {
        world.set("system", &format!("{name}.enabled"), true);
    }
    world
}

fn archived(world: &World, path: &str) -> Vec<StoredMail> {
    world.mailstore.mails(&MailboxPath(path.to_owned()))
}

#[tokio::test]
async fn a_copy_as_received_goes_to_the_maildir_of_the_day() {
    let world = world();
    world.set("example.org", "archive.maildir", true).set("system", "headers.add", vec!["X-Mine: 1"]);
    let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
    assert_eq!(receipt.outcome.text(), format!("archived in {DAY}; stored in INBOX"));
    assert!(world.mails("ann@example.org")[0].text.contains("X-Mine: 1"));
    let copies = archived(&world, DAY);
    assert_eq!(copies.len(), 1);
    let text = &copies[0].text;
    assert!(text.starts_with("Return-Path: <eve@example.net>\nReceived: from client"), "{text}");
    assert!(text.ends_with(MAIL) && !text.contains("X-Mine"), "{text}");
}

#[tokio::test]
async fn what_was_accepted_is_archived_whoever_discards_it() {
    let check = async |says: &str, word: &str, count: usize| {
        let world = world();
        world.set("system", "archive.maildir", true).set("system", "archive.to", vec!["j@example.com"]);
        world.set("ann@example.org", "judge.says", says);
        let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.word(), word);
        assert_eq!((archived(&world, DAY).len(), world.sent().len()), (count, count), "{says}: {receipt:#?}");
    };
    check("continue", "delivered", 1).await;
    check("discard", "discarded", 1).await;
    check("reject", "rejected", 0).await;
    check("fault", "deferred", 0).await;
}

#[tokio::test]
async fn a_discarded_message_waits_while_its_copy_cannot_be_made() {
    let world = world();
    world.set("system", "archive.maildir", true).set("ann@example.org", "judge.says", "discard");
    let place = MailboxPath(DAY.to_owned());
    world.mailstore.set_failure(&place, Some(MailboxFailure::Full));
    assert_eq!(world.mail("eve@example.net", "ann@example.org", MAIL).await.outcome.word(), "deferred");
    world.mailstore.set_failure(&place, None);
    assert_eq!(world.mail("eve@example.net", "ann@example.org", MAIL).await.outcome.word(), "discarded");
    assert_eq!(archived(&world, DAY).len(), 1);
}

#[tokio::test]
async fn recipients_share_one_copy_and_a_retry_makes_none() {
    let world = world();
    world.set("system", "archive.maildir", true).set("system", "archive.to", vec!["j@example.com"]);
    world.failure("bob@example.org", Some(MailboxFailure::Unwritable));
    let all = ["ann@example.org", "bob@example.org", "carl@example.net"];
    let words = async |recipients: &[&str]| {
        let receipts = world.deliver("eve@example.net", recipients, MAIL).await;
        receipts.iter().map(|receipt| receipt.outcome.word()).collect::<Vec<_>>()
    };
    assert_eq!(words(&all).await, ["delivered", "deferred", "delivered"]);
    world.failure("bob@example.org", None);
    world.clock.advance(std::time::Duration::from_secs(24 * 3600));
    assert_eq!(words(&all[1..2]).await, ["delivered"]);
    assert_eq!(world.sent().len(), 1);
    assert_eq!(archived(&world, DAY).len(), 1);
    assert_eq!(archived(&world, ".archive/example.net/2026/11/23").len(), 1);
    assert_eq!(archived(&world, ".archive/example.org/2026/11/24").len(), 0);
    assert_eq!(world.mails("bob@example.org").len(), 1);
}

#[tokio::test]
async fn wrapped_copies_name_the_envelope() {
    let world = world();
    world
        .set("system", "archive.to", vec!["j@example.com"])
        .set("system", "archive.form", "wrapped")
        .set("system", "archive.failures_to", "postmaster@example.org")
        // It binds what users send on, not what the domain archives.
        .set("system", "redirect.allowed", false);
    world.deliver("eve@example.net", &["ann@example.org", "bob@example.org"], MAIL).await;
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((&*sent[0].sender, &*sent[0].recipient), ("postmaster@example.org", "j@example.com"));
    let text = &sent[0].text;
    for part in [
        "Subject: Archived: hi\n",
        "X-Archived-From: <eve@example.net>\nX-Archived-To: <ann@example.org>\nX-Archived-To: <bob@example.org>\n",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nReceived: from client",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.starts_with("Received: from a\n") && text.ends_with(MAIL), "{text}");
    // Tried again for one of them: the copy names that one.
    world.deliver("eve@example.net", &["bob@example.org"], MAIL).await;
    world.deliver("eve@example.net", &["bob@example.org"], MAIL).await;
    assert_eq!(world.sent().len(), 2);
    assert!(!world.sent()[1].text.contains("X-Archived-To: <ann@"));
}

#[tokio::test]
async fn the_domains_pin_holds_against_what_the_account_has() {
    let world = world();
    world.set("ann@example.org", "archive.enabled", false).set("ann@example.org", "archive.maildir", false);
    world.mail("eve@example.net", "ann@example.org", MAIL).await;
    assert_eq!(archived(&world, DAY).len(), 0);
    world.pin("example.org", "archive.enabled", true).pin("example.org", "archive.maildir", true);
    world.mail("eve@example.net", "ann@example.org", &format!("X: 2\n{MAIL}")).await;
    assert_eq!(archived(&world, DAY).len(), 1);
}

#[tokio::test]
async fn the_archive_does_not_archive_itself_and_needs_a_delivery_beside_it() {
    let world = world();
    world.set("system", "archive.to", vec!["bob@example.org"]).set("system", "archive.maildir", true);
    let receipt = world.mail("eve@example.net", "bob@example.org", MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert_eq!(reason_of(&receipt, "archive"), "this is the archive itself");
    world.set("system", "mailbox.enabled", false);
    let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
    assert_eq!(receipt.outcome.word(), "deferred", "an archive is no delivery");
    assert!(world.state.outbox().is_empty());
}

#[tokio::test]
async fn a_forward_without_a_copy_is_archived() {
    let world = world();
    world
        .set("system", "archive.maildir", true)
        .set("ann@example.org", "forward.enabled", true)
        .set("ann@example.org", "forward.keep", false)
        .set("ann@example.org", "forward.to", vec!["ann@example.net"]);
    world.mail("eve@example.net", "ann@example.org", MAIL).await;
    assert_eq!((archived(&world, DAY).len(), world.sent().len()), (1, 1));
}

#[tokio::test]
async fn nothing_is_archived_while_the_state_is_away_or_nothing_is_meant() {
    for part in [StatePart::Finished, StatePart::Stage, StatePart::Commit] {
        let world = world();
        world.set("system", "archive.maildir", true).set("system", "archive.to", vec!["j@example.com"]);
        world.set("ann@example.org", "judge.says", "discard");
        world.state.set_failing(part, true);
        let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.word(), "deferred", "{part:?}");
        world.state.set_failing(part, false);
        world.mail("eve@example.net", "ann@example.org", MAIL).await;
        assert_eq!(world.sent().len(), 1, "{part:?}");
    }
    let world = world();
    world.set("system", "archive.maildir", true);
    world.rehearse("eve@example.net", "ann@example.org", MAIL).await;
    assert_eq!(archived(&world, DAY).len(), 0);
}

#[test]
fn long_lists_are_refused() {
    let to = vec!["j@example.com".parse().unwrap(); MAX_ADDRESSES + 1];
    assert!(Archive::check(&Settings { to, ..Settings::default() }).is_err());
}
