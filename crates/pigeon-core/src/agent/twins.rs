//! Stores that would keep the same message twice: several recipients of one message may end at the same mailbox.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Agent;
use super::settle::Ending;
use super::walk::Walked;
use crate::effect::Store;
use crate::folder::Folder;
use crate::ports::mailstore::MailboxPath;

/// Finds stores that are to keep the same in the same place.
#[derive(Default)]
pub(super) struct Twins {
    first: HashMap<(MailboxPath, Folder, String), usize>,
    /// Whose store follows whose.
    followers: Vec<(usize, usize, Store)>,
}

impl Twins {
    /// Whether an earlier store keeps the same: then this one is not made, and shares that one's fate.
    pub(super) fn is_one(&mut self, index: usize, walked: &Walked, store: &Store) -> bool {
        let Some(identity) = walked.delivery.effects.identity(store) else { return false };
        let place = (walked.delivery.account.mailbox.clone(), store.folder.clone(), identity.to_owned());
        match self.first.entry(place) {
            Entry::Vacant(place) => {
                place.insert(index);
                false
            }
            Entry::Occupied(leader) => {
                self.followers.push((index, *leader.get(), store.clone()));
                true
            }
        }
    }
}

impl Agent {
    /// Lets the stores that are the same as another one share its fate.
    pub(super) fn follow_twins(&self, twins: Twins, walked: &mut [Walked]) {
        for (follower, leader, store) in twins.followers {
            let Some((target, failed)) = walked.get(leader).map(|leader| match &leader.ending {
                Ending::Failed(reply) => (leader.target.clone(), Some(reply.clone())),
                _ => (leader.delivery.recipient.to_string(), None),
            }) else {
                continue;
            };
            let Some(walked) = walked.get_mut(follower) else { continue };
            match failed {
                Some(reply) if matches!(walked.ending, Ending::Commit) => {
                    self.fail(walked, &format!("the same copy for {target} could not be stored"), reply);
                }
                Some(_) => {}
                None => {
                    walked.delivery.effects.withdraw(&store);
                    let what = format!("{} has the same copy by the recipient {target}", store.folder);
                    walked.note("commit", "continue", what, 0);
                }
            }
        }
    }
}
