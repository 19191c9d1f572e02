//! The right to write: who may write at a place, pin, and undo a pin. Pure; the directory asks it for every change.

use crate::directory::{Id, Role};
use crate::setting::{Layer, Pin};

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody with the system's own authority: root at the command line. The name goes into the change log.
    System(String),
    /// An account, with what its grants allow.
    Account(Id),
}

/// What an actor may do, as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// The roles held.
    pub roles: Vec<Role>,
    /// The actor's own account, if they have one.
    pub own: Option<Id>,
}

impl Authority {
    /// The authority of the system itself.
    #[must_use]
    pub fn system() -> Self {
        Self { roles: vec![Role::System], own: None }
    }

    /// The pin this authority amounts to at a place: none at all when nothing may be written there.
    #[must_use]
    pub fn at(&self, reach: &Reach) -> Option<Pin> {
        if self.roles.contains(&Role::System) {
            return Some(Pin::System);
        }
        let is_domain_administrator =
            |domain: &Id| self.roles.iter().any(|role| matches!(role, Role::Domain(own) if own == domain));
        match reach {
            Reach::System => None,
            Reach::Domain(domain) => is_domain_administrator(domain).then_some(Pin::Domain),
            Reach::Account { domain, .. } if is_domain_administrator(domain) => Some(Pin::Domain),
            Reach::Account { account, .. } => (self.own.as_ref() == Some(account)).then_some(Pin::None),
        }
    }
}

/// Where a change reaches, by identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The system layer, and the list of domains.
    System,
    /// A domain's layer, and the list of its accounts and aliases.
    Domain(Id),
    /// An account's layer.
    Account {
        /// The account.
        account: Id,
        /// Its domain.
        domain: Id,
    },
}

impl Reach {
    const fn layer(&self) -> Layer {
        match self {
            Self::System => Layer::System,
            Self::Domain(_) => Layer::Domain,
            Self::Account { .. } => Layer::Account,
        }
    }
}

/// Whether an actor may read what belongs to a place, and act for the account there: whoever may write at it.
///
/// # Errors
/// The refusal, for the person.
pub fn may_read(authority: &Authority, reach: &Reach) -> Result<(), String> {
    authority.at(reach).map(drop).ok_or_else(|| refusal(reach))
}

/// Whether an actor may administer what belongs to a place (add accounts, rename, grant, …).
///
/// # Errors
/// The refusal, for the person.
pub fn may_administer(authority: &Authority, reach: &Reach) -> Result<(), String> {
    match authority.at(reach) {
        Some(Pin::None) | None => Err(refusal(reach)),
        Some(Pin::Domain | Pin::System) => Ok(()),
    }
}

/// Whether an actor may write a setting with `pin` at a place where one with `existing` pin stands.
///
/// # Errors
/// The refusal, for the person.
pub fn may_write(
    authority: &Authority,
    reach: &Reach,
    pin: Pin,
    existing: Option<Pin>,
) -> Result<(), String> {
    let Some(held) = authority.at(reach) else { return Err(refusal(reach)) };
    if let Some(existing) = existing.filter(|existing| *existing > held) {
        return Err(format!(
            "this setting is pinned by a {existing} administrator: ask one of them to change or unpin it"
        ));
    }
    if pin > held {
        return Err(format!("pinning with the authority \"{pin}\" takes a {pin} administrator"));
    }
    Ok(())
}

/// Whether an actor who may write at a place may write settings of this service there: those of a service that is
/// not for users take an administrator, also for one's own account.
///
/// # Errors
/// The refusal, for the person.
pub fn may_write_service(
    authority: &Authority,
    reach: &Reach,
    service: &str,
    is_for_users: bool,
) -> Result<(), String> {
    match authority.at(reach) {
        Some(Pin::None) if !is_for_users => Err(format!(
            "{service} is for administrators alone: ask an administrator of the domain to write its settings"
        )),
        _ => Ok(()),
    }
}

fn refusal(reach: &Reach) -> String {
    match reach.layer() {
        Layer::System => "this takes a system administrator: ask one of them".to_owned(),
        Layer::Domain => "this takes an administrator of the domain: ask one of them".to_owned(),
        Layer::Account => "this is another person's account: ask an administrator of its domain".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> Id {
        Id(text.to_owned())
    }

    fn account_reach() -> Reach {
        Reach::Account { account: id("ann"), domain: id("org") }
    }

    #[test]
    fn rights_follow_the_grants() {
        let user = Authority { roles: vec![], own: Some(id("ann")) };
        let domain = Authority { roles: vec![Role::Domain(id("org"))], own: Some(id("bob")) };
        let other = Authority { roles: vec![Role::Domain(id("net"))], own: Some(id("eve")) };
        let check = |authority: &Authority, reach: &Reach, pin, existing, expect: bool| {
            assert_eq!(
                may_write(authority, reach, pin, existing).is_ok(),
                expect,
                "{authority:?} {reach:?} {pin}"
            );
        };
        check(&user, &account_reach(), Pin::None, None, true);
        check(&user, &account_reach(), Pin::Domain, None, false);
        check(&user, &account_reach(), Pin::None, Some(Pin::Domain), false);
        check(&user, &Reach::Domain(id("org")), Pin::None, None, false);
        check(&domain, &account_reach(), Pin::Domain, Some(Pin::Domain), true);
        check(&domain, &account_reach(), Pin::None, Some(Pin::System), false);
        check(&domain, &Reach::Domain(id("org")), Pin::Domain, None, true);
        check(&domain, &Reach::Domain(id("org")), Pin::System, None, false);
        check(&domain, &Reach::System, Pin::None, None, false);
        check(&other, &account_reach(), Pin::None, None, false);
        check(&Authority::system(), &Reach::System, Pin::System, Some(Pin::System), true);
        for (authority, expect) in [(&user, true), (&domain, true), (&other, false)] {
            assert_eq!(may_read(authority, &account_reach()).is_ok(), expect, "{authority:?}");
        }
        assert!(may_administer(&user, &account_reach()).is_err());
        assert!(may_administer(&domain, &account_reach()).is_ok());
    }

    proptest! {
        #[test]
        fn nobody_gains_authority_by_writing(pin in 0u8..3, existing in 0u8..3, role in 0u8..4) {
            let pins = [Pin::None, Pin::Domain, Pin::System];
            let (pin, existing) = (pins[usize::from(pin)], pins[usize::from(existing)]);
            let (authority, held) = match role {
                0 => (Authority { roles: vec![], own: Some(id("ann")) }, Some(Pin::None)),
                1 => (Authority { roles: vec![Role::Domain(id("org"))], own: None }, Some(Pin::Domain)),
                2 => (Authority::system(), Some(Pin::System)),
                _ => (Authority { roles: vec![Role::Domain(id("net"))], own: Some(id("eve")) }, None),
            };
            let allowed = may_write(&authority, &account_reach(), pin, Some(existing)).is_ok();
            prop_assert_eq!(allowed, held.is_some_and(|held| pin <= held && existing <= held));
        }
    }
}
