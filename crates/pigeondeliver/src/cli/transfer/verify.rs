//! Whether two directories hold the same and answer alike.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Write};

use anyhow::Context as _;
use futures_util::future::{join, try_join};
use futures_util::stream::{self, StreamExt as _};
use owo_colors::OwoColorize as _;
use pigeon_core::address::Address;
use pigeon_core::directory::{AliasPattern, Entry, Id, Lookup, Target, TargetKind};
use pigeon_core::setting::Setting;
use serde::Serialize;
use serde_json::{Value, json};

use super::copy::Side;
use super::progress;
use crate::show::count;

/// How many look-ups are under way at a time.
const LOOKUPS: usize = 8;
/// How many differences are listed; the others are counted.
const LISTED: usize = 100;
/// Stands for the `*` of a pattern, and for somebody that a domain does not know.
const SAMPLE: &str = "sample-7c9e";

/// What the comparison found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
    /// How many entries were compared.
    entries: u64,
    /// How many addresses were looked up on both sides.
    addresses: u64,
    /// How many differences there are.
    differences: u64,
    /// The first of them, for people.
    list: Vec<String>,
}

impl Verdict {
    /// How many differences there are.
    pub(super) const fn count(&self) -> u64 {
        self.differences
    }

    fn add(&mut self, difference: String) {
        self.differences += 1;
        if self.list.len() < LISTED {
            self.list.push(difference);
        }
    }

    /// Writes what was compared, and what differs.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let compared = format!(
            "{} and {} were compared",
            count(self.entries, "entry"),
            count(self.addresses, "address")
        );
        if self.differences == 0 {
            return writeln!(out, "{compared}: {}", "both answer alike".green());
        }
        writeln!(out, "{compared}: {}", format!("{} differ", self.differences).red())?;
        for difference in &self.list {
            writeln!(out, "  {difference}")?;
        }
        match self.differences.saturating_sub(self.list.len() as u64) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }
}

/// Compares everything, and asks both for every address.
pub(super) async fn compare(from: &Side, to: &Side) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let asked = compare_entries(from, to, &mut verdict).await?;
    compare_answers(from, to, (asked, &mut verdict)).await?;
    Ok(verdict)
}

/// Compares the exports; returns how many entries are asked for by address.
///
/// Backends may export in different orders: what has no counterpart yet waits for it.
async fn compare_entries(from: &Side, to: &Side, verdict: &mut Verdict) -> anyhow::Result<u64> {
    let (mut ones, mut others) = (from.pages(), to.pages());
    let bar = progress(from.directory.count().await.context(from.name)?, "comparing");
    let mut waiting: HashMap<String, (&Side, Entry)> = HashMap::new();
    let mut changed = Vec::new();
    let mut asked = 0;
    loop {
        let (page, other) = try_join(ones.next(), others.next()).await?;
        if page.is_empty() && other.is_empty() {
            break;
        }
        verdict.entries += page.len() as u64;
        bar.set_position(verdict.entries);
        asked += page.iter().filter(|entry| !samples(entry).is_empty()).count() as u64;
        let page = page.into_iter().map(|entry| (from, entry));
        for (side, entry) in page.chain(other.into_iter().map(|entry| (to, entry))) {
            let entry = settled(entry);
            match waiting.remove(&identity(&entry)) {
                Some((_, known)) if known == entry => {}
                Some((_, known)) => changed.push((known, entry)),
                None => drop(waiting.insert(identity(&entry), (side, entry))),
            }
        }
    }
    bar.finish_and_clear();
    let alone: Vec<(&Side, Entry)> = waiting.into_values().collect();
    let owners = alone.iter().map(|(_, entry)| entry).chain(changed.iter().map(|(entry, _)| entry));
    let names = names_of(from, to, owners.filter_map(owner).cloned().collect()).await?;
    let alone =
        alone.iter().map(|(side, entry)| format!("{} is only at {}", words(entry, &names), side.name));
    let changed = changed
        .iter()
        .map(|(one, two)| format!("{} differs: {}", words(one, &names), fields(one, two).join(", ")));
    // In a set they are in order, however they were found.
    alone.chain(changed).collect::<BTreeSet<_>>().into_iter().for_each(|difference| verdict.add(difference));
    Ok(asked)
}

/// The entry in the one form that all backends would agree on.
fn settled(mut entry: Entry) -> Entry {
    if let Entry::Domain(domain) = &mut entry {
        domain.aliases.sort();
    }
    entry
}

/// What stays the same of an entry while its content changes.
fn identity(entry: &Entry) -> String {
    match entry {
        Entry::Domain(domain) => format!("domain {}", domain.id),
        Entry::Account(account) => format!("account {}", account.id),
        Entry::Alias(alias) => format!("alias {}", alias.id),
        Entry::Grant(grant) => format!("grant {} {}", grant.account, json!(grant.role)),
        Entry::Setting { owner, setting } => {
            format!("setting {} {} {}", json!(owner), setting.name, json!(setting.content.kind()))
        }
    }
}

/// Whose an entry is that names somebody by id.
const fn owner(entry: &Entry) -> Option<&Id> {
    match entry {
        Entry::Grant(grant) => Some(&grant.account),
        Entry::Setting { owner, .. } => owner.as_ref(),
        _ => None,
    }
}

/// The names that people know these domains and accounts by.
async fn names_of(from: &Side, to: &Side, wanted: HashSet<Id>) -> anyhow::Result<HashMap<Id, String>> {
    let mut names = HashMap::new();
    for side in [from, to] {
        let mut pages = side.pages();
        while names.len() < wanted.len() {
            let page = pages.next().await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                let (id, name) = match entry {
                    Entry::Domain(domain) => (domain.id, domain.name),
                    Entry::Account(account) => (account.id, account.address.to_string()),
                    _ => continue,
                };
                if wanted.contains(&id) {
                    names.insert(id, name);
                }
            }
        }
    }
    Ok(names)
}

fn words(entry: &Entry, names: &HashMap<Id, String>) -> String {
    let name = |id: &Id| names.get(id).cloned().unwrap_or_else(|| id.to_string());
    match entry {
        Entry::Domain(domain) => format!("the domain {}", domain.name),
        Entry::Account(account) => format!("the account {}", account.address),
        Entry::Alias(alias) => format!("the alias {}", alias.pattern),
        Entry::Grant(grant) => format!("a grant of {}", name(&grant.account)),
        Entry::Setting { owner: None, setting } => format!("the setting {} of the system", setting.name),
        Entry::Setting { owner: Some(id), setting } => {
            format!("the setting {} of {}", setting.name, name(id))
        }
    }
}

/// Which fields of an entry differ, and how, where that is nobody's secret.
fn fields(one: &Entry, two: &Entry) -> Vec<String> {
    let (one, two) = (json!(one), json!(two));
    let names: BTreeSet<&String> =
        [&one, &two].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys()).collect();
    let differing = names.into_iter().filter(|name| one.get(name) != two.get(name));
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    differing
        .map(|name| match name.as_str() {
            "password" => "the password".to_owned(),
            name => format!("{name} is {} and {}", shown(one.get(name)), shown(two.get(name))),
        })
        .collect()
}

/// Looks up on both sides whatever an entry has addresses for.
async fn compare_answers(
    from: &Side,
    to: &Side,
    (asked, verdict): (u64, &mut Verdict),
) -> anyhow::Result<()> {
    let bar = progress(asked, "looking up");
    let mut pages = from.pages();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            bar.finish_and_clear();
            return Ok(());
        }
        let ask = async |address: Address| {
            let (one, two) = join(from.directory.lookup(&address), to.directory.lookup(&address)).await;
            let (one, two) = (one.context(from.name)?, two.context(to.name)?);
            anyhow::Ok(difference(&address, &one, &two))
        };
        for entry in &page {
            bar.inc(u64::from(!samples(entry).is_empty()));
        }
        let addresses: Vec<Address> = page.iter().flat_map(samples).collect();
        verdict.addresses += addresses.len() as u64;
        let mut answers = stream::iter(addresses).map(ask).buffered(LOOKUPS);
        while let Some(answer) = answers.next().await {
            if let Some(difference) = answer? {
                verdict.add(difference);
            }
        }
    }
}

/// The addresses by which an entry is met.
fn samples(entry: &Entry) -> Vec<Address> {
    let of = |local: &str, domain: &str| format!("{local}@{domain}").parse().ok();
    match entry {
        Entry::Account(account) => vec![account.address.clone()],
        Entry::Alias(alias) => sample_of(&alias.pattern).into_iter().collect(),
        Entry::Domain(domain) => {
            std::iter::once(&domain.name).chain(&domain.aliases).filter_map(|name| of(SAMPLE, name)).collect()
        }
        Entry::Grant(_) | Entry::Setting { .. } => Vec::new(),
    }
}

/// An address that a pattern matches; where it has no room for more, one with nothing for the `*`.
fn sample_of(pattern: &AliasPattern) -> Option<Address> {
    let with =
        |sample: &str| Address::from_parts(&pattern.local.replace('*', sample), pattern.domain.clone());
    with(SAMPLE).or_else(|_| with("")).ok()
}

/// How two answers differ; positions and scopes are each directory's own.
fn difference(address: &Address, one: &Lookup, two: &Lookup) -> Option<String> {
    if answer(one) == answer(two) {
        return None;
    }
    let (one, two) = (targets(one), targets(two));
    if one == two {
        return Some(format!("{address} leads to {one}, but by other ways or with other settings"));
    }
    Some(format!("{address} leads to {one} at FROM and to {two} at TO"))
}

/// All that an answer says about mail.
fn answer(lookup: &Lookup) -> Value {
    match lookup {
        Lookup::Found(found) => {
            let branches: Vec<Value> = found.branches.iter().map(branch).collect();
            json!({ "branches": branches, "broken": found.broken })
        }
        Lookup::None(nobody) => {
            json!({ "nobody": nobody.domain.as_ref().map(|(id, written)| (id, settings(written))) })
        }
    }
}

fn branch(target: &Target) -> Value {
    let to = match &target.to {
        TargetKind::Account(account, detail) => json!({ "account": account, "detail": detail }),
        TargetKind::External(address, domain) => json!({ "address": address, "domain": domain }),
    };
    let (written, of_alias) = (settings(&target.settings), settings(&target.alias_settings));
    json!({ "to": to, "via": target.via, "settings": written, "alias_settings": of_alias })
}

/// Settings in an order of their own: no directory promises one.
fn settings(written: &[Setting]) -> Vec<String> {
    let mut texts: Vec<String> = written.iter().map(|setting| json!(setting).to_string()).collect();
    texts.sort();
    texts
}

fn targets(lookup: &Lookup) -> String {
    let Lookup::Found(found) = lookup else { return "nobody".to_owned() };
    let shown = |target: &Target| match &target.to {
        TargetKind::Account(account, _) => account.address.to_string(),
        TargetKind::External(address, _) => address.to_string(),
    };
    match &*found.branches {
        [] => "nowhere".to_owned(),
        branches => branches.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::directory::{Domain, Nobody, Status};

    use super::*;

    #[test]
    fn wildcards_have_a_sample_that_they_match() {
        let long = format!("{}*", "a".repeat(60));
        for local in ["*", "sales-*", "a*b*c", "plain", &long] {
            let pattern: AliasPattern = format!("{local}@example.org").parse().unwrap();
            let sample = sample_of(&pattern).unwrap();
            assert!(pattern.matches(sample.local()), "{pattern} {sample}");
        }
    }

    #[test]
    fn answers_are_compared_by_what_they_say_about_mail() {
        let address: Address = "ann@example.org".parse().unwrap();
        let none = |domain: Option<&str>, seq| {
            let domain = domain.map(|id| (Id(id.to_owned()), Vec::new()));
            Lookup::None(Nobody { domain, scopes: Vec::new(), seq })
        };
        assert_eq!(difference(&address, &none(Some("1"), 1), &none(Some("1"), 9)), None);
        let said = difference(&address, &none(Some("1"), 1), &none(Some("2"), 1)).unwrap();
        assert!(said.contains("ann@example.org leads to nobody, but"), "{said}");
    }

    #[test]
    fn differences_name_the_fields_and_no_secret() {
        let domain = |name: &str, status| {
            Entry::Domain(Domain {
                id: Id("1".to_owned()),
                name: name.to_owned(),
                aliases: vec!["b".to_owned(), "a".to_owned()],
                status,
            })
        };
        let (one, two) = (domain("x.org", Status::Active), domain("x.org", Status::Suspended));
        assert_eq!(identity(&one), identity(&two));
        assert_eq!(fields(&one, &two), ["status is \"active\" and \"suspended\""]);
        assert_eq!(settled(one.clone()), settled(settled(one)));
    }
}
