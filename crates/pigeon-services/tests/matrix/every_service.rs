//! Every service enabled, disabled, pinned by the domain, set by the user, and faulty: whatever one does, the others
//! do what they do without it.

use std::any::Any;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending};
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Descriptor, OpenFn, Runner, Stage};
use pigeon_services::catalogue::SERVICES;
use pigeon_testkit::memory::World;
use serde_json::Value;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const MAIL: &str = "From: Eve <eve@example.net>\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";
const LATER: &str = "451 4.3.0 Local error in processing, try again later";

/// What keeps services from asking servers that are not there.
const SETTINGS: &[(&str, &str)] = &[("antivirus.when_down", "pass"), ("authentication.verify", "false")];

/// Two accounts with every one of these services enabled for everyone.
fn world(services: &[Descriptor]) -> World {
    let world = World::new(services);
    world.account(ANN).account(BOB);
    let names: Vec<&str> = services.iter().map(|service| service.name).collect();
    for name in &names {
        world.set("system", &format!("{name}.enabled"), true);
    }
    let is_there = |key: &str| names.iter().any(|name| key.split('.').next() == Some(name));
    for (key, value) in SETTINGS.iter().filter(|(key, _)| is_there(key)) {
        let value = value.parse::<bool>().map_or_else(|_| Value::from(*value), Value::from);
        world.set("system", key, value);
    }
    world
}

/// What each step decided on the way to one recipient.
#[derive(Debug, Clone, PartialEq)]
struct Trail {
    outcome: String,
    steps: Vec<(String, String)>,
}

impl Trail {
    fn of(receipt: &Receipt) -> Self {
        let steps = receipt.branches[0].steps.iter();
        let steps = steps.map(|step| (step.service.clone(), step.decision.clone())).collect();
        Self { outcome: receipt.outcome.text(), steps }
    }

    fn decision(&self, service: &str) -> Option<&str> {
        self.steps.iter().find(|(name, _)| name == service).map(|(_, decision)| decision.as_str())
    }

    fn has(&self, service: &str) -> bool {
        self.decision(service).is_some()
    }

    fn without(mut self, service: &str) -> Self {
        self.steps.retain(|(name, _)| name != service);
        self
    }
}

/// One message to both.
async fn deliver(world: &World) -> [Trail; 2] {
    let receipts = world.deliver("eve@example.net", &[ANN, BOB], MAIL).await;
    [Trail::of(&receipts[0]), Trail::of(&receipts[1])]
}

/// `mailbox` is the one that takes the mail: without it the mail waits, and is not lost.
fn is_needed(service: &Descriptor) -> bool {
    service.name == "mailbox"
}

#[tokio::test]
async fn a_service_less_breaks_no_other() {
    let [whole, _] = deliver(&world(SERVICES)).await;
    assert_eq!(whole.outcome, "stored in INBOX", "{whole:?}");
    for service in SERVICES {
        let name = service.name;
        let others: Vec<Descriptor> = SERVICES.iter().filter(|other| other.name != name).copied().collect();
        let [removed, _] = deliver(&world(&others)).await;
        let disabled = world(SERVICES);
        disabled.set(ANN, &format!("{name}.enabled"), false);
        let [off, on] = deliver(&disabled).await;
        assert_eq!(off, removed, "{name}: disabled is the same as not there");
        assert!(!off.has(name), "{name}");
        assert_eq!(on, whole, "{name}: others keep it");
        if is_needed(service) {
            assert_eq!(off.outcome, "451 4.3.5 No delivery is set up for this recipient, try again later");
        } else {
            assert_eq!(off, whole.clone().without(name), "{name}: the others do the same");
        }
    }
}

#[tokio::test]
async fn pins_of_the_domain_beat_what_users_set() {
    for service in SERVICES {
        let (name, key) = (service.name, format!("{}.enabled", service.name));
        let world = world(SERVICES);
        world.set(ANN, &key, false).set(BOB, &key, true);
        let who = async || deliver(&world).await.map(|trail| trail.has(name));
        assert_eq!(who().await, [false, true], "{name}: users choose");
        world.pin("example.org", &key, true);
        assert_eq!(who().await, [true, true], "{name}: imposed on all");
        world.pin("example.org", &key, false);
        assert_eq!(who().await, [false, false], "{name}: taken from all");
    }
}

struct Broken(fn() -> BoxFuture<'static, Result<Next, Fault>>);

impl Runner for Broken {
    fn run<'a>(
        &'a self,
        _settings: &'a (dyn Any + Send + Sync),
        delivery: &'a mut Delivery,
    ) -> BoxFuture<'a, Result<Next, Fault>> {
        // What it did before it failed must not stay.
        delivery.header().append("X-Broken", "was here");
        delivery.cancel_keep();
        (self.0)()
    }
}

/// The ways to fail, by what the receipt says.
const FAILURES: &[(&str, OpenFn)] = &[
    ("the peer is away", |_, _| {
        Ok(Arc::new(Broken(|| async { Err(Fault::temporary("the peer is away")) }.boxed())))
    }),
    ("panicked: all is lost", |_, _| Ok(Arc::new(Broken(|| async { panic!("all is lost") }.boxed())))),
    ("took longer than 15 ms", |_, _| Ok(Arc::new(Broken(|| pending().boxed())))),
    ("cannot be opened", |_, _| Err(Fault::temporary("cannot be opened"))),
];

/// A world where one service fails for ann; bob does not have it.
fn world_with_failure(service: &Descriptor, open: OpenFn, on_fault: &str) -> World {
    let replaced =
        |other: &Descriptor| if other.name == service.name { other.opened_by(open) } else { *other };
    let world = world(&SERVICES.iter().map(replaced).collect::<Vec<_>>());
    let key = |key: &str| format!("{}.{key}", service.name);
    world.set(ANN, &key("on_fault"), on_fault).set(ANN, &key("timeout_ms"), 15);
    world.set(BOB, &key("enabled"), false);
    if is_needed(service) {
        // Nobody would take bob's mail then: it is sent on.
        world.set(BOB, "forward.to", vec!["bob@example.net"]);
    }
    world
}

async fn check_failure(service: &Descriptor, (says, open): (&str, OpenFn), on_fault: &str) {
    let name = service.name;
    let world = world_with_failure(service, open, on_fault);
    let admitted = world.admit(ANN, &world.transaction("eve@example.net", None)).await;
    if service.stage == Some(Stage::Admit) && on_fault == "defer" {
        assert_eq!(admitted.expect_err("it waits at once").to_string(), LATER, "{name}: {says}");
        assert!(world.mail("eve@example.net", BOB, MAIL).await.outcome.is_success(), "{name}: {says}");
        return;
    }
    assert!(admitted.is_ok(), "{name}: {says}");
    let receipts = world.deliver("eve@example.net", &[ANN, BOB], MAIL).await;
    let [ann, bob] = [Trail::of(&receipts[0]), Trail::of(&receipts[1])];
    assert!(receipts[1].outcome.is_success() && !bob.has(name), "{name}: bob is not concerned: {bob:?}");
    let steps = &receipts[0].branches[0].steps;
    let reason = steps.iter().find(|step| step.service == name).map(|step| step.reason.as_str());
    assert!(reason.is_some_and(|reason| reason.contains(says)), "{name}: {says}: {reason:?}");
    let stored: String = world.mails(ANN).into_iter().map(|mail| mail.text).collect();
    assert!(!stored.contains("X-Broken"), "{name}: {stored}");
    let seen = (ann.outcome.as_str(), ann.decision(name));
    match (service.stage, on_fault) {
        (Some(Stage::Notify), _) => assert_eq!(seen.0, "stored in INBOX", "{name} can fail nothing"),
        (_, "defer") => assert_eq!((seen, stored.as_str()), ((LATER, Some("defer")), ""), "{name}: {says}"),
        _ if is_needed(service) => assert!(!receipts[0].outcome.is_success(), "{name}: {ann:?}"),
        _ => assert_eq!(seen, ("stored in INBOX", Some("skip")), "{name}: {says}"),
    }
}

#[tokio::test]
async fn a_failing_service_costs_what_on_fault_says() {
    for service in SERVICES {
        for failure in FAILURES {
            for on_fault in ["defer", "skip"] {
                check_failure(service, *failure, on_fault).await;
            }
        }
    }
}
