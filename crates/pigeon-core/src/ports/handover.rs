//! Mail for mailboxes that another node keeps: handed over to it, to be walked there.

use std::sync::Arc;

use async_trait::async_trait;

use crate::address::Address;
use crate::envelope::Transaction;
use crate::fault::Reply;
use crate::headers::RenderedHead;
use crate::message::Message;

/// One recipient that is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The account's address, with the detail of the sub-address that was used.
    pub address: Address,
    /// The original recipient, where it was another one.
    pub original: Option<String>,
}

/// One message, and for whom it is handed over.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// Its transaction: the reverse-path, and where it came from.
    pub transaction: &'a Transaction,
    /// Its header, with this node's trace field.
    pub head: RenderedHead,
    /// The owner of its body.
    pub message: &'a Arc<Message>,
    /// The recipients.
    pub recipients: &'a [Handed],
}

/// Hands mail over to other nodes.
///
/// An answer of success means that the other node has taken the mail as an MTA's: durably, with a receipt of its
/// own. Everything else is the reply for the MTA, which keeps the message while it is temporary.
#[async_trait]
pub trait HandOver: Send + Sync {
    /// The name of this node: mail for accounts whose `storage.node` says so is delivered here.
    fn here(&self) -> &str;

    /// Hands one message over; one answer for each recipient, in their order: what the node said, or the reply.
    async fn hand_over(&self, node: &str, parcel: Parcel<'_>) -> Vec<Result<String, Reply>>;
}

/// A site of one node: there is nobody to hand mail over to.
#[derive(Debug, Default)]
pub struct Alone {
    /// The node's name.
    pub name: String,
}

#[async_trait]
impl HandOver for Alone {
    fn here(&self) -> &str {
        &self.name
    }

    async fn hand_over(&self, node: &str, parcel: Parcel<'_>) -> Vec<Result<String, Reply>> {
        let id = &parcel.transaction.id;
        tracing::error!("{id}: storage.node names {node:?}, and this node knows no other");
        parcel.recipients.iter().map(|_| Err(unreachable_node())).collect()
    }
}

/// The reply while the node that keeps a mailbox cannot be reached.
#[must_use]
pub fn unreachable_node() -> Reply {
    // RFC 3463 §3.5: X.4.1 is "no answer from host".
    Reply::new(451, (4, 4, 1), "The mailbox's server cannot be reached, try again later")
}
