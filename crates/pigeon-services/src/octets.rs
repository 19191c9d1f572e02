//! Sizes as people write them: `500M`, `2G`, `1.5 GiB`, or a plain number of octets.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A number of octets.
///
/// Read from a number or a text with a unit (K, M, G, T; `KB`, `KiB` and so on mean the same, upper or lower
/// case): units are powers of 1024, as mail programs count quota. Written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Octets(pub u64);

impl Octets {
    /// The number, or nothing for zero, which means that there is no limit.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => {
                let tenths = (u128::from(self.0) * 10 + u128::from(unit) / 2) / u128::from(unit);
                write!(formatter, "{}.{} {name}", tenths / 10, tenths % 10)
            }
            None => write!(formatter, "{} octets", self.0),
        }
    }
}

impl FromStr for Octets {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim()).map(Self).ok_or_else(|| {
            format!(
                "{text:?} is not a size: write octets, or a number with K, M, G or T, like 500M or 1.5 GiB"
            )
        })
    }
}

fn parse(text: &str) -> Option<u64> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at)?;
    let shift = match &*unit.trim_start().to_ascii_lowercase() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Enough digits for every octet of a terabyte; more would only overflow.
    if fraction.len() > 15 || fraction.contains('.') {
        return None;
    }
    let unit = 1_u128 << shift;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let whole: u128 = whole.parse().ok()?;
    u64::try_from(whole.checked_mul(unit)?.checked_add(fraction * unit / scale)?).ok()
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::Number(number) => number.as_u64().map(Self),
            Value::String(text) => return text.parse().map_err(serde::de::Error::custom),
            _ => None,
        }
        .ok_or_else(|| serde::de::Error::custom(format!("{value} is not a size: write 500M, or octets")))
    }
}

impl JsonSchema for Octets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Octets".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "format": "octets",
            "minimum": 0,
            "pattern": "^[0-9.]+ *([KMGTkmgt]?([iI]?[bB])?)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let check = |text: &str, expect: Option<(u64, &str)>| {
            let got = text.parse::<Octets>().ok().map(|octets| (octets.0, octets.to_string()));
            assert_eq!(got, expect.map(|(octets, shown)| (octets, shown.to_owned())), "{text}");
        };
        check("0", Some((0, "0 octets")));
        check("1000", Some((1000, "1000 octets")));
        check("500M", Some((524_288_000, "500.0 MiB")));
        check("2g", Some((2_147_483_648, "2.0 GiB")));
        check("1.5 GiB", Some((1_610_612_736, "1.5 GiB")));
        check("1TB", Some((1_099_511_627_776, "1.0 TiB")));
        check("0.5K", Some((512, "512 octets")));
        check("", None);
        check("M", None);
        check("-1", None);
        check("1.2.3M", None);
        check("5 apples", None);
        check("99999999999999T", None);
        check(&"9".repeat(60), None);
    }

    #[test]
    fn numbers_and_texts_are_taken_from_settings() {
        let read = |value: Value| serde_json::from_value::<Octets>(value).map(|octets| octets.0).ok();
        assert_eq!(read(Value::from(5)), Some(5));
        assert_eq!(read(Value::from("5K")), Some(5120));
        assert_eq!(read(Value::from(-5)), None);
        assert_eq!(read(Value::from(1.5)), None);
        assert_eq!(read(Value::Null), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.]{0,25}[ kKmMgGtTiIbBx]{0,4}") {
            drop(text.parse::<Octets>());
        }

        #[test]
        fn plain_numbers_survive(octets: u64) {
            prop_assert_eq!(octets.to_string().parse(), Ok(Octets(octets)));
        }
    }
}
