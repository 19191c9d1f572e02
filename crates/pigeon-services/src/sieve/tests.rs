//! Deliveries with scripts, over the ports in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Descriptor, NoConfig, Service, Stage, Tools};
use pigeon_core::timestamp::Timestamp;
use pigeon_testkit::memory::{World, because_of, reason_of};
use proptest::prelude::*;
use serde_json::json;

use crate::catalogue::SERVICES;

const ANN: &str = "ann@example.org";
const MAIL: &str =
    "From: bob@example.net\nTo: ann@example.org\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";

/// Ann with this script.
fn world(script: &str) -> World {
    let world = World::new(SERVICES);
    world.account(ANN);
    world.set("system", "mailbox.enabled", true).set("system", "sieve.enabled", true);
    world.set(ANN, "sieve.scripts", json!({ "main": script })).set(ANN, "sieve.active", "main");
    world
}

async fn deliver(world: &World) -> Arc<Receipt> {
    world.mail("bob@example.net", ANN, MAIL).await
}

#[tokio::test]
async fn mail_is_filed_in_folders_that_are_there_or_may_be_made() {
    let world = world("require [\"fileinto\", \"mailbox\"]; fileinto \"Lists/a\";");
    let receipt = deliver(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert_eq!(reason_of(&receipt, "sieve"), "kept, for there is no folder Lists/a (main, line 1)");
    assert_eq!(
        because_of(&receipt, "sieve"),
        ["sieve.active=main (account)", "sieve.create=false (default)"]
    );
    world.set("system", "sieve.create", true);
    let receipt = deliver(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in Lists/a");
    assert_eq!(reason_of(&receipt, "sieve"), "fileinto Lists/a (main, line 1)");
    world.set("system", "sieve.create", false);
    assert_eq!(deliver(&world).await.outcome.text(), "stored in Lists/a");
    world.set(ANN, "sieve.separator", ".");
    world.set(
        ANN,
        "sieve.scripts",
        json!({ "main": "require [\"fileinto\", \"mailbox\"]; fileinto :create \"INBOX.b.c\";" }),
    );
    assert_eq!(deliver(&world).await.outcome.text(), "stored in b/c");
}

#[tokio::test]
async fn mail_is_sent_on_with_a_copy_or_without() {
    let script = world("redirect \"eve@example.com\";");
    assert_eq!(deliver(&script).await.outcome.text(), "redirected to eve@example.com");
    assert!(script.mails(ANN).is_empty());
    let script = world("require \"copy\"; redirect :copy \"eve@example.com\";");
    assert_eq!(deliver(&script).await.outcome.text(), "redirected to eve@example.com; stored in INBOX");
    assert_eq!(script.sent()[0].recipient, "eve@example.com");
}

#[tokio::test]
async fn what_is_kept_and_discarded_is_kept() {
    let receipt = deliver(&world("discard;")).await;
    assert_eq!(
        (receipt.outcome.word(), receipt.outcome.text().as_str()),
        ("discarded", "a script discards it")
    );
    assert_eq!(deliver(&world("keep; discard;")).await.outcome.text(), "stored in INBOX");
    assert_eq!(deliver(&world("discard; keep;")).await.outcome.text(), "stored in INBOX");
    let both = world("require [\"fileinto\", \"mailbox\"]; keep; fileinto :create \"x\";");
    assert_eq!(deliver(&both).await.outcome.text(), "stored in x; stored in INBOX");
    let copied = world("require [\"fileinto\", \"mailbox\", \"copy\"]; fileinto :copy :create \"x\";");
    assert_eq!(deliver(&copied).await.outcome.text(), "stored in x; stored in INBOX");
}

#[tokio::test]
async fn mail_is_refused_with_the_reason() {
    let receipt = deliver(&world("require \"reject\"; reject \"not\r\nwanted\";")).await;
    assert_eq!(
        (receipt.outcome.word(), receipt.outcome.text().as_str()),
        ("rejected", "550 5.7.1 not wanted")
    );
}

#[tokio::test]
async fn flags_are_set() {
    let script = world("require \"imap4flags\"; addflag [\"\\\\Seen\", \"work\"];");
    deliver(&script).await;
    let flags = &script.mails(ANN)[0].flags;
    assert!(flags.is_seen && flags.keywords == ["work"], "{flags:?}");
}

#[tokio::test]
async fn a_sender_is_answered_once() {
    let script = world("require \"vacation\"; vacation :days 3 \"I am away\";");
    let receipt = deliver(&script).await;
    assert_eq!(receipt.outcome.text(), "answered to bob@example.net (sieve-vacation); stored in INBOX");
    let text = script.sent()[0].text.clone();
    assert!(text.contains("Subject: Auto: hi\n") && text.ends_with("\n\nI am away\n"), "{text}");
    assert!(
        text.contains("Auto-Submitted: auto-replied") && text.contains("In-Reply-To: <1@example.net>"),
        "{text}"
    );
    let again = script.mail("bob@example.net", ANN, &MAIL.replace("<1@", "<2@")).await;
    assert!(reason_of(&again, "sieve").starts_with("no vacation answer, bob@example.net got one at"));
    let list = script.mail("eve@example.net", ANN, &MAIL.replace("Subject", "List-Id: <x>\nSubject")).await;
    assert!(reason_of(&list, "sieve").contains("(list-id)"), "{list:#?}");
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test]
async fn what_comes_twice_is_seen() {
    let script = world("require \"duplicate\"; if duplicate { discard; }");
    assert_eq!(deliver(&script).await.outcome.text(), "stored in INBOX");
    let again = script.mail("bob@example.net", ANN, &MAIL.replace("hello", "again")).await;
    assert_eq!(again.outcome.word(), "discarded");
}

#[tokio::test]
async fn a_script_that_fails_loses_nothing_and_its_owner_is_told_once() {
    let script =
        world("require [\"ihave\", \"fileinto\", \"mailbox\"];\nfileinto :create \"x\";\nerror \"no\";\n");
    for (id, sent) in [("<1@", 1), ("<2@", 1)] {
        let receipt = script.mail("bob@example.net", ANN, &MAIL.replace("<1@", id)).await;
        assert!(receipt.outcome.text().contains("stored in INBOX"), "{receipt:#?}");
        let reason = reason_of(&receipt, "sieve");
        assert!(reason.contains("the script main fails at line 3 and the mail is kept: no"), "{reason}");
        assert_eq!(script.sent().len(), sent);
    }
    let notice = &script.sent()[0];
    assert_eq!(notice.recipient, ANN);
    assert!(notice.text.contains("failed at line 3"), "{}", notice.text);
    assert_eq!(script.folders(ANN), ["INBOX", "INBOX"]);
}

#[tokio::test]
async fn endless_scripts_are_stopped() {
    let tests = "not true, ".repeat(200);
    let script = world(&format!("if anyof ({tests} false) {{ discard; }}"));
    script.set("system", "sieve.max_instructions", 100);
    let receipt = deliver(&script).await;
    assert!(receipt.outcome.text().contains("stored in INBOX"), "{receipt:#?}");
    assert!(reason_of(&receipt, "sieve").contains("too many instructions"));
}

#[tokio::test]
async fn layers_run_around_each_other() {
    let script = world("require \"variables\"; keep;");
    script.set(
        "system",
        "sieve.before_system",
        json!({ "spam": "if header :contains \"subject\" \"spam\" { discard; stop; }" }),
    );
    script.set(
        "example.org",
        "sieve.after_domain",
        json!({ "file": "require [\"fileinto\", \"mailbox\"]; fileinto :create \"All\";" }),
    );
    assert_eq!(deliver(&script).await.outcome.text(), "stored in All");
    let spam = script.mail("bob@example.net", ANN, &MAIL.replace("hi", "spam")).await;
    assert_eq!(reason_of(&spam, "sieve"), "discard (before_system.spam, line 1); a script discards it");
    assert_eq!(spam.outcome.word(), "discarded");
}

#[tokio::test]
async fn scripts_include_others() {
    let script = world("require \"include\"; include :global \"both\"; include \"own\";");
    let own = "require \"include\"; include :global \"both\"; include \"own\";";
    script.set(
        ANN,
        "sieve.scripts",
        json!({ "main": own, "own": "require [\"fileinto\", \"mailbox\"]; fileinto :create \"own\";" }),
    );
    let global = |folder: &str| json!({ "both": format!("require [\"fileinto\", \"mailbox\"]; fileinto :create \"{folder}\";") });
    script.set("system", "sieve.global_system", global("system"));
    assert_eq!(deliver(&script).await.outcome.text(), "stored in system; stored in own");
    script.set("example.org", "sieve.global_domain", global("domain"));
    let receipt = deliver(&script).await;
    assert_eq!(receipt.outcome.text(), "stored in domain; stored in own");
    assert!(reason_of(&receipt, "sieve").contains("(main > own, line 1)"));
}

#[tokio::test]
async fn edits_are_of_the_copies_behind_them() {
    let script = world(
        "require [\"editheader\", \"fileinto\", \"mailbox\"]; fileinto :create \"a\"; addheader \"X-A\" \"1\"; keep;",
    );
    deliver(&script).await;
    let mails = script.mails(ANN);
    let of =
        |is_edited: bool| mails.iter().filter(|mail| mail.text.contains("X-A: 1\n") == is_edited).count();
    assert_eq!((of(true), of(false)), (1, 1), "{mails:?}");
}

#[tokio::test]
async fn large_messages_are_seen_in_part() {
    let script = world("require \"body\"; if body :contains \"needle\" { discard; }");
    script.set("system", "sieve.max_message_size", 1024);
    let mail = format!("{MAIL}{}needle\n", "x\n".repeat(600));
    let receipt = script.mail("bob@example.net", ANN, &mail).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert!(
        reason_of(&receipt, "sieve").starts_with("scripts see 1024 octets of the body's 1213"),
        "{receipt:#?}"
    );
    assert!(script.mails(ANN)[0].text.ends_with("needle\n"));
}

#[tokio::test]
async fn an_active_script_that_is_gone_does_nothing() {
    let script = world("discard;");
    script.set(ANN, "sieve.scripts", json!({}));
    let receipt = deliver(&script).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert!(reason_of(&receipt, "sieve").starts_with("there is no script \"main\""));
}

#[tokio::test]
async fn a_large_message_that_is_changed_is_not_cut() {
    let script = world("require \"editheader\"; addheader \"X-A\" \"1\";");
    script.set("system", "sieve.max_message_size", 1024);
    let mail = format!("{MAIL}{}end\n", "x\n".repeat(600));
    let receipt = script.mail("bob@example.net", ANN, &mail).await;
    let text = &script.mails(ANN)[0].text;
    assert!(!text.contains("X-A: 1\n") && text.ends_with("end\n"), "{text}");
    assert!(reason_of(&receipt, "sieve").contains("it is kept as it came"), "{receipt:#?}");
}

/// Says what scanners would say.
struct Facts;

impl Service for Facts {
    const NAME: &'static str = "facts";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = NoConfig;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.set_fact("spam.level", json!(7));
        delivery.set_fact("spam.percent", json!(83));
        delivery.set_fact("virus.level", json!(5));
        delivery.set_fact("virus.status", json!("infected"));
        Ok(Next::Continue)
    }
}

#[tokio::test]
async fn scanners_are_believed_and_infected_mail_goes_nowhere() {
    let services = [
        Descriptor::of::<Facts>(),
        Descriptor::of::<super::Sieve>(),
        Descriptor::of::<crate::mailbox::Mailbox>(),
    ];
    let world = World::new(&services);
    world.account(ANN);
    for service in services {
        world.set("system", &format!("{}.enabled", service.name), true);
    }
    let script = "require [\"spamtestplus\", \"virustest\", \"fileinto\", \"mailbox\", \"copy\"];\n\
                  if allof (spamtest :is \"7\", spamtest :percent :is \"83\", virustest :is \"5\") { redirect \"eve@example.com\"; }";
    world.set(ANN, "sieve.scripts", json!({ "main": script })).set(ANN, "sieve.active", "main");
    let receipt = deliver(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    assert_eq!(reason_of(&receipt, "sieve"), "nothing is sent, for the mail is infected (main, line 2)");
}

#[tokio::test]
async fn mail_is_not_sent_back_to_its_owner() {
    let receipt = deliver(&world("redirect \"ANN@example.org\";")).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
}

/// Pieces of scripts, to be put together in any order.
const PIECES: &[&str] = &[
    "require [\"fileinto\", \"variables\", \"mime\", \"foreverypart\", \"replace\", \"enclose\", \"extracttext\", \"editheader\", \"regex\", \"body\", \"date\", \"index\", \"include\", \"imap4flags\"];",
    "if header :matches \"*\" \"*${1}?*\" {",
    "if anyof (body :regex \"(a|b)*c\", not date :index 1 :last \"received\" \"hour\" \"1\") {",
    "}",
    "foreverypart {",
    "replace \"x\";",
    "enclose \"y\";",
    "extracttext :first 5 \"a\";",
    "addheader \"X-A\" \"${a}${b}\";",
    "deleteheader :matches \"X-A\" \"*\";",
    "set :length :upper \"b\" \"${0}${a}ß\";",
    "fileinto \"a\";",
    "include \"main\";",
    "addflag \"\\\\Seen\";",
    "keep;",
    "stop;",
    "/* ",
    "text:\n.",
    "\"",
    ":x 5K",
];

proptest! {
    #[test]
    fn no_script_and_no_message_breaks_the_engine(
        pieces in prop::collection::vec(0..PIECES.len(), 0..12),
        any in "(?s).{0,60}",
        message in "(Content-Type: (multipart/mixed; boundary=x|message/rfc822|text/html)\r?\n|--x(--)?\r?\n|\r?\n|Received: a; b\r?\n|=\\?utf-8\\?[bq]\\?[a-z=]{0,8}\\?=|[ -~]{0,9}){0,12}",
    ) {
        let script: String = pieces.iter().filter_map(|at| PIECES.get(*at)).copied().collect();
        for source in [script.clone(), any.clone(), format!("{script}{any}")] {
            let itself = source.clone();
            let trial = super::trial::Trial {
                scripts: vec![("main".to_owned(), source.into_bytes())],
                message: Some(message.clone().into_bytes()),
                from: any.clone(),
                to: "ann@example.org".to_owned(),
                original_to: String::new(),
                auth: String::new(),
                find: Arc::new(move |_, _| Some(itself.clone().into_bytes())),
                mailboxes: Vec::new(),
                annotations: Vec::new(),
                config: BTreeMap::new(),
                now: Timestamp::from_micros(0),
                hostname: "mx".to_owned(),
            };
            let got = trial.run();
            let is_ended = got["run"].is_null() || !got["actions"].as_array().unwrap().is_empty() || got["implicit_keep"] == true;
            prop_assert!(is_ended, "{got}");
        }
    }

    #[test]
    fn a_message_that_is_not_touched_stays_as_it_is(message in "(?s)([a-zA-Z-]{1,5}: ?.{0,5}\r?\n){0,4}.{0,20}") {
        let mail = super::mail::Mail::parse(message.as_bytes());
        let written = mail.bytes();
        prop_assert!(written == message.as_bytes() || super::mail::Mail::parse(&written).bytes() == written);
    }
}

#[test]
fn scripts_are_compiled_once() {
    let scripts: super::settings::Scripts =
        [("main".to_owned(), "require \"fileinto\"; fileinto \"once\";".to_owned())].into();
    let settings =
        |scripts| super::Settings { scripts, active: "main".to_owned(), ..super::Settings::default() };
    let program = |settings: &super::Settings| Arc::clone(&settings.chosen().0[0].program);
    let (one, two) = (settings(scripts.clone()), settings(scripts));
    assert!(Arc::ptr_eq(&program(&one), &program(&two)));
    assert!(Arc::ptr_eq(&one.chosen(), &one.chosen()));
}
