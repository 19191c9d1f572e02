//! Keeps receipts in `receipts.sqlite`, in a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::clock::Clock;
use pigeon_core::ports::state::StateError;
use pigeon_core::receipt::Receipt;
use rusqlite::Connection;

use super::connection::{self, RECEIPTS};
use super::database::failed;
use super::receipts;
use crate::state::counters::Counters;
use crate::state::queue::{IDLE, Queue, Recorder};
use crate::state::words::Packed;

/// How often expired receipts are looked for.
const PRUNE: Duration = Duration::from_secs(60);
/// Expired receipts forgotten in one transaction, or twice as many as came in.
const PRUNE_BATCH: usize = 1_000;

/// What the thread needs besides the queue.
pub(super) struct Keeping {
    pub(super) directory: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keep: Duration,
}

/// Starts the thread.
pub(super) fn start(keeping: Keeping, counters: Arc<Counters>) -> Result<Recorder, StateError> {
    let mut connection = connection::open(&keeping.directory, RECEIPTS)?;
    let directory = keeping.directory.clone();
    Recorder::start(counters, move |queue| keep(queue, &mut connection, &keeping))
        .map_err(|error| failed(&directory, "cannot keep receipts in a thread", &error.to_string()))
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
            if let Err(error) = receipts::take_in(&keeping.directory, connection, keeping.clock.now()) {
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
