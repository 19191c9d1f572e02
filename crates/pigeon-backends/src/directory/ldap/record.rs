//! From the server's entries to the words of the directory, and back.

use std::str::FromStr;

use ldap3::SearchEntry;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Grant, Id, Status};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Layer, Setting};
use pigeon_core::timestamp::Timestamp;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, StoredAlias};
use super::ask::Attributes;
use super::moment;
use super::tree::{self, owner_text};

/// What is read of domains, accounts and aliases. `hasSubordinates`: whether an account has settings or grants.
pub(super) const ROWS: &[&str] = &[
    "objectClass",
    "pigeonId",
    "pigeonDomain",
    "pigeonDomainName",
    "pigeonDomainAlias",
    "pigeonLocalPart",
    "pigeonPattern",
    "pigeonTarget",
    "pigeonMailbox",
    "pigeonStatus",
    "cn",
    "userPassword",
    "hasSubordinates",
];

/// What is read of settings and grants.
pub(super) const BELONGINGS: &[&str] = &[
    "objectClass",
    "pigeonOwner",
    "pigeonRole",
    "pigeonSettingName",
    "pigeonSettingKind",
    "pigeonContent",
    "pigeonPin",
    "pigeonPinUntil",
    "pigeonPinReason",
    "pigeonWrittenBy",
];

/// An entry as the server gave it.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl From<SearchEntry> for Record {
    fn from(entry: SearchEntry) -> Self {
        let texts = entry.attrs.into_iter();
        let texts = texts
            .map(|(name, values)| (name, values.into_iter().map(String::into_bytes).collect::<Vec<_>>()));
        Self { dn: entry.dn, attributes: texts.chain(entry.bin_attrs).collect() }
    }
}

impl Record {
    /// The values of an attribute as they are.
    pub(super) fn octets(&self, name: &str) -> &[Vec<u8>] {
        let is_it = |(known, _): &&(String, Vec<Vec<u8>>)| known.eq_ignore_ascii_case(name);
        self.attributes.iter().find(is_it).map_or(&[], |(_, values)| values.as_slice())
    }

    /// The values of an attribute that are text.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.octets(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of an attribute.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    pub(super) fn need(&self, name: &str) -> Outcome<&str> {
        self.text(name).ok_or_else(|| self.broken(&format!("has no {name}")))
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Whether the entry is of that class.
    pub(super) fn is_a(&self, class: &str) -> bool {
        self.texts("objectClass").any(|known| known.eq_ignore_ascii_case(class))
    }

    pub(super) fn broken(&self, why: &str) -> Failure {
        Failure::Unusable(format!("holds the entry {}, which {why}", self.dn))
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Outcome<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| {
            text.parse().map_err(|error: T::Err| self.broken(&format!("has a {name} that is none: {error}")))
        };
        self.text(name).map(parse).transpose()
    }

    fn status(&self) -> Outcome<Status> {
        Ok(self.parsed("pigeonStatus")?.unwrap_or_default())
    }

    pub(super) fn id(&self) -> Outcome<Id> {
        self.need("pigeonId").map(|id| Id(id.to_owned()))
    }

    /// The domain that an account or alias belongs to.
    pub(super) fn domain_id(&self) -> Outcome<Id> {
        self.need("pigeonDomain").map(|id| Id(id.to_owned()))
    }

    /// Whose setting or grant this is.
    pub(super) fn owner(&self) -> Outcome<&str> {
        self.need("pigeonOwner")
    }

    pub(super) fn domain(&self) -> Outcome<DomainRow> {
        let name: Option<DomainName> = self.parsed("pigeonDomainName")?;
        let name = name.ok_or_else(|| self.broken("has no pigeonDomainName"))?;
        Ok(DomainRow { id: self.id()?, name, status: self.status()? })
    }

    /// The other names of a domain, sorted.
    pub(super) fn other_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.texts("pigeonDomainAlias").map(str::to_ascii_lowercase).collect();
        names.sort();
        names
    }

    /// What stands before the @ of an account or alias, in lower case.
    pub(super) fn local(&self) -> Outcome<String> {
        let local = self.text("pigeonLocalPart").or_else(|| self.text("pigeonPattern"));
        let local = local.ok_or_else(|| self.broken("has neither pigeonLocalPart nor pigeonPattern"))?;
        Ok(local.to_lowercase())
    }

    pub(super) fn account(&self, domain: &DomainRow) -> Outcome<Account> {
        let address = Address::from_parts(&self.local()?, domain.name.clone());
        let password = self.octets("userPassword").iter().min().map(|octets| String::from_utf8_lossy(octets));
        Ok(Account {
            id: self.id()?,
            domain: domain.id.clone(),
            address: address.map_err(|error| self.broken(&format!("has no usable name: {error}")))?,
            name: self.text("cn").unwrap_or_default().to_owned(),
            mailbox: MailboxPath(self.need("pigeonMailbox")?.to_owned()),
            password: password.map(|password| password.into_owned()),
            status: self.status()?,
        })
    }

    pub(super) fn alias(&self, domain: &DomainRow) -> Outcome<StoredAlias> {
        let mut targets: Vec<(usize, &str)> = self.texts("pigeonTarget").map(placed).collect();
        targets.sort_by_key(|(place, _)| *place);
        Ok(StoredAlias {
            id: self.id()?,
            domain: domain.id.clone(),
            pattern: AliasPattern { local: self.local()?, domain: domain.name.clone() },
            targets: targets.into_iter().map(|(_, target)| target.to_owned()).collect(),
            status: self.status()?,
        })
    }

    pub(super) fn setting(&self, layer: Layer) -> Outcome<Setting> {
        let name = self.parsed("pigeonSettingName")?.ok_or_else(|| self.broken("names no setting"))?;
        let json = |error| self.broken(&format!("has a pigeonContent that is no JSON: {error}"));
        let content = self.octets("pigeonContent").first().map_or(&[][..], Vec::as_slice);
        let content = match self.need("pigeonSettingKind")? {
            "value" => Content::Value(serde_json::from_slice(content).map_err(json)?),
            "range" => Content::Range(serde_json::from_slice(content).map_err(json)?),
            other => return Err(self.broken(&format!("has the pigeonSettingKind {other:?}"))),
        };
        let until = self.text("pigeonPinUntil");
        let parse = |text| moment::parse(text).ok_or_else(|| self.broken("has no usable pigeonPinUntil"));
        Ok(Setting {
            layer,
            name,
            content,
            pin: self.parsed("pigeonPin")?.unwrap_or_default(),
            until: until.map(parse).transpose()?,
            reason: self.text("pigeonPinReason").map(str::to_owned),
            by: self.text("pigeonWrittenBy").unwrap_or("ldap").to_owned(),
        })
    }

    pub(super) fn grant(&self) -> Outcome<Grant> {
        Ok(Grant { account: Id(self.owner()?.to_owned()), role: tree::role(self.need("pigeonRole")?) })
    }
}

/// A target's place in the order, as `{0}` before it says, and the target.
fn placed(text: &str) -> (usize, &str) {
    let braced = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    match braced.and_then(|(digits, rest)| Some((digits.parse().ok()?, rest))) {
        Some(placed) => placed,
        None => (usize::MAX, text),
    }
}

fn text(value: &str) -> Vec<Vec<u8>> {
    if value.is_empty() { Vec::new() } else { vec![value.as_bytes().to_vec()] }
}

fn status_text(status: Status) -> Vec<Vec<u8>> {
    // Most are active, and that is what a missing value says.
    if status == Status::Active { Vec::new() } else { text(&status.to_string()) }
}

/// What is written of a domain.
pub(super) fn of_domain(domain: &Domain) -> Attributes {
    let aliases = domain.aliases.iter().map(|name| name.as_bytes().to_vec()).collect();
    vec![
        ("pigeonDomainName", text(&domain.name)),
        ("pigeonDomainAlias", aliases),
        ("pigeonStatus", status_text(domain.status)),
    ]
}

/// What is written of an account.
pub(super) fn of_account(account: &Account) -> Attributes {
    vec![
        ("pigeonDomain", text(&account.domain.0)),
        ("pigeonLocalPart", text(account.address.local())),
        ("pigeonMailbox", text(&account.mailbox.0)),
        ("cn", text(&account.name)),
        ("mail", mail(&account.address)),
        ("userPassword", text(account.password.as_deref().unwrap_or_default())),
        ("pigeonStatus", status_text(account.status)),
    ]
}

/// The address as other programs look for it; `mail` takes ASCII only (RFC 4524 §2.16).
pub(super) fn mail(address: &Address) -> Vec<Vec<u8>> {
    let shown = address.to_string();
    if shown.is_ascii() { text(&shown) } else { Vec::new() }
}

/// What is written of an alias.
pub(super) fn of_alias(alias: &Alias) -> Attributes {
    let (local, pattern) = match alias.pattern.is_wildcard() {
        true => ("", alias.pattern.local.as_str()),
        false => (alias.pattern.local.as_str(), ""),
    };
    let shown = alias.targets.iter().map(ToString::to_string).enumerate();
    let targets = shown.map(|(place, target)| format!("{{{place}}}{target}").into_bytes()).collect();
    vec![
        ("pigeonDomain", text(&alias.domain.0)),
        ("pigeonLocalPart", text(local)),
        ("pigeonPattern", text(pattern)),
        ("pigeonTarget", targets),
        ("pigeonStatus", status_text(alias.status)),
    ]
}

/// What is written of a setting.
pub(super) fn of_setting(owner: Option<&Id>, setting: &Setting) -> Outcome<Attributes> {
    let content = match &setting.content {
        Content::Value(value) => serde_json::to_vec(value),
        Content::Range(range) => serde_json::to_vec(range),
    };
    let content = content.map_err(|error| Failure::invalid(error.to_string()))?;
    let until = setting.until.map(time).transpose()?.unwrap_or_default();
    Ok(vec![
        ("pigeonOwner", text(owner_text(owner))),
        ("pigeonContent", vec![content]),
        ("pigeonPin", text(&setting.pin.to_string())),
        ("pigeonPinUntil", until),
        ("pigeonPinReason", text(setting.reason.as_deref().unwrap_or_default())),
        ("pigeonWrittenBy", text(&setting.by)),
    ])
}

/// A number, as attributes hold it.
pub(super) fn number(value: u64) -> Vec<Vec<u8>> {
    text(&value.to_string())
}

/// Text, as attributes hold it; none where it is empty.
pub(super) fn value(held: &str) -> Vec<Vec<u8>> {
    text(held)
}

/// When something was, as attributes hold it.
pub(super) fn time(at: Timestamp) -> Outcome<Vec<Vec<u8>>> {
    let shown = moment::shown(at);
    shown.map(|shown| text(&shown)).ok_or_else(|| Failure::invalid("the time lies behind the year 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_keep_their_order() {
        let check = |text: &str, expect: (usize, &str)| assert_eq!(placed(text), expect, "{text}");
        check("{0}ann@example.org", (0, "ann@example.org"));
        check("{12}{3}x@example.org", (12, "{3}x@example.org"));
        check("ann@example.org", (usize::MAX, "ann@example.org"));
        check("{x}@example.org", (usize::MAX, "{x}@example.org"));
    }
}
