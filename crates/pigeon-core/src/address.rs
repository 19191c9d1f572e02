//! Mail addresses: parsed once at the edge, compared in normal form everywhere else.
//!
//! Source: RFC 5321 §4.1.2 (grammar) and §4.5.3.1 (sizes), RFC 6531 §3.3 (UTF-8), RFC 5890 (IDN).

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest local part in octets.
///
/// RFC 5321 §4.5.3.1.1 names 64, and asks not to refuse longer ones where that can be avoided: sender
/// addresses with encoded recipients (VERP, SRS) are longer in practice.
pub const MAX_LOCAL_OCTETS: usize = 256;
/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN_OCTETS: usize = 255;

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is no `@`, or nothing on one side of it.
    #[error("an address needs a local part, an @ and a domain, like user@example.org")]
    Incomplete,
    /// The local part breaks the grammar.
    #[error("the part before the @ has a character that must be quoted, or a quote that is not closed")]
    LocalPart,
    /// The domain is neither a host name, an internationalised name nor an address literal.
    #[error("the part after the @ is not a domain name")]
    Domain,
    /// One of the parts is longer than any mail system accepts.
    #[error("the address is too long (256 octets before the @, 255 after it)")]
    TooLong,
    /// The bytes are not UTF-8 (RFC 6531 §3.3 allows nothing else outside ASCII).
    #[error("the address is not valid UTF-8")]
    NotUtf8,
}

/// A domain name in normal form: lower case, internationalised labels as A-labels (`xn--…`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(Box<str>);

impl DomainName {
    /// Parses and normalises a domain or an address literal such as `[192.0.2.1]`.
    ///
    /// # Errors
    /// [`AddressError::Domain`] or [`AddressError::TooLong`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_DOMAIN_OCTETS * 4 {
            return Err(AddressError::TooLong);
        }
        if let Some(literal) = text.strip_prefix('[') {
            return Self::parse_literal(text, literal);
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_| AddressError::Domain)?
        };
        if ascii.len() > MAX_DOMAIN_OCTETS {
            return Err(AddressError::TooLong);
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if ascii.split('.').all(is_label) {
            Ok(Self(ascii.into_boxed_str()))
        } else {
            Err(AddressError::Domain)
        }
    }

    fn parse_literal(text: &str, after_bracket: &str) -> Result<Self, AddressError> {
        let inner = after_bracket.strip_suffix(']').ok_or(AddressError::Domain)?;
        // RFC 5321 §4.1.3: dcontent is printable US-ASCII without brackets and backslash.
        let is_content = |b: u8| (33..=90).contains(&b) || (94..=126).contains(&b);
        if inner.is_empty() || !inner.bytes().all(is_content) {
            return Err(AddressError::Domain);
        }
        if text.len() > MAX_DOMAIN_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The name as ASCII text in normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as people write it, with internationalised labels in their own script.
    #[must_use]
    pub fn to_unicode(&self) -> String {
        if self.0.contains("xn--") { idna::domain_to_unicode(&self.0).0 } else { self.0.to_string() }
    }

    /// The domains above this one, nearest first (`a.b.c` → `b.c`, `c`).
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let mut rest: &str = &self.0;
        std::iter::from_fn(move || {
            let (_, parent) = rest.split_once('.')?;
            rest = parent;
            Some(parent)
        })
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// A mail address with a local part and a domain.
///
/// The local part is kept as written, without quotes; [`Display`](fmt::Display) quotes it again where the
/// grammar asks for it. Two spellings that differ only in the case of the local part are different
/// values with the same [`key`](Address::key).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    local: Box<str>,
    domain: DomainName,
}

impl Address {
    /// Parses `local@domain`, with a quoted local part where there is one.
    ///
    /// # Errors
    /// An [`AddressError`] that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = if text.starts_with('"') {
            let (local, rest) = unquote(text)?;
            (local, rest.strip_prefix('@').ok_or(AddressError::Incomplete)?)
        } else {
            let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Incomplete)?;
            if !local.is_empty() && !is_dot_string(local) {
                return Err(AddressError::LocalPart);
            }
            (local.to_owned(), domain)
        };
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        Self::from_parts(&local, DomainName::parse(domain)?)
    }

    /// Parses bytes from the wire.
    ///
    /// # Errors
    /// [`AddressError::NotUtf8`], or as [`Address::parse`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| AddressError::NotUtf8)?)
    }

    /// Puts an address together from an unquoted local part and a domain.
    ///
    /// # Errors
    /// [`AddressError::TooLong`], or [`AddressError::LocalPart`] for an empty one or one with control characters.
    pub fn from_parts(local: &str, domain: DomainName) -> Result<Self, AddressError> {
        if local.len() > MAX_LOCAL_OCTETS {
            return Err(AddressError::TooLong);
        }
        // RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP know no control characters.
        if local.is_empty() || local.chars().any(char::is_control) {
            return Err(AddressError::LocalPart);
        }
        Ok(Self { local: local.into(), domain })
    }

    /// The local part, unquoted.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in normal form.
    #[must_use]
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// The form under which the directory knows this address: local part in lower case, normalised domain.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = self.local.to_lowercase();
        key.push('@');
        key.push_str(self.domain.as_str());
        key
    }

    /// The same domain with another local part.
    ///
    /// # Errors
    /// As [`Address::from_parts`].
    pub fn with_local(&self, local: &str) -> Result<Self, AddressError> {
        Self::from_parts(local, self.domain.clone())
    }

    /// Splits `user+detail` at the first of `separators` that stands behind at least one character.
    ///
    /// Source: RFC 5233 §1. The order of the separators does not matter: the leftmost one in the address counts.
    #[must_use]
    pub fn split_detail(&self, separators: &str) -> Option<(Self, String)> {
        let (at, separator) =
            self.local.char_indices().skip(1).find(|(_, letter)| separators.contains(*letter))?;
        let base = self.local.get(..at)?;
        let detail = self.local.get(at + separator.len_utf8()..)?;
        Some((Self { local: base.into(), domain: self.domain.clone() }, detail.to_owned()))
    }

    /// Whether an SMTP hop needs SMTPUTF8 for this address (RFC 6531 §3.3).
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            formatter.write_str(&self.local)?;
        } else {
            formatter.write_char('"')?;
            for letter in self.local.chars() {
                if matches!(letter, '"' | '\\') {
                    formatter.write_char('\\')?;
                }
                formatter.write_char(letter)?;
            }
            formatter.write_char('"')?;
        }
        formatter.write_char('@')?;
        formatter.write_str(self.domain.as_str())
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

impl schemars::JsonSchema for Address {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "idn-email" })
    }
}

/// The reverse-path of an envelope: an address, or the null sender of a notification (RFC 5321 §4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum ReversePath {
    /// `MAIL FROM:<>`: never answer this message.
    #[default]
    Null,
    /// An ordinary sender.
    Address(Address),
}

impl ReversePath {
    /// Parses an address; the empty text and `<>` are the null sender.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
        if bare.is_empty() { Ok(Self::Null) } else { Address::parse(bare).map(Self::Address) }
    }

    /// The address, unless this is the null sender.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    /// Writes the address without angle brackets, nothing for the null sender.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().map_or(Ok(()), |address| address.fmt(formatter))
    }
}

impl Serialize for ReversePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReversePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// RFC 5321 §4.1.2 Atom, widened by RFC 6531 §3.3 to UTF-8; dots may stand anywhere, as mail systems accept it.
fn is_dot_string(local: &str) -> bool {
    !local.is_empty()
        && local.chars().all(|letter| {
            letter.is_ascii_alphanumeric()
                || "!#$%&'*+-/=?^_`{|}~.".contains(letter)
                || (!letter.is_ascii() && !letter.is_control() && !letter.is_whitespace())
        })
}

/// Takes the quotes off `"local"rest`; returns the local part and the rest.
fn unquote(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((local, text.get(at + 1..).unwrap_or_default())),
            // RFC 5321 §4.1.2 quoted-pairSMTP
            '\\' => local.push(letters.next().ok_or(AddressError::LocalPart)?.1),
            other => local.push(other),
        }
    }
    Err(AddressError::LocalPart)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Result<(&str, &str, &str), AddressError>) {
        let got = Address::parse(text);
        let got = got.as_ref().map(|a| (a.local(), a.domain().as_str(), a.to_string()));
        match expect {
            Ok((local, domain, shown)) => {
                assert_eq!(got, Ok((local, domain, shown.to_owned())), "{text}");
            }
            Err(error) => assert_eq!(got, Err(&error), "{text}"),
        }
    }

    #[test]
    fn addresses_are_parsed_and_shown() {
        check("user@example.org", Ok(("user", "example.org", "user@example.org")));
        check("User@EXAMPLE.org.", Ok(("User", "example.org", "User@example.org")));
        check("\"a b\"@example.org", Ok(("a b", "example.org", "\"a b\"@example.org")));
        check("\"plain\"@example.org", Ok(("plain", "example.org", "plain@example.org")));
        check("\"a\\\"b@c\"@example.org", Ok(("a\"b@c", "example.org", "\"a\\\"b@c\"@example.org")));
        check(
            "jürgen@bücher.example",
            Ok(("jürgen", "xn--bcher-kva.example", "jürgen@xn--bcher-kva.example")),
        );
        check("user@[192.0.2.1]", Ok(("user", "[192.0.2.1]", "user@[192.0.2.1]")));
        check("a..b.@example.org", Ok(("a..b.", "example.org", "a..b.@example.org")));
        check("user", Err(AddressError::Incomplete));
        check("@example.org", Err(AddressError::Incomplete));
        check("user@", Err(AddressError::Incomplete));
        check("a b@example.org", Err(AddressError::LocalPart));
        check("\"open@example.org", Err(AddressError::LocalPart));
        check("\"a\r\nb\"@example.org", Err(AddressError::LocalPart));
        check("a@b@example.org", Err(AddressError::LocalPart));
        check("user@exa mple.org", Err(AddressError::Domain));
        check("user@-x.org", Err(AddressError::Domain));
        check("user@[::1", Err(AddressError::Domain));
        check(&format!("{}@example.org", "x".repeat(257)), Err(AddressError::TooLong));
        check(&format!("x@{}.org", "x.".repeat(600)), Err(AddressError::TooLong));
    }

    #[test]
    fn internationalised_domains_compare_normalised() {
        let unicode = Address::parse("user@BÜCHER.example").unwrap();
        let ascii = Address::parse("user@xn--bcher-kva.example").unwrap();
        assert_eq!(unicode, ascii);
        assert_eq!(unicode.domain().to_unicode(), "bücher.example");
    }

    #[test]
    fn details_are_split_at_the_first_separator() {
        let check = |text: &str, separators: &str, expect: Option<(&str, &str)>| {
            let got = Address::parse(text).unwrap().split_detail(separators);
            let got = got.as_ref().map(|(base, detail)| (base.local(), detail.as_str()));
            assert_eq!(got, expect, "{text} at {separators}");
        };
        check("user+folder@example.org", "+", Some(("user", "folder")));
        check("user+a+b@example.org", "+", Some(("user", "a+b")));
        check("user-a+b@example.org", "+-", Some(("user", "a+b")));
        check("user+@example.org", "+", Some(("user", "")));
        check("+detail@example.org", "+", None);
        check("user+folder@example.org", "", None);
    }

    #[test]
    fn the_null_sender_is_a_value_of_its_own() {
        assert_eq!(ReversePath::parse("<>"), Ok(ReversePath::Null));
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
        assert_eq!(ReversePath::parse("<a@example.org>").unwrap().to_string(), "a@example.org");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive_a_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(address) = Address::from_bytes(&bytes) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn any_quoted_local_part_survives(local in "[^\\p{C}]{1,60}") {
            let address = Address::from_parts(&local, DomainName::parse("example.org").unwrap()).unwrap();
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }
}
