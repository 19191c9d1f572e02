//! Accounts of an existing directory: people as they are there, read only, with settings of ours beside them.

use std::collections::BTreeSet;

use ldap3::Scope;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, AliasPattern, Id, Status};
use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Layer, Pin, Setting, SettingName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::fetched::bases;
use super::super::rows::{DomainRow, Owner, StoredAlias};
use super::ask::{Search, any, escaped, is};
use super::dial::Connection;
use super::fetching::Answer;
use super::reading::Reader;
use super::record::Record;
use crate::directory::mailbox;

/// Where an existing directory has its people, and what its attributes mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The entry below which people are, like `ou=people,dc=example,dc=org`.
    pub base: String,
    /// Which entry an address means: an LDAP filter in which `%s` stands for the address, `%u` for what is before
    /// the @, and `%d` for the domain.
    #[serde(default = "default_filter")]
    pub filter: String,
    /// The attribute whose value never changes for a person: letters, digits and hyphens.
    #[serde(default = "default_id")]
    pub id: String,
    /// The attribute with the address. Where it has several values, the first one in the alphabet is the person's own
    /// address, and the others are further ones.
    #[serde(default = "default_address")]
    pub address: String,
    /// The attribute with further addresses of the same person; `filter` must find people by it, too.
    #[serde(default)]
    pub aliases: Option<String>,
    /// The attribute with the person's name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The attribute with the password's hash, for logins through this directory's accounts.
    #[serde(default = "default_password")]
    pub password: String,
    /// The attribute with the path of the mailbox: two parts with a slash between them, like `example.org/ann`.
    /// Unset: the path is made of the address, so that a person with another address gets another mailbox.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// The attribute with addresses that mail is forwarded to: the setting `forward.to`, where nothing is written.
    #[serde(default)]
    pub forward: Option<String>,
    /// The attribute with the mailbox's limit, as `2G` or in octets: the setting `quota.octets`, where nothing is written.
    #[serde(default)]
    pub quota: Option<String>,
    /// A filter for people whose mail waits, like `(employeeStatus=left)`. Unset: for nobody.
    #[serde(default)]
    pub suspended: Option<String>,
}

fn default_filter() -> String {
    "(&(objectClass=inetOrgPerson)(mail=%s))".to_owned()
}

fn default_id() -> String {
    "entryUUID".to_owned()
}

fn default_address() -> String {
    "mail".to_owned()
}

fn default_name() -> String {
    "cn".to_owned()
}

fn default_password() -> String {
    "userPassword".to_owned()
}

impl Mapping {
    /// The people below an entry, as plain `inetOrgPerson` with `mail`.
    #[must_use]
    pub fn below(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            filter: default_filter(),
            id: default_id(),
            address: default_address(),
            aliases: None,
            name: default_name(),
            password: default_password(),
            mailbox: None,
            forward: None,
            quota: None,
            suspended: None,
        }
    }

    /// Says what is wrong with it before the first mail comes.
    pub(super) fn check(&self) -> Result<(), DirectoryError> {
        let parses = |filter: &str| ldap3::parse_filter(filter).is_ok();
        if !self.filter.contains("%s") && !self.filter.contains("%u") {
            let why = "has neither %s nor %u: it would find the same people for every address";
            return Err(DirectoryError::Invalid(format!("the filter {:?} {why}", self.filter)));
        }
        let filters = [Some(fill(&self.filter, "a@b", "a", "b")), self.suspended.clone()];
        match filters.into_iter().flatten().find(|filter| !parses(filter)) {
            Some(filter) => {
                Err(DirectoryError::Invalid(format!("{filter:?} is not an LDAP filter (RFC 4515)")))
            }
            None => Ok(()),
        }
    }

    fn filter_for(&self, address: &Address) -> String {
        let shown = escaped(&address.to_string());
        fill(&self.filter, &shown, &escaped(address.local()), &escaped(address.domain().as_str()))
    }

    fn attributes(&self) -> Vec<&str> {
        let more = [&self.aliases, &self.mailbox, &self.forward, &self.quota];
        let more = more.into_iter().flatten().map(String::as_str);
        [&self.id, &self.address, &self.name, &self.password]
            .map(String::as_str)
            .into_iter()
            .chain(more)
            .collect()
    }
}

/// Puts values, escaped already, in the place of `%s`, `%u` and `%d`.
fn fill(template: &str, address: &str, local: &str, domain: &str) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        filled.push_str(before);
        let (value, skip) = match after.as_bytes().first() {
            Some(b's') => (address, 1),
            Some(b'u') => (local, 1),
            Some(b'd') => (domain, 1),
            _ => ("%", 0),
        };
        filled.push_str(value);
        rest = after.get(skip..).unwrap_or_default();
    }
    filled + rest
}

/// Reads people over one connection.
pub(super) struct People<'a> {
    mapping: &'a Mapping,
    connection: &'a Connection,
}

/// Somebody, as their entry says.
struct Person {
    record: Record,
    id: Id,
    /// Their own address first.
    addresses: Vec<Address>,
    is_suspended: bool,
}

impl<'a> People<'a> {
    pub(super) const fn new(mapping: &'a Mapping, connection: &'a Connection) -> Self {
        Self { mapping, connection }
    }

    /// Adds whoever has one of the addresses that are wanted, unless an entry of our own has it.
    pub(super) async fn fetch(&self, answer: &mut Answer<'_>, wanted: &[Address]) -> Outcome<()> {
        let mut places: BTreeSet<(String, String)> = BTreeSet::new();
        for address in wanted {
            let name = address.domain().as_str();
            let Some(row) = answer.fetched.domains.get(name) else { continue };
            for local in bases(address) {
                places.extend([(local.clone(), name.to_owned()), (local, row.name.to_string())]);
            }
        }
        let asked = places
            .iter()
            .filter_map(|(local, name)| Address::from_parts(local, DomainName::parse(name).ok()?).ok());
        let filters: Vec<String> = asked.map(|address| self.mapping.filter_for(&address)).collect();
        if filters.is_empty() {
            return Ok(());
        }
        for person in self.search(&any(&filters)).await? {
            self.take_in(answer, &person, &places)?;
        }
        Ok(())
    }

    fn take_in(
        &self,
        answer: &mut Answer<'_>,
        person: &Person,
        places: &BTreeSet<(String, String)>,
    ) -> Outcome<()> {
        let Some((own, others)) = person.addresses.split_first() else { return Ok(()) };
        let row_of = |answer: &Answer<'_>, address: &Address| {
            let (known, name) = (&answer.fetched.domains, address.domain());
            known.get(name.as_str()).or_else(|| known.values().find(|row| row.name == *name)).cloned()
        };
        // Whoever comes to them by a further address asks for their own one next.
        let own_place = (own.local().to_lowercase(), own.domain().to_string());
        if let Some(row) = row_of(answer, own).filter(|_| places.contains(&own_place)) {
            let place = (row.id.clone(), own.local().to_lowercase());
            if !answer.is_taken(&place) {
                answer.need_settings_of(&person.id, &place);
                answer.fetched.add_account(self.account(person, &row)?);
                self.add_settings(answer, person)?;
            }
        }
        for other in others {
            let Some(row) = row_of(answer, other) else { continue };
            let local = other.local().to_lowercase();
            if other.key() == own.key() || answer.is_taken(&(row.id.clone(), local.clone())) {
                continue;
            }
            let id = Id(format!("{}-{local}@{}", person.id, row.id));
            let pattern = AliasPattern { local, domain: row.name };
            let targets = vec![own.to_string()];
            answer.fetched.add_alias(StoredAlias {
                id,
                domain: row.id,
                pattern,
                targets,
                status: Status::Active,
            });
        }
        Ok(())
    }

    /// What attributes say besides, where nothing is written about it.
    fn add_settings(&self, answer: &mut Answer<'_>, person: &Person) -> Outcome<()> {
        let held = answer.fetched.settings.entry(Owner::account(&person.id)).or_default();
        let mut add = |service: &str, key: &str, value: Value| {
            let name = SettingName { service: service.to_owned(), key: key.to_owned() };
            let is_it =
                |setting: &Setting| setting.name == name && matches!(setting.content, Content::Value(_));
            if !held.iter().any(is_it) {
                let (layer, content, by) = (Layer::Account, Content::Value(value), "ldap".to_owned());
                held.push(Setting { layer, name, content, pin: Pin::None, until: None, reason: None, by });
            }
        };
        let forward = self.mapping.forward.as_deref().map(|name| person.record.texts(name));
        let mut to: Vec<String> = Vec::new();
        for text in forward.into_iter().flatten() {
            let address = Address::parse(text);
            let address =
                address.map_err(|error| person.record.broken(&format!("forwards to {text:?}: {error}")))?;
            to.push(address.to_string());
        }
        if !to.is_empty() {
            to.sort();
            add("forward", "enabled", Value::from(true));
            add("forward", "to", Value::from(to));
        }
        if let Some(limit) = self.mapping.quota.as_deref().and_then(|name| person.record.text(name)) {
            let limit = limit.parse::<u64>().map_or_else(|_| Value::from(limit), Value::from);
            add("quota", "enabled", Value::from(true));
            add("quota", "octets", limit);
        }
        Ok(())
    }

    fn account(&self, person: &Person, domain: &DomainRow) -> Outcome<Account> {
        let record = &person.record;
        let own = person.addresses.first().ok_or_else(|| record.broken("has no address"))?;
        let local = own.local().to_lowercase();
        let address = Address::from_parts(&local, domain.name.clone());
        let address = address.map_err(|error| record.broken(&format!("has no usable address: {error}")))?;
        let mailbox = match self.mapping.mailbox.as_deref().and_then(|name| record.text(name)) {
            Some(path) if mailbox::is_safe(path) => MailboxPath(path.to_owned()),
            Some(path) => return Err(record.broken(&format!("has the mailbox path {path:?}, which is none"))),
            None => {
                let paths = mailbox::candidates(domain.name.as_str(), &local, &person.id.0);
                paths.into_iter().next().ok_or_else(|| record.broken("has no mailbox path"))?
            }
        };
        let password = record.octets(&self.mapping.password).iter().min();
        Ok(Account {
            id: person.id.clone(),
            domain: domain.id.clone(),
            address,
            name: record.text(&self.mapping.name).unwrap_or_default().to_owned(),
            mailbox,
            password: password.map(|password| String::from_utf8_lossy(password).into_owned()),
            status: if person.is_suspended { Status::Suspended } else { Status::Active },
        })
    }

    /// The account that has this as its own address.
    pub(super) async fn account_at(&self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        let address = Address::from_parts(local, domain.name.clone());
        let address = address.map_err(|error| Failure::invalid(error.to_string()))?;
        let found = self.search(&self.mapping.filter_for(&address)).await?;
        let owner = found
            .iter()
            .find(|person| person.addresses.first().is_some_and(|own| own.key() == address.key()));
        owner.map(|person| self.account(person, domain)).transpose()
    }

    pub(super) async fn account_of(&self, id: &Id, domain: &DomainRow) -> Outcome<Option<Account>> {
        let found = self.search(&is(&self.mapping.id, &id.0)).await?;
        found.first().map(|person| self.account(person, domain)).transpose()
    }

    /// The domain of somebody's own address.
    pub(super) async fn domain_of(&self, id: &Id) -> Outcome<Option<DomainName>> {
        let found = self.search(&is(&self.mapping.id, &id.0)).await?;
        let own = found.first().and_then(|person| person.addresses.first());
        Ok(own.map(|own| own.domain().clone()))
    }

    /// Everybody whose own address is in a domain, behind a local part.
    pub(super) async fn accounts_in(&self, domain: &DomainRow, after: &str) -> Outcome<Vec<Account>> {
        let name = escaped(domain.name.as_str());
        let found = self.search(&fill(&self.mapping.filter, &format!("*@{name}"), "*", &name)).await?;
        let is_there = |person: &&Person| {
            let own = person.addresses.first();
            own.is_some_and(|own| *own.domain() == domain.name && own.local().to_lowercase().as_str() > after)
        };
        found.iter().filter(is_there).map(|person| self.account(person, domain)).collect()
    }

    async fn search(&self, filter: &str) -> Outcome<Vec<Person>> {
        let attributes = self.mapping.attributes();
        let search =
            Search { base: &self.mapping.base, scope: Scope::Subtree, filter, attributes: &attributes };
        let found = self.connection.search_all(&search).await?;
        let mut suspended = BTreeSet::new();
        if let Some(waiting) = &self.mapping.suspended
            && !found.is_empty()
        {
            let filter = format!("(&{filter}{waiting})");
            let search = Search { filter: &filter, attributes: &["1.1"], ..search };
            suspended.extend(self.connection.search_all(&search).await?.into_iter().map(|record| record.dn));
        }
        let people = found.into_iter().map(|record| {
            let is_suspended = suspended.contains(&record.dn);
            self.person(record, is_suspended)
        });
        people.collect()
    }

    fn person(&self, record: Record, is_suspended: bool) -> Outcome<Person> {
        let id = record.need(&self.mapping.id)?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if !(1..=64).contains(&id.len()) || !id.chars().all(is_plain) {
            return Err(record.broken(&format!("has a {} that is no id", self.mapping.id)));
        }
        let id = Id(id.to_owned());
        let parsed = |name: &str| -> BTreeSet<String> {
            // What is no address is none that mail could come for.
            let addresses = record.texts(name).filter_map(|text| Address::parse(text).ok());
            addresses.map(|address| address.key()).collect()
        };
        let further = self.mapping.aliases.as_deref().map(&parsed).unwrap_or_default();
        let keys = parsed(&self.mapping.address).into_iter().chain(further);
        let of_key = |key: String| {
            let (local, domain) = key.rsplit_once('@')?;
            Address::from_parts(local, DomainName::parse(domain).ok()?).ok()
        };
        let addresses = keys.filter_map(of_key).collect();
        Ok(Person { record, id, addresses, is_suspended })
    }
}

impl Reader<'_> {
    /// Whether somebody of the existing directory has that id.
    pub(super) async fn is_person(&self, id: &Id) -> Outcome<bool> {
        match self.people() {
            Some(people) => Ok(people.domain_of(id).await?.is_some()),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_filled_and_escaped() {
        let check = |template: &str, address: &str, expect: &str| {
            let mapping = Mapping { filter: template.to_owned(), ..Mapping::below("o=x") };
            assert_eq!(mapping.filter_for(&address.parse().unwrap()), expect);
        };
        check("(mail=%s)", "ann@example.org", "(mail=ann@example.org)");
        check(
            "(&(uid=%u)(dc=%d)(x=%%s%))",
            "ann@example.org",
            "(&(uid=ann)(dc=example.org)(x=%ann@example.org%))",
        );
        check("(mail=%s)", "\"*)(uid=*\"@example.org", "(mail=\"\\2a\\29\\28uid=\\2a\"@example.org)");
        check("(uid=%u)", "%d@example.org", "(uid=%d)");
    }

    #[test]
    fn mappings_are_checked() {
        let check = |filter: &str, suspended: Option<&str>, word: &str| {
            let suspended = suspended.map(str::to_owned);
            let mapping = Mapping { filter: filter.to_owned(), suspended, ..Mapping::below("o=x") };
            let text = mapping.check().map_or_else(|error| error.to_string(), |()| String::new());
            assert!(text.contains(word) && word.is_empty() == text.is_empty(), "{text}");
        };
        check("(mail=%s)", None, "");
        check("(uid=%u)", Some("(status=left)"), "");
        check("(objectClass=person)", None, "neither %s nor %u");
        check("(mail=%s", None, "not an LDAP filter");
        check("(mail=%s)", Some("status=left)"), "not an LDAP filter");
    }
}
