//! What clamd answers to a stream.
//!
//! Source: clamd(8), commands INSTREAM and IDSESSION.

/// Longest answer that is read, in octets.
pub(super) const MAX_REPLY_OCTETS: usize = 4096;
/// Longest name of a virus that is passed on, in characters.
const MAX_NAME_LETTERS: usize = 200;
/// How much of an answer that is none is shown, in characters.
pub(super) const MAX_STRANGE_LETTERS: usize = 100;
/// What signatures of limits are called (`AlertExceedsMax` in clamd.conf): nothing was found, and not all was looked at.
const LIMITS: &str = "Heuristics.Limits.Exceeded";

/// What clamd says about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing was found.
    Clean,
    /// This was found.
    Infected(String),
    /// It did not look at all of it, for this reason.
    TooLarge(String),
    /// It could not look at it; what it said.
    Failed(String),
}

/// Reads the answer to the scan with that number: `1: stream: Eicar-Test FOUND`. Only the exact words mean that a
/// message is clean.
pub(super) fn parse(line: &[u8], number: u32) -> Result<Reply, String> {
    let text = shown(&String::from_utf8_lossy(line));
    let said = text.strip_prefix(&format!("{number}: "));
    if let Some(found) = said.and_then(|said| said.strip_prefix("stream: ")) {
        if found == "OK" {
            return Ok(Reply::Clean);
        }
        if let Some(name) = found.strip_suffix(" FOUND").map(str::trim) {
            return Ok(match name {
                "" => Reply::Infected("unnamed".to_owned()),
                _ if name.starts_with(LIMITS) => {
                    Reply::TooLarge(format!("clamd looked at a part of it only: {}", named(name)))
                }
                _ => Reply::Infected(named(name)),
            });
        }
    }
    // The error of a stream may come before the session's numbers do.
    let said = said.unwrap_or(&text);
    if said.starts_with("INSTREAM size limit exceeded") {
        return Ok(Reply::TooLarge("it is larger than StreamMaxLength of clamd".to_owned()));
    }
    match said.strip_suffix(" ERROR") {
        Some(error) => Ok(Reply::Failed(error.to_owned())),
        None => Err(text.chars().take(MAX_STRANGE_LETTERS).collect()),
    }
}

fn named(name: &str) -> String {
    name.chars().take(MAX_NAME_LETTERS).collect()
}

/// Text of a server as logs, receipts and header fields may show it.
pub(super) fn shown(text: &str) -> String {
    text.trim().chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// How sure it is, by the name: RFC 5235 §3.2, where 4 is a message that possibly contains a virus, 5 one that
/// definitely does. clamd names what it only suspects `Heuristics.…` and `PUA.…` (possibly unwanted applications).
pub(super) fn level(name: &str) -> u8 {
    let is_suspected = ["Heuristics.", "PUA."].iter().any(|beginning| name.starts_with(beginning));
    if is_suspected { 4 } else { 5 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, expect: Reply) {
        assert_eq!(parse(line.as_bytes(), 7), Ok(expect), "{line}");
    }

    #[test]
    fn answers_are_told_apart() {
        let infected = |name: &str| Reply::Infected(name.to_owned());
        check("7: stream: OK", Reply::Clean);
        check("7: stream: Eicar-Test.UNOFFICIAL FOUND", infected("Eicar-Test.UNOFFICIAL"));
        check("7: stream: Odd name (FOUND) ERROR FOUND", infected("Odd name (FOUND) ERROR"));
        check("7: stream: OK FOUND", infected("OK"));
        check("7: stream: a\tb\rc FOUND", infected("a?b?c"));
        check("7: stream: Grüße FOUND", infected("Grüße"));
        check("7: stream:  FOUND", infected("unnamed"));
        check(&format!("7: stream: {} FOUND", "x".repeat(1000)), infected(&"x".repeat(200)));
        let too_large = || Reply::TooLarge("it is larger than StreamMaxLength of clamd".to_owned());
        check("7: INSTREAM size limit exceeded. ERROR", too_large());
        check("INSTREAM size limit exceeded. ERROR", too_large());
        check(
            "7: stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND",
            Reply::TooLarge(
                "clamd looked at a part of it only: Heuristics.Limits.Exceeded.MaxFileSize".to_owned(),
            ),
        );
        check(
            "7: stream: Can't allocate memory ERROR",
            Reply::Failed("stream: Can't allocate memory".to_owned()),
        );
        check("UNKNOWN COMMAND ERROR", Reply::Failed("UNKNOWN COMMAND".to_owned()));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for line in [
            "",
            "7: ",
            "stream: OK",
            "8: stream: OK",
            "7: stream: OK\0",
            "7: stream: OK ",
            "7: OK",
            "HTTP/1.1 200 OK",
        ] {
            let is_clean = parse(line.as_bytes(), 7) == Ok(Reply::Clean);
            // Blanks at the end are nobody's words.
            assert_eq!(is_clean, line.trim_end() == "7: stream: OK", "{line:?}");
        }
    }

    #[test]
    fn suspicions_are_told_from_viruses() {
        assert_eq!(level("Win.Worm.Mydoom-1"), 5);
        assert_eq!(level("Heuristics.Encrypted.Zip"), 4);
        assert_eq!(level("PUA.Win.Packer-1"), 4);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_pass_for_clean(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_ne!(parse(&line, 1), Ok(Reply::Clean));
        }
    }
}
