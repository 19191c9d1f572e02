//! Identities seen before: with them one question brings all rows of an answer.
//!
//! Ids never change, but names do, so that a hint may be out of date. It only says what is asked for as well: what holds is
//! what the answer says, and where that names somebody else, it is asked again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pigeon_core::directory::Id;

/// How many hints of a kind are kept; past that it begins anew.
const MAX_HINTS: usize = 50_000;

/// Ids of domains by name, and of accounts that have rows of their own by place.
#[derive(Debug, Default)]
pub(super) struct Hints {
    domains: Mutex<HashMap<String, Id>>,
    owners: Mutex<HashMap<(Id, String), Id>>,
}

impl Hints {
    pub(super) fn domain(&self, name: &str) -> Option<Id> {
        held(&self.domains).get(name).cloned()
    }

    pub(super) fn learn_domain(&self, name: &str, id: &Id) {
        learn(&self.domains, name.to_owned(), id);
    }

    /// The account with that local part in a domain, if it has settings or grants.
    pub(super) fn owner(&self, domain: &Id, local: &str) -> Option<Id> {
        held(&self.owners).get(&(domain.clone(), local.to_owned())).cloned()
    }

    pub(super) fn learn_owner(&self, domain: &Id, local: &str, id: &Id) {
        learn(&self.owners, (domain.clone(), local.to_owned()), id);
    }
}

fn learn<K: Eq + std::hash::Hash>(hints: &Mutex<HashMap<K, Id>>, key: K, id: &Id) {
    let mut hints = held(hints);
    if hints.len() >= MAX_HINTS {
        hints.clear();
    }
    hints.insert(key, id.clone());
}

fn held<T>(hints: &Mutex<T>) -> MutexGuard<'_, T> {
    hints.lock().unwrap_or_else(PoisonError::into_inner)
}
