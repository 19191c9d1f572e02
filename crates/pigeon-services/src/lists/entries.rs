//! One list: its entries as they were written, and tables that find the most specific one quickly.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use pigeon_core::address::{Address, DomainName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest entry, in octets: an address has no more.
const MAX_ENTRY_OCTETS: usize = 512;
/// The bits that an IPv4 address has less than an IPv6 address.
const IPV4_OFFSET: u8 = 96;

/// How closely an entry describes what it matches; the larger, the closer. Kinds come first, in the order of the
/// constants below, then what tells entries of one kind apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity(u8, usize);

const EVERYONE: u8 = 0;
const BELOW: u8 = 1;
const PATTERN: u8 = 2;
const NETWORK: u8 = 3;
const DOMAIN: u8 = 4;
const LOCAL_PATTERN: u8 = 5;
const CLIENT: u8 = 6;
const ADDRESS: u8 = 7;

/// A text that is no entry: says what was written and what may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no entry: write an address (ann@example.org), a pattern (news-*@example.org), a domain (example.org), a \
     domain with all below it (.example.org), an IP address or network (192.0.2.0/24), <> or *"
)]
pub struct EntryError(pub String);

/// The entries of one list, compiled when they are read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Entries(Arc<Tables>);

#[derive(Debug, Default)]
struct Tables {
    texts: Vec<String>,
    addresses: HashMap<Box<str>, usize>,
    null_sender: Option<usize>,
    /// Patterns of local parts, by domain.
    locals: HashMap<Box<str>, Vec<Pattern>>,
    domains: HashMap<Box<str>, usize>,
    /// What stands for domains below this one, and (true) for itself, too.
    below: HashMap<Box<str>, (usize, bool)>,
    patterns: Vec<Pattern>,
    /// Masked addresses by length of the prefix, the longest first.
    networks: Vec<(u8, HashMap<u128, usize>)>,
    everyone: Option<usize>,
}

/// A text with `*` (any characters) and `?` (one character).
#[derive(Debug)]
struct Pattern {
    text: Box<str>,
    entry: usize,
}

impl Pattern {
    fn literals(&self) -> usize {
        self.text.chars().filter(|letter| !is_wildcard(*letter)).count()
    }
}

/// What one entry means.
enum Meaning {
    Everyone,
    NullSender,
    Address(String),
    LocalPattern { local: String, domain: String },
    Domain(String),
    Below { domain: String, is_included: bool },
    Pattern(String),
    Network(u128, u8),
}

/// An entry that matches, and how closely.
pub(super) type Found<'a> = (&'a str, Specificity);

impl Entries {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.texts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.texts.is_empty()
    }

    /// The most specific entry for an address.
    pub(super) fn find_address(&self, address: &Address) -> Option<Found<'_>> {
        let tables = &*self.0;
        if self.is_empty() {
            return None;
        }
        let (key, domain) = (address.key(), address.domain().as_str());
        if let Some(entry) = tables.addresses.get(&*key) {
            return tables.found(*entry, Specificity(ADDRESS, 0));
        }
        let local = key.rsplit_once('@').map_or("", |(local, _)| local);
        let locals = tables.locals.get(domain).map(Vec::as_slice).unwrap_or_default();
        if let Some((pattern, literals)) = best(locals, local) {
            return tables.found(pattern.entry, Specificity(LOCAL_PATTERN, literals));
        }
        if let Some(entry) = tables.domains.get(domain) {
            return tables.found(*entry, Specificity(DOMAIN, 0));
        }
        if let Some((pattern, literals)) = best(&tables.patterns, &key) {
            return tables.found(pattern.entry, Specificity(PATTERN, literals));
        }
        let (entry, length) = tables.find_below(address.domain())?;
        tables.found(entry, Specificity(BELOW, length))
    }

    /// The entry for the null sender.
    pub(super) fn find_null_sender(&self) -> Option<Found<'_>> {
        self.0.found(self.0.null_sender?, Specificity(ADDRESS, 0))
    }

    /// The entry for everyone.
    pub(super) fn find_everyone(&self) -> Option<Found<'_>> {
        self.0.found(self.0.everyone?, Specificity(EVERYONE, 0))
    }

    /// The narrowest entry for a client.
    pub(super) fn find_client(&self, client: IpAddr) -> Option<Found<'_>> {
        let bits = bits_of(client);
        let hit = |(length, table): &(u8, HashMap<u128, usize>)| {
            table.get(&masked(bits, *length)).map(|entry| (*entry, *length))
        };
        let (entry, length) = self.0.networks.iter().find_map(hit)?;
        let kind = if length == 128 { CLIENT } else { NETWORK };
        self.0.found(entry, Specificity(kind, usize::from(length)))
    }
}

impl Tables {
    fn found(&self, entry: usize, specificity: Specificity) -> Option<Found<'_>> {
        self.texts.get(entry).map(|text| (text.as_str(), specificity))
    }

    fn find_below(&self, domain: &DomainName) -> Option<(usize, usize)> {
        let own = self.below.get(domain.as_str()).filter(|(_, is_included)| *is_included);
        if let Some((entry, _)) = own {
            return Some((*entry, domain.as_str().len()));
        }
        domain.parents().find_map(|parent| self.below.get(parent).map(|(entry, _)| (*entry, parent.len())))
    }

    fn add(&mut self, entry: usize, meaning: Meaning) {
        match meaning {
            Meaning::Everyone => self.everyone = self.everyone.or(Some(entry)),
            Meaning::NullSender => self.null_sender = self.null_sender.or(Some(entry)),
            Meaning::Address(key) => {
                self.addresses.entry(key.into()).or_insert(entry);
            }
            Meaning::LocalPattern { local, domain } => {
                self.locals.entry(domain.into()).or_default().push(Pattern { text: local.into(), entry });
            }
            Meaning::Domain(domain) => {
                self.domains.entry(domain.into()).or_insert(entry);
            }
            Meaning::Below { domain, is_included } => {
                let known = self.below.entry(domain.into()).or_insert((entry, is_included));
                if is_included && !known.1 {
                    *known = (entry, true);
                }
            }
            Meaning::Pattern(text) => self.patterns.push(Pattern { text: text.into(), entry }),
            Meaning::Network(bits, length) => {
                let place = self.networks.binary_search_by(|(known, _)| length.cmp(known));
                let at = place.unwrap_or_else(|at| {
                    self.networks.insert(at, (length, HashMap::new()));
                    at
                });
                if let Some((_, table)) = self.networks.get_mut(at) {
                    table.entry(bits).or_insert(entry);
                }
            }
        }
    }
}

impl TryFrom<Vec<String>> for Entries {
    type Error = EntryError;
    fn try_from(texts: Vec<String>) -> Result<Self, EntryError> {
        let mut tables = Tables::default();
        for (entry, text) in texts.iter().enumerate() {
            let meaning = read(text.trim()).ok_or_else(|| EntryError(text.chars().take(80).collect()))?;
            tables.add(entry, meaning);
        }
        tables.texts = texts.into_iter().map(|text| text.trim().to_owned()).collect();
        Ok(Self(Arc::new(tables)))
    }
}

impl From<Entries> for Vec<String> {
    fn from(entries: Entries) -> Self {
        entries.0.texts.clone()
    }
}

impl JsonSchema for Entries {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entries".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": "string", "format": "sender-pattern" } })
    }
}

/// Reads one entry.
fn read(text: &str) -> Option<Meaning> {
    if text.is_empty() || text.len() > MAX_ENTRY_OCTETS {
        return None;
    }
    match text {
        "*" | "*@*" => return Some(Meaning::Everyone),
        "<>" => return Some(Meaning::NullSender),
        _ => {}
    }
    if let Some((bits, length)) = read_network(text) {
        return Some(Meaning::Network(bits, length));
    }
    match text.rsplit_once('@') {
        None | Some(("" | "*", _)) => read_domain(text.rsplit('@').next()?),
        Some((local, domain)) if local.contains(is_wildcard) || domain.contains(is_wildcard) => {
            read_pattern(local, domain)
        }
        Some(_) => Address::parse(text).ok().map(|address| Meaning::Address(address.key())),
    }
}

fn read_domain(text: &str) -> Option<Meaning> {
    if let Some(domain) = text.strip_prefix('.') {
        return name(domain).map(|domain| Meaning::Below { domain, is_included: true });
    }
    if let Some(domain) = text.strip_prefix("*.").filter(|domain| !domain.contains(is_wildcard)) {
        return name(domain).map(|domain| Meaning::Below { domain, is_included: false });
    }
    if text.contains(is_wildcard) {
        return read_pattern("*", text);
    }
    name(text).map(Meaning::Domain)
}

fn read_pattern(local: &str, domain: &str) -> Option<Meaning> {
    let local = local.to_lowercase();
    if local.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return None;
    }
    if !domain.contains(is_wildcard) {
        return name(domain).map(|domain| Meaning::LocalPattern { local, domain });
    }
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || is_wildcard(letter) || "-_.".contains(letter);
    let is_pattern = domain.chars().all(is_part);
    is_pattern.then(|| Meaning::Pattern(format!("{local}@{}", domain.to_ascii_lowercase())))
}

/// A domain's name in normal form; numbers alone are an IP address with a slip in it.
fn name(text: &str) -> Option<String> {
    let name = DomainName::parse(text).ok()?;
    let is_name = name.as_str().contains(|letter: char| !letter.is_ascii_digit() && letter != '.');
    is_name.then(|| name.as_str().to_owned())
}

fn read_network(text: &str) -> Option<(u128, u8)> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let offset = if address.is_ipv4() { IPV4_OFFSET } else { 0 };
    let length = match length {
        Some(length) => length.parse::<u8>().ok()?.checked_add(offset)?,
        None => 128,
    };
    (length <= 128).then(|| (masked(bits_of(address), length), length))
}

/// An address as 128 bits; IPv4 ones as RFC 4291 §2.5.5.2 maps them.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(bits: u128, length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).map_or(0, |mask| bits & mask)
}

fn is_wildcard(letter: char) -> bool {
    matches!(letter, '*' | '?')
}

/// The pattern with the most letters of its own that matches.
fn best<'a>(patterns: &'a [Pattern], text: &str) -> Option<(&'a Pattern, usize)> {
    let hits = patterns.iter().filter(|pattern| matches(&pattern.text, text));
    hits.map(|pattern| (pattern, pattern.literals()))
        .max_by_key(|(pattern, count)| (*count, usize::MAX - pattern.entry))
}

/// Whether a pattern matches the whole text. Takes at most the product of both lengths, whatever the pattern.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on after the last star, if what followed it did not fit.
    let mut retry = None;
    loop {
        let text_before = text.clone();
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = text_before.clone();
                retry = Some((pattern.clone(), text_before));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(letter)) if wanted == letter => {}
            _ => {
                let Some((after_star, mut from)) = retry.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), from.clone());
                retry = Some((after_star, from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn list(texts: &[&str]) -> Entries {
        Entries::try_from(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn the_most_specific_entry_is_found() {
        let all = [
            "*",
            ".example.org",
            ".sub.example.org",
            "*@*.net",
            "*@ex*e.net",
            "postmaster@*",
            "example.org",
            "@example.com",
            "news-*@example.org",
            "news-a*@example.org",
            "Ann@Example.org",
            "bücher.example",
        ];
        let entries = list(&all);
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(entries.find_address(&address(text)).map(|(entry, _)| entry), expect, "{text}");
        };
        check("ann@example.org", Some("Ann@Example.org"));
        check("ANN@EXAMPLE.ORG", Some("Ann@Example.org"));
        check("news-b@example.org", Some("news-*@example.org"));
        check("News-ab@example.org", Some("news-a*@example.org"));
        check("bob@example.org", Some("example.org"));
        check("bob@a.example.org", Some(".example.org"));
        check("bob@a.sub.example.org", Some(".sub.example.org"));
        check("bob@sub.example.org", Some(".sub.example.org"));
        check("postmaster@a.example.org", Some("postmaster@*"));
        check("bob@a.net", Some("*@*.net"));
        check("bob@example.net", Some("*@ex*e.net"));
        check("bob@example.com", Some("@example.com"));
        check("bob@xn--bcher-kva.example", Some("bücher.example"));
        check("bob@net", None);
        check("bob@notexample.org", None);
        assert_eq!(entries.find_everyone().map(|(entry, _)| entry), Some("*"));
        assert_eq!(list(&["<>"]).find_null_sender().map(|(entry, _)| entry), Some("<>"));
    }

    #[test]
    fn subdomains_are_with_or_without_the_domain() {
        let check = |entry: &str, expect: [bool; 3]| {
            let entries = list(&[entry]);
            let got = ["a@example.org", "a@x.example.org", "a@y.x.example.org"]
                .map(|text| entries.find_address(&address(text)).is_some());
            assert_eq!(got, expect, "{entry}");
        };
        check("example.org", [true, false, false]);
        check(".example.org", [true, true, true]);
        check("*.example.org", [false, true, true]);
        check("*@*.example.org", [false, true, true]);
        check("*@*.x.example.org", [false, false, true]);
    }

    #[test]
    fn the_narrowest_network_is_found() {
        let entries = list(&["192.0.2.0/24", "192.0.2.64/26", "192.0.2.70", "2001:db8::/32", "10.1.2.3/8"]);
        let check = |client: &str, expect: Option<&str>| {
            let found = entries.find_client(client.parse().unwrap());
            assert_eq!(found.map(|(entry, _)| entry), expect, "{client}");
        };
        check("192.0.2.1", Some("192.0.2.0/24"));
        check("192.0.2.65", Some("192.0.2.64/26"));
        check("192.0.2.70", Some("192.0.2.70"));
        check("::ffff:192.0.2.70", Some("192.0.2.70"));
        check("10.200.0.1", Some("10.1.2.3/8"));
        check("2001:db8:1::5", Some("2001:db8::/32"));
        check("198.51.100.1", None);
        check("2001:db9::1", None);
        assert!(list(&["0.0.0.0/0"]).find_client("2001:db8::1".parse().unwrap()).is_none());
        assert!(list(&["::/0"]).find_client("192.0.2.1".parse().unwrap()).is_some());
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in [
            "",
            "  ",
            "a b@example.org",
            "192.0.2.300",
            "192.0.2.0/33",
            "::/129",
            "a@",
            "exam ple.org",
            "*@ö*",
            "10/8",
        ] {
            let error = Entries::try_from(vec![text.to_owned()]).unwrap_err();
            assert!(error.to_string().contains("is no entry: write an address"), "{text}");
        }
    }

    /// What `matches` must say, in the plainest words there are.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=text.len()).any(|cut| by_definition(rest, &text[cut..])),
            (Some(('?', rest)), Some((_, after))) => by_definition(rest, after),
            (Some((wanted, rest)), Some((letter, after))) => wanted == letter && by_definition(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_mean_what_they_say(pattern in "[ab*?]{0,8}", text in "[abc]{0,8}") {
            let (letters, other): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), by_definition(&letters, &other));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            drop(Entries::try_from(vec![text]));
        }
    }

    #[test]
    fn ten_thousand_entries_cost_little() {
        let texts: Vec<String> = (0..10_000)
            .map(|number| match number % 5 {
                0 => format!("user{number}@example.org"),
                1 => format!("domain{number}.example"),
                2 => format!(".sub{number}.example"),
                3 => format!("news{number}-*@lists.example"),
                _ => format!("10.{}.{}.0/24", number / 250, number % 250),
            })
            .collect();
        let began = Instant::now();
        let entries = Entries::try_from(texts).unwrap();
        let compiled = began.elapsed();
        let (unknown, client) = (address("nobody@mail.example.net"), "192.0.2.1".parse().unwrap());
        let began = Instant::now();
        for _ in 0..1000 {
            assert!(entries.find_address(&unknown).is_none());
            assert!(entries.find_client(client).is_none());
        }
        let each = began.elapsed() / 1000;
        println!("10,000 entries: compiled in {compiled:?}, each sender in {each:?}");
        // Far above what it takes, also on a slow machine without optimisation.
        assert!(each.as_micros() < 1000, "{each:?}");
    }
}
