//! Where blocking work runs: on the caller's thread, or beside the async ones.
//!
//! Databases and file systems are used through blocking calls. A server must not hold up its other
//! deliveries with them; a process that delivers one message and exits must not pay for threads.

use thiserror::Error;

/// The process is shutting down: the work was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the process is shutting down")]
pub struct Interrupted;

/// Where blocking work runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blocking {
    /// On the caller's thread: for a process that handles one message and exits. Starts no thread.
    Inline,
    /// On the runtime's threads for blocking work: for servers. Needs a tokio runtime.
    #[default]
    Pool,
}

impl Blocking {
    /// Runs `work` and waits for its result. A panic inside goes on in the caller.
    ///
    /// # Errors
    /// [`Interrupted`] when the runtime shuts down before the work began.
    pub async fn run<T, F>(self, work: F) -> Result<T, Interrupted>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Self::Inline => Ok(work()),
            Self::Pool => match tokio::task::spawn_blocking(work).await {
                Ok(result) => Ok(result),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(Interrupted),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inline_work_stays_on_the_thread_and_pooled_work_leaves_it() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(Blocking::Inline.run(thread).await, Ok(here));
        assert_ne!(Blocking::Pool.run(thread).await, Ok(here));
    }

    #[tokio::test]
    #[should_panic(expected = "inside")]
    async fn a_panic_goes_on_in_the_caller() {
        let result = Blocking::Pool.run(|| -> u32 { panic!("inside") }).await;
        assert_eq!(result, Ok(1));
    }
}
