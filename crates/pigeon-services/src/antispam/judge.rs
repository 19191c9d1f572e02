//! What a score means for one recipient: from the settings, what was found, and what a list says of the sender.

use super::engine::Report;
use super::settings::{Action, Settings};
use crate::octets::Octets;

/// How many rules the receipt names.
const TOP_SYMBOLS: usize = 6;

/// What the scan of a message came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// A score and rules.
    Scanned(Report),
    /// It was not looked at: it is larger than this many octets.
    TooLarge(u64),
    /// No scanner gave an answer.
    Down(String),
}

/// What a list of senders says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// The score is not acted on.
    Allowed(String),
    /// It is spam whatever its score.
    Blocked(String),
}

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Pass,
    /// It goes on with fields that call it spam.
    Tag,
    /// It goes into the folder for spam.
    File,
    /// It is thrown away.
    Discard,
    /// It is refused.
    Reject,
}

/// What a message is for one recipient.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    /// What becomes of it.
    pub(super) fate: Fate,
    /// How near to being spam, in hundredths of the threshold: 0 to 100; none where nobody judged.
    pub(super) percent: Option<u8>,
    /// Why, for the receipt.
    pub(super) reason: String,
    /// The settings that decided.
    pub(super) keys: Vec<&'static str>,
}

impl Judgement {
    /// Whether it is called spam.
    pub(super) fn is_spam(&self) -> bool {
        self.fate != Fate::Pass
    }

    /// RFC 5235 §2.2: 0 is untested, 1 is clear of spam, 10 is spam for sure. Ten only at the threshold and above.
    pub(super) fn level(&self) -> u8 {
        self.percent.map_or(0, |percent| 1 + u8::try_from(u16::from(percent.min(100)) * 9 / 100).unwrap_or(9))
    }
}

/// Judges.
pub(super) fn judge(settings: &Settings, finding: &Finding, listed: Option<&Listed>) -> Judgement {
    let (score, mut reason) = match finding {
        Finding::Scanned(report) => (Some(report.score), scored(settings, report)),
        Finding::TooLarge(limit) => {
            (None, format!("not scanned: it is larger than antispam.largest, {}", Octets(*limit)))
        }
        Finding::Down(why) => (None, format!("not scanned: {why}")),
    };
    let mut keys = match finding {
        Finding::Scanned(_) => vec!["threshold"],
        Finding::TooLarge(_) => vec!["largest"],
        Finding::Down(_) => vec!["when_down"],
    };
    let over = |limit: Option<f64>| {
        // Other layers may bring a limit below the threshold: what is no spam is neither refused nor thrown away.
        limit
            .map(|limit| limit.max(settings.threshold))
            .filter(|limit| score.is_some_and(|score| score >= *limit))
    };
    let by_action = match settings.action {
        Action::Tag => Fate::Tag,
        Action::Folder => Fate::File,
        Action::Discard => Fate::Discard,
        Action::Reject => Fate::Reject,
    };
    let is_forced = match finding {
        Finding::Scanned(report) => report.forced.is_some() && report.score < settings.threshold,
        Finding::TooLarge(_) | Finding::Down(_) => false,
    };
    let measured = score.map(|score| percent(score, settings.threshold));
    let (fate, percent) = match listed {
        Some(Listed::Allowed(entry)) => {
            reason.extend(["; not acted on, the sender is allowed: ", entry]);
            keys.retain(|key| *key != "threshold");
            (Fate::Pass, Some(0))
        }
        Some(Listed::Blocked(entry)) => {
            reason.extend(["; spam, the sender is blocked: ", entry]);
            keys.retain(|key| *key != "threshold");
            keys.push("action");
            (by_action, Some(100))
        }
        None if is_forced => {
            keys.push("action");
            (by_action, Some(100))
        }
        None if score.is_some_and(|score| score >= settings.threshold) => {
            let (key, fate) = match (over(settings.reject_above), over(settings.discard_above)) {
                (Some(reject), Some(discard)) if discard > reject => ("discard_above", Fate::Discard),
                (Some(_), _) => ("reject_above", Fate::Reject),
                (None, Some(_)) => ("discard_above", Fate::Discard),
                (None, None) => ("action", by_action),
            };
            keys.push(key);
            (fate, measured)
        }
        None => (Fate::Pass, measured),
    };
    if fate == Fate::File {
        keys.push("folder");
    }
    Judgement { fate, percent, reason, keys }
}

/// `score 7.3 of 6.0: RULE, OTHER`
fn scored(settings: &Settings, report: &Report) -> String {
    let mut text = format!("score {} of {}", number(report.score), number(settings.threshold));
    if let Some(action) = &report.forced {
        text.extend([", the scanner says ", action]);
    }
    let top: Vec<&str> = report.symbols.iter().take(TOP_SYMBOLS).map(String::as_str).collect();
    if !top.is_empty() {
        text.extend([": ", &top.join(", ")]);
    }
    match report.symbols.len().saturating_sub(TOP_SYMBOLS) {
        0 => {}
        more => text.extend([" and ", &more.to_string(), " more"]),
    }
    text
}

fn percent(score: f64, threshold: f64) -> u8 {
    let percent = (score / threshold * 100.0).floor().clamp(0.0, 100.0);
    // Not below the threshold, however near.
    let percent = if score < threshold { percent.min(99.0) } else { 100.0 };
    (0..=100).rev().find(|step| f64::from(*step) <= percent).unwrap_or(0)
}

/// A score with one digit behind the point, two where it has them: `7.3`, `6.25`.
pub(super) fn number(score: f64) -> String {
    let text = format!("{score:.2}");
    text.strip_suffix('0').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(score: f64) -> Finding {
        Finding::Scanned(Report { score, symbols: vec!["A".to_owned(), "B".to_owned()], ..Report::default() })
    }

    fn of(reject_above: Option<f64>, discard_above: Option<f64>, action: Action) -> Settings {
        Settings { reject_above, discard_above, action, ..Settings::default() }
    }

    #[test]
    fn fates_follow_from_scores() {
        use Fate::{Discard, File, Pass, Reject, Tag};
        let check = |settings: &Settings, score: f64, fate: Fate, keys: &[&str]| {
            let found = judge(settings, &scanned(score), None);
            assert_eq!((found.fate, found.keys.as_slice()), (fate, keys), "{score}");
        };
        let plain = Settings::default();
        check(&plain, 5.99, Pass, &["threshold"]);
        check(&plain, 6.0, File, &["threshold", "action", "folder"]);
        check(&of(None, None, Action::Tag), 6.0, Tag, &["threshold", "action"]);
        check(&of(None, None, Action::Reject), 6.0, Reject, &["threshold", "action"]);
        let both = of(Some(10.0), Some(20.0), Action::Tag);
        check(&both, 9.9, Tag, &["threshold", "action"]);
        check(&both, 10.0, Reject, &["threshold", "reject_above"]);
        check(&both, 20.0, Discard, &["threshold", "discard_above"]);
        let other = of(Some(20.0), Some(10.0), Action::Tag);
        check(&other, 10.0, Discard, &["threshold", "discard_above"]);
        check(&other, 20.0, Reject, &["threshold", "reject_above"]);
        // Layers may bring a limit below the threshold.
        check(&of(Some(2.0), None, Action::Folder), 5.0, Pass, &["threshold"]);
        check(&of(Some(2.0), None, Action::Folder), 6.0, Reject, &["threshold", "reject_above"]);
    }

    #[test]
    fn lists_have_the_last_word() {
        let settings = of(Some(10.0), None, Action::Folder);
        let entry = || "bob@example.net".to_owned();
        let found = judge(&settings, &scanned(50.0), Some(&Listed::Allowed(entry())));
        assert_eq!((found.fate, found.level(), found.percent), (Fate::Pass, 1, Some(0)));
        assert_eq!(
            found.reason,
            "score 50.0 of 6.0: A, B; not acted on, the sender is allowed: bob@example.net"
        );
        for finding in [scanned(-5.0), Finding::TooLarge(7), Finding::Down("x".to_owned())] {
            let found = judge(&settings, &finding, Some(&Listed::Blocked(entry())));
            assert_eq!((found.fate, found.level(), found.percent), (Fate::File, 10, Some(100)));
        }
    }

    #[test]
    fn levels_are_those_of_rfc_5235() {
        let level = |score: f64| {
            let found = judge(&Settings::default(), &scanned(score), None);
            (found.level(), found.percent)
        };
        assert_eq!(level(-3.0), (1, Some(0)));
        assert_eq!(level(3.0), (5, Some(50)));
        assert_eq!(level(5.9999), (9, Some(99)));
        assert_eq!(level(6.0), (10, Some(100)));
        assert_eq!(level(600.0), (10, Some(100)));
        let untested = judge(&Settings::default(), &Finding::TooLarge(7), None);
        assert_eq!((untested.level(), untested.percent, untested.is_spam()), (0, None, false));
        assert_eq!(untested.reason, "not scanned: it is larger than antispam.largest, 7 octets");
    }

    #[test]
    fn what_the_scanner_forces_is_spam() {
        let report = Report { score: 0.0, forced: Some("reject".to_owned()), ..Report::default() };
        let finding = Finding::Scanned(report);
        let found = judge(&Settings::default(), &finding, None);
        assert_eq!(
            (found.fate, found.level(), found.reason.as_str()),
            (Fate::File, 10, "score 0.0 of 6.0, the scanner says reject")
        );
        let allowed = Listed::Allowed("bob@example.net".to_owned());
        assert_eq!(judge(&Settings::default(), &finding, Some(&allowed)).fate, Fate::Pass);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([7.3, 5.0, 6.25, -1.9, 1000.0].map(number), ["7.3", "5.0", "6.25", "-1.9", "1000.0"]);
    }
}
