//! Receipts: for every recipient of every message, what each step decided and why.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::timestamp::Timestamp;

/// What one step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The service, or a part of the core (`loop`, `commit`).
    pub service: String,
    /// `continue`, `discard`, `reject`, `skip` (a fault that was let pass), `defer` (one that was not).
    pub decision: String,
    /// Why, for people: `over quota: 52 of 50 MB`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The settings that decided, with the layer that each came from: `mailbox.folder=INBOX (system)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// What became of the message on its way to one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchRecord {
    /// The account's address, or an address elsewhere.
    pub target: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The trail.
    pub steps: Vec<StepRecord>,
}

/// What became of one message for one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction, as in the Received field and the log.
    pub id: String,
    /// When the delivery began.
    pub at: Timestamp,
    /// Whether this was a dry run that touched nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_dry_run: bool,
    /// The reverse-path; empty for the null sender.
    pub sender: String,
    /// The recipient as the MTA named it.
    pub recipient: String,
    /// The Message-ID without angle brackets; empty where there is none.
    pub message_id: String,
    /// Octets of the message.
    pub size: u64,
    /// How it ended in all: what the MTA was told.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// One for each target of the recipient, mostly one.
    pub branches: Vec<BranchRecord>,
    /// From the end of the data to the outcome, in microseconds.
    pub duration_us: u64,
    /// How old the last good snapshot of the directory was, in milliseconds; none: the directory answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_age_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of two versions share their receipts: a word or field that only the later one knows is shown or passed over.
    #[test]
    fn receipts_of_later_versions_are_read() {
        let text = r#"{"id":"t1","at":1764000000000000,"sender":"","recipient":"ann@example.org","message_id":"1@x",
            "size":9,"outcome":"delivered","what":"held before antispam","held_until":"2026-12-24","duration_us":5,
            "branches":[{"target":"ann@example.org","outcome":"delivered","what":"held before antispam","resumes":"t0",
            "steps":[{"service":"antispam","decision":"hold","reason":"a moderator decides","ticket":7,"duration_us":1}]}]}"#;
        let receipt: Receipt = serde_json::from_str(text).unwrap();
        assert_eq!(receipt.outcome.text(), "held before antispam");
        assert_eq!(receipt.branches[0].steps[0].decision, "hold");
        let again: Receipt = serde_json::from_str(&serde_json::to_string(&receipt).unwrap()).unwrap();
        assert_eq!(again, receipt);
    }
}
