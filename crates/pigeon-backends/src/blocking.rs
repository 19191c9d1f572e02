//! Where blocking work runs: on the caller's thread, or beside the async ones.
//!
//! Databases and file systems are used through blocking calls. A server must not hold up its other
//! deliveries with them; a process that delivers one message and exits must not pay for threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use tokio::runtime::{Handle, RuntimeFlavor};

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

/// So many times in a row work must be alone before it stays with whoever asks for it.
const CALM: usize = 16;

/// Blocking work of one kind, which is seldom done by several at once on a quiet server.
///
/// The way to another thread and back is two wake-ups, for which a client that sends one message after the other
/// waits. Work that is alone stays on its thread, and the runtime hands what else that thread had to do to another
/// one meanwhile. When several are at work the handing over costs more than the way: then it is as
/// [`Blocking::run`].
#[derive(Debug, Default)]
pub struct Workplace {
    under_way: AtomicUsize,
    /// How often work must be alone until it may stay.
    wait: AtomicUsize,
}

impl Workplace {
    /// Runs `work` and waits for its result. A panic inside goes on in the caller.
    ///
    /// # Errors
    /// [`Interrupted`] when the runtime shuts down before the work began.
    pub async fn run<T, F>(&self, blocking: Blocking, work: F) -> Result<T, Interrupted>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if blocking == Blocking::Inline {
            return Ok(work());
        }
        let (turn, is_calm) = self.enter();
        let done = if is_calm && can_hand_over() {
            Ok(tokio::task::block_in_place(work))
        } else {
            blocking.run(work).await
        };
        drop(turn);
        done
    }

    /// Counts work in, until the turn is dropped; says whether it was alone for some time.
    fn enter(&self) -> (Turn<'_>, bool) {
        let is_alone = self.under_way.fetch_add(1, Ordering::Relaxed) == 0;
        let wait = if is_alone { self.wait.load(Ordering::Relaxed) } else { CALM + 1 };
        // Two that write here at once are not alone: what is lost between them does not matter.
        self.wait.store(wait.saturating_sub(1), Ordering::Relaxed);
        (Turn(self), wait == 0)
    }
}

/// Counts work out, also when nobody waits for it any more.
struct Turn<'a>(&'a Workplace);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A runtime with one thread has nobody to hand its tasks to.
fn can_hand_over() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn thread_of(place: &Workplace, blocking: Blocking) -> std::thread::ThreadId {
        place.run(blocking, || std::thread::current().id()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_that_is_alone_stays_on_its_thread() {
        let there = tokio::spawn(async {
            let place = Workplace::default();
            let here = || std::thread::current().id();
            assert_eq!(thread_of(&place, Blocking::Pool).await, here());
            // Two at once: both leave, and so does the next work until it is calm again.
            let (first, is_calm) = place.enter();
            assert!(is_calm);
            assert_ne!(thread_of(&place, Blocking::Pool).await, here());
            assert_eq!(thread_of(&place, Blocking::Inline).await, here());
            drop(first);
            for _ in 0..CALM {
                assert_ne!(thread_of(&place, Blocking::Pool).await, here());
            }
            assert_eq!(thread_of(&place, Blocking::Pool).await, here());
        });
        there.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_work_stays() {
        let (send, receive) = std::sync::mpsc::channel();
        let work = tokio::spawn(async move {
            let place = Workplace::default();
            place.run(Blocking::Pool, move || receive.recv()).await
        });
        tokio::spawn(async move { send.send(7) }).await.unwrap().unwrap();
        assert_eq!(work.await.unwrap(), Ok(Ok(7)));
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_keeps_no_work() {
        let place = Workplace::default();
        assert_ne!(thread_of(&place, Blocking::Pool).await, std::thread::current().id());
    }

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
