//! The registry of nodes in a State of one host.
//!
//! It is in the file of the receipts: a heartbeat is worth no sync of the disk.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::ports::state::StateError;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::SqliteState;
use super::connection::{self, RECEIPTS, WorkError, WorkResult};
use crate::state::nodes::{Heard, LOST_AFTER, NodeRecord, NodeReport, Nodes};

#[async_trait]
impl Nodes for SqliteState {
    async fn heartbeat(&self, report: &NodeReport) -> Result<Heard, StateError> {
        let report = report.clone();
        self.with_nodes("cannot note a heartbeat", move |connection, now| heartbeat(connection, &report, now))
            .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StateError> {
        self.with_nodes("cannot read the nodes", |connection, now| list(connection, now)).await
    }

    async fn remove_node(&self, name: &str) -> Result<bool, StateError> {
        let name = name.to_owned();
        self.with_nodes("cannot remove a node", move |connection, _| {
            Ok(connection.execute("DELETE FROM nodes WHERE name = ?1", [name])? > 0)
        })
        .await
    }
}

impl SqliteState {
    async fn with_nodes<T, F>(&self, tried: &'static str, work: F) -> Result<T, StateError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, Timestamp) -> WorkResult<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let directory = shared.database.directory();
            let mut connection = connection::open(directory, RECEIPTS)?;
            work(&mut connection, shared.clock.now())
                .map_err(|error| error.into_state_error(&directory.join(RECEIPTS.file), tried))
        };
        self.shared.blocking(tried, run).await
    }
}

fn since(heard: i64, now: Timestamp) -> Duration {
    now.since(Timestamp::from_micros(heard))
}

fn heartbeat(connection: &mut Connection, report: &NodeReport, now: Timestamp) -> WorkResult<Heard> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let holder = transaction
        .query_row(
            "SELECT heard FROM nodes WHERE name = ?1 AND id <> ?2 AND is_stopped = 0",
            [&report.name, &report.id],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(unheard) = holder.map(|heard| since(heard, now)).filter(|unheard| *unheard < LOST_AFTER) {
        return Ok(Heard::Taken(unheard));
    }
    let text = serde_json::to_string(report).map_err(|error| WorkError::Other(error.to_string()))?;
    transaction.execute(
        "INSERT INTO nodes (name, id, heard, is_stopped, report) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE SET id = excluded.id, heard = excluded.heard,
            is_stopped = excluded.is_stopped, report = excluded.report",
        params![report.name, report.id, now.micros(), report.is_stopped, text],
    )?;
    transaction.commit()?;
    Ok(Heard::Registered)
}

fn list(connection: &Connection, now: Timestamp) -> WorkResult<Vec<NodeRecord>> {
    let mut statement = connection.prepare("SELECT name, heard, report FROM nodes ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut records = Vec::new();
    for row in rows {
        let (name, heard, report) = row?;
        records.push(NodeRecord::read(name, &report, since(heard, now)));
    }
    Ok(records)
}
