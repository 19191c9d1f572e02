//! When a server that failed is asked again: not by every delivery, and sooner after the first failure than later.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::SqlError;

/// The rest after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);
/// The longest rest: a server that is back is noticed within this time.
const LONGEST: Duration = Duration::from_secs(2);

/// Whether a server is asked at the moment.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    why: String,
}

impl Rest {
    /// Lets a caller through, or says at once that the server is down. After a failure and its rest one caller is
    /// let through to try, and the others go on being told so until that one knows, or `trial` is over.
    pub(super) fn admit(&self, now: Instant, trial: Duration) -> Result<(), SqlError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.until.is_some_and(|until| now < until) {
            return Err(SqlError::Resting(format!("{} (it is tried again shortly)", state.why)));
        }
        if state.failures > 0 {
            state.until = Some(now + trial);
        }
        Ok(())
    }

    /// The server answered.
    pub(super) fn answered(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures > 0 {
            *state = State::default();
        }
    }

    /// The server failed.
    pub(super) fn failed(&self, now: Instant, why: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = FIRST.saturating_mul(1 << state.failures.min(10)).min(LONGEST);
        state.failures = state.failures.saturating_add(1);
        state.until = Some(now + rest);
        why.clone_into(&mut state.why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: Duration = Duration::from_secs(3);

    #[test]
    fn a_server_that_failed_is_tried_by_one_at_a_time() {
        let (rest, start) = (Rest::default(), Instant::now());
        assert!(rest.admit(start, TRIAL).is_ok() && rest.admit(start, TRIAL).is_ok());
        rest.failed(start, "no route");
        assert!(rest.admit(start, TRIAL).unwrap_err().to_string().contains("no route"));
        let later = start + FIRST;
        assert!(rest.admit(later, TRIAL).is_ok(), "nobody tries");
        assert!(rest.admit(later, TRIAL).is_err(), "a second one tries");
        // The one who tries went away without a word.
        let later = later + TRIAL;
        assert!(rest.admit(later, TRIAL).is_ok());
        rest.answered();
        assert!(rest.admit(later, TRIAL).is_ok() && rest.admit(later, TRIAL).is_ok());
    }

    #[test]
    fn rests_grow_up_to_a_limit() {
        let (rest, mut now) = (Rest::default(), Instant::now());
        for expect in [100, 200, 400, 800, 1600, 2000, 2000] {
            rest.failed(now, "down");
            now += Duration::from_millis(expect - 1);
            assert!(rest.admit(now, TRIAL).is_err(), "the rest is shorter than {expect} ms");
            now += Duration::from_millis(1);
            assert!(rest.admit(now, TRIAL).is_ok(), "the rest is longer than {expect} ms");
        }
    }
}
