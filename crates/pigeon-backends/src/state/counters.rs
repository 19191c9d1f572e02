//! What a process counts while it delivers: cheap enough for every mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pigeon_core::receipt::Receipt;
use pigeon_core::timestamp::Timestamp;

/// What a process counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Recipients whose mail it decided on.
    pub deliveries: u64,
    /// When it decided on mail last.
    pub last_mail: Option<Timestamp>,
    /// Receipts that are not kept yet.
    pub receipts_waiting: u64,
    /// Receipts that were given up, for there was no room for more.
    pub receipts_lost: u64,
}

/// The counters behind a [`Tally`].
#[derive(Debug)]
pub(super) struct Counters {
    deliveries: AtomicU64,
    last_mail: AtomicI64,
    lost: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { deliveries: AtomicU64::new(0), last_mail: AtomicI64::new(i64::MIN), lost: AtomicU64::new(0) }
    }
}

impl Counters {
    /// Counts the receipts of one message.
    pub(super) fn count(&self, receipts: &[Arc<Receipt>]) {
        self.deliveries.fetch_add(receipts.len() as u64, Ordering::Relaxed);
        if let Some(receipt) = receipts.first() {
            self.last_mail.fetch_max(receipt.at.micros(), Ordering::Relaxed);
        }
    }

    /// Counts receipts that are given up; the number of those before.
    pub(super) fn lose(&self, count: usize) -> u64 {
        self.lost.fetch_add(count as u64, Ordering::Relaxed)
    }

    /// What was counted.
    pub(super) fn tally(&self, receipts_waiting: u64) -> Tally {
        let last_mail = self.last_mail.load(Ordering::Relaxed);
        Tally {
            deliveries: self.deliveries.load(Ordering::Relaxed),
            last_mail: (last_mail != i64::MIN).then(|| Timestamp::from_micros(last_mail)),
            receipts_waiting,
            receipts_lost: self.lost.load(Ordering::Relaxed),
        }
    }
}
