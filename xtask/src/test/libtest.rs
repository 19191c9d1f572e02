//! Reads what `cargo test -- --show-output` prints, line by line.

use super::SKIPPED;
use crate::tally::Tally;

const IGNORED: &str = " ... ignored";
/// Why an ignored test is skipped.
const MARKED: &str = "marked as ignored";

/// What was read so far, of all test binaries.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tally: Tally,
    /// Whether the lines now are what passed tests printed.
    is_quiet: bool,
    /// The test whose output the lines now are.
    test: Option<String>,
}

impl Report {
    /// Takes a line; whether a person should see it.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        if let Some(why) = line.strip_prefix(SKIPPED) {
            let what = self.test.clone().unwrap_or_else(|| "a test".to_owned());
            self.tally.skip(&what, why);
        } else if line == "successes:" {
            self.is_quiet = true;
        } else if line == "failures:" {
            self.is_quiet = false;
        } else if let Some(rest) = line.strip_prefix("---- ") {
            self.test = rest.strip_suffix(" stdout ----").map(str::to_owned);
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.is_quiet = false;
            self.test = None;
            self.tally.passed += count(rest, "passed");
        } else if let Some(name) = ended(line, " ... FAILED") {
            self.tally.failed.push(name.to_owned());
        } else if let Some((name, why)) = line.strip_prefix("test ").and_then(|line| line.split_once(IGNORED))
            // A helper process is no test of its own.
            && !why.contains("started by")
        {
            self.tally.skip(name, MARKED);
        }
        !self.is_quiet
    }

    /// The counts. A test that printed `SKIPPED` passed for its runner; here it did not.
    pub(crate) fn tally(mut self) -> Tally {
        let skipped = self.tally.skipped.iter().filter(|skip| skip.why != MARKED).count();
        self.tally.passed = self.tally.passed.saturating_sub(skipped);
        self.tally
    }
}

fn ended<'a>(line: &'a str, end: &str) -> Option<&'a str> {
    line.strip_prefix("test ").and_then(|line| line.strip_suffix(end))
}

/// The number before a word: `ok. 3 passed; 0 failed` and `passed` give 3.
fn count(text: &str, word: &str) -> usize {
    let before = text.split(';').find_map(|part| part.trim().strip_suffix(word));
    before.and_then(|part| part.split_whitespace().last()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up() {
        let text = "\nrunning 6 tests\ntest child ... ignored, started by a\ntest a ... ok\nSKIPPED: no root\ntest b ... ok\ntest c ... FAILED\n\
                    test d ... ignored, slow\n\nsuccesses:\n\n---- e stdout ----\nhello\nSKIPPED: no dovecot\n\n\
                    failures:\n\n---- c stdout ----\nbecause\n\nfailures:\n    c\n\n\
                    test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    running 1 test\ntest src/lib.rs - f (line 3) ... ok\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let mut report = Report::default();
        let shown: Vec<&str> = text.lines().filter(|line| report.read(line)).collect();
        assert!(!shown.contains(&"hello"), "{shown:?}");
        assert!(shown.contains(&"because"), "{shown:?}");
        let tally = report.tally();
        assert_eq!((tally.passed, tally.failed.as_slice()), (2, &["c".to_owned()][..]));
        let skips: Vec<_> =
            tally.skipped.iter().map(|skip| (skip.what.as_str(), skip.why.as_str())).collect();
        assert_eq!(skips, [("a test", "no root"), ("d", "marked as ignored"), ("e", "no dovecot")]);
    }
}
