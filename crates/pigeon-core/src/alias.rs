//! The rules for aliases: whom to tell about targets that refuse mail.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::address::Address;

/// Who looks after the aliases of a domain, and what they are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AliasRules {
    /// Who gets a notice when one target of an alias refuses a mail that the other targets took: its sender is told
    /// nothing then. An address, like `postmaster@example.org`. Not set or empty (the default): nobody; the receipt alone
    /// says so.
    #[serde(deserialize_with = "address_or_nothing")]
    pub notice_to: Option<Address>,
    /// For how many seconds there is no second notice about the same target of the same alias (86400, one day, by
    /// default). 0: a notice for every mail.
    pub notice_every_s: u32,
}

impl Default for AliasRules {
    fn default() -> Self {
        Self { notice_to: None, notice_every_s: 86_400 }
    }
}

fn address_or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
    let text = Option::<String>::deserialize(from)?.filter(|text| !text.trim().is_empty());
    text.map(|text| Address::parse(text.trim()).map_err(de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_address_is_none() {
        let check = |value: serde_json::Value, expect: Option<&str>| {
            let rules: AliasRules = serde_json::from_value(json!({ "notice_to": value })).unwrap();
            assert_eq!(rules.notice_to.map(|address| address.to_string()).as_deref(), expect);
            assert_eq!(rules.notice_every_s, 86_400);
        };
        check(json!(null), None);
        check(json!(""), None);
        check(json!(" ann@example.org "), Some("ann@example.org"));
        assert!(serde_json::from_value::<AliasRules>(json!({ "notice_to": "ann" })).is_err());
    }
}
