//! Keeps receipts without making a delivery wait: a bounded queue and a thread that empties it in batches.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pigeon_core::clock::Clock;
use pigeon_core::ports::state::StateError;
use pigeon_core::receipt::Receipt;
use rusqlite::Connection;

use super::connection::{self, RECEIPTS};
use super::database::failed;
use super::receipts::{self, Packed};
use super::spool;

/// Receipts that may wait; more are lost, and counted.
const CAPACITY: usize = 10_000;
/// So many are kept at once without waiting for more.
const BATCH: usize = 2_000;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(60);
/// How often an idle server looks for what other processes left.
const IDLE: Duration = Duration::from_secs(5);
/// How often expired receipts are looked for.
const PRUNE: Duration = Duration::from_secs(60);
/// Expired receipts forgotten in one transaction, or twice as many as came in.
const PRUNE_BATCH: usize = 1_000;
/// How long a reader waits for receipts that are in the queue.
const FLUSH: Duration = Duration::from_secs(5);

/// The queue and its thread.
pub(super) struct Recorder {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
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

/// What the thread needs besides the queue.
pub(super) struct Keeping {
    pub(super) directory: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keep: Duration,
}

impl Recorder {
    pub(super) fn start(keeping: Keeping) -> Result<Self, StateError> {
        let mut connection = connection::open(&keeping.directory, RECEIPTS)?;
        let directory = keeping.directory.clone();
        let queue = Arc::new(Queue::default());
        let thread = std::thread::Builder::new().name("receipts".into()).spawn({
            let queue = Arc::clone(&queue);
            move || keep(&queue, &mut connection, &keeping)
        });
        let thread = thread
            .map_err(|error| failed(&directory, "cannot keep receipts in a thread", &error.to_string()))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn record(&self, receipts: &[Arc<Receipt>]) {
        let mut inside = self.queue.lock();
        if inside.is_closing || inside.pending.len() + receipts.len() > CAPACITY {
            let is_first = inside.lost == 0;
            inside.lost += receipts.len() as u64;
            drop(inside);
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
    fn next_batch(&self) -> (Vec<Arc<Receipt>>, bool) {
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

    fn mark_kept(&self, count: usize) {
        self.lock().kept += count as u64;
        self.kept.notify_all();
    }
}

fn keep(queue: &Queue, connection: &mut Connection, keeping: &Keeping) {
    let (mut taken_in, mut pruned) = (None, None);
    loop {
        let (batch, is_closing) = queue.next_batch();
        if batch.is_empty() && is_closing {
            return;
        }
        if !batch.is_empty() {
            keep_batch(connection, &batch);
            queue.mark_kept(batch.len());
        }
        let elapsed = keeping.clock.elapsed();
        if is_due(taken_in, elapsed, IDLE) {
            taken_in = Some(elapsed);
            if let Err(error) = spool::take_in(&keeping.directory, connection, keeping.clock.now()) {
                tracing::error!(
                    "receipts left in {} cannot be taken in: {error}",
                    keeping.directory.display()
                );
            }
        }
        if is_due(pruned, elapsed, PRUNE)
            && !forget_some(connection, keeping, PRUNE_BATCH.max(batch.len() * 2))
        {
            pruned = Some(elapsed);
        }
    }
}

fn is_due(last: Option<Duration>, elapsed: Duration, every: Duration) -> bool {
    last.is_none_or(|last| elapsed.saturating_sub(last) >= every)
}

fn keep_batch(connection: &mut Connection, batch: &[Arc<Receipt>]) {
    let packed: Vec<Packed> = batch.iter().filter_map(|receipt| Packed::new(receipt)).collect();
    if let Err(error) = receipts::insert(connection, &packed) {
        tracing::error!("{} receipts are lost, they cannot be kept: {error}", batch.len());
    }
}

/// One small step, so that new receipts need not wait long; true when there may be more to forget.
fn forget_some(connection: &mut Connection, keeping: &Keeping, limit: usize) -> bool {
    match receipts::prune(connection, keeping.clock.now().minus(keeping.keep), limit) {
        Ok(count) => count == limit,
        Err(error) => {
            tracing::error!("old receipts cannot be forgotten: {error}");
            false
        }
    }
}
