//! How a delivery ended. Made by [`settle`](crate::agent) and nowhere else.

use serde::{Deserialize, Serialize};

use crate::fault::Reply;

/// What a step says about the rest of the walk.
///
/// Where it stops, everything that was proposed so far is void, but for the answers of the step that says so: a notice
/// about what was thrown away leaves before the mail server gets its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Go on with the next step.
    Continue,
    /// Stop; the message is accepted and thrown away, for this reason.
    Discard(String),
    /// Stop; the message is refused with this reply.
    Reject(Reply),
}

/// How the delivery to one recipient ended: every path ends in exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// Stored, sent on or answered, durably.
    Delivered {
        /// What was done, for people: `stored in INBOX; redirected to a@example.net`.
        what: String,
    },
    /// Accepted and thrown away because a service said so.
    Discarded {
        /// Why.
        reason: String,
    },
    /// Refused for good.
    Rejected {
        /// What the sender is told.
        reply: Reply,
    },
    /// Not now: the MTA keeps the message and tries again.
    Deferred {
        /// What the sender is told.
        reply: Reply,
    },
}

impl Outcome {
    /// One word for logs and statistics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Discarded { .. } => "discarded",
            Self::Rejected { .. } => "rejected",
            Self::Deferred { .. } => "deferred",
        }
    }

    /// Whether the MTA may forget the message for this recipient (2xx, exit 0).
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Discarded { .. })
    }

    /// What happened, or what the sender is told, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Delivered { what } => what.clone(),
            Self::Discarded { reason } => reason.clone(),
            Self::Rejected { reply } | Self::Deferred { reply } => reply.to_string(),
        }
    }

    /// The reply for the MTA (RFC 2033 §4.2: one for each recipient).
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            // RFC 3463 §3.3: X.2.0 is "other or undefined mailbox status"; 2.1.5 is what delivery agents say.
            Self::Delivered { .. } | Self::Discarded { .. } => Reply::new(250, (2, 1, 5), "Ok"),
            Self::Rejected { reply } | Self::Deferred { reply } => reply.clone(),
        }
    }
}
