//! Which server is asked: replicas for look-ups, the primary for everything else, and each in the place of another
//! that is down.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::failure::Outcome;
use crate::sql::{Limits, Pool, Schema, SqlError, SqlUrl};

/// How long a replica that lags behind is left alone.
const LAG: Duration = Duration::from_millis(500);

/// All servers of one directory.
#[derive(Debug)]
pub(super) struct Servers {
    /// For reading.
    pub(super) primary: Arc<Pool>,
    /// For changes, which may wait for each other and must not keep look-ups waiting.
    pub(super) writer: Arc<Pool>,
    replicas: Vec<Replica>,
    next: AtomicUsize,
    /// The highest position of the change log that was seen anywhere.
    seen: AtomicU64,
}

#[derive(Debug)]
struct Replica {
    pool: Arc<Pool>,
    lags_until: Mutex<Option<Instant>>,
}

impl Servers {
    pub(super) fn new(url: &SqlUrl, schema: Schema, reading: Limits, writing: Limits) -> Self {
        let replica = |host| Replica {
            pool: Pool::new(url.at(host), Schema { may_migrate: false, ..schema }, reading),
            lags_until: Mutex::default(),
        };
        Self {
            primary: Pool::new(url.clone(), schema, reading),
            writer: Pool::new(url.clone(), schema, writing),
            replicas: url.replicas().iter().map(replica).collect(),
            next: AtomicUsize::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// How many statements were sent to all of them.
    pub(super) fn statements(&self) -> u64 {
        let replicas = self.replicas.iter().map(|replica| replica.pool.statements());
        self.primary.statements() + self.writer.statements() + replicas.sum::<u64>()
    }

    /// Takes note of a position of the change log.
    pub(super) fn saw(&self, position: u64) {
        self.seen.fetch_max(position, Ordering::AcqRel);
    }

    /// Whether an answer of that position is behind what was seen here before.
    pub(super) fn is_behind(&self, position: u64) -> bool {
        position < self.seen.load(Ordering::Acquire)
    }

    /// The replicas that look-ups may ask, each in its turn the first, and then the primary.
    pub(super) fn for_lookups(&self) -> Vec<Asked<'_>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.replicas.len()).unwrap_or(0);
        let (before, from) = self.replicas.split_at(first);
        let now = Instant::now();
        let replicas = from.iter().chain(before).filter(|replica| !replica.lags(now));
        let primary = Asked { pool: &self.primary, replica: None };
        replicas.map(Replica::asked).chain([primary]).collect()
    }

    /// The primary, and then the replicas.
    pub(super) fn for_reading(&self) -> impl Iterator<Item = &Arc<Pool>> {
        std::iter::once(&self.primary).chain(self.replicas.iter().map(|replica| &replica.pool))
    }

    /// What the first of them answers that answers at all; if none does, the primary's error.
    pub(super) async fn fetch(&self, sql: &str, params: &[crate::sql::Param<'_>]) -> Outcome<Answer> {
        let mut error = None;
        for pool in self.for_reading() {
            match pool.fetch(sql, params).await {
                Ok(rows) => return Ok(Answer { rows, is_from_primary: Arc::ptr_eq(pool, &self.primary) }),
                Err(other) => error = error.or(Some(other)),
            }
        }
        Err(error.unwrap_or_else(|| SqlError::Unusable("has no server".to_owned())).into())
    }
}

/// Rows, and whether they are as new as can be.
pub(super) struct Answer {
    pub(super) rows: Vec<crate::sql::Row>,
    pub(super) is_from_primary: bool,
}

/// A server that a look-up may ask.
pub(super) struct Asked<'a> {
    pub(super) pool: &'a Arc<Pool>,
    replica: Option<&'a Replica>,
}

impl Asked<'_> {
    pub(super) const fn is_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// It answered with something old: the next look-ups go elsewhere for a moment.
    pub(super) fn lags(&self) {
        if let Some(replica) = self.replica {
            let mut until = replica.lags_until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = Some(Instant::now() + LAG);
        }
    }
}

impl Replica {
    const fn asked(&self) -> Asked<'_> {
        Asked { pool: &self.pool, replica: Some(self) }
    }

    fn lags(&self, now: Instant) -> bool {
        self.lags_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }
}
