//! A clock that stands still until a test moves it.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pigeon_core::clock::Clock;
use pigeon_core::timestamp::Timestamp;

use super::lock;

/// A settable clock.
///
/// It starts at 2026-11-23 12:00 UTC and moves only by [`advance`](TestClock::advance) and
/// [`set`](TestClock::set); [`sleep`](Clock::sleep) waits for real (under tokio), so that time limits work.
#[derive(Debug)]
pub struct TestClock {
    moments: Mutex<(Timestamp, Duration)>,
}

impl Default for TestClock {
    fn default() -> Self {
        // 2026-11-23T12:00:00Z
        Self { moments: Mutex::new((Timestamp::from_seconds(1_795_435_200), Duration::ZERO)) }
    }
}

impl TestClock {
    /// Moves the time of day and the elapsed span on.
    pub fn advance(&self, span: Duration) {
        let mut moments = lock(&self.moments);
        *moments = (moments.0.plus(span), moments.1.saturating_add(span));
    }

    /// Sets the time of day; the elapsed span stays.
    pub fn set(&self, now: Timestamp) {
        lock(&self.moments).0 = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        lock(&self.moments).0
    }
    fn elapsed(&self) -> Duration {
        lock(&self.moments).1
    }
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told() {
        let clock = TestClock::default();
        assert_eq!(clock.now().to_rfc3339(), "2026-11-23T12:00:00Z");
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now().to_rfc3339(), "2026-11-23T12:01:00Z");
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    }
}
