//! Leaves a server alone for a while that failed several times in a row, so that mail does not wait for it each time.
//!
//! Closed: everything goes to the server. After so many failures in a row it opens: nothing goes there until the rest
//! is over. Then one attempt is let through; it closes the breaker or opens it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pigeon_core::clock::Clock;

/// Counts one server's failures.
pub struct Breaker {
    /// So many failures in a row open it; zero never does.
    limit: u32,
    rest: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    failures: u32,
    /// On the clock's own scale: nothing is tried before.
    rests_until: Duration,
}

impl Breaker {
    /// One that opens after `limit` failures in a row, for the span of `rest`.
    #[must_use]
    pub fn new(limit: u32, rest: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { limit, rest, clock, state: Mutex::default() }
    }

    /// An attempt, unless the server is resting. Dropping it without [`Attempt::succeeded`] counts as a failure, so
    /// that one that is given up half-way counts too.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        let now = self.clock.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_open(*state) {
            if now < state.rests_until {
                return None;
            }
            // This one tries; the others wait for what becomes of it.
            state.rests_until = now + self.rest;
        }
        Some(Attempt { breaker: self, is_counted: true })
    }

    /// Whether the server is being left alone.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_open(state) && self.clock.elapsed() < state.rests_until
    }

    fn is_open(&self, state: State) -> bool {
        self.limit > 0 && state.failures >= self.limit
    }

    fn failed(&self) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if self.is_open(*state) {
            state.rests_until = now + self.rest;
        }
    }

    fn closed(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Breaker").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// One attempt at a server. Dropped without a word it counts as a failure.
#[derive(Debug)]
pub struct Attempt<'a> {
    breaker: &'a Breaker,
    is_counted: bool,
}

impl Attempt<'_> {
    /// The server did its work, or said in order that it does not do this.
    pub fn succeeded(mut self) {
        self.is_counted = false;
        self.breaker.closed();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            self.breaker.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use pigeon_testkit::memory::TestClock;

    use super::*;

    const REST: Duration = Duration::from_secs(10);

    fn breaker(limit: u32) -> (Breaker, Arc<TestClock>) {
        let clock = Arc::new(TestClock::default());
        (Breaker::new(limit, REST, Arc::clone(&clock) as _), clock)
    }

    fn fail(breaker: &Breaker) -> bool {
        breaker.attempt().map(drop).is_some()
    }

    #[test]
    fn failures_in_a_row_open_it_for_a_while() {
        let (breaker, clock) = breaker(3);
        assert!(fail(&breaker) && fail(&breaker) && !breaker.is_resting());
        breaker.attempt().unwrap().succeeded();
        assert!(fail(&breaker) && fail(&breaker) && fail(&breaker), "the success has begun a new count");
        assert!(breaker.is_resting() && breaker.attempt().is_none());
        clock.advance(REST);
        assert!(!breaker.is_resting());
        let probe = breaker.attempt().unwrap();
        assert!(breaker.attempt().is_none(), "one tries, the others wait");
        drop(probe);
        assert!(breaker.attempt().is_none(), "it failed once more");
        clock.advance(REST);
        breaker.attempt().unwrap().succeeded();
        assert!(fail(&breaker) && breaker.attempt().is_some(), "closed again");
    }

    #[test]
    fn without_a_limit_it_never_opens() {
        let (breaker, _) = breaker(0);
        assert!((0..100).all(|_| fail(&breaker)) && !breaker.is_resting());
    }
}
