//! Transaction ids: short, unique, and in the order of time.
//!
//! They stand in replies, logs, receipts and Received fields, so people type and sort them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};

use pigeon_core::clock::Clock;

/// Lower-case base32 whose letters sort as their values do (RFC 4648 §7).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Letters for the time: 55 bits of microseconds last until the year 3111.
const TIME_LETTERS: u32 = 11;
/// Letters that tell processes apart which make an id in the same microsecond.
const PROCESS_LETTERS: u32 = 4;

/// Makes transaction ids; one for each process.
#[derive(Debug)]
pub struct TransactionIds {
    last: AtomicI64,
    process: u64,
}

impl Default for TransactionIds {
    fn default() -> Self {
        Self::new()
    }
}

impl TransactionIds {
    /// A source of ids with a random mark of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { last: AtomicI64::new(0), process: RandomState::new().hash_one(std::process::id()) }
    }

    /// The next id: 15 letters and digits, greater than every earlier one of this process.
    #[must_use]
    pub fn next(&self, clock: &dyn Clock) -> String {
        let now = clock.now().micros();
        let following = |last: i64| now.max(last.saturating_add(1));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(following(last)))
            .unwrap_or_else(|last| last);
        let mut id = String::with_capacity((TIME_LETTERS + PROCESS_LETTERS) as usize);
        put(&mut id, u64::try_from(following(last)).unwrap_or(0), TIME_LETTERS);
        put(&mut id, self.process, PROCESS_LETTERS);
        id
    }
}

fn put(id: &mut String, value: u64, letters: u32) {
    for place in (0..letters).rev() {
        let digit = usize::try_from((value >> (5 * place)) & 31).unwrap_or(0);
        id.push(ALPHABET.get(digit).copied().map_or('0', char::from));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use pigeon_core::timestamp::Timestamp;
    use std::time::Duration;

    use super::*;

    struct Stopped(i64);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0)
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn ids_grow_even_when_the_clock_stands_still_or_goes_back() {
        let ids = TransactionIds::new();
        let mut made: Vec<String> = (0..100).map(|_| ids.next(&Stopped(1_795_460_000_000_000))).collect();
        made.push(ids.next(&Stopped(1_795_450_000_000_000)));
        made.push(ids.next(&Stopped(1_795_470_000_000_000)));
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 15 && id.bytes().all(|b| ALPHABET.contains(&b))));
    }

    #[test]
    fn two_processes_make_different_ids_in_the_same_microsecond() {
        let clock = Stopped(1_795_460_000_000_000);
        let made: std::collections::HashSet<String> =
            (0..20).map(|_| TransactionIds::new().next(&clock)).collect();
        assert!(made.len() > 15, "{made:?}");
    }
}
