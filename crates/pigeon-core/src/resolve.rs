//! From the settings of three layers to the settings that hold: a pure fold.
//!
//! For each key the value with the highest pin wins; among equal pins the innermost layer; if none is
//! written, the service's own default. Ranges written at outer layers then clamp the value, unless the
//! value's own pin is at least as strong as the range's: that is an administrator's exemption.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::setting::{Content, Layer, Pin, Setting, SettingName};
use crate::timestamp::Timestamp;

/// What holds for one key of one recipient, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// The value that holds; none when only ranges are written and the service's default holds inside them.
    pub value: Option<Value>,
    /// The setting that won; none when the service's default holds.
    pub winner: Option<Setting>,
    /// Whether the winner's pin was in force.
    pub is_pinned: bool,
    /// The settings that lost, outermost first.
    pub losers: Vec<Setting>,
    /// The ranges that bind the value, in the order in which they clamp it.
    pub ranges: Vec<Setting>,
    /// Whether a range changed the winner's value.
    pub is_clamped: bool,
}

impl Effective {
    /// The layer that decided, for receipts: `account`, `domain`, `system` or `default`, with the pin.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(self.winner.as_ref(), self.is_pinned)
    }
}

fn origin(winner: Option<&Setting>, is_pinned: bool) -> String {
    match winner {
        None => "default".to_owned(),
        Some(setting) if is_pinned => format!("{}, pinned", setting.layer),
        Some(setting) => setting.layer.to_string(),
    }
}

/// [`Effective`], as long as the settings that it was decided from are at hand: it copies none of them.
pub(crate) struct Decided<'a> {
    pub(crate) value: Option<Cow<'a, Value>>,
    winner: Option<&'a Setting>,
    is_pinned: bool,
    losers: Vec<&'a Setting>,
    ranges: Vec<&'a Setting>,
    is_clamped: bool,
}

impl Decided<'_> {
    pub(crate) fn origin(&self) -> String {
        origin(self.winner, self.is_pinned)
    }

    pub(crate) fn into_effective(self) -> Effective {
        Effective {
            value: self.value.map(Cow::into_owned),
            winner: self.winner.cloned(),
            is_pinned: self.is_pinned,
            losers: self.losers.into_iter().cloned().collect(),
            ranges: self.ranges.into_iter().cloned().collect(),
            is_clamped: self.is_clamped,
        }
    }
}

/// The effective settings of one recipient, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EffectiveSettings {
    /// Every key that some layer says something about.
    pub keys: BTreeMap<SettingName, Effective>,
    /// When a pin lapses next, so that whoever keeps this result knows until when it is right.
    pub valid_until: Option<Timestamp>,
}

impl EffectiveSettings {
    /// The values of one service as its settings type reads them; defaults are left out.
    #[must_use]
    pub fn of(&self, service: &str) -> Map<String, Value> {
        let values = self.entries(service);
        values.filter_map(|(name, held)| Some((name.key.clone(), held.value.clone()?))).collect()
    }

    /// The entries of one service, in the order of their keys.
    pub fn entries(&self, service: &str) -> impl Iterator<Item = (&SettingName, &Effective)> {
        let from = SettingName { service: service.to_owned(), key: String::new() };
        let service = service.to_owned();
        self.keys.range(from..).take_while(move |(name, _)| name.service == service)
    }
}

/// Folds the settings of one recipient's three layers into what holds at `now`.
///
/// `default_of` gives the service's default for a key, so that ranges can clamp it too.
#[must_use]
pub fn resolve(
    settings: &[Setting],
    now: Timestamp,
    default_of: &dyn Fn(&SettingName) -> Option<Value>,
) -> EffectiveSettings {
    let mut by_name: BTreeMap<SettingName, Vec<&Setting>> = BTreeMap::new();
    for setting in settings {
        by_name.entry(setting.name.clone()).or_default().push(setting);
    }
    let keys = by_name
        .into_iter()
        .map(|(name, written)| {
            let held = decide(written, now, || default_of(&name)).into_effective();
            (name, held)
        })
        .collect();
    EffectiveSettings { keys, valid_until: next_lapse(settings, now) }
}

/// When a pin among these settings lapses next.
pub(crate) fn next_lapse<'a>(
    settings: impl IntoIterator<Item = &'a Setting>,
    now: Timestamp,
) -> Option<Timestamp> {
    let pinned = settings.into_iter().filter(|setting| setting.pin != Pin::None);
    pinned.filter_map(|setting| setting.until).filter(|until| *until > now).min()
}

/// Decides one key from everything that is written about it.
pub(crate) fn decide<'a>(
    written: impl IntoIterator<Item = &'a Setting>,
    now: Timestamp,
    default: impl Fn() -> Option<Value>,
) -> Decided<'a> {
    let is_value = |setting: &&Setting| matches!(setting.content, Content::Value(_));
    let (mut values, mut ranges): (Vec<&Setting>, Vec<&Setting>) = written.into_iter().partition(is_value);
    values.sort_by_key(|setting| (setting.pin_at(now), setting.layer));
    let winner = values.pop();
    values.sort_by_key(|setting| setting.layer);
    let pin = winner.map_or(Pin::None, |setting| setting.pin_at(now));
    let layer = winner.map(|setting| setting.layer);
    ranges.retain(|range| range_binds((range.layer, range.pin_at(now)), (layer, pin)));
    // The strongest clamps last, and among equals the outermost, so that it has the last word.
    ranges.sort_by_key(|range| (range.pin_at(now), std::cmp::Reverse(range.layer)));
    let unclamped = match winner {
        Some(setting) => value_of(setting).map(Cow::Borrowed),
        None => default().map(Cow::Owned),
    };
    let limits = ranges.iter().filter_map(|range| range_of(range));
    let value =
        limits.fold(unclamped.clone(), |value, range| value.map(|value| Cow::Owned(range.clamp(&value))));
    Decided {
        is_clamped: !ranges.is_empty() && value != unclamped,
        is_pinned: pin != Pin::None,
        value,
        winner,
        losers: values,
        ranges,
    }
}

/// Whether a range binds a value (no layer: the service's default).
#[must_use]
pub fn range_binds(range: (Layer, Pin), value: (Option<Layer>, Pin)) -> bool {
    let is_outer = value.0.is_none_or(|layer| range.0 < layer);
    let is_exempt = value.1 != Pin::None && value.1 >= range.1;
    is_outer && !is_exempt
}

fn value_of(setting: &Setting) -> Option<&Value> {
    match &setting.content {
        Content::Value(value) => Some(value),
        Content::Range(_) => None,
    }
}

fn range_of(setting: &Setting) -> Option<&crate::setting::Range> {
    match &setting.content {
        Content::Range(range) => Some(range),
        Content::Value(_) => None,
    }
}

#[cfg(test)]
mod tests;
