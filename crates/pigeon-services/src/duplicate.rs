//! Keeps one copy where the same message comes several times: the last service, which takes back what `mailbox` and
//! others want to store when the account has it in that folder already.
//!
//! It stands behind all rules, so that filters, forwards and answers see every copy; only the store is taken back. What
//! was stored is remembered together with the effects, so a copy whose commit failed is never taken for stored:
//! the MTA's retry keeps it. Copies that are on their way at the same time:
//! - to several recipients of one message (`ann+a`, `ann+b`, an alias): the commit makes one store of them
//!   (`Effects::identify`), and the others share its fate;
//! - in several transactions on this node: the later one waits a moment for the earlier one ([`in_flight`]);
//! - on several nodes: both are stored, for a memory is no lock. An account whose mailbox lives on one node
//!   (`storage.node`) is safe from that.
//!
//! Source: RFC 5322 §3.6.4 (Message-ID), §3.6.6 (a message that is sent again has Resent fields); RFC 1047 (why
//! servers send twice).

mod in_flight;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pigeon_core::delivery::Delivery;
use pigeon_core::effect::{Effect, Store};
use pigeon_core::fault::Fault;
use pigeon_core::message::{Body, CHUNK_OCTETS, Message};
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use in_flight::{Claim, InFlight};

const MAX_HOURS: u16 = 720;
const SECONDS_PER_HOUR: u64 = 3600;
/// How long a copy waits for the same one in another transaction. Then both are kept: two are better than none.
const PATIENCE: Duration = Duration::from_secs(2);
/// The fields that people see, besides the Message-ID.
const SEEN_FIELDS: [&str; 6] = ["From", "Sender", "To", "Cc", "Subject", "Date"];
/// The fields of a message that a person has sent on as it is: that is meant.
const RESENT_FIELDS: [&str; 2] = ["Resent-Message-ID", "Resent-Date"];

/// What makes two messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The Message-ID.
    MessageId,
    /// The text and the fields that people see.
    Content,
    /// Both.
    #[default]
    Both,
}

/// Keeps one copy of a message that comes several times, as happens when mail is sent to somebody, to an alias and to a
/// list at once, or when a mail server sends again what it believes lost.
///
/// The rules of other services see every copy: filters, forwards and answers. Only what would be stored in a folder
/// where the account has it already is not stored a second time; the mail server gets a success, the receipt names the
/// earlier copy. Nothing is suppressed that was not stored before.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// What makes two messages the same: `both` (the default) is the Message-ID together with the text and the fields
    /// that people see, `content` the text and these fields alone, `message-id` the Message-ID alone. With `message-id`
    /// a copy from a mailing list, which often has another subject and a footer, counts as the same. Messages without a
    /// Message-ID are compared by content. What somebody sends again on purpose (Resent fields) is another message.
    pub by: By,
    /// For how many hours a stored message is remembered, 1 to 720 (24 by default): mail servers try again for hours. A
    /// copy that comes later is stored.
    #[schemars(range(min = 1, max = 720))]
    pub window_hours: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { by: By::Both, window_hours: 24 }
    }
}

/// The service.
#[derive(Debug)]
pub struct Duplicate {
    in_flight: Arc<InFlight>,
}

impl Service for Duplicate {
    const NAME: &'static str = "duplicate";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { in_flight: Arc::default() })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        match settings.window_hours {
            1..=MAX_HOURS => Ok(()),
            _ => Err(format!("window_hours must be 1 to {MAX_HOURS}")),
        }
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let stores: Vec<Store> = delivery.effects().list().iter().filter_map(store_of).collect();
        if stores.is_empty() {
            delivery.reason("nothing is to be stored");
        }
        for store in stores {
            self.judge(settings, &store, delivery).await?;
        }
        Ok(Next::Continue)
    }
}

impl Duplicate {
    /// Takes one store back if its folder has the message already; otherwise remembers that it will have it.
    async fn judge(&self, settings: &Settings, store: &Store, delivery: &mut Delivery) -> Result<(), Fault> {
        let message =
            store.content.as_ref().map_or_else(|| Arc::clone(delivery.message()), |own| Arc::clone(&own.0));
        let (identity, is_by_id) = identity(settings.by, &message).await?;
        let key = hash(&[store.folder.to_string().as_bytes(), identity.as_bytes()]);
        self.claim(&key, delivery).await;
        delivery.decided_by("by");
        if let Some(earlier) = delivery.recall(&key).await? {
            delivery.reason(format!("{} has it already: stored {earlier}", store.folder));
            delivery.decided_by("window_hours");
            delivery.withdraw_store(store);
            return Ok(());
        }
        let what = if is_by_id { "" } else { " (there is no Message-ID: compared by content)" };
        delivery.reason(format!("the first copy for {}{what}", store.folder));
        delivery.identify_store(store, identity);
        let earlier = format!("at {} as {}", delivery.now(), delivery.transaction().id);
        let hours = u64::from(settings.window_hours.clamp(1, MAX_HOURS));
        delivery.remember(key, earlier, Duration::from_secs(hours * SECONDS_PER_HOUR));
        Ok(())
    }

    /// Claims a copy for this transaction until the delivery has ended; waits a moment while another one has it.
    async fn claim(&self, key: &str, delivery: &mut Delivery) {
        let key = format!("{}:{key}", delivery.account_address().key());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut other = match InFlight::claim(&self.in_flight, &key, &delivery.transaction().id) {
                Claim::Ours(guard) => return delivery.hold(guard),
                // The commit sees to recipients of the same message.
                Claim::Sibling => return,
                Claim::Taken(other) => other,
            };
            if tokio::time::timeout_at(deadline, other.changed()).await.is_err() {
                delivery
                    .reason("the same message is on its way in another transaction; not waited for longer");
                return;
            }
        }
    }
}

fn store_of(effect: &Effect) -> Option<Store> {
    match effect {
        Effect::Store(store) => Some(store.clone()),
        Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_) | Effect::Archive(_) => None,
    }
}

/// What makes a message the same as another one, and whether the Message-ID is part of it.
async fn identity(by: By, message: &Arc<Message>) -> Result<(String, bool), Fault> {
    let id = message.message_id();
    let resent = values(message, &RESENT_FIELDS);
    let has_id = !id.is_empty() && by != By::Content;
    if has_id && by == By::MessageId {
        return Ok((hash(&[b"id", id.as_bytes(), &resent]), true));
    }
    let known = message.once("duplicate.content", || content(Arc::clone(message))).await;
    let content = known.as_ref().as_ref().map_err(|what| Fault::temporary(what.clone()))?;
    let id = if has_id { id.as_bytes() } else { b"" };
    Ok((hash(&[b"content", id, &resent, content]), has_id || by == By::Content))
}

/// A digest of what people see of a message, whichever way it came.
async fn content(message: Arc<Message>) -> Result<[u8; 32], String> {
    let is_spooled = matches!(message.body(), Body::Spooled(_));
    if !is_spooled {
        return digest(&message);
    }
    let digested = tokio::task::spawn_blocking(move || digest(&message)).await;
    digested.unwrap_or_else(|error| Err(format!("the message could not be compared: {error}")))
}

fn digest(message: &Message) -> Result<[u8; 32], String> {
    let mut hash = Sha256::new();
    hash.update(values(message, &SEEN_FIELDS));
    let mut buffer = vec![0; CHUNK_OCTETS];
    let mut offset = 0;
    loop {
        let read = message.read_body(offset, &mut buffer);
        match read.map_err(|error| format!("the spooled message cannot be read: {error}"))? {
            0 => return Ok(hash.finalize().into()),
            count => {
                hash.update(buffer.get(..count).unwrap_or_default());
                offset += count as u64;
            }
        }
    }
}

/// Values of fields, folding undone: each with its length, so that none can pass for another.
fn values(message: &Message, names: &[&str]) -> Vec<u8> {
    let mut all = Vec::new();
    for name in names {
        let fields = message.fields().filter(|field| field.name.eq_ignore_ascii_case(name));
        for value in fields.map(|field| field.value()) {
            all.extend_from_slice(name.as_bytes());
            all.extend_from_slice(&value.len().to_be_bytes());
            all.extend_from_slice(value.as_bytes());
        }
    }
    all
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests;
