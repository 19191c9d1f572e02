//! Dates of header fields and of now, in parts (RFC 5260 §4).

use std::fmt::Write as _;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The parts that a date has.
pub(super) const PARTS: [&str; 13] = [
    "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone",
    "weekday",
];

/// A moment in some time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970.
    pub(super) seconds: i64,
    /// Minutes east of Greenwich.
    pub(super) zone: i64,
}

/// Reads a zone like `+0100`, in minutes.
pub(super) fn zone(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    let minutes = minutes.parse::<i64>().ok().filter(|minutes| *minutes < 60)?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes))
}

/// Days since 1970 of a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of so many days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl Moment {
    /// The same moment in another zone.
    pub(super) fn in_zone(self, zone: i64) -> Self {
        Self { zone, ..self }
    }

    /// Reads the date of a header field (RFC 5322 §3.3, §4.3).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = without_comments(text);
        let text = text.split_once(',').map_or(text.as_str(), |(_, rest)| rest);
        let mut words = text.split_whitespace();
        let day: i64 = words.next()?.parse().ok()?;
        let name = words.next()?;
        let month = MONTHS
            .iter()
            .position(|month| name.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(month)))?;
        let digits = words.next()?;
        let mut year: i64 = digits.parse().ok()?;
        if digits.len() < 4 {
            // RFC 5322 §4.3: two digits from 50 on, and three, count from 1900.
            year += if digits.len() == 2 && year < 50 { 2000 } else { 1900 };
        }
        let mut time = words.next()?.split(':');
        let hour: i64 = time.next()?.parse().ok()?;
        let minute: i64 = time.next()?.parse().ok()?;
        let second: i64 = time.next().unwrap_or("0").parse().ok()?;
        let name = words.next().unwrap_or("+0000");
        let offset = zone(name).unwrap_or_else(|| named_zone(name));
        let is_possible = (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        is_possible.then_some(())?;
        let days = days(year, i64::try_from(month).ok()? + 1, day);
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
        Some(Self { seconds, zone: offset })
    }

    /// One part of it; nothing where there is no such part.
    pub(super) fn part(self, name: &str) -> Option<String> {
        let local = self.seconds + self.zone * 60;
        let (day_number, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(day_number);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let weekday = (day_number + 4).rem_euclid(7);
        let sign = if self.zone < 0 { '-' } else { '+' };
        let (zone_hours, zone_minutes) = (self.zone.abs() / 60, self.zone.abs() % 60);
        let mut out = String::new();
        let written = match name {
            "year" => write!(out, "{year:04}"),
            "month" => write!(out, "{month:02}"),
            "day" => write!(out, "{day:02}"),
            "date" => write!(out, "{year:04}-{month:02}-{day:02}"),
            // RFC 5260 §4.2: the Modified Julian Day.
            "julian" => write!(out, "{}", day_number + 40_587),
            "hour" => write!(out, "{hour:02}"),
            "minute" => write!(out, "{minute:02}"),
            "second" => write!(out, "{second:02}"),
            "time" => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            "iso8601" => write!(
                out,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{zone_hours:02}:{zone_minutes:02}"
            ),
            "std11" => write!(
                out,
                "{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{zone_hours:02}{zone_minutes:02}",
                named(&WEEKDAYS, weekday),
                named(&MONTHS, month - 1)
            ),
            "zone" => write!(out, "{sign}{zone_hours:02}{zone_minutes:02}"),
            "weekday" => write!(out, "{weekday}"),
            _ => return None,
        };
        written.ok().map(|()| out)
    }
}

fn named(names: &[&'static str], at: i64) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

/// RFC 5322 §4.3: names of zones; those that nobody knows count as Greenwich.
fn named_zone(name: &str) -> i64 {
    let hours = match &*name.to_ascii_uppercase() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => 0,
    };
    hours * 60
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let keeps = |letter: &char| {
        match letter {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(keeps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_parts() {
        let moment = Moment::parse("Tue, 29 Feb 2028 23:59:01 -0830 (x)").unwrap();
        let parts: Vec<String> = PARTS.iter().map(|name| moment.part(name).unwrap()).collect();
        assert_eq!(
            parts,
            [
                "2028",
                "02",
                "29",
                "2028-02-29",
                "61830",
                "23",
                "59",
                "01",
                "23:59:01",
                "2028-02-29T23:59:01-08:30",
                "Tue, 29 Feb 2028 23:59:01 -0830",
                "-0830",
                "2"
            ]
        );
        assert_eq!(moment.in_zone(60).part("iso8601").unwrap(), "2028-03-01T09:29:01+01:00");
    }

    #[test]
    fn old_forms_are_read() {
        assert_eq!(
            Moment::parse("21 Nov 97 09:55 EST").unwrap().part("iso8601").unwrap(),
            "1997-11-21T09:55:00-05:00"
        );
        assert_eq!(Moment::parse("1 Jan 1970 00:00:00 GMT").unwrap().seconds, 0);
        for text in ["", "yesterday", "32 Jan 2026 00:00:00 +0000", "1 Foo 2026 00:00:00 +0000"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
