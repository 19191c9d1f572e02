//! The outbox of a State in SQLite, for those who send it.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::StateError;

use super::SqliteState;
use super::database::failed;
use super::outbox::{self as rows, Ending};
use crate::outbox::{Leased, OutboxRecord, OutboxStatus, OutboxStore, Verdict, Which, content};

#[async_trait]
impl OutboxStore for SqliteState {
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
        let tried = "cannot give out outgoing mail";
        let now = self.shared.clock.now();
        let until = now.plus(term);
        let database = &self.shared.database;
        match which {
            Which::Due => {
                // Mostly nothing is: a look costs no sync.
                let has_due = move |connection: &rusqlite::Connection| rows::has_due(connection, now);
                if !database.read(tried, has_due).await? {
                    return Ok(Vec::new());
                }
                database.write(tried, move |connection| rows::lease_due(connection, room, now, until)).await
            }
            Which::Keys(keys) => {
                database.write(tried, move |connection| rows::lease_keys(connection, &keys, now, until)).await
            }
        }
    }

    async fn renew(&self, leased: &Leased, term: Duration) -> Result<bool, StateError> {
        let until = self.shared.clock.now().plus(term);
        let (id, lease) = (leased.record.id, leased.lease.clone());
        let renew = move |connection: &rusqlite::Connection| rows::renew(connection, id, &lease, until);
        self.shared.database.write("cannot renew a lease", renew).await
    }

    async fn content(&self, leased: &Leased) -> Result<Option<File>, StateError> {
        let Some(file) = leased.record.file.as_deref() else { return Ok(None) };
        let path = content::path(self.shared.database.directory(), file);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, "cannot be read", &error.to_string())),
        }
    }

    async fn settle(&self, leased: &Leased, verdict: &Verdict) -> Result<(), StateError> {
        let (row, now) = (leased.clone(), self.shared.clock.now());
        let ending = match verdict {
            Verdict::Sent { .. } => Ending::Sent,
            Verdict::Again { at, error } => Ending::Again { at: *at, error: error.clone() },
            Verdict::Failed { error, notice } => {
                let notice = match notice {
                    Some(notice) => self.shared.write_contents(vec![notice.clone()], now).await?.pop(),
                    None => None,
                };
                Ending::Failed { error: error.clone(), notice }
            }
        };
        let has_notice = matches!(ending, Ending::Failed { notice: Some(_), .. });
        let settle = move |connection: &rusqlite::Connection| rows::settle(connection, &row, &ending, now);
        let settled = self.shared.database.write("cannot note how sending ended", settle).await?;
        self.shared.remove_files(settled.unneeded).await;
        if has_notice {
            self.shared.released.notify_one();
        }
        Ok(())
    }

    async fn entries(
        &self,
        status: Option<OutboxStatus>,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, StateError> {
        let list = move |connection: &rusqlite::Connection| rows::list(connection, status, limit);
        self.shared.database.read("cannot be read", list).await
    }

    async fn retry(&self, id: i64) -> Result<bool, StateError> {
        let now = self.shared.clock.now();
        let retry = move |connection: &rusqlite::Connection| rows::retry(connection, id, now);
        let is_done = self.shared.database.write("cannot be written", retry).await?;
        self.shared.released.notify_one();
        Ok(is_done)
    }

    async fn cancel(&self, id: i64) -> Result<bool, StateError> {
        let now = self.shared.clock.now();
        let cancel = move |connection: &rusqlite::Connection| rows::cancel(connection, id, now);
        let settled = self.shared.database.write("cannot be written", cancel).await?;
        self.shared.remove_files(settled.unneeded).await;
        Ok(settled.is_done)
    }

    async fn tidy(&self) -> Result<(), StateError> {
        self.shared.tidy().await
    }
}
