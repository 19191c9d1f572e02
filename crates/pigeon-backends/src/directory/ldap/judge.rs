//! Which entries other programs changed: those with a younger `entryCSN` that no row of the log accounts for.

use std::collections::{BTreeMap, BTreeSet};

use ldap3::Scope as Depth;
use pigeon_core::directory::{Id, Scope};

use super::super::failure::Outcome;
use super::ask::{Search, is};
use super::dial::Connection;
use super::record::Record;
use super::tree::SYSTEM;
use super::watch::{State, key_of};
use super::{Names, Shared, is_below};

/// What changed between two states of a server, apart from what the log says.
#[derive(Debug)]
pub(super) enum Verdict {
    /// These parts.
    Changed(Vec<Scope>),
    /// It cannot be told while this change is under way.
    Wait(u64),
}

const ATTRIBUTES: &[&str] = &[
    "objectClass",
    "entryCSN",
    "pigeonId",
    "pigeonDomain",
    "pigeonDomainName",
    "pigeonDomainAlias",
    "pigeonLocalPart",
    "pigeonPattern",
    "pigeonOwner",
    "pigeonWrittenAt",
    "pigeonSequence",
    "pigeonSawContext",
];

/// Looks through what is younger than the state before.
pub(super) async fn judge(
    shared: &Shared,
    connection: &Connection,
    before: &State,
    now: &State,
) -> Outcome<Verdict> {
    let moved: BTreeMap<&String, &String> =
        now.contexts.iter().filter(|(key, csn)| before.contexts.get(*key) != Some(*csn)).collect();
    if moved.is_empty() {
        return Ok(Verdict::Changed(Vec::new()));
    }
    let everything = || Ok(Verdict::Changed(vec![Scope::System]));
    // Another database, in which an existing directory is, holds nothing that the log accounts for.
    if moved.keys().any(|key| key.contains('#')) {
        return everything();
    }
    let oldest = moved.keys().map(|key| before.contexts.get(*key).map_or("", String::as_str)).min();
    let Some(oldest) = oldest.filter(|oldest| !oldest.is_empty()) else { return everything() };
    let names = shared.names(connection).await?;
    let base = names.suffixes.first().map_or(names.base.as_str(), String::as_str);
    let filter = format!("(entryCSN>={oldest})");
    let search = Search { base, scope: Depth::Subtree, filter: &filter, attributes: ATTRIBUTES };
    let records = connection.search_all(&search).await?;
    let is_young = |record: &&Record| {
        let csn = record.text("entryCSN").unwrap_or_default();
        before.contexts.get(&key_of(csn)).is_none_or(|seen| csn > seen.as_str())
    };
    let young = Young::new(&names, records.iter().filter(is_young).collect());
    if !young.explains(&moved, before) {
        let under_way = young.log.get(&(now.position + 1));
        return under_way.map_or_else(everything, |_| Ok(Verdict::Wait(now.position + 1)));
    }
    young.scopes(shared, connection, now.position).await.map(Verdict::Changed)
}

/// Entries that changed.
struct Young<'a> {
    /// Of the directory itself.
    ours: Vec<&'a Record>,
    /// Rows of the log, with their `entryCSN`: the last thing that a change writes but for the base.
    log: BTreeMap<u64, &'a Record>,
    /// All that an entry has.
    csns: BTreeSet<&'a str>,
    /// Whether people of an existing directory are among them.
    has_people: bool,
}

impl<'a> Young<'a> {
    fn new(names: &Names, records: Vec<&'a Record>) -> Self {
        let csns = records.iter().filter_map(|record| record.text("entryCSN")).collect();
        let mut young = Self { ours: Vec::new(), log: BTreeMap::new(), csns, has_people: false };
        for record in records {
            if record.is_a("pigeonChange") {
                young.log.extend(record.number("pigeonSequence").map(|seq| (seq, record)));
            } else if is_below(&record.dn, &names.base) {
                young.ours.push(record);
            } else if names.people.as_ref().is_some_and(|people| is_below(&record.dn, people)) {
                young.has_people = true;
            }
        }
        young
    }

    /// Whether each `contextCSN` that was seen, now or by a change, is that of an entry: one that is not was left by a deletion.
    fn explains(&self, moved: &BTreeMap<&String, &String>, before: &State) -> bool {
        let met = self.log.values().flat_map(|row| row.texts("pigeonSawContext"));
        let met = met.filter(|csn| before.contexts.get(&key_of(csn)).is_none_or(|seen| *csn > seen.as_str()));
        moved.values().map(|csn| csn.as_str()).chain(met).all(|csn| self.csns.contains(csn))
    }

    async fn scopes(&self, shared: &Shared, connection: &Connection, position: u64) -> Outcome<Vec<Scope>> {
        let mut scopes = BTreeSet::new();
        for record in self.ours.iter().filter(|record| !self.is_accounted_for(record, position)) {
            touch(shared, connection, record, &mut scopes).await?;
        }
        if self.has_people {
            scopes.insert(Scope::System);
        }
        Ok(scopes.into_iter().collect())
    }

    /// Whether a change of the log wrote the entry, and nobody since. A change writes its row again when all else is written.
    fn is_accounted_for(&self, record: &Record, position: u64) -> bool {
        let Some(written) = record.number("pigeonWrittenAt") else { return false };
        let is_under_way = written > position;
        self.log
            .get(&written)
            .is_some_and(|row| is_under_way || record.text("entryCSN") <= row.text("entryCSN"))
    }
}

/// What an entry that another program wrote may have changed.
async fn touch(
    shared: &Shared,
    connection: &Connection,
    record: &Record,
    scopes: &mut BTreeSet<Scope>,
) -> Outcome<()> {
    let id = || record.text("pigeonId").map(|id| Id(id.to_owned()));
    if record.is_a("pigeonMailDomain") {
        scopes.extend(id().map(Scope::Domain));
        let names = record.text("pigeonDomainName").into_iter().chain(record.texts("pigeonDomainAlias"));
        scopes.extend(names.map(|name| Scope::DomainName(name.to_ascii_lowercase())));
    } else if record.is_a("pigeonAccount") {
        // Whoever found it before depends on its id; whoever did not find it, on its address now.
        scopes.extend(id().map(Scope::Account));
        let (Some(domain), Ok(local)) = (record.text("pigeonDomain"), record.local()) else { return Ok(()) };
        let filter = format!("(&(objectClass=pigeonMailDomain){})", is("pigeonId", domain));
        let base = shared.tree.domains();
        let attributes = &["pigeonDomainName"];
        let search = Search { base: &base, scope: Depth::OneLevel, filter: &filter, attributes };
        for domain in connection.search(&search).await? {
            let name = domain.text("pigeonDomainName").unwrap_or_default().to_ascii_lowercase();
            scopes.insert(Scope::Address(format!("{local}@{name}")));
        }
    } else if record.is_a("pigeonSetting") {
        match record.owner()? {
            SYSTEM => {
                scopes.insert(Scope::System);
            }
            // Which of the two it is, matters to nobody.
            id => scopes.extend([Scope::Domain(Id(id.to_owned())), Scope::Account(Id(id.to_owned()))]),
        }
    } else if record.is_a("pigeonAlias") {
        // Its address before is not known, and whoever found it depends on that.
        scopes.insert(Scope::System);
    }
    Ok(())
}
