//! The table `vacation` as settings of the vacation service.

use pigeon_core::timestamp::Timestamp;

use super::super::{ForeignAccount, Origin, Remark, shown};
use super::{Row, column, says_yes};

/// The longest interval between two answers to one sender, in days.
const MAX_DAYS: i64 = 365;
const SECONDS_PER_DAY: i64 = 86_400;
/// The days that the table has where nothing was chosen.
const UNSET_DAYS: [&str; 5] = ["2000-01-01", "1970-01-01", "0000-00-00", "2038-01-18", "2038-01-19"];

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
        let text = column(row, name);
        let day = text.get(..10).unwrap_or_default();
        if text.is_empty() || UNSET_DAYS.contains(&day) {
            continue;
        }
        if Timestamp::parse(day).is_ok() {
            account.set([(key, day.into())]);
            if !matches!(text.get(10..19), None | Some(" 00:00:00" | " 23:59:59")) {
                leave(format!("{name} {}", shown(text)), "the day is carried over, the hour is not");
            }
        } else {
            leave(format!("{name} {}", shown(text)), "it is no date");
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
