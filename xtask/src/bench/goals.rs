//! The targets for speed and memory, as data.
//!
//! They are ratios of medians of one run wherever a peer does the same work, because absolute figures say more about
//! the machine than about the program.

use std::fmt;

use super::results::{CPU, Figure, RATE, Results};

const OURS: &str = "pigeondeliver";
const DOVECOT: &str = "dovecot";
/// What measuring the same thing twice differs by: a memory peak of a larger message may be so much higher.
const MEMORY_NOISE_MIB: f64 = 0.5;

/// A target.
pub(super) struct Goal {
    case: &'static str,
    figure: Figure,
    limit: Limit,
}

/// What our figure is compared with.
enum Limit {
    /// At least so many times that of the peer.
    TimesPeer(f64, &'static str),
    /// At most this part of that of the peer.
    PartOfPeer(f64, &'static str),
    /// Lower than that of the peer.
    BelowPeer(&'static str),
    /// At most so much.
    AtMost(f64, &'static str),
    /// No more than our other figure.
    NoMoreThan(Figure),
}

/// Whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Ok,
    /// It is not.
    Missed,
    /// One of the figures is missing, or deliveries failed.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
        })
    }
}

/// A target with what was measured, ready to print.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) case: &'static str,
    pub(super) ours: String,
    pub(super) peer: String,
    pub(super) ratio: String,
    pub(super) target: String,
    pub(super) verdict: Verdict,
    /// What a program reaches that only makes the files durable.
    pub(super) disk: String,
}

const fn goal(case: &'static str, figure: Figure, limit: Limit) -> Goal {
    Goal { case, figure, limit }
}

const P99: &str = "lat_p99_ms";
const MEDIAN: &str = "p50_ms";

/// All targets, in the order in which they are shown.
pub(super) const GOALS: &[Goal] = &[
    goal("deliveries/s, 4 KiB, 50 sessions", Figure::Lmtp(50, 4096, 1, RATE), Limit::TimesPeer(5.0, DOVECOT)),
    goal("deliveries/s, 4 KiB, 10 sessions", Figure::Lmtp(10, 4096, 1, RATE), Limit::TimesPeer(4.0, DOVECOT)),
    goal("deliveries/s, 4 KiB, 1 session", Figure::Lmtp(1, 4096, 1, RATE), Limit::TimesPeer(3.0, DOVECOT)),
    goal(
        "deliveries/s, 50 recipients, 10 sessions",
        Figure::Lmtp(10, 4096, 50, RATE),
        Limit::TimesPeer(10.0, DOVECOT),
    ),
    goal(
        "deliveries/s, 64 KiB, 10 sessions",
        Figure::Lmtp(10, 65_536, 1, RATE),
        Limit::TimesPeer(4.0, DOVECOT),
    ),
    goal(
        "deliveries/s, 1 MiB, 10 sessions",
        Figure::Lmtp(10, 1_048_576, 1, RATE),
        Limit::TimesPeer(2.5, DOVECOT),
    ),
    goal(
        "CPU µs/delivery, 4 KiB, 10 sessions",
        Figure::Lmtp(10, 4096, 1, CPU),
        Limit::PartOfPeer(1.0 / 7.0, DOVECOT),
    ),
    goal("p99 ms, 4 KiB, 50 sessions", Figure::Lmtp(50, 4096, 1, P99), Limit::BelowPeer(DOVECOT)),
    goal("p99 ms, 4 KiB, 10 sessions", Figure::Lmtp(10, 4096, 1, P99), Limit::BelowPeer(DOVECOT)),
    goal("p99 ms, 4 KiB, 1 session", Figure::Lmtp(1, 4096, 1, P99), Limit::BelowPeer(DOVECOT)),
    goal("p99 ms, 50 recipients, 10 sessions", Figure::Lmtp(10, 4096, 50, P99), Limit::BelowPeer(DOVECOT)),
    goal("p99 ms, 64 KiB, 10 sessions", Figure::Lmtp(10, 65_536, 1, P99), Limit::BelowPeer(DOVECOT)),
    goal("p99 ms, 1 MiB, 10 sessions", Figure::Lmtp(10, 1_048_576, 1, P99), Limit::BelowPeer(DOVECOT)),
    goal("PSS MiB, 50 sessions", Figure::Memory("sessions-50"), Limit::AtMost(20.0, DOVECOT)),
    goal("KiB of an idle connection", Figure::Memory("idle-connection"), Limit::AtMost(16.0, DOVECOT)),
    goal(
        "PSS MiB, a 100 MiB message",
        Figure::Memory("message-104857600"),
        Limit::NoMoreThan(Figure::Memory("message-1048576")),
    ),
    goal("system calls per delivery, 10 sessions", Figure::Syscalls("calls"), Limit::AtMost(25.0, DOVECOT)),
    goal("syncs per delivery, 10 sessions", Figure::Syscalls("syncs"), Limit::AtMost(2.0, DOVECOT)),
    goal("pipe, 4 KiB, p50 ms, beside maildrop", Figure::Pipe(4096, MEDIAN), Limit::BelowPeer("maildrop")),
    goal(
        "pipe, 4 KiB, p50 ms, beside dovecot-lda",
        Figure::Pipe(4096, MEDIAN),
        Limit::PartOfPeer(1.0 / 6.0, "dovecot-lda"),
    ),
    goal(
        "pipe, 4 KiB, p50 ms, beside procmail",
        Figure::Pipe(4096, MEDIAN),
        Limit::PartOfPeer(1.15, "procmail"),
    ),
    goal(
        "pipe, 1 MiB, p50 ms, beside procmail",
        Figure::Pipe(1_048_576, MEDIAN),
        Limit::BelowPeer("procmail"),
    ),
];

impl Goal {
    /// Compares what was measured with the target.
    pub(super) fn judge(&self, results: &Results) -> Judgement {
        let ours = results.median(OURS, self.figure);
        let (name, other) = match self.limit {
            Limit::TimesPeer(_, peer)
            | Limit::PartOfPeer(_, peer)
            | Limit::BelowPeer(peer)
            | Limit::AtMost(_, peer) => (peer, results.median(peer, self.figure)),
            Limit::NoMoreThan(figure) => ("of 1 MiB", results.median(OURS, figure)),
        };
        let is_met = ours.and_then(|ours| self.is_met(ours, other));
        Judgement {
            case: self.case,
            ours: ours.map_or_else(|| "-".to_owned(), short),
            peer: other.map_or_else(|| "-".to_owned(), |other| format!("{name} {}", short(other))),
            ratio: ours
                .zip(other)
                .map_or_else(|| "-".to_owned(), |(ours, other)| format!("{}×", short(ours / other))),
            target: self.limit.to_string(),
            verdict: is_met
                .map_or(Verdict::Unknown, |is_met| if is_met { Verdict::Ok } else { Verdict::Missed }),
            disk: results.disk_alone(self.figure).map_or_else(String::new, short),
        }
    }

    /// None if the comparison needs a figure that is missing.
    fn is_met(&self, ours: f64, other: Option<f64>) -> Option<bool> {
        Some(match self.limit {
            Limit::TimesPeer(times, _) => ours >= times * other?,
            Limit::PartOfPeer(part, _) => ours <= part * other?,
            Limit::BelowPeer(_) => ours < other?,
            // To a tenth: work that hundreds of deliveries share in the background is no part of one of them.
            Limit::AtMost(most, _) => (ours * 10.0).round() / 10.0 <= most,
            Limit::NoMoreThan(_) => ours <= other? + MEMORY_NOISE_MIB,
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimesPeer(times, peer) => write!(formatter, "≥ {}× {peer}", short(*times)),
            Self::PartOfPeer(part, peer) if *part < 1.0 => {
                write!(formatter, "≤ 1/{} {peer}", short(1.0 / part))
            }
            Self::PartOfPeer(part, peer) => write!(formatter, "≤ {}× {peer}", short(*part)),
            Self::BelowPeer(peer) => write!(formatter, "< {peer}"),
            Self::AtMost(most, _) => write!(formatter, "≤ {}", short(*most)),
            Self::NoMoreThan(_) => write!(formatter, "≤ a 1 MiB one"),
        }
    }
}

/// A figure with as many digits as mean something.
fn short(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(case: &str, results: &Results) -> Verdict {
        GOALS.iter().find(|goal| goal.case == case).unwrap().judge(results).verdict
    }

    #[test]
    fn targets_are_judged() {
        let lmtp = |ours: u32, cpu: f64| {
            let head = "target,sessions,size,rcpts,deliv_per_s,lat_p99_ms,cpu_us_per_deliv";
            Results::of(
                &format!("{head}\ndovecot,10,4096,1,1000,20,1400\npigeondeliver,10,4096,1,{ours},20,{cpu}"),
                "",
            )
        };
        assert_eq!(verdict("deliveries/s, 4 KiB, 10 sessions", &lmtp(4000, 200.0)), Verdict::Ok);
        assert_eq!(verdict("deliveries/s, 4 KiB, 10 sessions", &lmtp(3999, 200.0)), Verdict::Missed);
        assert_eq!(verdict("CPU µs/delivery, 4 KiB, 10 sessions", &lmtp(1, 199.0)), Verdict::Ok);
        assert_eq!(verdict("CPU µs/delivery, 4 KiB, 10 sessions", &lmtp(1, 201.0)), Verdict::Missed);
        assert_eq!(
            verdict("p99 ms, 4 KiB, 10 sessions", &lmtp(1, 1.0)),
            Verdict::Missed,
            "equal is not lower"
        );
        assert_eq!(verdict("deliveries/s, 4 KiB, 1 session", &lmtp(1, 1.0)), Verdict::Unknown);
    }

    #[test]
    fn absolute_targets_need_no_peer() {
        let memory = |large: f64| {
            let text = format!(
                "target,case,value\npigeondeliver,idle-connection,9.5\npigeondeliver,message-1048576,12\npigeondeliver,message-104857600,{large}"
            );
            Results::of("", &text)
        };
        assert_eq!(verdict("KiB of an idle connection", &memory(0.0)), Verdict::Ok);
        assert_eq!(verdict("PSS MiB, a 100 MiB message", &memory(12.4)), Verdict::Ok);
        assert_eq!(verdict("PSS MiB, a 100 MiB message", &memory(13.0)), Verdict::Missed);
        assert_eq!(verdict("PSS MiB, 50 sessions", &memory(0.0)), Verdict::Unknown);
    }

    #[test]
    fn figures_are_short() {
        let texts = [4.0, 1.15, 6.999_999, 12.34, 1234.5].map(short);
        assert_eq!(texts, ["4", "1.15", "7", "12.3", "1234"]);
    }
}
