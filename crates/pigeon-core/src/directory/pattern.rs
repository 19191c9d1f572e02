//! The names of aliases, with `*` for any text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::address::{Address, DomainName};

/// The name of an alias: `local@domain`, where the local part may hold `*` for any text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AliasPattern {
    /// Lower-case local part, perhaps with `*`.
    pub local: String,
    /// The domain.
    pub domain: DomainName,
}

impl AliasPattern {
    /// Whether the local part has a `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.local.contains('*')
    }

    /// Whether a local part (in lower case) matches.
    #[must_use]
    pub fn matches(&self, local: &str) -> bool {
        let mut parts = self.local.split('*');
        let Some(mut rest) = parts.next().and_then(|first| local.strip_prefix(first)) else { return false };
        let mut is_open = false;
        let mut last = None;
        for part in parts {
            if let Some(middle) = last.replace(part) {
                let Some(at) = rest.find(middle) else { return false };
                rest = rest.get(at + middle.len()..).unwrap_or_default();
            }
            is_open = true;
        }
        if is_open { rest.ends_with(last.unwrap_or_default()) } else { rest.is_empty() }
    }
}

impl FromStr for AliasPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Some letters are longer in lower case, so the length is checked again.
        let in_lower_case = |address: Address| address.with_local(&address.local().to_lowercase());
        let address = Address::parse(text).and_then(in_lower_case);
        let address = address.map_err(|error| format!("{text:?}: {error}"))?;
        Ok(Self { local: address.local().to_owned(), domain: address.domain().clone() })
    }
}

impl fmt::Display for AliasPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Address::from_parts(&self.local, self.domain.clone()) {
            Ok(address) => address.fmt(formatter),
            Err(_) => write!(formatter, "{}@{}", self.local, self.domain),
        }
    }
}

impl TryFrom<String> for AliasPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AliasPattern> for String {
    fn from(pattern: AliasPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        let check = |pattern: &str, local: &str, expect: bool| {
            let parsed: AliasPattern = format!("{pattern}@example.org").parse().unwrap();
            assert_eq!(parsed.matches(local), expect, "{pattern} {local}");
            assert_eq!(parsed.to_string().parse::<AliasPattern>(), Ok(parsed));
        };
        check("sales", "sales", true);
        check("sales", "sales2", false);
        check("*", "anything", true);
        check("sales-*", "sales-eu", true);
        check("sales-*", "sale", false);
        check("*-sales", "eu-sales", true);
        check("a*b*c", "axxbyyc", true);
        check("a*b*c", "axxc", false);
        check("a*a", "a", false);
        assert!(format!("{}@example.org", "İ".repeat(128)).parse::<AliasPattern>().is_err());
    }
}
