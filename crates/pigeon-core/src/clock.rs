//! Time as a parameter, and the time limit around a step.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, poll_fn};

use crate::timestamp::Timestamp;

/// Where the walk learns the time and waits.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// A span since some fixed moment, never going back: for measuring.
    fn elapsed(&self) -> Duration;
    /// Resolves after `span`.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;
}

/// The future took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

/// Runs `work` for at most `limit`. A timer is made only when the work does not finish at once, so
/// services that wait for nobody pay nothing.
///
/// # Errors
/// [`TimedOut`] when the limit passed first; the work is then dropped.
pub async fn with_limit<F: Future>(
    clock: &dyn Clock,
    limit: Duration,
    work: F,
) -> Result<F::Output, TimedOut> {
    let mut work = pin!(work);
    let mut timer: Option<BoxFuture<'static, ()>> = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let timer = timer.get_or_insert_with(|| clock.sleep(limit));
        timer.as_mut().poll(context).map(|()| Err(TimedOut))
    })
    .await
}
