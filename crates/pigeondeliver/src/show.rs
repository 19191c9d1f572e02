//! How the command line looks: one place for tables, receipts, sizes and colours.
//!
//! Everything writes into a `dyn Write` and is told by a [`Paper`] how wide it is and whether colours are
//! welcome, so the same text can go to a terminal, a file or a test.

mod change;
mod receipt;
mod schema;
mod table;

use std::io::{self, IsTerminal as _};

use owo_colors::Style;
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

pub use change::{describe_change, describe_logged};
pub use receipt::{receipt, receipt_json};
pub(crate) use schema::types;
pub use schema::{KeyDoc, description, key_docs, kind};
pub use table::{Table, Tone};

/// Longest text in a table that is shown in full.
const MAX_SHOWN_LETTERS: usize = 60;

/// What the text is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paper {
    /// Columns of the terminal; none: lines may be as long as they like.
    pub width: Option<u16>,
    /// Whether colours are welcome.
    pub is_coloured: bool,
}

impl Paper {
    /// Paper without colours and without an edge, as in a file.
    pub const PLAIN: Self = Self { width: None, is_coloured: false };

    /// What standard output is.
    #[must_use]
    pub fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self { width: None, is_coloured: colour_is_forced() };
        }
        let size = rustix::termios::tcgetwinsize(io::stdout());
        // A narrower terminal gets long lines rather than tables of one letter a line.
        let width = size.ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
        Self { width: width.map(|columns| columns.max(60)), is_coloured: true }
    }

    /// The text in a style, or as it is.
    #[must_use]
    pub fn paint(self, text: &str, style: Style) -> String {
        if self.is_coloured { style.style(text).to_string() } else { text.to_owned() }
    }
}

fn colour_is_forced() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Octets for people, in decimal units: `312 B`, `4.1 kB`, `50 MB`.
#[must_use]
pub fn size(octets: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if octets < 1000 {
        return format!("{octets} B");
    }
    let mut whole = octets;
    let mut rest = 0;
    let mut name = "B";
    for unit in UNITS {
        if whole < 1000 {
            break;
        }
        (rest, whole, name) = (whole % 1000, whole / 1000, unit);
    }
    match rest / 100 {
        tenths if whole < 100 && tenths > 0 => format!("{whole}.{tenths} {name}"),
        _ => format!("{whole} {name}"),
    }
}

/// A span in microseconds for people: `340 µs`, `1.2 ms`, `2.5 s`.
#[must_use]
pub fn span(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// A setting's value in one line: texts bare, lists with commas, everything else as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => printable(&text.trim_end().replace('\n', "↵")),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(self::value).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The beginning of a text that is too long for a table.
#[must_use]
pub fn short(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN_LETTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_SHOWN_LETTERS - 1).chain(['…']).collect()
}

/// A moment in UTC, without the letters that only machines need: `2026-11-23 19:00:00`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.to_rfc3339().replacen('T', " ", 1).trim_end_matches('Z').to_owned()
}

/// The text with control characters made harmless, so that mail cannot steer a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A number with its noun: `1 account`, `2 accounts`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ if noun.ends_with('s') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_and_spans_are_short() {
        let check = |octets: u64, expect: &str| assert_eq!(size(octets), expect);
        check(0, "0 B");
        check(999, "999 B");
        check(4123, "4.1 kB");
        check(50_000_000, "50 MB");
        check(1_500_000_000, "1.5 GB");
        check(u64::MAX, "18446 PB");
        assert_eq!(span(340), "340 µs");
        assert_eq!(span(1234), "1.2 ms");
        assert_eq!(span(2_540_000), "2.5 s");
    }

    #[test]
    fn values_are_readable() {
        let check = |given: Value, expect: &str| assert_eq!(value(&given), expect);
        check(json!("INBOX"), "INBOX");
        check(json!(""), "\"\"");
        check(json!(["a@example.org", "b@example.org"]), "a@example.org, b@example.org");
        check(json!([]), "[]");
        check(json!(6), "6");
        check(Value::Null, "not set");
        check(json!("one\ntwo\n"), "one↵two");
        assert_eq!(short(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(short(&"x".repeat(61)), "x".repeat(59) + "…");
        check(json!("a\u{1b}[2J"), "a\u{fffd}[2J");
    }

    #[test]
    fn words_are_counted() {
        assert_eq!(count(1, "account"), "1 account");
        assert_eq!(count(0, "alias"), "0 aliases");
        assert_eq!(count(2, "entry"), "2 entries");
    }
}
