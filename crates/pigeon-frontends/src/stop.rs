//! Telling what runs that it is time to stop.

use tokio::sync::watch;

/// Says when to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Default for Stopper {
    fn default() -> Self {
        Self::new()
    }
}

impl Stopper {
    /// One that has not said anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Something that hears of the stop.
    #[must_use]
    pub fn stopping(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }

    /// Says it. More than once is no different from once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Hears when to stop. A [`Stopper`] that is dropped without a word stops nothing.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// One that never hears of a stop.
    #[must_use]
    pub fn never() -> Self {
        Stopper::new().stopping()
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is said, at once when it was said before.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|is_stopping| *is_stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_stop_is_heard_before_and_after() {
        let stopper = Stopper::new();
        let mut early = stopper.stopping();
        assert!(!early.is_stopping() && early.wait().now_or_never().is_none());
        stopper.stop();
        assert!(early.is_stopping() && early.wait().now_or_never().is_some());
        assert!(stopper.stopping().wait().now_or_never().is_some());
        assert!(Stopping::never().wait().now_or_never().is_none());
    }
}
