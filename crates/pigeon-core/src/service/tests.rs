//! What the catalogue checks across keys, and what it does not show.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::json;

use super::*;
use crate::directory::{Change, LoggedChange, Place};
use crate::redirect::RedirectPolicy;
use crate::resolve::resolve;
use crate::setting::{Pin, Range, Setting, SettingName};
use crate::timestamp::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// From when to when.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Span {
    from: u32,
    to: u32,
    /// What nobody sees.
    #[schemars(extend("x-secret" = true))]
    word: String,
}

impl Default for Span {
    fn default() -> Self {
        Self { from: 0, to: 10, word: String::new() }
    }
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
        let mut all = Vec::new();
        if settings.to < settings.from {
            let allowed = "to must not lie before from".to_owned();
            all.push(Contradiction { keys: ["from", "to"], allowed });
        }
        if settings.word == "to" && settings.to == 0 {
            all.push(Contradiction { keys: ["word", "to"], allowed: "to must not be 0".to_owned() });
        }
        all
    }
}

fn catalogue() -> Catalogue {
    Catalogue::new(
        &[Descriptor::of::<Spanning>()],
        Tools {
            clock: Arc::new(Still),
            hostname: "mx.example.org".into(),
            spool: Arc::new(crate::ports::spool::NoSpool),
        },
    )
}

fn setting(layer: Layer, name: &str, value: impl Into<Value>, pin: Pin) -> Setting {
    let (name, content) = (name.parse().unwrap(), Content::Value(value.into()));
    Setting { layer, name, content, pin, until: None, reason: None, by: "test".into() }
}

/// Checks what is said when `span.<key>=<value>` is written at the account's layer; empty: it is taken.
fn check(written: &[Setting], key: &str, value: u32, expect: &str) {
    let new = setting(Layer::Account, &format!("span.{key}"), value, Pin::None);
    let text = catalogue().check_together(&new, written).err().unwrap_or_default();
    assert_eq!(text, expect, "{key}={value} beside {written:?}");
}

#[test]
fn values_that_would_hold_together_must_agree() {
    use Layer::{Account, Domain, System};
    let from = |layer, value: u32, pin| setting(layer, "span.from", value, pin);
    check(&[], "from", 10, "");
    check(
        &[],
        "from",
        11,
        "span.from at the account layer cannot be 11 while span.to is 10 (default): to must not lie before from",
    );
    check(
        &[from(Domain, 5, Pin::Domain)],
        "to",
        4,
        "span.to at the account layer cannot be 4 while span.from is 5 (domain, pinned): \
         to must not lie before from",
    );
    // What loses does not count: neither an outer value, nor the one that is replaced.
    check(&[from(System, 9, Pin::None), from(Domain, 2, Pin::None)], "to", 4, "");
    check(&[setting(Account, "span.to", 1, Pin::None), from(Account, 3, Pin::None)], "to", 4, "");
    // A value that loses against a pin holds nowhere.
    check(&[setting(Domain, "span.to", 1, Pin::Domain), from(Domain, 1, Pin::None)], "to", 0, "");
    // A lapsed pin is none.
    let lapsed = Setting { until: Some(NOW), ..from(Domain, 5, Pin::Domain) };
    check(&[lapsed, from(Account, 1, Pin::None)], "to", 4, "");
}

#[test]
fn a_contradiction_of_others_does_not_refuse_a_value() {
    let written =
        [setting(Layer::System, "span.from", 5, Pin::None), setting(Layer::Domain, "span.to", 1, Pin::None)];
    let catalogue = catalogue();
    let new = setting(Layer::Account, "span.word", "x", Pin::None);
    assert_eq!(catalogue.check_together(&new, &written), Ok(()));
    let name = |key: &str| SettingName { service: "span".into(), key: key.into() };
    let range = Content::Range(Range::Between { min: Some(20.into()), max: None });
    let range = Setting { name: name("from"), content: range, ..new.clone() };
    assert_eq!(catalogue.check_together(&range, &written), Ok(()), "a range holds nowhere by itself");
    let effective = resolve(&written, NOW, &|name| catalogue.default_of(name));
    assert_eq!(
        catalogue.contradictions(&effective),
        ["span.from is 5 (system) and span.to is 1 (domain): to must not lie before from"]
    );
    // A value of another type, as plain SQL may leave it, is not this check's matter.
    let broken = [setting(Layer::System, "span.from", "often", Pin::None)];
    assert_eq!(catalogue.check_together(&setting(Layer::Account, "span.to", 1, Pin::None), &broken), Ok(()));
}

#[test]
fn secrets_are_not_shown() {
    let catalogue = catalogue();
    let secret = |name: &str| catalogue.is_secret(&name.parse().unwrap());
    assert!(secret("span.word") && secret("redirect.srs_secrets"));
    assert!(!secret("span.from") && !secret("redirect.srs_domain") && !secret("nothing.at_all"));
    let word = |value: &str| setting(Layer::System, "span.word", value, Pin::None);
    let shown = |setting: Setting| catalogue.without_secret(setting).content;
    assert_eq!(shown(word("open sesame")), Content::Value(json!(HIDDEN)));
    assert_eq!(shown(word("")), Content::Value(json!("")), "that nothing is set is no secret");
    assert_eq!(shown(setting(Layer::System, "span.to", 3, Pin::None)), Content::Value(json!(3)));
    let range = Content::Range(Range::OneOf { one_of: vec![json!("open sesame")] });
    assert_eq!(shown(Setting { content: range, ..word("") }), Content::Value(json!(HIDDEN)));
    let change = |name: &str, value: Value| Change::Set {
        place: Place::System,
        name: name.parse().unwrap(),
        content: Content::Value(value),
        pin: Pin::None,
        until: None,
        reason: None,
    };
    let hidden = catalogue.change_without_secret(change("redirect.srs_secrets", json!(["a"])));
    assert_eq!(hidden, change("redirect.srs_secrets", json!(HIDDEN)));
    let open = change("redirect.max_targets", json!(3));
    assert_eq!(catalogue.change_without_secret(open.clone()), open);
    // Nor does the log of an older node show it.
    let row =
        serde_json::to_value(setting(Layer::System, "redirect.srs_secrets", json!(["hunter2"]), Pin::None));
    let logged = |change: &Change, row: &Value| LoggedChange {
        seq: 1,
        at: NOW,
        actor: "root".into(),
        change: serde_json::to_value(change).unwrap(),
        before: Some(row.clone()),
        after: Some(row.clone()),
    };
    let old = logged(&change("redirect.srs_secrets", json!(["hunter2"])), &row.unwrap());
    let text = serde_json::to_string(&catalogue.logged_without_secret(old)).unwrap();
    assert!(!text.contains("hunter2") && text.matches(HIDDEN).count() == 3, "{text}");
    let other = logged(&open, &json!({ "name": "example.org" }));
    assert_eq!(catalogue.logged_without_secret(other.clone()), other);
    // Nor is it in the refusal of another value.
    let to = setting(Layer::Account, "span.to", 0, Pin::None);
    let error = catalogue.check_together(&to, &[word("to")]).unwrap_err();
    assert!(error.contains("span.word is \"(secret)\" (system)"), "{error}");
    let plan = crate::plan::Plan::build(
        &[setting(Layer::System, "redirect.srs_secrets", json!(["a"]), Pin::None)],
        &catalogue,
        NOW,
    );
    assert_eq!(
        plan.provenance("redirect", "srs_secrets", &catalogue),
        "redirect.srs_secrets=(secret) (system)"
    );
    assert_eq!(*plan.redirect, RedirectPolicy { srs_secrets: vec!["a".into()], ..RedirectPolicy::default() });
}
