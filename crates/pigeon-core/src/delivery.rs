//! One message on its way to one recipient: all that a service sees and may change.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::address::{Address, ReversePath};
use crate::clock::Clock;
use crate::directory::Account;
use crate::effect::{Answer, Archive, Content, Effect, Effects, Flags, Post, Redirect, Store};
use crate::envelope::Transaction;
use crate::fault::Fault;
use crate::folder::Folder;
use crate::headers::HeaderEdits;
use crate::message::Message;
use crate::ports::handover::HandOver;
use crate::ports::mailstore::{MailStore, Quota, Usage};
use crate::ports::state::{Memory, State};
use crate::timestamp::Timestamp;

/// What a delivery needs from outside; services reach it through methods of [`Delivery`] only.
#[derive(Clone)]
pub struct Ports {
    /// Service memory, receipts, outbox.
    pub state: Arc<dyn State>,
    /// Mailboxes.
    pub mailstore: Arc<dyn MailStore>,
    /// The other nodes.
    pub hand_over: Arc<dyn HandOver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// One message on its way to one recipient.
pub struct Delivery {
    pub(crate) ports: Ports,
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) message: Arc<Message>,
    pub(crate) recipient: Address,
    pub(crate) recipients: Arc<[Address]>,
    pub(crate) account: Arc<Account>,
    pub(crate) detail: Option<String>,
    pub(crate) service: &'static str,
    pub(crate) is_dry_run: bool,
    pub(crate) header: HeaderEdits,
    pub(crate) facts: BTreeMap<String, Value>,
    pub(crate) effects: Effects,
    pub(crate) keep_folder: Option<Folder>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) quota: Option<Quota>,
    pub(crate) reason: String,
    pub(crate) decided_by: Vec<&'static str>,
    pub(crate) held: Vec<Box<dyn Any + Send + Sync>>,
}

/// What services have written into a delivery so far.
pub(crate) struct Proposals {
    message: Arc<Message>,
    header: HeaderEdits,
    facts: BTreeMap<String, Value>,
    effects: Effects,
    keep_folder: Option<Folder>,
    memories: Vec<Memory>,
}

impl Delivery {
    /// What services have written so far, to go back to.
    pub(crate) fn proposals(&self) -> Proposals {
        Proposals {
            message: Arc::clone(&self.message),
            header: self.header.clone(),
            facts: self.facts.clone(),
            effects: self.effects.clone(),
            keep_folder: self.keep_folder.clone(),
            memories: self.memories.clone(),
        }
    }

    /// Goes back to what was written before.
    pub(crate) fn restore(&mut self, before: Proposals) {
        let Proposals { message, header, facts, effects, keep_folder, memories } = before;
        (self.message, self.header, self.facts) = (message, header, facts);
        (self.effects, self.keep_folder, self.memories) = (effects, keep_folder, memories);
    }

    /// The reverse-path of the envelope.
    #[must_use]
    pub fn sender(&self) -> &ReversePath {
        &self.transaction.sender
    }

    /// The whole transaction: origin and protocol parameters.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The message as received, or as an earlier step replaced it for this recipient. At `RCPT TO` it is only
    /// announced: a size without bytes.
    #[must_use]
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// The recipient as the MTA named it.
    #[must_use]
    pub fn recipient(&self) -> &Address {
        &self.recipient
    }

    /// Every recipient that the MTA named for the message, this one among them: for scanners, which work once for
    /// all. None at `RCPT TO`, where they are not all known.
    #[must_use]
    pub fn recipients(&self) -> &[Address] {
        &self.recipients
    }

    /// The address of the account that the message is for.
    #[must_use]
    pub fn account_address(&self) -> &Address {
        &self.account.address
    }

    /// The name of the account's owner; may be empty.
    #[must_use]
    pub fn account_name(&self) -> &str {
        &self.account.name
    }

    /// The detail of a sub-address: `folder` of `user+folder@example.org`.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Says for the receipt why this step did what it did; several reasons are put in a row.
    pub fn reason(&mut self, text: impl AsRef<str>) {
        if !self.reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(text.as_ref());
    }

    /// Names the own setting that decided; the receipt shows its value and where it was set.
    pub fn decided_by(&mut self, key: &'static str) {
        if !self.decided_by.contains(&key) {
            self.decided_by.push(key);
        }
    }

    /// This recipient's edits of the header.
    pub fn header(&mut self) -> &mut HeaderEdits {
        &mut self.header
    }

    /// What an earlier step found out, by name (`spam.score`).
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)
    }

    /// All that earlier steps found out, by name.
    #[must_use]
    pub fn facts(&self) -> &BTreeMap<String, Value> {
        &self.facts
    }

    /// Tells later steps something.
    pub fn set_fact(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// What was proposed so far.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Takes another message in place of the one received, for this recipient alone: later steps see it, and
    /// it is what is stored and sent on. The edits of the header made so far still hold.
    pub fn replace_message(&mut self, message: Arc<Message>) {
        self.message = message;
    }

    /// Proposes to keep a copy in a folder.
    pub fn store(&mut self, folder: Folder, flags: Flags) {
        self.effects.propose(Effect::Store(Store { folder, flags, content: None }));
    }

    /// Proposes to keep this very message in a folder: edits of the header are not made to it, trace fields are.
    pub fn store_content(&mut self, folder: Folder, flags: Flags, message: Arc<Message>) {
        let content = Some(Content(message));
        self.effects.propose(Effect::Store(Store { folder, flags, content }));
    }

    /// Says where the copy belongs that the mailbox keeps by default, in place of the folder set there. The
    /// last word counts.
    pub fn keep_in(&mut self, folder: Folder) {
        self.keep_folder = Some(folder);
    }

    /// Where the copy belongs that the mailbox keeps by default, if a step has said so.
    #[must_use]
    pub fn keep_folder(&self) -> Option<&Folder> {
        self.keep_folder.as_ref()
    }

    /// Proposes to send the message on. Policy and loop protection are the core's.
    pub fn redirect(&mut self, to: Address) {
        self.effects.propose(Effect::Redirect(Redirect { to, content: None }));
    }

    /// Proposes to send this very message on: edits of the header are not made to it, trace fields are.
    pub fn redirect_content(&mut self, to: Address, message: Arc<Message>) {
        self.effects.propose(Effect::Redirect(Redirect { to, content: Some(Content(message)) }));
    }

    /// Proposes to send a message of our own; `kind` is one word that tells it from other answers to the same message.
    pub fn answer(&mut self, to: Address, kind: &'static str, message: impl Into<bytes::Bytes>) {
        self.effects.propose(Effect::Answer(Answer { to, kind, message: message.into() }));
    }

    /// Says what a proposed store keeps, so that recipients of this message who end at the same mailbox get one copy:
    /// see [`Effects::identify`].
    pub fn identify_store(&mut self, store: &Store, identity: impl Into<String>) {
        self.effects.identify(store, identity.into());
    }

    /// Takes a proposed store back because the mailbox has the message in that folder already. Unlike with
    /// [`cancel_keep`](Self::cancel_keep) the recipient is served: the outcome says `already stored`.
    pub fn withdraw_store(&mut self, store: &Store) {
        self.effects.withdraw(store);
    }

    /// Keeps something until this delivery has ended, committed or not: what is dropped then tells others.
    pub fn hold(&mut self, something: impl Any + Send + Sync) {
        self.held.push(Box::new(something));
    }

    /// Proposes to post JSON about the message to a server; `kind` is one word that tells it from other posts about the same
    /// message. The server's rules and the secret that signs it are those that hold for the account when it is sent.
    pub fn post(&mut self, url: &str, kind: &'static str, body: impl Into<bytes::Bytes>) {
        self.effects.propose(Effect::Post(Post { url: url.to_owned(), kind, body: body.into() }));
    }

    /// Proposes a copy for an archive: of the message as it was received, and also when it is discarded.
    pub fn archive(&mut self, archive: Archive) {
        self.effects.propose(Effect::Archive(archive));
    }

    /// Says that no copy is to be kept in the mailbox.
    pub fn cancel_keep(&mut self) {
        self.effects.cancel_keep();
    }

    /// What this service remembered under `key` about this account and has not expired.
    ///
    /// # Errors
    /// When the State cannot be reached.
    pub async fn recall(&self, key: &str) -> Result<Option<String>, Fault> {
        let state = &self.ports.state;
        state
            .recall(&self.account.id.0, self.service, key, self.now())
            .await
            .map_err(|error| Fault::temporary("the service memory cannot be read").caused_by(error))
    }

    /// Remembers something about this account for `span`; durable together with the effects, or not at all.
    pub fn remember(&mut self, key: impl Into<String>, value: impl Into<String>, span: Duration) {
        self.memories.push(Memory {
            account: self.account.id.0.clone(),
            service: self.service.to_owned(),
            key: key.into(),
            value: value.into(),
            expires: self.now().plus(span),
        });
    }

    /// The folders of the recipient's mailbox, the INBOX first; none while the mailbox does not exist yet.
    ///
    /// # Errors
    /// When the mailbox cannot be read.
    pub async fn folders(&self) -> Result<Vec<Folder>, Fault> {
        let store = &self.ports.mailstore;
        store
            .folders(&self.account.mailbox)
            .await
            .map_err(|error| Fault::temporary("the mailbox's folders cannot be read").caused_by(error))
    }

    /// How full the recipient's mailbox is; the limits are kept with the mailbox, where other programs see them.
    ///
    /// # Errors
    /// When the mailbox cannot be read.
    pub async fn usage(&mut self, quota: Quota) -> Result<Usage, Fault> {
        self.quota = Some(quota);
        let store = &self.ports.mailstore;
        store
            .usage(&self.account.mailbox, quota)
            .await
            .map_err(|error| Fault::temporary("the mailbox's usage cannot be read").caused_by(error))
    }
}
