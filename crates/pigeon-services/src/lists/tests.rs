//! What the lists say, over the ports in memory.

use std::sync::Arc;

use pigeon_core::envelope::{Envelope, Named, Origin, Transaction};
use pigeon_core::message::Message;
use pigeon_core::receipt::Receipt;
use pigeon_core::service::Descriptor;
use pigeon_core::setting::{Content, Layer};
use pigeon_testkit::memory::{World, because_of, reason_of};
use serde_json::json;

use super::*;
use crate::catalogue::SERVICES;
use crate::mailbox::Mailbox;

const MAIL: &str = "From: Bob <bob@example.net>\nSubject: hi\n\nhello\n";

/// Stands for `authentication`: writes the facts that its settings name. Behind the lists it reads theirs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Found {
    spf: String,
    verified: bool,
}

struct Proof;

impl Service for Proof {
    const NAME: &'static str = "proof";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = Found;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, found: &Found, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.set_fact("auth.spf", json!(found.spf));
        delivery.set_fact("auth.from_verified", json!(found.verified));
        Ok(Next::Continue)
    }
}

struct Reader;

impl Service for Reader {
    const NAME: &'static str = "reader";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoConfig;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        let facts =
            ["verdict", "entry", "layer"].map(|name| delivery.fact(&format!("lists.{name}")).cloned());
        delivery.reason(json!(facts).to_string());
        Ok(Next::Continue)
    }
}

fn world() -> World {
    let services = [
        Descriptor::of::<Proof>(),
        Descriptor::of::<Lists>(),
        Descriptor::of::<Reader>(),
        Descriptor::of::<Mailbox>(),
    ];
    let world = World::new(&services);
    world.account("ann@example.org").set("system", "proof.enabled", true).set(
        "system",
        "lists.enabled",
        true,
    );
    world.set("system", "reader.enabled", true).set("system", "mailbox.enabled", true);
    world
}

/// A mail from this sender and client.
async fn send(world: &World, sender: &str, client: Option<&str>, mail: &str) -> Arc<Receipt> {
    let origin = Origin { client_address: client.map(|text| text.parse().unwrap()), ..Origin::default() };
    let sender = world.transaction(sender, None).sender.clone();
    let transaction = Arc::new(Transaction { id: "id".to_owned(), sender, origin, ..Transaction::default() });
    let named = Named { address: "ann@example.org".parse().unwrap(), original: None };
    let recipient = world.agent.admit(named, &transaction).await.unwrap();
    let envelope = Envelope { transaction, recipients: vec![recipient] };
    world.agent.deliver(&envelope, Arc::new(Message::from_bytes(mail.to_owned()))).await.remove(0)
}

#[tokio::test]
async fn a_blocked_sender_goes_to_the_junk_folder() {
    let world = world();
    world.set("ann@example.org", "lists.block", vec!["example.net"]);
    let receipt = send(&world, "bob@example.net", None, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in Junk");
    assert_eq!(
        reason_of(&receipt, "lists"),
        "the sender bob@example.net is blocked by the account's entry example.net: kept in Junk"
    );
    assert_eq!(because_of(&receipt, "lists")[1], "lists.block_action=folder (default)");
    assert_eq!(reason_of(&receipt, "reader"), r#"["block","example.net","account"]"#);
    let receipt = send(&world, "eve@example.com", None, "Subject: hi\n\n").await;
    assert_eq!(reason_of(&receipt, "lists"), "no entry matches");
    assert_eq!(reason_of(&receipt, "reader"), "[null,null,null]");
}

#[tokio::test]
async fn what_happens_to_blocked_mail_is_a_setting() {
    let check = async |action: &str, outcome: &str, text: &str| {
        let world = world();
        world.set("ann@example.org", "lists.block", vec!["<>"]).set("system", "lists.block_action", action);
        let receipt = send(&world, "", None, "X-Pigeon-Lists: forged\nSubject: hi\n\n").await;
        assert_eq!(receipt.outcome.text(), outcome, "{action}");
        let stored = world.mails("ann@example.org").first().map(|mail| mail.text.clone()).unwrap_or_default();
        assert!(stored.contains(text), "{action}: {stored}");
        assert!(!stored.contains("forged"), "{action}");
    };
    check("none", "stored in INBOX", "Subject: hi\n\n").await;
    check("tag", "stored in INBOX", "X-Pigeon-Lists: block (the account's list)\n").await;
    check("folder", "stored in Junk", "Subject: hi\n\n").await;
    check("discard", "the null sender is blocked by the account's entry <>", "").await;
    check("reject", "550 5.7.1 The recipient does not accept mail from this sender", "").await;
}

/// One mail from bob@example.net (client 192.0.2.7) against lists at their layers; says whose entry won.
async fn check(lists: &[(&str, &str, &[&str])], expect: &str) {
    let world = world();
    for (place, key, entries) in lists {
        world.set(place, &format!("lists.{key}"), entries.to_vec());
    }
    world.set("system", "proof.verified", true);
    let receipt = send(&world, "bob@example.net", Some("192.0.2.7"), MAIL).await;
    assert_eq!(reason_of(&receipt, "reader"), expect, "{lists:?}");
}

#[tokio::test]
async fn lists_of_all_layers_hold_together() {
    let (user, domain, system) = ("ann@example.org", "example.org", "system");
    let blocks = |layer: &str, entry: &str| json!(["block", entry, layer]).to_string();
    let allows = |layer: &str, entry: &str| json!(["allow", entry, layer]).to_string();
    let none = "[null,null,null]";
    check(&[], none).await;
    check(&[(domain, "domain_block", &["example.net"])], &blocks("domain", "example.net")).await;
    check(&[(system, "system_block", &["192.0.2.0/24"])], &blocks("system", "192.0.2.0/24")).await;
    // The most specific entry wins, whoever wrote it.
    let lists: [(&str, &str, &[&str]); 2] =
        [(domain, "domain_block", &["example.net"]), (user, "allow", &["bob@example.net"])];
    check(&lists, &allows("account", "bob@example.net")).await;
    let lists: [(&str, &str, &[&str]); 2] =
        [(system, "system_allow", &[".net"]), (user, "block", &["b*@example.net"])];
    check(&lists, &blocks("account", "b*@example.net")).await;
    let lists: [(&str, &str, &[&str]); 2] =
        [(user, "block", &["*"]), (domain, "domain_allow", &["192.0.2.7"])];
    check(&lists, &allows("domain", "192.0.2.7")).await;
    // At the same specificity allow beats block, and the nearest list is named.
    let lists: [(&str, &str, &[&str]); 3] = [
        (user, "block", &["example.net"]),
        (domain, "domain_allow", &["example.net"]),
        (system, "system_allow", &["example.net"]),
    ];
    check(&lists, &allows("domain", "example.net")).await;
    // A user may do without the domain's list.
    let lists: [(&str, &str, &[&str]); 2] =
        [(domain, "domain_block", &["example.net"]), (user, "domain_block", &[])];
    check(&lists, none).await;
}

#[tokio::test]
async fn a_domain_may_impose_its_list() {
    let world = world();
    world.pin("example.org", "lists.domain_block", vec!["example.net"]).set("system", "proof.verified", true);
    world.set("ann@example.org", "lists.domain_block", Vec::<String>::new());
    let receipt = send(&world, "bob@example.net", None, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in Junk", "the pinned list cannot be emptied");
    world.set("ann@example.org", "lists.allow", vec!["bob@example.net"]);
    let receipt = send(&world, "bob@example.net", None, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "but a closer entry of the user's own wins");
    world.pin("example.org", "lists.precedence", "outer");
    let receipt = send(&world, "bob@example.net", None, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in Junk", "unless the domain pins the order, too");
    world.set("system", "lists.system_allow", vec!["*"]);
    let receipt = send(&world, "bob@example.net", None, MAIL).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "the system's lists are further out");
}

/// Or a user would undo what the domain imposes with `precedence=outer` by a list that counts as the system's.
#[test]
fn nobody_writes_the_lists_that_come_before_their_own() {
    let world = World::new(SERVICES);
    let catalogue = world.agent.planner().catalogue();
    for (key, innermost) in [
        ("allow", Layer::Account),
        ("block", Layer::Account),
        ("domain_block", Layer::Account),
        ("domain_allow", Layer::Domain),
        ("system_block", Layer::Domain),
        ("system_allow", Layer::System),
    ] {
        let name = format!("lists.{key}").parse().unwrap();
        let content = Content::Value(serde_json::json!(["bob@example.net"]));
        for layer in [Layer::System, Layer::Domain, Layer::Account] {
            let is_allowed = catalogue.validate(layer, &name, &content).is_ok();
            assert_eq!(is_allowed, layer <= innermost, "{key} at the {layer} layer");
        }
    }
}

#[tokio::test]
async fn nobody_passes_under_a_name_that_nothing_proves() {
    let check = async |needs: &str, spf: &str, verified: bool, entry: &str, expect: bool| {
        let world = world();
        world.set("ann@example.org", "lists.allow", vec![entry]).set("system", "lists.allow_needs", needs);
        world.set("system", "proof.spf", spf).set("system", "proof.verified", verified);
        let receipt = send(&world, "list@lists.example", None, MAIL).await;
        let reason = reason_of(&receipt, "lists");
        assert_eq!(reason.contains("is allowed by"), expect, "{needs} {spf} {verified} {entry}: {reason}");
        assert_eq!(reason.contains("but nothing proves it"), !expect, "{reason}");
    };
    let (from, envelope) = ("bob@example.net", "lists.example");
    check("nothing", "fail", false, from, true).await;
    check("nothing", "fail", false, envelope, true).await;
    check("no_fail", "pass", false, from, false).await;
    check("no_fail", "fail", true, from, true).await;
    check("no_fail", "none", false, envelope, true).await;
    check("no_fail", "softfail", false, envelope, false).await;
    check("no_fail", "fail", false, envelope, false).await;
    check("pass", "none", true, from, true).await;
    check("pass", "none", false, envelope, false).await;
    check("pass", "pass", false, envelope, true).await;
}

#[tokio::test]
async fn several_from_addresses_allow_nobody_and_block_each() {
    let world = world();
    world.set("system", "proof.verified", true).set(
        "ann@example.org",
        "lists.allow",
        vec!["bob@example.net"],
    );
    let mail = "From: bob@example.net\nFrom: eve@example.com\n\n";
    let receipt = send(&world, "x@example.com", None, mail).await;
    assert!(reason_of(&receipt, "lists").contains("nothing proves it"));
    world.set("ann@example.org", "lists.block", vec!["eve@example.com"]);
    assert_eq!(send(&world, "x@example.com", None, mail).await.outcome.text(), "stored in Junk");
    world.set("ann@example.org", "lists.header_from", false);
    assert_eq!(send(&world, "x@example.com", None, mail).await.outcome.text(), "stored in INBOX");
}

#[test]
fn lists_have_an_end() {
    let entries = |count: usize| {
        let texts: Vec<String> = (0..count).map(|number| format!("u{number}@example.org")).collect();
        Settings { domain_block: Entries::try_from(texts).unwrap(), ..Settings::default() }
    };
    assert_eq!(Lists::check(&entries(MAX_ENTRIES)), Ok(()));
    let error = Lists::check(&entries(MAX_ENTRIES + 1)).unwrap_err();
    assert_eq!(error, "domain_block may have at most 10000 entries");
    let written = serde_json::to_value(Settings::default()).unwrap();
    assert_eq!(written["allow"], json!([]));
    assert!(SERVICES.iter().any(|service| service.name == "lists"));
}
