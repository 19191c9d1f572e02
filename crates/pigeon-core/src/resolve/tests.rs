//! The rule of layers and pins: as tables, and against an independent statement of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::setting::Range;

fn name() -> SettingName {
    "test.key".parse().unwrap()
}

fn setting(layer: Layer, pin: Pin, content: Content) -> Setting {
    Setting { layer, name: name(), content, pin, until: None, reason: None, by: "test".into() }
}

fn value(layer: Layer, pin: Pin, value: i64) -> Setting {
    setting(layer, pin, Content::Value(json!(value)))
}

fn range(layer: Layer, pin: Pin, text: &str) -> Setting {
    setting(layer, pin, Content::Range(serde_json::from_str(text).unwrap()))
}

fn held(settings: &[Setting], now: i64, default: Option<&Value>) -> Effective {
    let all = resolve(settings, Timestamp::from_seconds(now), &|_| default.cloned());
    all.keys.get(&name()).cloned().unwrap()
}

/// The table of design rule "settings and pins": two layers, one authority.
#[test]
fn the_original_table_holds() {
    use Layer::{Account, Domain};
    let pin = |is_pinned: bool| if is_pinned { Pin::Domain } else { Pin::None };
    for (account, domain, expect) in [
        (Some(false), Some(false), 1),
        (Some(true), Some(false), 1),
        (Some(true), Some(true), 1),
        (Some(false), Some(true), 2),
        (None, Some(false), 2),
        (None, Some(true), 2),
        (Some(false), None, 1),
        (Some(true), None, 1),
    ] {
        let written: Vec<Setting> = [
            account.map(|pinned| value(Account, pin(pinned), 1)),
            domain.map(|pinned| value(Domain, pin(pinned), 2)),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(held(&written, 0, None).value, Some(json!(expect)), "{account:?} {domain:?}");
    }
}

#[test]
fn a_pin_lapses_and_the_value_stays() {
    let mut locked = value(Layer::Domain, Pin::Domain, 2);
    locked.until = Some(Timestamp::from_seconds(100));
    let both = [value(Layer::Account, Pin::None, 1), locked.clone()];
    assert_eq!(held(&both, 99, None).value, Some(json!(2)));
    assert_eq!(held(&both, 100, None).value, Some(json!(1)));
    assert_eq!(held(&[locked], 100, None).value, Some(json!(2)));
    let all = resolve(&both, Timestamp::from_seconds(99), &|_| None);
    assert_eq!(all.valid_until, Some(Timestamp::from_seconds(100)));
}

#[test]
fn ranges_clamp_values_and_defaults() {
    let limits = range(Layer::Domain, Pin::Domain, r#"{"min":4,"max":8}"#);
    let check = |value: Setting, expect: i64| {
        assert_eq!(held(&[value, limits.clone()], 0, None).value, Some(json!(expect)));
    };
    check(value(Layer::Account, Pin::None, 2), 4);
    check(value(Layer::Account, Pin::None, 5), 5);
    check(value(Layer::Account, Pin::None, 9), 8);
    check(value(Layer::Account, Pin::Domain, 9), 9);
    check(value(Layer::System, Pin::None, 9), 9);
    let default = held(std::slice::from_ref(&limits), 0, Some(&json!(1)));
    assert_eq!((default.value, default.is_clamped), (Some(json!(4)), true));
    let choice = range(Layer::System, Pin::None, r#"{"one_of":["tag","folder"]}"#);
    let odd = setting(Layer::Account, Pin::None, Content::Value(json!("reject")));
    assert_eq!(held(&[choice, odd], 0, None).value, Some(json!("tag")));
}

fn any_layer() -> impl Strategy<Value = Layer> {
    prop_oneof![Just(Layer::System), Just(Layer::Domain), Just(Layer::Account)]
}

fn any_pin() -> impl Strategy<Value = Pin> {
    prop_oneof![Just(Pin::None), Just(Pin::Domain), Just(Pin::System)]
}

/// The rule stated a second time, without a sort: whoever nobody beats has won.
fn beats(one: &Setting, other: &Setting) -> bool {
    match (one.pin == other.pin, one.pin > other.pin) {
        (true, _) => one.layer > other.layer,
        (false, is_stronger) => is_stronger,
    }
}

proptest! {
    #[test]
    fn the_winner_is_the_one_nobody_beats(
        rows in proptest::collection::btree_map(any_layer(), (any_pin(), 0i64..100), 0..=3),
        limits in proptest::collection::btree_map(any_layer(), (any_pin(), 0i64..50, 0i64..50), 0..=3),
        default in proptest::option::of(0i64..100),
    ) {
        let values: Vec<Setting> =
            rows.iter().map(|(layer, (pin, number))| value(*layer, *pin, *number)).collect();
        let ranges: Vec<Setting> = limits
            .iter()
            .map(|(layer, (pin, min, width))| {
                setting(*layer, *pin, Content::Range(Range::Between {
                    min: Some((*min).into()), max: Some((min + width).into()),
                }))
            })
            .collect();
        let all: Vec<Setting> = values.iter().chain(&ranges).cloned().collect();
        let result = resolve(&all, Timestamp::from_seconds(0), &|_| default.map(|number| json!(number)));
        let Some(got) = result.keys.get(&name()) else {
            prop_assert!(all.is_empty());
            return Ok(());
        };

        let expected_winner = values.iter().find(|one| values.iter().all(|other| !beats(other, one)));
        prop_assert_eq!(got.winner.as_ref(), expected_winner);
        prop_assert_eq!(got.losers.len() + usize::from(got.winner.is_some()), values.len());

        let start = expected_winner.map_or(default, |winner| value_of(winner).and_then(Value::as_i64));
        let binding = |range: &&Setting| match expected_winner {
            None => true,
            Some(winner) => range.layer < winner.layer && (winner.pin == Pin::None || range.pin > winner.pin),
        };
        let mut number = start;
        for pin in [Pin::None, Pin::Domain, Pin::System] {
            for layer in [Layer::Account, Layer::Domain, Layer::System] {
                for range in ranges.iter().filter(binding).filter(|r| r.pin == pin && r.layer == layer) {
                    if let Content::Range(Range::Between { min: Some(min), max: Some(max) }) = &range.content {
                        let (min, max) = (min.as_i64().unwrap(), max.as_i64().unwrap());
                        number = number.map(|number| number.max(min).min(max));
                    }
                }
            }
        }
        prop_assert_eq!(got.value.as_ref().and_then(Value::as_i64), number);
    }
}
