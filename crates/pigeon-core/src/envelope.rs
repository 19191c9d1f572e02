//! What comes with a message but is not part of it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::{Address, ReversePath};
use crate::plan::Recipient;

/// How the message reached this node: for the Received field, the journal and services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name the client gave (`LHLO`), or one passed on by a trusted peer (`XCLIENT`, `XFORWARD`).
    pub helo: Option<String>,
    /// The reverse name of the client, where a trusted peer passed it on.
    pub client_name: Option<String>,
    /// The address of the client that first spoke to this site, where it is known: a trusted peer passed it on.
    pub client_address: Option<IpAddr>,
    /// The address of the peer that handed the message over, mostly the MTA; nothing over a Unix socket.
    #[serde(default)]
    pub peer_address: Option<IpAddr>,
    /// `LMTP`, `UTF8LMTP` (RFC 6531 §4.3) or nothing for the MDA interface, which adds no Received field.
    pub protocol: Option<&'static str>,
    /// The queue id of the MTA, where it said so.
    pub queue_id: Option<String>,
    /// The node of this site that handed the message over, where one did.
    pub handed_over_by: Option<String>,
}

/// Protocol parameters of `MAIL FROM`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// Announced size in octets (RFC 1870).
    pub size: Option<u64>,
    /// Whether addresses and header fields may be UTF-8 (RFC 6531).
    pub is_smtputf8: bool,
    /// DSN envelope id (RFC 3461 §4.4), kept for redirects.
    pub envelope_id: Option<String>,
    /// DSN `RET` (RFC 3461 §4.3).
    pub ret: Option<String>,
}

/// One mail transaction: what holds for all its recipients.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The identifier in logs, receipts and the Received field.
    pub id: String,
    /// The reverse-path.
    pub sender: ReversePath,
    /// Where the message came from.
    pub origin: Origin,
    /// Parameters of `MAIL FROM`.
    pub parameters: MailParameters,
}

/// Sender, recipients, and where they came from.
#[derive(Debug)]
pub struct Envelope {
    /// What holds for all recipients.
    pub transaction: Arc<Transaction>,
    /// The recipients that were admitted, in the order in which they were named; one of each.
    pub recipients: Vec<Recipient>,
}

/// A recipient as the MTA named it, before anyone looked it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The address.
    pub address: Address,
    /// The original recipient (RFC 3461 §4.2 `ORCPT`, or X-Original-To), where it was passed on.
    pub original: Option<String>,
}
