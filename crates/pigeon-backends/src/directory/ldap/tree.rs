//! Where entries are: base → domains → accounts and aliases → settings and grants.

use pigeon_core::directory::{Entry, Id, Role};
use pigeon_core::setting::{ContentKind, Setting, SettingName};

use super::ask::in_dn;

/// The word for the whole system in `pigeonOwner` and `pigeonRole`.
pub(super) const SYSTEM: &str = "system";

/// The distinguished names below one base.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    base: String,
}

impl Tree {
    pub(super) const fn new(base: String) -> Self {
        Self { base }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The containers, each with its name.
    pub(super) fn containers(&self) -> [(&'static str, String); 5] {
        ["domains", "people", "settings", "retired", "changes"].map(|name| (name, self.below(name)))
    }

    fn below(&self, container: &str) -> String {
        format!("ou={container},{}", self.base)
    }

    pub(super) fn domains(&self) -> String {
        self.below("domains")
    }

    /// Stands for accounts of an existing directory, where something is written for them.
    pub(super) fn person(&self, id: &Id) -> String {
        format!("{},{}", rdn(id), self.below("people"))
    }

    pub(super) fn changes(&self) -> String {
        self.below("changes")
    }

    pub(super) fn change(&self, seq: u64) -> String {
        format!("pigeonSequence={seq},{}", self.changes())
    }

    pub(super) fn retired(&self, mailbox: &str) -> String {
        format!("pigeonMailbox={},{}", in_dn(mailbox), self.below("retired"))
    }

    pub(super) fn domain(&self, id: &Id) -> String {
        format!("{},{}", rdn(id), self.domains())
    }

    /// An account or alias.
    pub(super) fn member(&self, domain: &Id, id: &Id) -> String {
        format!("{},{}", rdn(id), self.domain(domain))
    }

    /// The setting of an owner with that distinguished name; none: the system.
    pub(super) fn setting(&self, owner: Option<&str>, setting: &Setting) -> String {
        let system = self.below("settings");
        let owner = owner.unwrap_or(&system);
        format!("{},{owner}", setting_rdn(&setting.name, setting.content.kind()))
    }

    /// Whether a setting's name stands right below a domain; those of accounts stand deeper.
    pub(super) fn is_of_domain(dn: &str) -> bool {
        let dn = dn.to_lowercase();
        // Neither ids nor names of settings hold a comma.
        dn.rsplit_once(",ou=domains,").is_some_and(|(inside, _)| depth(inside) == 1)
    }
}

/// How deep an entry lies, as far as entries of one subtree are compared.
pub(super) fn depth(dn: &str) -> usize {
    dn.bytes().filter(|octet| *octet == b',').count()
}

/// The first part of the name of whatever has an id.
pub(super) fn rdn(id: &Id) -> String {
    format!("pigeonId={}", in_dn(&id.0))
}

fn setting_rdn(name: &SettingName, kind: ContentKind) -> String {
    format!("pigeonSettingKind={kind}+pigeonSettingName={}", in_dn(&name.to_string()))
}

/// The grant of a role to the account with that distinguished name.
pub(super) fn grant(account: &str, role: &Role) -> String {
    format!("pigeonRole={},{account}", in_dn(role_text(role)))
}

/// A role as it is written.
pub(super) fn role_text(role: &Role) -> &str {
    match role {
        Role::System => SYSTEM,
        Role::Domain(id) => &id.0,
    }
}

/// A role as it is read.
pub(super) fn role(text: &str) -> Role {
    if text == SYSTEM { Role::System } else { Role::Domain(Id(text.to_owned())) }
}

/// What an owner of settings is called in `pigeonOwner`.
pub(super) fn owner_text(owner: Option<&Id>) -> &str {
    owner.map_or(SYSTEM, |id| &id.0)
}

/// What a row is called in messages.
pub(super) fn named(entry: &Entry) -> String {
    match entry {
        Entry::Domain(domain) => format!("the domain {}", domain.name),
        Entry::Account(account) => format!("the account {}", account.address),
        Entry::Alias(alias) => format!("the alias {}", alias.pattern),
        Entry::Grant(grant) => format!("a grant of {}", grant.account),
        Entry::Setting { setting, .. } => format!("the setting {}", setting.name),
    }
}
