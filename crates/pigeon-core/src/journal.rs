//! The mail log: one line for each recipient, in a stable form that scripts may read.

use tracing::info;

use crate::receipt::Receipt;

/// Writes one INFO line for a receipt.
///
/// The message alone reads `delivered to=<a@example.org> from=<b@example.net> …`; the target is `pigeon::journal`.
pub fn write(receipt: &Receipt) {
    info!(target: "pigeon::journal", "{}", line(receipt));
}

/// The line for a receipt.
#[must_use]
pub fn line(receipt: &Receipt) -> String {
    format!(
        "{}: {} to=<{}> from=<{}> message-id=<{}> size={} delay_ms={}.{:03} ({})",
        receipt.id,
        receipt.outcome.word(),
        printable(&receipt.recipient),
        printable(&receipt.sender),
        printable(&receipt.message_id),
        receipt.size,
        receipt.duration_us / 1000,
        receipt.duration_us % 1000,
        printable(&receipt.outcome.text()),
    )
}

/// Keeps a text from breaking the line: nobody may forge a log entry with a header field.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::timestamp::Timestamp;

    #[test]
    fn a_line_has_a_stable_form() {
        let receipt = Receipt {
            id: "0001".into(),
            at: Timestamp::from_seconds(0),
            is_dry_run: false,
            sender: "b@example.net".into(),
            recipient: "a@example.org".into(),
            message_id: "x\n2026 forged@example.net".into(),
            size: 4096,
            outcome: Outcome::Delivered { what: "stored in INBOX".into() },
            branches: vec![],
            duration_us: 1234,
            snapshot_age_ms: None,
        };
        assert_eq!(
            line(&receipt),
            "0001: delivered to=<a@example.org> from=<b@example.net> \
             message-id=<x?2026 forged@example.net> size=4096 delay_ms=1.234 (stored in INBOX)"
        );
    }
}
