//! The outbox of a State in a database, for those who send it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::StateError;
use uuid::Uuid;

use super::schema::now as server_time;
use super::{Shared, SqlState, contents, memory, outbox, receipts};
use crate::outbox::{Leased, OutboxRecord, OutboxStatus, OutboxStore, Verdict, Which};
use crate::sql::{Param, SqlError};

/// How often what is no longer needed is forgotten, by one node for all.
const TIDY: Duration = Duration::from_secs(600);
/// How often old receipts are.
const PRUNE: Duration = Duration::from_secs(60);

#[async_trait]
impl OutboxStore for SqlState {
    fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    fn has_released(&self) -> bool {
        self.shared.has_released.load(Ordering::Acquire)
    }

    async fn released(&self) {
        self.shared.released.notified().await;
    }

    async fn lease(&self, which: Which, room: usize, term: Duration) -> Result<Vec<Leased>, StateError> {
        let shared = &self.shared;
        let leased = match &which {
            Which::Due => outbox::lease_due(&shared.pool, &shared.node, room, term).await,
            Which::Keys(keys) => outbox::lease_keys(&shared.pool, &shared.node, keys, term).await,
        };
        leased.map_err(|error| shared.failed("cannot give out outgoing mail", &error))
    }

    async fn renew(&self, leased: &Leased, term: Duration) -> Result<bool, StateError> {
        let renewed = outbox::renew(&self.shared.pool, leased, term).await;
        renewed.map_err(|error| self.shared.failed("cannot renew a lease", &error))
    }

    async fn content(&self, leased: &Leased) -> Result<Option<File>, StateError> {
        let shared = &self.shared;
        let id = leased.record.file.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        let Some(id) = id else { return Ok(None) };
        let content = contents::fetch(&shared.pool, id, &shared.directory, shared.blocking).await;
        content.map_err(|error| shared.failed("cannot give out outgoing mail", &error))
    }

    async fn settle(&self, leased: &Leased, verdict: &Verdict) -> Result<(), StateError> {
        let shared = &self.shared;
        let settled =
            outbox::settle(&shared.pool, shared.blocking, (leased, verdict), shared.clock.now()).await;
        let has_notice = settled.map_err(|error| shared.failed("cannot note how sending ended", &error))?;
        if has_notice {
            shared.wake();
        }
        if matches!(verdict, Verdict::Sent { .. })
            && let Some(id) = leased.record.file.as_deref().and_then(|id| Uuid::parse_str(id).ok())
            && let Err(error) = contents::remove(&shared.pool, id.as_bytes()).await
        {
            // It is swept up before long.
            tracing::debug!("the content {id} is left over: {error}");
        }
        Ok(())
    }

    async fn entries(
        &self,
        status: Option<OutboxStatus>,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, StateError> {
        let listed = outbox::list(&self.shared.pool, status, limit).await;
        listed.map_err(|error| self.shared.failed("cannot be read", &error))
    }

    async fn retry(&self, id: i64) -> Result<bool, StateError> {
        let retried = outbox::retry(&self.shared.pool, id, self.shared.clock.now()).await;
        let is_done = retried.map_err(|error| self.shared.failed("cannot be written", &error))?;
        self.shared.released.notify_one();
        Ok(is_done)
    }

    async fn cancel(&self, id: i64) -> Result<bool, StateError> {
        let shared = &self.shared;
        let cancelled = outbox::cancel(&shared.pool, id, shared.clock.now()).await;
        let cancelled = cancelled.map_err(|error| shared.failed("cannot be written", &error))?;
        if let Some(Some(content)) = &cancelled {
            let removed = contents::remove(&shared.pool, content).await;
            removed.map_err(|error| shared.failed("cannot be written", &error))?;
        }
        Ok(cancelled.is_some())
    }

    async fn tidy(&self) -> Result<(), StateError> {
        self.shared.tidy().await.map_err(|error| self.shared.failed("cannot be tidied", &error))
    }
}

impl Shared {
    async fn tidy(&self) -> Result<(), SqlError> {
        let now = self.clock.now();
        if self.takes("tidy", TIDY).await? {
            memory::forget(&self.pool, now).await?;
            outbox::forget(&self.pool, now).await?;
            contents::sweep(&self.pool).await?;
        }
        if self.server.is_none() {
            receipts::take_in(&self.pool, &self.directory, &|_| {}).await?;
        }
        if self.takes("prune", PRUNE).await? {
            while receipts::prune(&self.pool, now.minus(self.keep)).await? > 0 {}
        }
        Ok(())
    }

    /// Whether this node does something now that one does for all, every so often.
    async fn takes(&self, chore: &str, every: Duration) -> Result<bool, SqlError> {
        let time = server_time(self.pool.engine());
        let sql = format!("UPDATE state_chores SET due = {time} + ? WHERE name = ? AND due <= {time}");
        let every = Param::Integer(i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
        Ok(self.pool.run(&sql, &[every, Param::Text(chore)]).await? > 0)
    }
}
