//! What passed, failed and was skipped, and the closing lines that say so.
//!
//! A skipped test looks like a passed one to the test runners; here it is counted and named, because a suite that
//! skips everything would otherwise be green.

use std::collections::BTreeMap;

use crate::workspace::{say, styled};

/// The outcome of tests and checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// How many passed.
    pub(crate) passed: usize,
    /// The names of those that failed.
    pub(crate) failed: Vec<String>,
    /// Those that could not run here.
    pub(crate) skipped: Vec<Skip>,
}

/// Something that could not run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    /// Its name.
    pub(crate) what: String,
    /// What is missing.
    pub(crate) why: String,
}

impl Tally {
    /// Counts one check.
    pub(crate) fn add(&mut self, what: &str, is_good: bool) {
        if is_good {
            self.passed += 1;
        } else {
            self.failed.push(what.to_owned());
        }
    }

    /// Counts one that could not run.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.skipped.push(Skip { what: what.to_owned(), why: why.to_owned() });
    }

    /// Adds another tally.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Prints what was skipped and what failed, then the closing line; whether nothing failed.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn close(&self) -> anyhow::Result<bool> {
        for line in self.lines() {
            say(&line)?;
        }
        Ok(self.failed.is_empty())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        if !self.skipped.is_empty() {
            lines.push(styled("1;33", "SKIPPED: these did not run and prove nothing here"));
            let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for skip in &self.skipped {
                reasons.entry(&skip.why).or_default().push(&skip.what);
            }
            for (why, mut names) in reasons {
                names.sort_unstable();
                names.dedup();
                lines.push(format!("  {why}"));
                lines.extend(names.iter().map(|name| format!("    {name}")));
            }
        }
        if !self.failed.is_empty() {
            lines.push(styled("1;31", "FAILED"));
            lines.extend(self.failed.iter().map(|name| format!("    {name}")));
        }
        let counts =
            format!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len());
        lines.push(styled(if self.failed.is_empty() { "1;32" } else { "1;31" }, &counts));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_name_what_did_not_run() {
        let mut tally = Tally::default();
        tally.add("format", true);
        tally.add("lints", false);
        tally.skip("b", "no dovecot");
        tally.skip("a", "no dovecot");
        let lines = tally.lines();
        assert_eq!(
            lines,
            [
                "",
                "SKIPPED: these did not run and prove nothing here",
                "  no dovecot",
                "    a",
                "    b",
                "FAILED",
                "    lints",
                "1 passed, 1 failed, 2 skipped"
            ]
        );
    }
}
