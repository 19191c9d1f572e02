//! Rules that hold whatever a scanner answers.

use super::reply::{Reply, parse};

/// Only the exact words mean that a message is clean.
///
/// # Panics
/// When it is otherwise.
pub fn reply(data: &[u8]) {
    if parse(data, 1) == Ok(Reply::Clean) {
        let text = String::from_utf8_lossy(data);
        assert_eq!(text.trim(), "1: stream: OK");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_exact_words_mean_clean(text in "[ -~]{0,3}(1: )?(stream: )?(OK|FOUND| ERROR)?[ -~]{0,3}") {
            super::reply(text.as_bytes());
        }
    }
}
