//! The table `vacation` as settings of the vacation service.

use pigeon_core::timestamp::Timestamp;

use super::super::{ForeignAccount, Origin, Remark, shown};
use super::{Row, column, says_yes};

/// The longest interval between two answers to one sender, in days.
const MAX_DAYS: i64 = 365;
const SECONDS_PER_DAY: i64 = 86_400;
/// The days that the table has where nothing was chosen.
const UNSET_DAYS: [&str; 6] =
    ["2000-01-01", "1970-01-01", "0000-00-00", "2038-01-18", "2038-01-19", "2040-01-01"];

/// Whether a target is the address of the vacation program of `PostfixAdmin`: `ann#example.org@autoreply.example.org`.
pub(super) fn is_vacation(target: &str, key: &str) -> bool {
    let local = target.rsplit_once('@').map_or("", |(local, _)| local);
    local.contains('#') && local.replacen('#', "@", 1).to_lowercase() == key
}

/// Takes a row.
pub(super) fn take(row: &Row, account: &mut ForeignAccount, left: &mut Vec<Remark>) {
    let (subject, text) = (column(row, "subject"), column(row, "body").replace("\r\n", "\n"));
    if subject.trim().is_empty() && text.trim().is_empty() {
        return;
    }
    let who = account.address.to_string();
    let mut leave = |what: String, why: &str| {
        left.push(Remark {
            origin: Origin::whole("vacation"),
            what: format!("{what} of the vacation of {who}"),
            why: why.to_owned(),
        });
    };
    account.set([
        ("vacation.enabled", says_yes(row, "active", true).into()),
        ("vacation.text", text.into()),
        ("vacation.days", days(column(row, "interval_time")).into()),
    ]);
    if subject.contains("$SUBJECT") {
        // Without a subject of its own the answer has `Auto:` and that of the mail.
        leave(
            format!("subject {}", shown(subject)),
            "it is not filled in here: the answer repeats the mail's subject behind Auto:",
        );
    } else {
        account.set([("vacation.subject", subject.trim().into())]);
    }
    for (name, key) in [("activefrom", "vacation.start"), ("activeuntil", "vacation.end")] {
        match moment(column(row, name)) {
            Moment::Unset => {}
            Moment::Known(text) => account.set([(key, text.into())]),
            Moment::Day(day) => {
                account.set([(key, day.into())]);
                let what = format!("hour of {name} {}", shown(column(row, name)));
                leave(what, "its time zone is not known: the day is carried over");
            }
            Moment::None => leave(format!("{name} {}", shown(column(row, name))), "it is no date"),
        }
    }
}

/// What a column of time says.
#[derive(Debug, PartialEq, Eq)]
enum Moment {
    Unset,
    /// A day, or a moment with its time zone.
    Known(String),
    /// Only the day of it.
    Day(String),
    None,
}

/// Reads `2026-12-24 18:00:00`, or the same with an offset such as `+00`.
fn moment(text: &str) -> Moment {
    let day = text.get(..10).unwrap_or_default();
    if text.is_empty() || UNSET_DAYS.contains(&day) {
        return Moment::Unset;
    }
    if Timestamp::parse(day).is_err() {
        return Moment::None;
    }
    let (time, offset) = text.get(11..).and_then(|rest| rest.split_at_checked(8)).unwrap_or_default();
    match offset {
        _ if matches!(time, "" | "00:00:00" | "23:59:59") => Moment::Known(day.to_owned()),
        "" => Moment::Day(day.to_owned()),
        _ => {
            let minutes = if offset.contains(':') { "" } else { ":00" };
            let full = format!("{day}T{time}{offset}{minutes}");
            if Timestamp::parse(&full).is_ok() { Moment::Known(full) } else { Moment::Day(day.to_owned()) }
        }
    }
}

/// Seconds between two answers as days; 0 is once for all, 1 is to every mail.
fn days(interval: &str) -> i64 {
    match interval.parse::<i64>() {
        Ok(1) => 0,
        Ok(seconds @ 2..) => (seconds.saturating_add(SECONDS_PER_DAY - 1) / SECONDS_PER_DAY).min(MAX_DAYS),
        Ok(_) | Err(_) => MAX_DAYS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_zone_or_become_days() {
        let check = |text: &str, expect: Moment| assert_eq!(moment(text), expect, "{text}");
        check("", Moment::Unset);
        check("2038-01-18 00:00:00", Moment::Unset);
        check("2026-12-24", Moment::Known("2026-12-24".into()));
        check("2026-12-24 00:00:00", Moment::Known("2026-12-24".into()));
        check("2026-12-24 23:59:59+00", Moment::Known("2026-12-24".into()));
        check("2026-12-24 18:30:00", Moment::Day("2026-12-24".into()));
        check("2026-12-23 23:00:00+00", Moment::Known("2026-12-23T23:00:00+00:00".into()));
        check("2026-12-24 05:30:00-03:30", Moment::Known("2026-12-24T05:30:00-03:30".into()));
        check("2026-12-24 18:30:00 x", Moment::Day("2026-12-24".into()));
        check("soon", Moment::None);
    }

    #[test]
    fn intervals_become_days() {
        for (interval, expect) in
            [("0", 365), ("1", 0), ("60", 1), ("86400", 1), ("86401", 2), ("604800", 7), ("x", 365)]
        {
            assert_eq!(days(interval), expect, "{interval}");
        }
        assert_eq!(days("9223372036854775807"), 365);
    }
}
