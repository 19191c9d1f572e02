//! The words of the directory: who receives mail, what was written for them, and changes to both.

mod pattern;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::ports::mailstore::MailboxPath;
use crate::setting::{Content, ContentKind, Layer, Pin, Setting, SettingName, lowercase_names};
use crate::timestamp::Timestamp;

pub use pattern::AliasPattern;

/// An immutable identifier: `UUIDv7` as text (RFC 9562 §5.7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub String);

impl Id {
    /// A new identifier; later ones sort behind earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a domain, account or alias takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It receives mail.
    #[default]
    Active,
    /// Mail for it waits at the MTA (4xx) until it is resumed.
    Suspended,
    /// Marked as removed: unknown to senders; everything is kept until `purge`.
    Removed,
}
lowercase_names!(Status, "status", Active = "active", Suspended = "suspended", Removed = "removed");

/// A mail domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its identity.
    pub id: Id,
    /// Its name now.
    pub name: String,
    /// Other names that mean the same domain.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether it takes part.
    #[serde(default)]
    pub status: Status,
}

/// Somebody with a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its identity.
    pub id: Id,
    /// The domain it belongs to.
    pub domain: Id,
    /// Its address now.
    pub address: Address,
    /// The person's name, for display; may be empty.
    #[serde(default)]
    pub name: String,
    /// Where its mail is: assigned once, kept through every rename.
    pub mailbox: MailboxPath,
    /// The password's hash with its scheme, `{ARGON2ID}$argon2id$…`; none: nobody can log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whether it takes part.
    #[serde(default)]
    pub status: Status,
}

/// An address that stands for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its identity.
    pub id: Id,
    /// The domain it belongs to.
    pub domain: Id,
    /// Its address: a full one, one with `*` in the local part (`sales-*`), or the catch-all `*`.
    pub pattern: AliasPattern,
    /// Where its mail goes: accounts, other aliases, or addresses elsewhere.
    pub targets: Vec<Address>,
    /// Whether it takes part.
    #[serde(default)]
    pub status: Status,
}

/// What an account may administer beyond itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    System,
    /// One domain and its accounts.
    Domain(Id),
}

/// A role given to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who holds it.
    pub account: Id,
    /// What they may do.
    pub role: Role,
}

/// Where a setting is written, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The system layer.
    System,
    /// A domain's layer.
    Domain(String),
    /// An account's layer.
    Account(Address),
}

impl Place {
    /// The layer of this place.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        match self {
            Self::System => Layer::System,
            Self::Domain(_) => Layer::Domain,
            Self::Account(_) => Layer::Account,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => formatter.write_str("the system"),
            Self::Domain(name) => write!(formatter, "the domain {name}"),
            Self::Account(address) => write!(formatter, "the account {address}"),
        }
    }
}

/// Something in the directory that can be renamed, removed, restored and purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A domain by its name.
    Domain(String),
    /// An account by its address.
    Account(Address),
    /// An alias by its pattern.
    Alias(AliasPattern),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => write!(formatter, "the domain {name}"),
            Self::Account(address) => write!(formatter, "the account {address}"),
            Self::Alias(pattern) => write!(formatter, "the alias {pattern}"),
        }
    }
}

/// One change of the directory: what a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// A new domain.
    AddDomain {
        /// Its name.
        name: String,
    },
    /// Another name for a domain.
    AddDomainAlias {
        /// The domain.
        domain: String,
        /// The other name.
        alias: String,
    },
    /// Takes another name away again.
    RemoveDomainAlias {
        /// The other name.
        alias: String,
    },
    /// A new account; its domain must exist.
    AddAccount {
        /// Its address.
        address: Address,
        /// The person's name, may be empty.
        name: String,
        /// A password hash with scheme.
        password: Option<String>,
    },
    /// Another name and password for an account; a missing part stays as it is.
    EditAccount {
        /// The account.
        address: Address,
        /// The person's name.
        name: Option<String>,
        /// A password hash with scheme.
        password: Option<String>,
    },
    /// A new alias; its domain must exist.
    AddAlias {
        /// Its pattern.
        pattern: AliasPattern,
        /// At least one target.
        targets: Vec<Address>,
    },
    /// Other targets for an alias.
    EditAlias {
        /// The alias.
        pattern: AliasPattern,
        /// At least one target.
        targets: Vec<Address>,
    },
    /// Another name; identity, mail and settings stay.
    Rename {
        /// What.
        subject: Subject,
        /// The new name, in the form that the subject's name has.
        to: String,
    },
    /// Suspends, resumes, removes or restores.
    SetStatus {
        /// What.
        subject: Subject,
        /// The status from now on.
        status: Status,
    },
    /// Deletes for good what is marked as removed; a domain takes everything in it with it.
    Purge {
        /// What.
        subject: Subject,
    },
    /// Gives a role.
    AddGrant {
        /// To whom.
        account: Address,
        /// A domain's name, or none for the whole system.
        domain: Option<String>,
    },
    /// Takes a role back.
    RemoveGrant {
        /// From whom.
        account: Address,
        /// A domain's name, or none for the whole system.
        domain: Option<String>,
    },
    /// Writes a setting, in the place of one of the same layer, name and kind.
    Set {
        /// Where.
        place: Place,
        /// Which.
        name: SettingName,
        /// A value or a range.
        content: Content,
        /// With which pin.
        pin: Pin,
        /// When the pin lapses.
        until: Option<Timestamp>,
        /// Why it is pinned.
        reason: Option<String>,
    },
    /// Changes the pin of a setting that is written; its value stays.
    SetPin {
        /// Where.
        place: Place,
        /// Which.
        name: SettingName,
        /// Its value or its range.
        kind: ContentKind,
        /// The pin from now on; none unpins.
        pin: Pin,
        /// When it lapses.
        until: Option<Timestamp>,
        /// Why.
        reason: Option<String>,
    },
    /// Takes a setting away: nothing is said there any more.
    Unset {
        /// Where.
        place: Place,
        /// Which.
        name: SettingName,
        /// Its value or its range.
        kind: ContentKind,
    },
    /// Another change, if values at one place are still as somebody saw them: for whoever changes a part of a value.
    IfWritten {
        /// Where.
        place: Place,
        /// What was seen there, none where nothing was written.
        seen: Vec<(SettingName, Option<serde_json::Value>)>,
        /// The change; only this is kept in the log.
        then: Box<Change>,
    },
}

impl Change {
    /// The change itself, without what it depends on.
    #[must_use]
    pub fn unconditional(&self) -> &Self {
        let mut change = self;
        while let Self::IfWritten { then: inner, .. } = change {
            change = inner;
        }
        change
    }
}

/// A row of the change log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedChange {
    /// Counts up by one; the change feed's cursor.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was asked for; passwords are not kept here.
    pub change: serde_json::Value,
    /// The row before, none where it is new.
    pub before: Option<serde_json::Value>,
    /// The row after, none where it is gone.
    pub after: Option<serde_json::Value>,
}

/// One line of an exported directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Entry {
    /// A domain.
    Domain(Domain),
    /// An account.
    Account(Account),
    /// An alias.
    Alias(Alias),
    /// A grant.
    Grant(Grant),
    /// A setting and whose it is: the id of a domain or account, none for the system.
    Setting {
        /// The id of the domain or account; none: system layer.
        owner: Option<Id>,
        /// The setting.
        #[serde(flatten)]
        setting: Setting,
    },
}

/// A part of the directory that a kept look-up depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The system layer.
    System,
    /// A domain: its name, its layer, its catch-all and wildcards.
    Domain(Id),
    /// A domain name: whether it exists and which domain it means.
    DomainName(String),
    /// An account and its layer.
    Account(Id),
    /// An address in key form: whether it exists and what it is.
    Address(String),
}

/// What an address means.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Somebody receives its mail.
    Found(Resolution),
    /// Nobody does, and that is certain.
    None(Nobody),
}

/// An address that nobody has; remembered like one that somebody has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nobody {
    /// The domain, where it at least is one of ours, and what is written at its layer and the system's.
    pub domain: Option<(Id, Vec<Setting>)>,
    /// What this answer depends on.
    pub scopes: Vec<Scope>,
    /// The change log's position that this answer reflects.
    pub seq: u64,
}

/// Where the mail of an address goes.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// One for each target, each target once; more than one only through aliases.
    pub branches: Vec<Target>,
    /// Why the aliases could not be followed to their end, where that is so: a loop, too deep, a suspended domain.
    pub broken: Option<String>,
    /// What this answer depends on.
    pub scopes: Vec<Scope>,
    /// The change log's position that this answer reflects.
    pub seq: u64,
}

/// One target of an address.
#[derive(Debug, Clone)]
pub struct Target {
    /// The account, or an address elsewhere.
    pub to: TargetKind,
    /// The aliases that were followed to it, outermost first.
    pub via: Vec<AliasPattern>,
    /// What is written at its layers: for an address elsewhere those of the system and the alias' domain.
    pub settings: Vec<Setting>,
    /// What is written at the layers of the last alias: those of the system and its domain; nothing without an alias.
    pub alias_settings: Vec<Setting>,
}

/// Who a target is.
#[derive(Debug, Clone)]
pub enum TargetKind {
    /// An account here, and the detail of a sub-address (`user+detail`).
    Account(Account, Option<String>),
    /// An address elsewhere, that an alias of this domain names.
    External(Address, Id),
}
