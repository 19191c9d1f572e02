//! The registry of the nodes that share the database.

use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::ports::state::StateError;

use super::SqlState;
use super::schema::{leaving, now as server_time};
use crate::sql::{Param, Row, SqlError};
use crate::state::nodes::{Heard, LOST_AFTER, NodeRecord, NodeReport, Nodes};

#[async_trait]
impl Nodes for SqlState {
    async fn heartbeat(&self, report: &NodeReport) -> Result<Heard, StateError> {
        let heard = self.heard(report).await;
        heard.map_err(|error| self.shared.failed("cannot note a heartbeat", &error))
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StateError> {
        let pool = &self.shared.pool;
        let sql = format!(
            "SELECT name, {} - heard, report FROM state_nodes ORDER BY name",
            server_time(pool.engine())
        );
        let rows = pool.fetch(&sql, &[]).await.and_then(|rows| rows.iter().map(record).collect());
        rows.map_err(|error| self.shared.failed("cannot read the nodes", &error))
    }

    async fn remove_node(&self, name: &str) -> Result<bool, StateError> {
        let removed =
            self.shared.pool.run("DELETE FROM state_nodes WHERE name = ?", &[Param::Text(name)]).await;
        Ok(removed.map_err(|error| self.shared.failed("cannot remove a node", &error))? > 0)
    }
}

impl SqlState {
    async fn heard(&self, report: &NodeReport) -> Result<Heard, SqlError> {
        let pool = &self.shared.pool;
        let time = server_time(pool.engine());
        let text = serde_json::to_string(report)
            .map_err(|error| SqlError::Unusable(format!("cannot be given a report: {error}")))?;
        let (name, id) = (Param::Text(&report.name), Param::Text(&report.id));
        let (is_stopped, text) = (Param::from(report.is_stopped), Param::Text(&text));
        let lost_after = Param::Integer(i64::try_from(LOST_AFTER.as_micros()).unwrap_or(i64::MAX));
        let sql = format!(
            "UPDATE state_nodes SET id = ?, heard = {time}, is_stopped = ?, report = ?
             WHERE name = ? AND (id = ? OR is_stopped = 1 OR heard <= {time} - ?)"
        );
        if pool.run(&sql, &[id, is_stopped, text, name, id, lost_after]).await? > 0 {
            return Ok(Heard::Registered);
        }
        let (insert, leaving) = leaving(pool.engine());
        let sql = format!(
            "{insert} INTO state_nodes (name, id, heard, is_stopped, report) VALUES (?, ?, {time}, ?, ?){leaving}"
        );
        if pool.run(&sql, &[name, id, is_stopped, text]).await? > 0 {
            return Ok(Heard::Registered);
        }
        let sql = format!("SELECT id, {time} - heard FROM state_nodes WHERE name = ?");
        match pool.fetch(&sql, &[name]).await?.first() {
            Some(row) if row.text(0)? != report.id => Ok(Heard::Taken(span(row.integer(1)?))),
            // The statement was carried out, and its answer lost; or the row has gone since.
            _ => Ok(Heard::Registered),
        }
    }
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn record(row: &Row) -> Result<NodeRecord, SqlError> {
    Ok(NodeRecord::read(row.text(0)?, &row.text(2)?, span(row.integer(1)?)))
}
