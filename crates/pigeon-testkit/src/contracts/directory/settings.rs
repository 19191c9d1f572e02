//! Settings on write: types, pins and ranges.

use std::time::Duration;

use pigeon_core::clock::Clock as _;
use pigeon_core::delivery::Delivery;
use pigeon_core::directory::Change;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::rights::Actor;
use pigeon_core::service::{Contradiction, Descriptor, HIDDEN, NoConfig, Service, Stage, Tools};
use pigeon_core::setting::{Content, ContentKind, Pin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Site, actor, at, grant, limit, parse, pin, set, unset};

const HOPS: &str = "trace.max_hops";
const ANN: &str = "ann@example.org";

/// A service whose two keys must not cross.
pub(super) const SPAN: Descriptor = Descriptor::of::<Spanning>();

/// From when to when.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Span {
    from: Option<u32>,
    to: Option<u32>,
}

struct Spanning;

impl Service for Spanning {
    const NAME: &'static str = "span";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Span;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &Span, _delivery: &mut Delivery) -> Result<Next, Fault> {
        Ok(Next::Continue)
    }
    fn contradictions(settings: &Span) -> Vec<Contradiction> {
        let is_crossed = settings.from.zip(settings.to).is_some_and(|(from, to)| to < from);
        let allowed = "to must not lie before from".to_owned();
        is_crossed.then_some(Contradiction { keys: ["from", "to"], allowed }).into_iter().collect()
    }
}

async fn people(site: &Site) -> (Actor, Actor) {
    site.domain("example.org").await;
    let admin = site.account("admin@example.org").await;
    let ann = site.account(ANN).await;
    site.apply(grant("admin@example.org", Some("example.org"))).await;
    (actor(&admin), actor(&ann))
}

/// Checks that a change is refused, with these words.
async fn check_refused(site: &Site, who: &Actor, change: Change, words: &[&str]) {
    let shown = format!("{change:?}");
    let error = match site.try_as(who, change).await {
        Ok(_) => panic!("{shown} was done"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "{shown}: {error:?} does not say {word:?}");
    }
}

pub(super) async fn values_are_checked_on_write(site: &Site) {
    let (_, ann) = people(site).await;
    check_refused(
        site,
        &ann,
        set(at(ANN), "trace.max_jumps", 9, Pin::None),
        &["trace.max_jumps", "max_hops"],
    )
    .await;
    check_refused(site, &ann, set(at(ANN), "tracer.max_hops", 9, Pin::None), &["tracer", "trace"]).await;
    check_refused(site, &ann, set(at(ANN), HOPS, "many", Pin::None), &[HOPS, "account", "many"]).await;
    check_refused(site, &ann, set(at(ANN), HOPS, -1, Pin::None), &[HOPS, "-1"]).await;
    let letters = set(at("example.org"), "address.separators", "+x", Pin::None);
    check_refused(site, &super::root(), letters, &["address.separators", "'x'"]).await;
    check_refused(
        site,
        &super::root(),
        limit(at(ANN), HOPS, json!({"min": 4}), Pin::None),
        &[HOPS, "account"],
    )
    .await;
    check_refused(site, &super::root(), unset(at(ANN), HOPS), &[HOPS, "does not exist"]).await;
    check_refused(site, &super::root(), pin(at(ANN), HOPS, Pin::Domain), &[HOPS, "does not exist"]).await;
    let missing = set(at("eve@example.org"), HOPS, 9, Pin::None);
    check_refused(site, &super::root(), missing, &["eve@example.org", "does not exist"]).await;
    site.set(at(ANN), HOPS, 9).await;
    site.set(at(ANN), HOPS, 10).await;
    let settings = site.directory.settings(&at(ANN)).await.expect("settings");
    assert_eq!(settings.len(), 1);
    assert_eq!(settings[0].content, Content::Value(json!(10)));
    site.apply(unset(at(ANN), HOPS)).await;
    assert_eq!(site.directory.settings(&at(ANN)).await.expect("settings"), []);
}

pub(super) async fn pins_hold_against_inner_layers(site: &Site) {
    let (admin, ann) = people(site).await;
    let reason = Some("the law of the house".to_owned());
    let lock = Change::Set {
        place: at("example.org"),
        name: parse(HOPS),
        content: Content::Value(json!(30)),
        pin: Pin::Domain,
        until: None,
        reason,
    };
    site.try_as(&admin, lock).await.expect("a pin");
    let change = || set(at(ANN), HOPS, 40, Pin::None);
    check_refused(site, &ann, change(), &[HOPS, "domain", "30", "the law of the house"]).await;
    // Who could override the pin is told that this value does not.
    let applied = site.try_as(&admin, change()).await.expect("a setting");
    assert!(applied.notes.concat().contains("no effect"), "{:?}", applied.notes);
    // An exemption holds, and is the administrator's.
    let applied = site.try_as(&admin, set(at(ANN), HOPS, 40, Pin::Domain)).await.expect("an exemption");
    assert_eq!(applied.notes, [""; 0]);
    check_refused(site, &ann, change(), &["pinned"]).await;
    check_refused(site, &ann, unset(at(ANN), HOPS), &["pinned"]).await;
    // A pin of the system binds the domain's administrator, too.
    site.apply(set(at("system"), HOPS, 20, Pin::System)).await;
    check_refused(site, &admin, set(at("example.org"), HOPS, 30, Pin::Domain), &["system", "20"]).await;
    check_refused(site, &admin, set(at(ANN), HOPS, 30, Pin::Domain), &["system", "20"]).await;
    // Other keys are free.
    site.try_as(&ann, set(at(ANN), "trace.delivered_to", "always", Pin::None)).await.expect("a setting");
}

pub(super) async fn ranges_bind_inner_layers(site: &Site) {
    let (admin, ann) = people(site).await;
    site.try_as(&admin, limit(at("example.org"), HOPS, json!({"min": 10, "max": 40}), Pin::Domain))
        .await
        .expect("a range");
    let words = [HOPS, "account", "50", "domain", "10 to 40"];
    check_refused(site, &ann, set(at(ANN), HOPS, 50, Pin::None), &words).await;
    site.try_as(&ann, set(at(ANN), HOPS, 40, Pin::None)).await.expect("a value inside");
    site.try_as(&admin, set(at(ANN), HOPS, 50, Pin::Domain)).await.expect("an exemption");
    // A layer holds a value and a range for one key.
    site.try_as(&admin, set(at("example.org"), HOPS, 45, Pin::None))
        .await
        .expect("a value beside its own range");
    let settings = site.directory.settings(&at("example.org")).await.expect("settings");
    let kinds: Vec<ContentKind> = settings.iter().map(|setting| setting.content.kind()).collect();
    assert_eq!(kinds, [ContentKind::Value, ContentKind::Range]);
    site.apply(limit(at("system"), "trace.delivered_to", json!({"one_of": ["always", "never"]}), Pin::None))
        .await;
    let change = set(at("example.org"), "trace.delivered_to", "auto", Pin::None);
    check_refused(site, &admin, change, &["trace.delivered_to", "system", "always", "never"]).await;
}

pub(super) async fn pins_change_and_lapse(site: &Site) {
    let (admin, ann) = people(site).await;
    site.try_as(&admin, set(at("example.org"), HOPS, 30, Pin::None)).await.expect("a setting");
    site.try_as(&ann, set(at(ANN), HOPS, 40, Pin::None)).await.expect("a setting");
    site.try_as(&admin, pin(at("example.org"), HOPS, Pin::Domain)).await.expect("a pin");
    let kept = site.directory.settings(&at("example.org")).await.expect("settings");
    assert_eq!((kept[0].pin, &kept[0].content), (Pin::Domain, &Content::Value(json!(30))));
    let change = || set(at(ANN), HOPS, 41, Pin::None);
    check_refused(site, &ann, change(), &["locked"]).await;
    site.try_as(&admin, pin(at("example.org"), HOPS, Pin::None)).await.expect("no pin");
    site.try_as(&ann, change()).await.expect("a setting");
    // Pinned for an hour.
    let until = site.clock.now().plus(Duration::from_secs(3600));
    let (place, name) = (at("example.org"), parse(HOPS));
    let hour = Change::SetPin {
        place,
        name,
        kind: ContentKind::Value,
        pin: Pin::Domain,
        until: Some(until),
        reason: None,
    };
    site.try_as(&admin, hour.clone()).await.expect("a pin");
    check_refused(site, &ann, change(), &["until 2026-11-23T13:00:00Z"]).await;
    site.clock.advance(Duration::from_secs(3600));
    site.try_as(&ann, change()).await.expect("a setting after the pin lapsed");
    check_refused(site, &admin, hour, &["past"]).await;
}

pub(super) async fn values_that_contradict_each_other_are_refused(site: &Site) {
    const FROM: &str = "span.from";
    const TO: &str = "span.to";
    let (admin, ann) = people(site).await;
    // At one layer.
    site.try_as(&ann, set(at(ANN), FROM, 10, Pin::None)).await.expect("a setting");
    let words = [TO, "account", "5", FROM, "10", "to must not lie before from"];
    check_refused(site, &ann, set(at(ANN), TO, 5, Pin::None), &words).await;
    assert_eq!(site.directory.settings(&at(ANN)).await.expect("settings").len(), 1, "nothing was written");
    site.try_as(&ann, set(at(ANN), TO, 10, Pin::None)).await.expect("a setting that fits");
    // A value stands in the place of the one before it.
    site.try_as(&ann, set(at(ANN), TO, 12, Pin::None)).await.expect("a setting that fits");
    check_refused(site, &ann, set(at(ANN), FROM, 13, Pin::None), &[FROM, "13", TO, "12"]).await;
    // Over layers: with the outer values that hold there, not with those that lose.
    site.try_as(&admin, set(at("example.org"), FROM, 20, Pin::None)).await.expect("a setting");
    site.try_as(&ann, set(at(ANN), TO, 11, Pin::None)).await.expect("the account's own from holds");
    site.apply(unset(at(ANN), FROM)).await;
    check_refused(site, &ann, set(at(ANN), TO, 19, Pin::None), &[TO, "19", FROM, "20", "domain"]).await;
    site.try_as(&ann, set(at(ANN), TO, 21, Pin::None)).await.expect("a setting that fits");
    // What an outer layer writes later is not refused for what is inside of it.
    site.try_as(&admin, set(at("example.org"), FROM, 30, Pin::None)).await.expect("a setting");
    // Nor is a value that loses against a pin: it holds nowhere.
    site.try_as(&admin, set(at("example.org"), TO, 40, Pin::Domain)).await.expect("a pin");
    site.apply(set(at(ANN), TO, 3, Pin::None)).await;
    // Other keys and services are free.
    site.try_as(&ann, set(at(ANN), HOPS, 9, Pin::None)).await.expect("a setting");
}

pub(super) async fn secrets_are_in_no_log_and_no_refusal(site: &Site) {
    const SECRETS: &str = "redirect.srs_secrets";
    let (admin, _) = people(site).await;
    site.apply(set(at("system"), SECRETS, json!(["hunter2"]), Pin::None)).await;
    site.apply(set(at("system"), SECRETS, json!(["hunter3", "hunter2"]), Pin::None)).await;
    site.apply(pin(at("system"), SECRETS, Pin::System)).await;
    let change = set(at("example.org"), SECRETS, json!(["mine"]), Pin::None);
    match site.try_as(&admin, change).await {
        Ok(_) => panic!("a pinned secret was written over"),
        Err(error) => assert!(!error.to_string().contains("hunter"), "{error}"),
    }
    let kept = site.directory.settings(&at("system")).await.expect("settings");
    assert_eq!(kept[0].content, Content::Value(json!(["hunter3", "hunter2"])), "the secret itself is kept");
    site.apply(unset(at("system"), SECRETS)).await;
    let log = site.directory.changes(0, 100).await.expect("the log");
    let shown = serde_json::to_string(&log).expect("JSON");
    assert!(!shown.contains("hunter"), "a secret is in the log: {shown}");
    let last = log.last().and_then(|row| row.before.as_ref()).expect("the row before");
    assert_eq!(last["content"], json!({ "value": HIDDEN }));
    let range = limit(at("system"), SECRETS, json!({"one_of": [["hunter2"]]}), Pin::None);
    check_refused(site, &super::root(), range, &[SECRETS, "secret"]).await;
}

/// A change that depends on what was seen is made as if alone, or not at all; it tells nobody what they may not write.
pub(super) async fn changes_depend_on_what_was_seen(site: &Site) {
    let (admin, ann) = people(site).await;
    let change = |seen: Option<u32>, change: Change| Change::IfWritten {
        place: at(ANN),
        seen: vec![(parse("span.from"), seen.map(Into::into))],
        then: Box::new(change),
    };
    let write = |value: u32| set(at(ANN), "span.from", value, Pin::None);
    site.try_as(&ann, change(None, write(1))).await.expect("nothing was written");
    for seen in [None, Some(2)] {
        let refused = site.try_as(&ann, change(seen, write(3))).await;
        assert!(matches!(refused, Err(DirectoryError::Changed(_))), "{refused:?}");
    }
    site.try_as(&ann, change(Some(1), write(2))).await.expect("it is as it was seen");
    let last = site.directory.changes(0, 1000).await.expect("the log").pop().expect("a row");
    assert_eq!(last.change.get("change"), Some(&json!("set")), "{last:?}");
    site.try_as(&admin, pin(at(ANN), "span.from", Pin::Domain)).await.expect("a pin");
    let refused = site.try_as(&ann, change(Some(2), write(3))).await;
    assert!(matches!(refused, Err(DirectoryError::Forbidden(_))), "{refused:?}");
    let eve = actor(&site.account("eve@example.org").await);
    for seen in [Some(1), Some(2)] {
        let refused = site.try_as(&eve, change(seen, write(3))).await;
        assert!(matches!(refused, Err(DirectoryError::Forbidden(_))), "{refused:?}");
    }
    site.try_as(&admin, change(Some(2), unset(at(ANN), "span.from"))).await.expect("its pin is theirs");
}
