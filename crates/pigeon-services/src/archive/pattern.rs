//! The names of an archive's Maildirs: `{domain}/%Y/%m/%d`. No path leaves its place, whatever the pattern.

use std::borrow::Cow;

use pigeon_core::timestamp::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Levels of a pattern, and octets of one level, at most.
const MAX_LEVELS: usize = 8;
const MAX_LEVEL_OCTETS: usize = 60;
const DOMAIN: &str = "{domain}";
/// What stands for a part of the moment, and where that part is in `2026-12-24T18:00:00Z`.
const MOMENTS: [(&str, std::ops::Range<usize>); 4] =
    [("%Y", 0..4), ("%m", 5..7), ("%d", 8..10), ("%H", 11..13)];

/// A relative path with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Default for Pattern {
    fn default() -> Self {
        Self("{domain}/%Y/%m/%d".to_owned())
    }
}

impl Pattern {
    /// The path for that domain and moment.
    pub(super) fn path(&self, domain: &str, moment: Timestamp) -> String {
        let shown = moment.to_rfc3339();
        let mut path = self.0.clone();
        for (placeholder, range) in MOMENTS {
            path = path.replace(placeholder, shown.get(range).unwrap_or("0"));
        }
        // A domain name has no slash and no empty label, so that it stays one level and is never `.` or `..`.
        path.replace(DOMAIN, &domain.to_ascii_lowercase())
    }

    /// What the archive of that domain is called at any moment.
    pub(super) fn name(&self, domain: &str) -> String {
        self.0.replace(DOMAIN, &domain.to_ascii_lowercase())
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let levels: Vec<&str> = text.split('/').collect();
        if levels.len() > MAX_LEVELS {
            return Err(format!("{text:?} has more than {MAX_LEVELS} levels"));
        }
        for level in levels {
            check_level(level).map_err(|why| format!("{text:?}: {why}"))?;
        }
        Ok(Self(text))
    }
}

fn check_level(level: &str) -> Result<(), String> {
    let mut rest = level.replace(DOMAIN, "d");
    for (placeholder, _) in MOMENTS {
        rest = rest.replace(placeholder, "0");
    }
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    if rest.is_empty() || rest.starts_with('.') || !rest.bytes().all(is_plain) {
        return Err(format!(
            "{level:?} is no level of an archive's path: write letters, digits, - and _, with {{domain}}, %Y, %m, %d and %H"
        ));
    }
    if matches!(rest.as_str(), "new" | "cur" | "tmp") || rest.len() > MAX_LEVEL_OCTETS {
        return Err(format!("{level:?} is too long, or a name that Maildirs have in themselves"));
    }
    Ok(())
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "archive-path" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_become_paths() {
        let check = |pattern: &str, expect: Option<&str>| {
            let moment = Timestamp::parse("2026-12-24T18:07:09Z").unwrap();
            let path = Pattern::try_from(pattern.to_owned()).ok().map(|it| it.path("Example.org", moment));
            assert_eq!(path.as_deref(), expect, "{pattern}");
        };
        check("{domain}/%Y/%m/%d", Some("example.org/2026/12/24"));
        check("all/%Y-%m-%d.%H", Some("all/2026-12-24.18"));
        check("x", Some("x"));
        for wrong in [
            "",
            "/",
            "/x",
            "x/",
            "a//b",
            "..",
            "../x",
            "a/../b",
            "a/.b",
            ".",
            "%S",
            "{account}",
            "a b",
            "new",
            "%Y/cur",
            "a\0b",
            "ü",
        ] {
            check(wrong, None);
        }
        check(&"a/".repeat(MAX_LEVELS), None);
        check(&"a".repeat(MAX_LEVEL_OCTETS + 1), None);
    }

    proptest! {
        #[test]
        fn no_path_escapes(text in "[a./%YmdH{}omain~\\\\ -]{0,30}") {
            if let Ok(pattern) = Pattern::try_from(text) {
                let path = pattern.path("example.org", Timestamp::default());
                prop_assert!(path.split('/').all(|level| !level.is_empty() && !level.starts_with('.')), "{}", path);
            }
        }
    }
}
