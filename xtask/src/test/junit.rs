//! Reads the report that nextest writes: only what it needs of XML, in the shape that nextest gives it.

use super::SKIPPED;
use crate::tally::Tally;

/// Counts the tests of a report.
pub(crate) fn read(text: &str) -> Tally {
    let mut tally = Tally::default();
    // Every test begins with this tag; text in the report has its `<` escaped.
    for case in text.split("<testcase ").skip(1) {
        let name = format!("{} {}", attribute(case, "classname"), attribute(case, "name"));
        if case.contains("<failure") || case.contains("<error") {
            tally.failed.push(name);
        } else if let Some(why) = skipped(case) {
            tally.skip(&name, &why);
        } else {
            tally.passed += 1;
        }
    }
    tally
}

/// Why the test could not run, if it said so.
fn skipped(case: &str) -> Option<String> {
    let lines = case.lines().map(|line| line.trim_start().trim_start_matches("<system-err>"));
    let mut reasons = lines.filter_map(|line| line.strip_prefix(SKIPPED));
    let first = reasons.next()?;
    Some(unescaped(first.trim_end_matches("</system-err>")))
}

/// The value of an attribute of the tag that the text begins in; empty if it has none.
fn attribute(case: &str, name: &str) -> String {
    let tag = case.split('>').next().unwrap_or_default();
    let value = tag.split_once(&format!(" {name}=\"")).or_else(|| tag.split_once(&format!("{name}=\"")));
    let value = value.and_then(|(_, rest)| rest.split('"').next());
    unescaped(value.unwrap_or_default())
}

fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="1">
    <testsuite name="pigeon-core">
        <testcase name="resolve::wins" classname="pigeon-core" time="0.011">
            <system-out>running 1 test</system-out>
            <system-err></system-err>
        </testcase>
        <testcase name="dovecot_reads" classname="kit::peers">
            <system-err>SKIPPED: dovecot: not unpacked; &quot;x&quot;
SKIPPED: again</system-err>
        </testcase>
        <testcase name="one_line" classname="kit::peers">
            <system-err>SKIPPED: no root</system-err>
        </testcase>
        <testcase name="breaks" classname="kit::peers">
            <failure type="test failure">thread panicked</failure>
            <system-err>SKIPPED: half of it</system-err>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn tests_are_counted_once_each() {
        let tally = read(REPORT);
        assert_eq!(tally.passed, 1);
        assert_eq!(tally.failed, ["kit::peers breaks"]);
        let skips: Vec<_> =
            tally.skipped.iter().map(|skip| (skip.what.as_str(), skip.why.as_str())).collect();
        assert_eq!(
            skips,
            [
                ("kit::peers dovecot_reads", "dovecot: not unpacked; \"x\""),
                ("kit::peers one_line", "no root")
            ]
        );
        assert_eq!(read(""), Tally::default());
    }
}
