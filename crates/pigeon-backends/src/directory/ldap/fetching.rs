//! Look-ups: all rows of an answer in one search, so that they are of one moment and cost one round trip.
//!
//! The search below the base asks for the names and local parts that may be meant, and for what belongs to domains and
//! accounts with ids known from before ([`Hints`](super::hints::Hints)). Where the answer shows that more belongs to it, everything is asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use ldap3::Scope;
use pigeon_core::address::Address;
use pigeon_core::directory::{Id, Status};
use pigeon_core::setting::Layer;

use super::super::failure::{Failure, Outcome};
use super::super::fetched::{Fetched, Fetcher, bases};
use super::super::rows::{DomainRow, Owner};
use super::Shared;
use super::ask::{Search, any, is};
use super::dial::Connection;
use super::mapping::People;
use super::record::{BELONGINGS, ROWS, Record};
use super::tree::SYSTEM;
use super::watch::Moment;

/// How many addresses one search asks for: the filter stays well below what servers take in one message.
const ADDRESSES_AT_A_TIME: usize = 200;
/// How often it is asked until everything is there: each time something new was learnt, or the directory changed meanwhile.
const MAX_ROUNDS: usize = 20;

/// Fetches rows over one connection.
pub(super) struct Lookups<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connection: Arc<Connection>,
    /// When the questions began, for the position of the answer.
    pub(super) since: Moment,
}

/// What is asked for.
struct Question {
    /// Every name of a domain that is wanted, with the id it had before.
    names: BTreeMap<String, Option<Id>>,
    /// Local parts by domain.
    locals: Vec<(Id, String)>,
    /// Whose settings.
    owners: BTreeSet<String>,
}

impl Question {
    fn new(shared: &Shared, wanted: &[Address]) -> Self {
        let mut question =
            Self { names: BTreeMap::new(), locals: Vec::new(), owners: BTreeSet::from([SYSTEM.to_owned()]) };
        for address in wanted {
            let name = address.domain().as_str();
            let known =
                question.names.entry(name.to_owned()).or_insert_with(|| shared.hints.domain(name)).clone();
            let Some(domain) = known else { continue };
            question.owners.insert(domain.0.clone());
            for local in bases(address) {
                question.owners.extend(shared.hints.owner(&domain, &local).map(|id| id.0));
                question.locals.push((domain.clone(), local));
            }
        }
        question.locals.sort();
        question.locals.dedup();
        question
    }

    /// Whether a place was asked for. Servers find more: letters that differ in form only, blanks that are doubled.
    fn is_about(&self, place: &(Id, String)) -> bool {
        self.locals.binary_search(place).is_ok()
    }

    /// One filter for each part of it; most have one part.
    fn filters(&self) -> Vec<String> {
        let names = self.names.keys();
        let names: Vec<String> = names
            .flat_map(|name| ["pigeonDomainName", "pigeonDomainAlias"].map(|attribute| is(attribute, name)))
            .collect();
        let owners: Vec<String> = self.owners.iter().map(|owner| is("pigeonOwner", owner)).collect();
        let common = format!(
            "(objectClass=pigeonDirectory)(&(objectClass=pigeonMailDomain){}){}",
            any(&names),
            owners.concat()
        );
        let domains: BTreeSet<&Id> = self.names.values().flatten().collect();
        let wildcards = domains.iter().map(|id| format!("(&(pigeonPattern=*){})", is("pigeonDomain", &id.0)));
        let first = format!("(|{common}{}", wildcards.collect::<String>());
        let mut filters: Vec<String> = Vec::new();
        for part in self.locals.chunks(ADDRESSES_AT_A_TIME) {
            let start =
                if filters.is_empty() { first.clone() } else { "(|(objectClass=pigeonDirectory)".to_owned() };
            filters.push(format!("{start}{})", local_terms(part)));
        }
        if filters.is_empty() {
            filters.push(format!("{first})"));
        }
        filters
    }
}

fn local_terms(locals: &[(Id, String)]) -> String {
    let mut terms = String::new();
    for group in locals.chunk_by(|one, two| one.0 == two.0) {
        let Some((domain, _)) = group.first() else { continue };
        let locals: Vec<String> = group.iter().map(|(_, local)| is("pigeonLocalPart", local)).collect();
        terms.extend(["(&", &any(&locals), &is("pigeonDomain", &domain.0), ")"]);
    }
    terms
}

#[async_trait]
impl Fetcher for Lookups<'_> {
    async fn fetch(&mut self, wanted: &[Address]) -> Outcome<Fetched> {
        for _ in 0..MAX_ROUNDS {
            let question = Question::new(self.shared, wanted);
            let Some((position, records)) = self.ask(&question).await? else { continue };
            let mut answer = Answer::new(self.shared, &question);
            answer.take_in(&records)?;
            if let Some(mapping) = &self.shared.mapping {
                let people = People::new(mapping, &self.connection);
                people.fetch(&mut answer, wanted).await?;
            }
            if !answer.missing {
                let mut fetched = answer.fetched;
                fetched.position = self.since.position(position);
                wanted.iter().for_each(|address| fetched.cover(address));
                return Ok(fetched);
            }
        }
        Err(Failure::Unusable("changes faster than it can be read".to_owned()))
    }
}

impl Lookups<'_> {
    /// The position and all records; none where the directory changed between two parts of the question.
    async fn ask(&self, question: &Question) -> Outcome<Option<(u64, Vec<Record>)>> {
        let attributes: Vec<&str> = [ROWS, BELONGINGS, &["pigeonSequence"]].concat();
        let mut all: Vec<Record> = Vec::new();
        let mut position = None;
        for filter in question.filters() {
            let base = self.shared.tree.base();
            let search = Search { base, scope: Scope::Subtree, filter: &filter, attributes: &attributes };
            let records = self.connection.search(&search).await?;
            let here = records.iter().find(|record| record.is_a("pigeonDirectory"));
            let here = here.and_then(|record| record.number("pigeonSequence"));
            let here = here.ok_or_else(|| self.shared.no_directory())?;
            if position.is_some_and(|before| before != here) {
                return Ok(None);
            }
            position = Some(here);
            all.extend(records);
        }
        Ok(position.map(|position| (position, all)))
    }
}

/// What the records say.
pub(super) struct Answer<'a> {
    shared: &'a Shared,
    question: &'a Question,
    pub(super) fetched: Fetched,
    domains: BTreeMap<Id, DomainRow>,
    /// Places that are taken already: two entries at one place are a mistake that nobody should guess about.
    taken: BTreeSet<(Id, String)>,
    /// Whether the answer showed that more belongs to it.
    missing: bool,
}

impl<'a> Answer<'a> {
    fn new(shared: &'a Shared, question: &'a Question) -> Self {
        let fetched = Fetched::default();
        Self { shared, question, fetched, domains: BTreeMap::new(), taken: BTreeSet::new(), missing: false }
    }

    fn take_in(&mut self, records: &[Record]) -> Outcome<()> {
        for record in records.iter().filter(|record| record.is_a("pigeonMailDomain")) {
            self.domain(record)?;
        }
        for record in records {
            if record.is_a("pigeonAccount") {
                self.account(record)?;
            } else if record.is_a("pigeonAlias") {
                self.alias(record)?;
            } else if record.is_a("pigeonSetting") {
                self.setting(record)?;
            }
        }
        Ok(())
    }

    fn domain(&mut self, record: &Record) -> Outcome<()> {
        let row = record.domain()?;
        let names = record.other_names().into_iter().chain([row.name.to_string()]);
        for name in names {
            let Some(known) = self.question.names.get(&name) else { continue };
            if known.as_ref() != Some(&row.id) {
                self.shared.hints.learn_domain(&name, &row.id);
                self.missing = true;
            }
            if let Some(other) = self.fetched.domains.insert(name, row.clone())
                && other.id != row.id
            {
                return Err(record.broken("has a name that another domain has, too"));
            }
        }
        self.domains.insert(row.id.clone(), row);
        Ok(())
    }

    fn account(&mut self, record: &Record) -> Outcome<()> {
        let Some(domain) = self.domains.get(&record.domain_id()?) else { return Ok(()) };
        let account = record.account(domain)?;
        let place = (account.domain.clone(), record.local()?);
        if !self.question.is_about(&place) {
            return Ok(());
        }
        if record.text("hasSubordinates") == Some("TRUE") {
            self.need_settings_of(&account.id, &place);
        }
        self.take_place(record, place)?;
        self.fetched.add_account(account);
        Ok(())
    }

    /// Sees to it that what is written for an account is asked for, too.
    pub(super) fn need_settings_of(&mut self, account: &Id, place: &(Id, String)) {
        if !self.question.owners.contains(&account.0) {
            self.shared.hints.learn_owner(&place.0, &place.1, account);
            self.missing = true;
        }
    }

    /// Whether an entry of our own has that place.
    pub(super) fn is_taken(&self, place: &(Id, String)) -> bool {
        self.taken.contains(place)
    }

    fn alias(&mut self, record: &Record) -> Outcome<()> {
        let Some(domain) = self.domains.get(&record.domain_id()?) else { return Ok(()) };
        let alias = record.alias(domain)?;
        let place = (alias.domain.clone(), alias.pattern.local.clone());
        if !alias.pattern.is_wildcard() && !self.question.is_about(&place) {
            return Ok(());
        }
        self.take_place(record, place)?;
        if alias.status != Status::Removed {
            self.fetched.add_alias(alias);
        }
        Ok(())
    }

    fn take_place(&mut self, record: &Record, place: (Id, String)) -> Outcome<()> {
        if self.taken.insert(place) {
            return Ok(());
        }
        Err(record.broken("has a local part that another entry of its domain has, too"))
    }

    fn setting(&mut self, record: &Record) -> Outcome<()> {
        let id = record.owner()?;
        let owner = match id {
            SYSTEM => Owner::system(),
            id if self.domains.contains_key(&Id(id.to_owned())) => Owner::domain(&Id(id.to_owned())),
            id => Owner::account(&Id(id.to_owned())),
        };
        let layer: Layer = owner.layer;
        self.fetched.settings.entry(owner).or_default().push(record.setting(layer)?);
        Ok(())
    }
}
