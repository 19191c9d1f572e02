//! Under which words a receipt is found, whatever it is kept in.
//!
//! A word is the first 64 bits of the SHA-256 of `a` and an address in key form (the recipient, and the targets of
//! its branches), or of `m` and the Message-ID. What is found is compared with the receipt itself.

use std::collections::BTreeSet;

use pigeon_core::address::Address;
use pigeon_core::ports::state::ReceiptQuery;
use pigeon_core::receipt::Receipt;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A receipt ready for its row.
pub(super) struct Packed {
    /// When it was made, in microseconds since 1970.
    pub(super) at: i64,
    /// The receipt as JSON.
    pub(super) detail: Vec<u8>,
    /// Under what it is found.
    pub(super) words: BTreeSet<i64>,
}

impl Packed {
    /// Nothing when it cannot be written as JSON, which no receipt can cause.
    pub(super) fn new(receipt: &Receipt) -> Option<Self> {
        let mut detail = Vec::with_capacity(1024);
        serde_json::to_writer(&mut detail, receipt).ok()?;
        Some(Self { at: receipt.at.micros(), detail, words: of_receipt(receipt) })
    }
}

/// The form in which addresses are compared.
fn address_key(text: &str) -> String {
    Address::parse(text).map_or_else(|_| text.to_lowercase(), |address| address.key())
}

fn word(kind: u8, text: &str) -> i64 {
    let digest = Sha256::new().chain_update([kind]).chain_update(text).finalize();
    digest.iter().take(8).fold(0, |word, byte| word << 8 | i64::from(*byte))
}

fn address_word(key: &str) -> i64 {
    word(b'a', key)
}

fn message_word(message_id: &str) -> i64 {
    word(b'm', message_id)
}

/// The words of a receipt.
pub(super) fn of_receipt(receipt: &Receipt) -> BTreeSet<i64> {
    let targets = receipt.branches.iter().map(|branch| &branch.target);
    // Mostly the recipient is the one target: parsed and hashed once.
    let addresses: BTreeSet<&String> = targets.chain([&receipt.recipient]).collect();
    let mut words: BTreeSet<i64> =
        addresses.into_iter().map(|text| address_word(&address_key(text))).collect();
    if !receipt.message_id.is_empty() {
        words.insert(message_word(&receipt.message_id));
    }
    words
}

/// Whether it is one of those that are looked for.
pub(super) fn is_match(receipt: &Receipt, query: &ReceiptQuery) -> bool {
    let is_address = query.address.as_ref().is_none_or(|wanted| {
        let wanted = address_key(wanted);
        let targets = receipt.branches.iter().map(|branch| &branch.target);
        targets.chain([&receipt.recipient]).any(|text| address_key(text) == wanted)
    });
    is_address && query.message_id.as_ref().is_none_or(|wanted| receipt.message_id == *wanted)
}

/// The word to look for; none where only the time matters.
pub(super) fn of_query(query: &ReceiptQuery) -> Option<i64> {
    match (&query.message_id, &query.address) {
        (Some(message_id), _) => Some(message_word(message_id)),
        (None, Some(address)) => Some(address_word(&address_key(address))),
        (None, None) => None,
    }
}

/// An id made of a name, the same one each time.
pub(super) fn uuid_of(name: &str) -> Uuid {
    let mut octets = [0; 16];
    octets.iter_mut().zip(Sha256::digest(name)).for_each(|(octet, made)| *octet = made);
    uuid::Builder::from_custom_bytes(octets).into_uuid()
}
