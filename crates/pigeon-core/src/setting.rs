//! A setting as it is written down: layer, service, key, a value or a range, and the pin that imposes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::timestamp::Timestamp;

/// Where a setting is written, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Holds for everyone.
    System,
    /// Holds for the accounts of one domain.
    Domain,
    /// Holds for one account.
    Account,
}

/// The authority with which a setting is imposed, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// Not imposed: an inner layer may say otherwise.
    #[default]
    None,
    /// Imposed by a domain administrator.
    Domain,
    /// Imposed by a system administrator.
    System,
}

macro_rules! lowercase_names {
    ($type:ty, $what:literal, $($variant:ident = $name:literal),+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $(Self::$variant => $name),+ })
            }
        }
        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is not a {}: {}", $what, [$($name),+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use lowercase_names;
lowercase_names!(Layer, "layer", System = "system", Domain = "domain", Account = "account");
lowercase_names!(Pin, "pin", None = "none", Domain = "domain", System = "system");

/// What inner layers may choose from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Range {
    /// Numbers from `min` to `max`, both included; a missing end is open.
    Between {
        /// Smallest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Number>,
        /// Largest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Number>,
    },
    /// One of these values; the first is taken in place of anything else.
    OneOf {
        /// The values allowed, at least one.
        one_of: Vec<Value>,
    },
}

impl Range {
    /// Whether `value` lies inside.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        self.clamp(value) == *value
    }

    /// The nearest value that lies inside; a value that cannot be compared becomes the lower (or only) end.
    #[must_use]
    pub fn clamp(&self, value: &Value) -> Value {
        match self {
            Self::OneOf { one_of } if one_of.contains(value) => value.clone(),
            Self::OneOf { one_of } => one_of.first().unwrap_or(value).clone(),
            Self::Between { min, max } => {
                let number = value.as_f64();
                let is_below = |end: &Number| number.zip(end.as_f64()).is_none_or(|(n, end)| n < end);
                let is_above = |end: &Number| number.zip(end.as_f64()).is_none_or(|(n, end)| n > end);
                match (min, max) {
                    (Some(end), _) if is_below(end) => Value::Number(end.clone()),
                    (_, Some(end)) if is_above(end) => Value::Number(end.clone()),
                    _ => value.clone(),
                }
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { min: Some(min), max: Some(max) } => write!(formatter, "{min} to {max}"),
            Self::Between { min: Some(min), max: None } => write!(formatter, "at least {min}"),
            Self::Between { min: None, max: Some(max) } => write!(formatter, "at most {max}"),
            Self::Between { min: None, max: None } => formatter.write_str("anything"),
            Self::OneOf { one_of } => {
                let names: Vec<String> = one_of.iter().map(ToString::to_string).collect();
                write!(formatter, "one of {}", names.join(", "))
            }
        }
    }
}

/// What a setting says: the value itself, or what inner layers may choose from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// The value.
    Value(Value),
    /// The limits for inner layers.
    Range(Range),
}

/// The two kinds of [`Content`]: a layer can hold one of each for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentKind {
    /// A value.
    Value,
    /// A range.
    Range,
}
lowercase_names!(ContentKind, "kind of setting", Value = "value", Range = "range");

impl Content {
    /// Which of the two this is.
    #[must_use]
    pub const fn kind(&self) -> ContentKind {
        match self {
            Self::Value(_) => ContentKind::Value,
            Self::Range(_) => ContentKind::Range,
        }
    }
}

/// The name of a setting: a service and one of its keys, written `service.key`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SettingName {
    /// The service's name.
    pub service: String,
    /// The key inside the service.
    pub key: String,
}

impl FromStr for SettingName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match text.split_once('.') {
            Some((service, key)) if is_word(service) && is_word(key) => {
                Ok(Self { service: service.to_owned(), key: key.to_owned() })
            }
            _ => {
                let hint = if text.contains('@') {
                    "; for an account write --account before its address"
                } else {
                    ""
                };
                Err(format!(
                    "{text:?} is not the name of a setting: write service.key, like mailbox.folder{hint}"
                ))
            }
        }
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.service, self.key)
    }
}

/// One row of the settings: what one layer says about one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setting {
    /// Where it is written.
    pub layer: Layer,
    /// Which service and key it is about.
    pub name: SettingName,
    /// What it says.
    pub content: Content,
    /// With which authority it is imposed.
    #[serde(default)]
    pub pin: Pin,
    /// When the pin lapses; the setting itself stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Shown to whoever meets the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who wrote it.
    #[serde(default)]
    pub by: String,
}

impl Setting {
    /// The pin as it stands at `now`: none once `until` has passed.
    #[must_use]
    pub fn pin_at(&self, now: Timestamp) -> Pin {
        match self.until {
            Some(until) if until <= now => Pin::None,
            _ => self.pin,
        }
    }
}
