//! Rules that hold whatever scanners answer.

use super::{rspamd, spamd};

/// A score is a number, whatever rspamd answers.
///
/// # Panics
/// When it is otherwise.
pub fn rspamd(data: &[u8]) {
    if let Ok(report) = rspamd::report(data) {
        assert!(report.score.is_finite());
    }
}

/// A score is a number, whatever spamd answers.
///
/// # Panics
/// When it is otherwise.
pub fn spamd(data: &[u8]) {
    let answer = spamd::parse(&String::from_utf8_lossy(data));
    if let Ok(report) = answer.and_then(|answer| spamd::report(&answer)) {
        assert!(report.score.is_finite());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scores_are_numbers(number in "[-+]?[0-9a-zA-Z.]{0,8}(e[0-9]{1,4})?", rest in "[ -~]{0,20}") {
            super::spamd(format!("SPAMD/1.1 0 EX_OK\r\nSpam: True ; {number} / 5.0\r\n\r\n{rest}").as_bytes());
            super::rspamd(format!("{{\"score\": {number}, \"symbols\": {{\"A\": {{\"score\": {number}}}}}}}").as_bytes());
        }
    }
}
