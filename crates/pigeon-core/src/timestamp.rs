//! Points in time as the core handles them: microseconds since 1970, UTC.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// Microseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment plus a span; stops at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment less a span; stops at the beginning of time.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses `2026-11-23`, `2026-11-23T19:00:00Z` or the same with an offset; a bare date is its first moment in UTC.
    ///
    /// # Errors
    /// A sentence that names the accepted forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replacen(' ', "T", 1) };
        // An offset can lead out of the years that can be written, at both ends.
        let seconds = OffsetDateTime::parse(&full, &Rfc3339).map(OffsetDateTime::unix_timestamp).ok();
        let is_year = |seconds: &i64| {
            OffsetDateTime::from_unix_timestamp(*seconds).is_ok_and(|moment| moment.year() >= 0)
        };
        seconds
            .filter(is_year)
            .map(Self::from_seconds)
            .ok_or_else(|| format!("{text:?} is not a date: write 2026-12-31 or 2026-12-31T18:00:00Z"))
    }

    fn moment(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The form of header fields, `Mon, 23 Nov 2026 19:00:00 +0000` (RFC 5322 §3.3).
    #[must_use]
    pub fn to_rfc5322(self) -> String {
        self.moment().format(&Rfc2822).unwrap_or_default()
    }

    /// The form of logs and JSON, `2026-11-23T19:00:00Z`, to the second.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.moment().format(&Rfc3339).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        let moment = Timestamp::parse("2026-11-23T19:00:00Z").unwrap();
        assert_eq!(moment.to_rfc5322(), "Mon, 23 Nov 2026 19:00:00 +0000");
        assert_eq!(Timestamp::parse("2026-11-23 20:00:00+01:00"), Ok(moment));
        assert_eq!(Timestamp::parse("2026-11-23").unwrap().to_rfc3339(), "2026-11-23T00:00:00Z");
        for text in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
        assert!(Timestamp::parse("tomorrow").unwrap_err().contains("2026-12-31"));
    }
}
