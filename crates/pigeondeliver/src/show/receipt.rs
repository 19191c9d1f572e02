//! Receipts as people read them: the outcome first, then what each step decided and which setting made it so.

use std::io::{self, Write};

use owo_colors::Style;
use pigeon_core::outcome::Outcome;
use pigeon_core::receipt::{BranchRecord, Receipt, StepRecord};
use serde_json::Value;

use super::{Paper, Table, Tone, moment, printable, size, span};

/// Reasons of more letters stand out of line where lines are not wrapped.
const LONG_REASON: usize = 60;

/// Writes a receipt as a block of lines.
///
/// # Errors
/// When `out` cannot be written.
pub fn receipt(out: &mut dyn Write, receipt: &Receipt, paper: Paper) -> io::Result<()> {
    head(out, receipt, paper)?;
    match receipt.branches.as_slice() {
        [only] if only.target == receipt.recipient => {
            result(out, &only.outcome, paper)?;
            steps(out, &only.steps, paper)?;
        }
        branches => {
            for branch in branches {
                branch_head(out, branch, paper)?;
                result(out, &branch.outcome, paper)?;
                steps(out, &branch.steps, paper)?;
            }
        }
    }
    Ok(())
}

/// The receipt as JSON, with its moment in the form of RFC 3339.
#[must_use]
pub fn receipt_json(receipt: &Receipt) -> Value {
    let mut document = serde_json::to_value(receipt).unwrap_or_default();
    if let Some(at) = document.get_mut("at") {
        *at = Value::String(receipt.at.to_rfc3339());
    }
    document
}

fn head(out: &mut dyn Write, receipt: &Receipt, paper: Paper) -> io::Result<()> {
    let (sign, style) = look(&receipt.outcome);
    let word = format!("{sign} {:<9}", receipt.outcome.word());
    let sender = if receipt.sender.is_empty() { "<>" } else { &receipt.sender };
    let measures = format!("{} in {}", size(receipt.size), span(receipt.duration_us));
    writeln!(
        out,
        "{}  {}   from {}   {}",
        paper.paint(&word, style.bold()),
        paper.paint(&printable(&receipt.recipient), Style::new().bold()),
        printable(sender),
        paper.paint(&measures, Style::new().dimmed()),
    )?;
    let mut origin = if receipt.is_dry_run {
        "dry run: nothing was stored, sent or remembered".to_owned()
    } else {
        format!("{}  {}", moment(receipt.at), receipt.id)
    };
    if let Some(age) = receipt.snapshot_age_ms {
        origin.push_str("  directory as of ");
        origin.push_str(&span(age.saturating_mul(1000)));
        origin.push_str(" before");
    }
    if !receipt.message_id.is_empty() {
        origin.push_str("  <");
        origin.push_str(&printable(&receipt.message_id));
        origin.push('>');
    }
    writeln!(out, "    {}", paper.paint(&origin, Style::new().dimmed()))
}

fn branch_head(out: &mut dyn Write, branch: &BranchRecord, paper: Paper) -> io::Result<()> {
    let (sign, style) = look(&branch.outcome);
    let word = paper.paint(&format!("{sign} {}", branch.outcome.word()), style);
    writeln!(out, "  ▸ {}  {word}", printable(&branch.target))
}

fn result(out: &mut dyn Write, outcome: &Outcome, paper: Paper) -> io::Result<()> {
    let text = printable(&outcome.text());
    let style = if outcome.is_success() { Style::new() } else { look(outcome).1 };
    if text.is_empty() { Ok(()) } else { writeln!(out, "    → {}", paper.paint(&text, style)) }
}

fn steps(out: &mut dyn Write, steps: &[StepRecord], paper: Paper) -> io::Result<()> {
    let mut table = Table::new(paper, &[]).indented(6);
    let room = room(steps, paper);
    for step in steps {
        let decision = match step.decision.as_str() {
            "continue" => Tone::Good,
            "skip" | "defer" | "discard" => Tone::Warn,
            _ => Tone::Bad,
        };
        let reason = printable(&step.reason);
        let because = printable(&step.because.join("; "));
        let (reason, because) = match room {
            // The cell is the last one with something in it, so that it makes no other row longer.
            Some(room) => (format!("{reason:<room$}  {because}").trim_end().to_owned(), String::new()),
            None => (reason, because),
        };
        table.row([
            (step.service.as_str(), Tone::Strong),
            (step.decision.as_str(), decision),
            (reason.as_str(), Tone::Plain),
            (because.as_str(), Tone::Dim),
        ]);
    }
    table.write(out)
}

/// How wide reasons are where lines are not wrapped and one of them is long: it would push the settings of all steps far
/// to the right.
fn room(steps: &[StepRecord], paper: Paper) -> Option<usize> {
    let lengths = || steps.iter().map(|step| printable(&step.reason).chars().count());
    let is_ragged = paper.width.is_none() && lengths().any(|length| length > LONG_REASON);
    is_ragged.then(|| lengths().filter(|length| *length <= LONG_REASON).max().unwrap_or_default())
}

/// The sign and the colour of an outcome.
fn look(outcome: &Outcome) -> (char, Style) {
    match outcome {
        Outcome::Delivered { .. } => ('✓', Style::new().green()),
        Outcome::Discarded { .. } => ('∅', Style::new().yellow()),
        Outcome::Rejected { .. } => ('✗', Style::new().red()),
        Outcome::Deferred { .. } => ('↻', Style::new().yellow()),
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::fault::Reply;
    use pigeon_core::timestamp::Timestamp;

    use super::*;

    fn step(service: &str, decision: &str, reason: &str, because: &[&str]) -> StepRecord {
        StepRecord {
            service: service.into(),
            decision: decision.into(),
            reason: reason.into(),
            because: because.iter().map(|text| (*text).to_owned()).collect(),
            duration_us: 10,
        }
    }

    #[test]
    fn a_long_reason_pushes_nothing_to_the_right() {
        let long = "x".repeat(200);
        let steps = [
            step("antivirus", "defer", &long, &["antivirus.when_down=defer (default)"]),
            step("mailbox", "continue", "stored in INBOX", &["mailbox.folder=INBOX (default)"]),
            step("commit", "continue", "", &[]),
        ];
        let mut out = Vec::new();
        super::steps(&mut out, &steps, Paper::PLAIN).unwrap();
        let expect = format!(
            "      antivirus  defer     {long}  antivirus.when_down=defer (default)\n      \
             mailbox    continue  stored in INBOX  mailbox.folder=INBOX (default)\n      commit     continue\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    fn delivered() -> BranchRecord {
        BranchRecord {
            target: "ann@example.org".into(),
            outcome: Outcome::Delivered { what: "stored in INBOX".into() },
            steps: vec![
                step("quota", "continue", "1.2 of 50 MB used", &["quota.octets=50000000 (domain, pinned)"]),
                step("mailbox", "continue", "INBOX", &["mailbox.folder=INBOX (default)"]),
                step("commit", "continue", "", &[]),
            ],
        }
    }

    fn sample(branches: Vec<BranchRecord>, outcome: Outcome) -> Receipt {
        Receipt {
            id: "019abc".into(),
            at: Timestamp::parse("2026-11-23T19:00:00Z").unwrap(),
            is_dry_run: false,
            sender: "bob@example.net".into(),
            recipient: "ann@example.org".into(),
            message_id: "1@example.net".into(),
            size: 4123,
            outcome,
            branches,
            duration_us: 1234,
            snapshot_age_ms: None,
        }
    }

    fn written(receipt: &Receipt) -> String {
        let mut out = Vec::new();
        super::receipt(&mut out, receipt, Paper::PLAIN).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_delivered_message_reads_well() {
        let branch = delivered();
        let outcome = branch.outcome.clone();
        insta::assert_snapshot!(written(&sample(vec![branch], outcome)), @r"
        ✓ delivered  ann@example.org   from bob@example.net   4.1 kB in 1.2 ms
            2026-11-23 19:00:00  019abc  <1@example.net>
            → stored in INBOX
              quota    continue  1.2 of 50 MB used  quota.octets=50000000 (domain, pinned)
              mailbox  continue  INBOX              mailbox.folder=INBOX (default)
              commit   continue
        ");
    }

    #[test]
    fn branches_stand_apart() {
        let refused = BranchRecord {
            target: "bob@example.org".into(),
            outcome: Outcome::Rejected { reply: Reply::new(552, (5, 2, 2), "The mailbox is full") },
            steps: vec![step("quota", "reject", "51.0 of 50 MB used", &["quota.octets=50000000 (system)"])],
        };
        let mut receipt = sample(
            vec![delivered(), refused],
            Outcome::Delivered { what: "ann@example.org: stored in INBOX".into() },
        );
        receipt.recipient = "sales@example.org".into();
        receipt.sender = String::new();
        receipt.is_dry_run = true;
        insta::assert_snapshot!(written(&receipt), @r"
        ✓ delivered  sales@example.org   from <>   4.1 kB in 1.2 ms
            dry run: nothing was stored, sent or remembered  <1@example.net>
          ▸ ann@example.org  ✓ delivered
            → stored in INBOX
              quota    continue  1.2 of 50 MB used  quota.octets=50000000 (domain, pinned)
              mailbox  continue  INBOX              mailbox.folder=INBOX (default)
              commit   continue
          ▸ bob@example.org  ✗ rejected
            → 552 5.2.2 The mailbox is full
              quota  reject  51.0 of 50 MB used  quota.octets=50000000 (system)
        ");
    }

    #[test]
    fn mail_cannot_steer_the_terminal() {
        let mut receipt = sample(vec![], Outcome::Discarded { reason: "\u{1b}[2J".into() });
        receipt.message_id = "\u{1b}]0;x\u{7}".into();
        assert!(!written(&receipt).contains('\u{1b}'));
    }

    #[test]
    fn json_has_a_readable_moment() {
        let document = receipt_json(&sample(vec![], Outcome::Discarded { reason: "spam".into() }));
        assert_eq!(document["at"], "2026-11-23T19:00:00Z");
        assert_eq!(document["outcome"], "discarded");
    }
}
