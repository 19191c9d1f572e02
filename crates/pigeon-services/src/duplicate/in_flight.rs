//! The copies that are being delivered on this node right now, so that a second one waits for the first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Who delivers which copy.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<String, Held>>);

#[derive(Debug)]
struct Held {
    transaction: String,
    ended: watch::Receiver<()>,
}

/// What became of a claim.
pub(super) enum Claim {
    /// It is ours until the guard is dropped.
    Ours(Guard),
    /// Another recipient of the same message has it.
    Sibling,
    /// Another transaction has it: the channel changes, or closes, when that has ended.
    Taken(watch::Receiver<()>),
}

/// Holds a claim; dropped with the delivery, whatever became of it.
#[derive(Debug)]
pub(super) struct Guard {
    all: Arc<InFlight>,
    key: String,
    ended: watch::Sender<()>,
}

impl InFlight {
    /// Claims a copy for a transaction, unless somebody has it.
    pub(super) fn claim(all: &Arc<Self>, key: &str, transaction: &str) -> Claim {
        let mut held = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(key.to_owned()) {
            Entry::Occupied(other) if other.get().transaction == transaction => Claim::Sibling,
            Entry::Occupied(other) => Claim::Taken(other.get().ended.clone()),
            Entry::Vacant(place) => {
                let (sender, ended) = watch::channel(());
                place.insert(Held { transaction: transaction.to_owned(), ended });
                Claim::Ours(Guard { all: Arc::clone(all), key: key.to_owned(), ended: sender })
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        // Those who wait wake up by this, or by the channel that closes now.
        self.ended.send_replace(());
    }
}
