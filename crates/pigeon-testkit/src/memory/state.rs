//! A State in memory: service memory, outbox, finished branches and receipts, with failures on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pigeon_core::message::Message;
use pigeon_core::ports::state::{
    Memory, OutboxContent, OutboxEntry, ReceiptQuery, State, StateChanges, StateError,
};
use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;

use super::{lock, text_of};

/// The parts of the State that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatePart {
    /// Reading service memory.
    Recall,
    /// Staging outbox entries.
    Stage,
    /// Committing changes.
    Commit,
    /// Asking for finished branches.
    Finished,
}

/// A message in the outbox, as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The key that names the hand-over.
    pub key: String,
    /// On whose behalf.
    pub on_behalf_of: String,
    /// The reverse-path; empty for the null sender.
    pub sender: String,
    /// Who gets it.
    pub recipient: String,
    /// The whole message as it goes out.
    pub text: String,
    /// Whether it may be sent: entries are held until the commit.
    pub is_released: bool,
}

#[derive(Debug, Default)]
struct Kept {
    memories: BTreeMap<(String, String, String), Memory>,
    outbox: Vec<Outgoing>,
    finished: BTreeSet<String>,
    receipts: Vec<Arc<Receipt>>,
    failing: BTreeSet<StatePart>,
}

/// A State in memory.
#[derive(Debug, Default)]
pub struct MemoryState {
    kept: Mutex<Kept>,
}

impl MemoryState {
    /// Makes a part fail from now on, or work again.
    pub fn set_failing(&self, part: StatePart, is_failing: bool) {
        let mut kept = lock(&self.kept);
        if is_failing {
            kept.failing.insert(part)
        } else {
            kept.failing.remove(&part)
        };
    }

    /// Everything in the outbox, in the order in which it was staged.
    #[must_use]
    pub fn outbox(&self) -> Vec<Outgoing> {
        lock(&self.kept).outbox.clone()
    }

    /// The messages that may be sent.
    #[must_use]
    pub fn sent(&self) -> Vec<Outgoing> {
        self.outbox().into_iter().filter(|outgoing| outgoing.is_released).collect()
    }

    /// Everything that services remember.
    #[must_use]
    pub fn memories(&self) -> Vec<Memory> {
        lock(&self.kept).memories.values().cloned().collect()
    }

    /// The keys of finished branches.
    #[must_use]
    pub fn finished_keys(&self) -> Vec<String> {
        lock(&self.kept).finished.iter().cloned().collect()
    }

    /// Every receipt that was recorded, oldest first.
    #[must_use]
    pub fn recorded(&self) -> Vec<Arc<Receipt>> {
        lock(&self.kept).receipts.clone()
    }

    fn check(&self, part: StatePart) -> Result<(), StateError> {
        if lock(&self.kept).failing.contains(&part) {
            return Err(StateError { what: format!("in memory fails: {part:?}"), source: None });
        }
        Ok(())
    }
}

#[async_trait]
impl State for MemoryState {
    async fn recall(
        &self,
        account: &str,
        service: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        self.check(StatePart::Recall)?;
        let name = (account.to_owned(), service.to_owned(), key.to_owned());
        let kept = lock(&self.kept);
        let memory = kept.memories.get(&name).filter(|memory| memory.expires > now);
        Ok(memory.map(|memory| memory.value.clone()))
    }

    async fn stage(&self, entries: Vec<OutboxEntry>, _now: Timestamp) -> Result<(), StateError> {
        self.check(StatePart::Stage)?;
        let mut kept = lock(&self.kept);
        for entry in entries {
            if !kept.outbox.iter().any(|known| known.key == entry.key) {
                kept.outbox.push(outgoing(entry));
            }
        }
        Ok(())
    }

    async fn commit(&self, changes: StateChanges, _now: Timestamp) -> Result<(), StateError> {
        self.check(StatePart::Commit)?;
        let mut kept = lock(&self.kept);
        for memory in changes.memories {
            let name = (memory.account.clone(), memory.service.clone(), memory.key.clone());
            kept.memories.insert(name, memory);
        }
        for entry in kept.outbox.iter_mut().filter(|entry| changes.released.contains(&entry.key)) {
            entry.is_released = true;
        }
        kept.finished.extend(changes.finished);
        Ok(())
    }

    async fn finished(&self, keys: &[String]) -> Result<Vec<String>, StateError> {
        self.check(StatePart::Finished)?;
        let kept = lock(&self.kept);
        Ok(keys.iter().filter(|key| kept.finished.contains(*key)).cloned().collect())
    }

    fn record(&self, receipts: &[Arc<Receipt>]) {
        lock(&self.kept).receipts.extend_from_slice(receipts);
    }

    async fn receipts(&self, query: &ReceiptQuery) -> Result<Vec<Receipt>, StateError> {
        let kept = lock(&self.kept);
        let is_asked_for = |receipt: &&Arc<Receipt>| {
            let mut addresses =
                receipt.branches.iter().map(|branch| &branch.target).chain([&receipt.recipient]);
            query
                .address
                .as_ref()
                .is_none_or(|wanted| addresses.any(|known| known.eq_ignore_ascii_case(wanted)))
                && query.message_id.as_ref().is_none_or(|wanted| receipt.message_id == *wanted)
                && query.after.is_none_or(|after| receipt.at > after)
        };
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let newest_first = kept.receipts.iter().rev().filter(is_asked_for);
        Ok(newest_first.take(limit).map(|receipt| Receipt::clone(receipt)).collect())
    }
}

fn outgoing(entry: OutboxEntry) -> Outgoing {
    let text = match &entry.content {
        OutboxContent::Own(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        OutboxContent::Message { head, message } => text_of(head, message as &Message),
    };
    Outgoing {
        key: entry.key,
        on_behalf_of: entry.on_behalf_of,
        sender: entry.sender.to_string(),
        recipient: entry.recipient.to_string(),
        text,
        is_released: false,
    }
}
