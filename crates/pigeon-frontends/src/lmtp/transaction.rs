//! The transaction that a session has open, from `MAIL` to the end of the message.

use std::collections::HashMap;
use std::sync::Arc;

use pigeon_core::address::Address;
use pigeon_core::envelope::{Envelope, Transaction};
use pigeon_core::fault::Reply;
use pigeon_core::plan::Recipient;

use super::data::ChunkDecoder;
use super::intake::Intake;
use super::parameters::BodyType;

/// A transaction that is open.
pub(super) struct OpenTransaction {
    pub(super) transaction: Arc<Transaction>,
    pub(super) body: BodyType,
    recipients: Vec<Recipient>,
    places: HashMap<String, usize>,
    /// For each `RCPT` that was accepted, which recipient it named.
    named: Vec<usize>,
    /// The message, as far as it came in by `BDAT`.
    pub(super) chunks: Option<Box<Chunks>>,
}

/// A message that comes in by `BDAT`.
pub(super) struct Chunks {
    pub(super) intake: Intake,
    /// None for `BINARYMIME`, which is kept to the octet.
    pub(super) decoder: Option<ChunkDecoder>,
}

impl OpenTransaction {
    pub(super) fn new(transaction: Transaction, body: BodyType) -> Self {
        Self {
            transaction: Arc::new(transaction),
            body,
            recipients: Vec::new(),
            places: HashMap::new(),
            named: Vec::new(),
            chunks: None,
        }
    }

    /// How many replies the end of the message will have (RFC 2033 §4.2).
    pub(super) fn accepted(&self) -> usize {
        self.named.len()
    }

    /// Names a recipient again, if it was accepted before: the message is delivered once, and answered twice.
    pub(super) fn name_again(&mut self, address: &Address) -> bool {
        if self.recipients.is_empty() {
            return false;
        }
        let Some(place) = self.places.get(&address.key()).copied() else { return false };
        self.named.push(place);
        true
    }

    /// Takes a recipient that was admitted.
    pub(super) fn accept(&mut self, recipient: Recipient) {
        self.places.insert(recipient.address.key(), self.recipients.len());
        self.named.push(self.recipients.len());
        self.recipients.push(recipient);
    }

    /// The envelope, and which recipient each reply is for.
    pub(super) fn into_envelope(self) -> (Envelope, Vec<usize>) {
        (Envelope { transaction: self.transaction, recipients: self.recipients }, self.named)
    }
}

impl Chunks {
    /// The reply for a message that is lost.
    pub(super) fn failure(&self) -> Option<&Reply> {
        self.intake.failure()
    }
}
