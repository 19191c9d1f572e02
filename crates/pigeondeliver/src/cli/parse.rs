//! What people write on the command line, besides settings: moments, spans, domain names, and near misses.

use std::time::Duration;

use pigeon_core::address::DomainName;
use pigeon_core::timestamp::Timestamp;

/// A moment, or a distance from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A date.
    At(Timestamp),
    /// `30m`, `12h`, `7d`, `2w`.
    Distance(Duration),
}

impl Moment {
    /// The moment that lies this far before `now`, or the date itself.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Distance(span) => now.minus(span),
        }
    }

    /// The moment that lies this far behind `now`, or the date itself.
    pub(crate) fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Distance(span) => now.plus(span),
        }
    }
}

/// Reads a date, or a distance such as `12h`.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match text.strip_prefix(digits) {
        Some("s") => Some(1),
        Some("m" | "min") => Some(60),
        Some("h") => Some(3600),
        Some("d") => Some(86_400),
        Some("w") => Some(7 * 86_400),
        _ => None,
    };
    let distance = seconds.zip(digits.parse::<u64>().ok());
    if let Some((unit, number)) = distance {
        return Ok(Moment::Distance(Duration::from_secs(number.saturating_mul(unit))));
    }
    Timestamp::parse(text).map(Moment::At).map_err(|error| format!("{error}, or a distance: 30m, 12h, 7d"))
}

/// Reads a domain name and brings it into its normal form.
pub(crate) fn domain(text: &str) -> Result<String, String> {
    match DomainName::parse(text) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(format!("{text:?} is not a domain: {error}")),
    }
}

/// The candidate that was probably meant, where one is near enough.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match given.chars().count() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let measured = candidates.into_iter().map(|candidate| (distance(given, candidate), candidate));
    measured.filter(|(steps, _)| (1..=limit).contains(steps)).min().map(|(_, candidate)| candidate)
}

/// The number of letters to add, drop, change or swap with their neighbour, to come from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    let mut before_previous = previous.clone();
    let mut last_letter = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&previous, column) + usize::from(letter != *other);
            let mut best = changed.min(at(&previous, column + 1) + 1).min(at(&current, column) + 1);
            let before = column.checked_sub(1).and_then(|before| to.get(before));
            if before == Some(&letter) && last_letter == Some(*other) {
                best = best.min(at(&before_previous, column - 1) + 1);
            }
            current.push(best);
        }
        last_letter = Some(letter);
        before_previous = std::mem::replace(&mut previous, current);
    }
    previous.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_distances() {
        let now = Timestamp::parse("2026-11-23").unwrap();
        let check = |text: &str, expect: &str| {
            assert_eq!(moment(text).unwrap().before(now).to_rfc3339(), expect, "{text}");
        };
        check("2026-01-01", "2026-01-01T00:00:00Z");
        check("1d", "2026-11-22T00:00:00Z");
        check("30m", "2026-11-22T23:30:00Z");
        assert_eq!(moment("2w").unwrap().after(now).to_rfc3339(), "2026-12-07T00:00:00Z");
        assert!(moment("soon").unwrap_err().contains("12h"));
        assert!(moment("d").is_err());
    }

    #[test]
    fn near_misses_are_recognised() {
        let names = ["mailbox", "quota", "vacation", "ann@example.org"];
        let check = |given: &str, expect: Option<&str>| assert_eq!(nearest(given, names), expect, "{given}");
        check("mailbx", Some("mailbox"));
        check("qouta", Some("quota"));
        check("ann@exmaple.org", Some("ann@example.org"));
        check("forward", None);
        check("quota", None);
        check("", None);
    }

    #[test]
    fn domains_are_normalised() {
        assert_eq!(domain("Example.ORG."), Ok("example.org".into()));
        assert!(domain("a b").unwrap_err().contains("is not a domain"));
    }
}
