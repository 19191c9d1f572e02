//! Takes receipts without making a delivery wait: a bounded queue, and a thread that empties it in batches.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pigeon_core::receipt::Receipt;

use super::counters::Counters;

/// Receipts that may wait; more are lost, and counted.
const CAPACITY: usize = 10_000;
/// So many are kept at once without waiting for more.
const BATCH: usize = 2_000;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(60);
/// How often an idle thread looks for other work.
pub(super) const IDLE: Duration = Duration::from_secs(5);
/// How long a reader waits for receipts that are in the queue.
const FLUSH: Duration = Duration::from_secs(5);

/// The queue and its thread.
pub(super) struct Recorder {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    /// Tells the thread that there is work.
    work: Condvar,
    /// Tells readers that a batch was kept.
    kept: Condvar,
}

#[derive(Default)]
struct Inside {
    pending: Vec<Arc<Receipt>>,
    lost: u64,
    taken: u64,
    kept: u64,
    is_urgent: bool,
    is_closing: bool,
}

impl Recorder {
    /// Starts the thread; `keep` runs in it, takes batches and says when they are kept, until there are no more.
    pub(super) fn start(
        counters: Arc<Counters>,
        keep: impl FnOnce(&Queue) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let thread = std::thread::Builder::new().name("receipts".into()).spawn({
            let queue = Arc::clone(&queue);
            move || keep(&queue)
        })?;
        Ok(Self { queue, counters, thread: Mutex::new(Some(thread)) })
    }

    /// Takes receipts, or counts them as lost where there are too many.
    pub(super) fn record(&self, receipts: &[Arc<Receipt>]) {
        let mut inside = self.queue.lock();
        if inside.is_closing || inside.pending.len() + receipts.len() > CAPACITY {
            let is_first = inside.lost == 0;
            inside.lost += receipts.len() as u64;
            drop(inside);
            self.counters.lose(receipts.len());
            if is_first {
                tracing::error!("receipts come faster than they can be kept: some are lost");
            }
            return;
        }
        let before = inside.pending.len();
        inside.pending.extend(receipts.iter().cloned());
        inside.taken += receipts.len() as u64;
        let is_news = before == 0 || (before < BATCH && inside.pending.len() >= BATCH);
        drop(inside);
        // Seldom: waking a thread costs more than all the rest.
        if is_news {
            self.queue.work.notify_one();
        }
    }

    /// Receipts that are not kept yet.
    pub(super) fn waiting(&self) -> u64 {
        let inside = self.queue.lock();
        inside.taken.saturating_sub(inside.kept)
    }

    /// Waits until what was recorded so far is kept.
    pub(super) fn flush(&self) {
        let mut inside = self.queue.lock();
        let goal = inside.taken;
        if inside.kept >= goal || inside.is_closing {
            return;
        }
        inside.is_urgent = true;
        self.queue.work.notify_one();
        let is_waiting = |inside: &mut Inside| inside.kept < goal;
        drop(self.queue.kept.wait_timeout_while(inside, FLUSH, is_waiting));
    }

    /// Keeps what is in the queue and ends the thread.
    pub(super) fn close(&self) {
        self.queue.lock().is_closing = true;
        self.queue.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps receipts died");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next receipts to keep, none after some idle time; with whether there will be no more.
    pub(super) fn next_batch(&self) -> (Vec<Arc<Receipt>>, bool) {
        let mut inside = self.lock();
        if inside.pending.is_empty() && !inside.is_closing {
            let is_idle = |inside: &mut Inside| inside.pending.is_empty() && !inside.is_closing;
            inside =
                self.work.wait_timeout_while(inside, IDLE, is_idle).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !inside.pending.is_empty() {
            let is_gathering =
                |inside: &mut Inside| inside.pending.len() < BATCH && !inside.is_urgent && !inside.is_closing;
            let waited = self.work.wait_timeout_while(inside, GATHER, is_gathering);
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inside.is_urgent = false;
        if inside.lost > 0 {
            tracing::error!("{} receipts were lost: they came faster than they can be kept", inside.lost);
            inside.lost = 0;
        }
        (std::mem::take(&mut inside.pending), inside.is_closing)
    }

    /// Says that so many were kept.
    pub(super) fn mark_kept(&self, count: usize) {
        self.lock().kept += count as u64;
        self.kept.notify_all();
    }
}
