//! What outer layers say about a value that somebody wants to write: locks that it would lose against, ranges that bind it.

use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::resolve::range_binds;
use pigeon_core::setting::{Content, Pin, Setting};
use pigeon_core::timestamp::Timestamp;

/// Checks a setting against what is written at the outer layers for the same name; returns notes for the person.
///
/// `held` is the strongest pin that the person may set at this place.
///
/// # Errors
/// The value would lose against a pin that the person may not override, or lies outside a range that binds it.
pub(crate) fn check_against_outer(
    setting: &Setting,
    outer: &[Setting],
    held: Pin,
    now: Timestamp,
) -> Result<Vec<String>, DirectoryError> {
    if let Some(lock) = lock_over(setting, outer, now) {
        if lock.pin_at(now) > held {
            return Err(DirectoryError::Forbidden(format!(
                "{} is locked: {}; ask one of them for an exemption",
                setting.name,
                describe_lock(lock, now)
            )));
        }
        let pin = lock.pin_at(now);
        return Ok(vec![format!(
            "this has no effect: {}; pin it with the authority \"{pin}\" to exempt it",
            describe_lock(lock, now)
        )]);
    }
    match range_violated(setting, outer, now) {
        Some(refusal) => Err(DirectoryError::Invalid(refusal)),
        None => Ok(Vec::new()),
    }
}

/// What a setting that is written amounts to under the outer layers: for notes where nothing is refused.
pub(crate) fn notes_on(setting: &Setting, outer: &[Setting], now: Timestamp) -> Vec<String> {
    let lock = lock_over(setting, outer, now);
    let lock = lock.map(|lock| format!("this has no effect: {}", describe_lock(lock, now)));
    let range =
        range_violated(setting, outer, now).map(|text| format!("{text}; the nearest value allowed holds"));
    lock.or(range).into_iter().collect()
}

/// The outer value that wins over this one.
fn lock_over<'a>(setting: &Setting, outer: &'a [Setting], now: Timestamp) -> Option<&'a Setting> {
    if matches!(setting.content, Content::Range(_)) {
        return None;
    }
    outer
        .iter()
        .filter(|other| matches!(other.content, Content::Value(_)))
        .filter(|other| other.layer < setting.layer && other.pin_at(now) > setting.pin_at(now))
        .max_by_key(|other| (other.pin_at(now), other.layer))
}

fn range_violated(setting: &Setting, outer: &[Setting], now: Timestamp) -> Option<String> {
    let Content::Value(value) = &setting.content else { return None };
    outer.iter().find_map(|other| {
        let Content::Range(range) = &other.content else { return None };
        let binds = range_binds((other.layer, other.pin_at(now)), (Some(setting.layer), setting.pin_at(now)));
        (binds && !range.contains(value)).then(|| {
            let reason = other.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!(
                "{} at the {} layer cannot be {value}: the {} layer allows {range}{reason}",
                setting.name, setting.layer, other.layer
            )
        })
    })
}

fn describe_lock(lock: &Setting, now: Timestamp) -> String {
    let value = match &lock.content {
        Content::Value(value) => value.to_string(),
        Content::Range(range) => range.to_string(),
    };
    let until = lock.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = lock.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "the {} layer has {value}, pinned by a {} administrator{until}{reason}",
        lock.layer,
        lock.pin_at(now)
    )
}

#[cfg(test)]
mod tests {
    use pigeon_core::setting::{Layer, Range, SettingName};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn value(layer: Layer, value: u32, pin: Pin) -> Setting {
        let name = SettingName { service: "spam".to_owned(), key: "level".to_owned() };
        Setting {
            layer,
            name,
            content: Content::Value(json!(value)),
            pin,
            until: None,
            reason: Some("policy 7".to_owned()),
            by: "root".to_owned(),
        }
    }

    fn range(layer: Layer, pin: Pin) -> Setting {
        let content: Range = serde_json::from_value(json!({"min": 4, "max": 8})).unwrap();
        Setting { content: Content::Range(content), ..value(layer, 0, pin) }
    }

    #[test]
    fn locks_and_ranges_of_outer_layers_hold() {
        let check = |inner: &Setting, outer: Setting, held: Pin, expect: &str| {
            let text = match check_against_outer(inner, &[outer], held, NOW) {
                Ok(notes) => format!("ok {}", notes.concat()),
                Err(error) => error.to_string(),
            };
            let is_match = if expect.is_empty() { text == "ok " } else { text.contains(expect) };
            assert!(is_match, "{text:?} has no {expect:?}");
        };
        let account = |pin| value(Layer::Account, 9, pin);
        check(&account(Pin::None), value(Layer::Domain, 5, Pin::None), Pin::None, "");
        check(&account(Pin::None), value(Layer::Domain, 5, Pin::Domain), Pin::None, "is locked");
        check(&account(Pin::None), value(Layer::Domain, 5, Pin::Domain), Pin::None, "the domain layer has 5");
        check(&account(Pin::None), value(Layer::Domain, 5, Pin::Domain), Pin::None, "policy 7");
        check(
            &account(Pin::None),
            value(Layer::Domain, 5, Pin::Domain),
            Pin::Domain,
            "ok this has no effect",
        );
        check(&account(Pin::Domain), value(Layer::Domain, 5, Pin::Domain), Pin::Domain, "");
        let lapsed = Setting { until: Some(NOW), ..value(Layer::Domain, 5, Pin::Domain) };
        check(&account(Pin::None), lapsed, Pin::None, "");
        let refusal =
            "spam.level at the account layer cannot be 9: the domain layer allows 4 to 8 (policy 7)";
        check(&account(Pin::None), range(Layer::Domain, Pin::None), Pin::None, refusal);
        check(&account(Pin::Domain), range(Layer::Domain, Pin::Domain), Pin::Domain, "");
        check(
            &account(Pin::Domain),
            range(Layer::System, Pin::System),
            Pin::Domain,
            "the system layer allows",
        );
        check(&value(Layer::Domain, 9, Pin::None), range(Layer::Domain, Pin::None), Pin::Domain, "");
        check(&value(Layer::Account, 5, Pin::None), range(Layer::Domain, Pin::System), Pin::None, "");
    }
}
