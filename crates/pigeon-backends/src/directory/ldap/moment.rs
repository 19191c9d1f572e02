//! Points in time as LDAP writes them: `GeneralizedTime` (RFC 4517 §3.3.13), in UTC.

use pigeon_core::timestamp::Timestamp;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]");

/// `20260131235959.123456Z`; without the fraction where there is none. None for years of other than four digits.
pub(super) fn shown(at: Timestamp) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1000).ok()?;
    let micros = at.micros().rem_euclid(1_000_000);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    let seconds = moment.format(SECONDS).ok().filter(|text| text.len() == 14)?;
    Some(format!("{seconds}{fraction}Z"))
}

/// Reads what [`shown`] writes, and other fractions of a second.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let moment = PrimitiveDateTime::parse(seconds, SECONDS).ok()?.assume_utc();
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros: i64 = digits.parse().ok()?;
    moment.unix_timestamp().checked_mul(1_000_000)?.checked_add(micros).map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read() {
        let check = |micros: i64, expect: &str| {
            assert_eq!(shown(Timestamp::from_micros(micros)).as_deref(), Some(expect));
            assert_eq!(parse(expect), Some(Timestamp::from_micros(micros)));
        };
        check(0, "19700101000000Z");
        check(1_769_903_999_123_456, "20260131235959.123456Z");
        check(-1, "19691231235959.999999Z");
        assert_eq!(shown(Timestamp::from_micros(i64::MAX)), None);
        assert_eq!(parse("20260131235959.1Z"), parse("20260131235959.100000Z"));
        for text in ["", "20260131235959", "2026013123595Z", "20260131235959.xZ", "20261331235959Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
