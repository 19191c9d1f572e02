//! Unique file names, made without asking the file system.
//!
//! Source: <https://cr.yp.to/proto/maildir.html>; `,S=` and `,W=` as Dovecot and Courier read them. A name is
//! unique on its machine by time, process and counter; the random part, drawn once for each process, keeps two
//! machines apart that share storage and a host name, and two processes of one number in different containers.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Longest part of the host's name that goes into a file name, in octets.
const MAX_HOST_OCTETS: usize = 64;

/// Makes names that nobody else makes.
pub(super) struct Names {
    process: u32,
    random: u64,
    host: String,
    count: AtomicU64,
}

impl Names {
    pub(super) fn new(host: &str) -> Self {
        // The keys of a RandomState come from the system's random numbers.
        let random = RandomState::new().build_hasher().finish();
        Self { process: std::process::id(), random, host: encode_host(host), count: AtomicU64::new(0) }
    }

    /// The next name, without size.
    pub(super) fn next(&self) -> String {
        // The machine's own clock, not the delivery's: names must differ also where a test stops the time.
        let now = clock_gettime(ClockId::Realtime);
        let (micros, count) = (now.tv_nsec / 1000, self.count.fetch_add(1, Ordering::Relaxed));
        let Self { process, random, host, .. } = self;
        format!("{}.M{micros}P{process}Q{count}R{random:016x}.{host}", now.tv_sec)
    }
}

/// Adds the size in octets and the size with CRLF line ends, which readers then need not find out.
pub(super) fn with_sizes(name: &str, octets: u64, wire_octets: u64) -> String {
    format!("{name},S={octets},W={wire_octets}")
}

/// The octets that a file's name says it has.
pub(super) fn octets_of(name: &str) -> Option<u64> {
    let (_, rest) = name.split_once(",S=")?;
    rest.split([',', ':']).next()?.parse().ok()
}

/// Whether the name carries the flag `\Deleted`.
pub(super) fn is_deleted(name: &str) -> bool {
    name.split_once(":2,").is_some_and(|(_, letters)| letters.contains('T'))
}

/// A host name may hold `/` and `:` no more than a file name may (maildir.html: `\057`, `\072`); `,` begins a field.
fn encode_host(host: &str) -> String {
    let mut text = String::with_capacity(host.len());
    for byte in host.bytes() {
        match byte {
            _ if text.len() >= MAX_HOST_OCTETS => break,
            b'/' | b':' | b',' => drop(write!(text, "\\{byte:03o}")),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push('_'),
        }
    }
    if text.is_empty() { "localhost".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_differ_and_carry_their_sizes() {
        let names = [Names::new("a/b:c,d e"), Names::new("a/b:c,d e")];
        let made: HashSet<String> = (0..1000).flat_map(|_| names.iter().map(Names::next)).collect();
        assert_eq!(made.len(), 2000);
        assert!(made.iter().all(|name| name.ends_with(".a\\057b\\072c\\054d_e")), "{made:?}");
        assert!(Names::new(&"/".repeat(300)).next().len() < 160);
        let name = with_sizes(&names[0].next(), 12, 14);
        assert!(name.ends_with(",S=12,W=14"), "{name}");
        assert_eq!(octets_of(&name), Some(12));
        assert_eq!(octets_of("1.a.b,S=7:2,S"), Some(7));
        assert_eq!(octets_of("1.a.b:2,S"), None);
        assert!(is_deleted("1.a,S=7:2,ST") && !is_deleted("1.T.b:2,S") && !is_deleted("1.T"));
    }
}
