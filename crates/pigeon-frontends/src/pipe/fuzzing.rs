//! What must hold for any command line, environment and `From ` line: the entry functions of the fuzz targets.

use std::collections::HashMap;

use super::arguments::{Arguments, Dialect};
use super::{cut_from_line, parse_recipient, sender, with_detail};

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[("pipe_arguments", arguments), ("pipe_from_line", from_line)];

/// `dialect line…`: lines are arguments up to an empty one, then variables. What is understood names a recipient,
/// and says nothing that was not said.
pub fn arguments(data: &[u8]) {
    let Some((dialect, data)) = data.split_first() else { return };
    let dialect = match dialect % 4 {
        0 => Dialect::Pigeon,
        1 => Dialect::Procmail,
        2 => Dialect::Maildrop,
        _ => Dialect::DovecotLda,
    };
    let text = String::from_utf8_lossy(data);
    let (words, variables) = text.split_once("\n\n").unwrap_or((&text, ""));
    let words: Vec<String> = words.split('\n').map(str::to_owned).collect();
    let variables: HashMap<&str, &str> = variables.lines().filter_map(|line| line.split_once('=')).collect();
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());

    let literal = std::iter::once("--".to_owned()).chain(words.clone());
    let literal = Arguments::parse(dialect, literal, &environment);
    assert_eq!(literal.map(|parsed| parsed.recipients).as_ref(), Ok(&words), "behind -- all are recipients");

    let Ok(parsed) = Arguments::parse(dialect, words, &environment) else { return };
    assert!(parsed.is_help || !parsed.recipients.is_empty(), "{parsed:?}");
    assert!(parsed.recipients.len() <= text.split('\n').count(), "{parsed:?}");
    for recipient in &parsed.recipients {
        // Joined from a local part, a suffix and a domain it has an @ of ours.
        assert!(recipient.len() <= text.len() + 1, "{recipient:?} is longer than all that was said");
        let address = parse_recipient(recipient, "example.org");
        if let Ok(address) = address.and_then(|address| with_detail(address, parsed.detail.as_deref())) {
            assert!(!address.local().contains(char::is_control), "{address}");
        }
    }
    if let Err(line) = sender(&parsed, None) {
        assert!(
            line.starts_with("5.1.7 ") && !line.contains(char::is_control),
            "one line for the log: {line:?}"
        );
    }
}

/// A `From ` line is cut off whole or not at all, and nothing else is.
pub fn from_line(data: &[u8]) {
    let (mut said, mut unsaid) = (None, None);
    let rest = cut_from_line(data, true, &mut said);
    assert_eq!(cut_from_line(data, false, &mut unsaid), data, "kept on demand");
    assert_eq!(said, unsaid, "the sender is read either way");
    assert!(data.ends_with(rest), "what is left is the end of what was there");
    let line = data.strip_suffix(rest).unwrap_or(data);
    assert_eq!(said.is_some(), data.starts_with(b"From "), "a sender where there is such a line");
    assert_eq!(!line.is_empty(), said.is_some(), "only such a line is cut");
    assert!(!line.strip_suffix(b"\n").unwrap_or(line).contains(&b'\n'), "only one line is cut");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
