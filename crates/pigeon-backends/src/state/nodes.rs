//! The registry of nodes: who takes mail on this site, and how they are.
//!
//! A node writes its own row every few seconds and needs nobody's leave for that: one more node is one more row.
//! Nodes of two versions run side by side on one registry: what a report says beyond the fields that a reader
//! knows is ignored, and what it does not say has a default.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::ports::state::StateError;
use pigeon_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// How often a node says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// A node that was not heard of for so long is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(30);
/// The file in the state directory that holds the node's id.
const ID_FILE: &str = "node.id";

/// What a node says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Its name, which no other node has.
    pub name: String,
    /// Made once for each state directory: tells two nodes apart that were given one name by mistake.
    pub id: String,
    /// The name of its host.
    pub hostname: String,
    /// The version of its program.
    pub version: String,
    /// The version of the State's schema that its program was made for.
    pub schema: u32,
    /// Where it takes mail, as its configuration has it: `127.0.0.1:24`, `unix:/run/…`.
    pub listeners: Vec<String>,
    /// The directory that holds its mailboxes.
    pub mail_root: String,
    /// When its server started.
    pub started: Timestamp,
    /// Whether its server ended in order.
    pub is_stopped: bool,
    /// Recipients whose mail it decided on within the last minute.
    pub deliveries_per_minute: u64,
    /// Open connections of mail servers.
    pub connections: u64,
    /// The host's load average of one minute.
    pub load_average: f64,
    /// How it follows the changes of the directory; none before it looked anything up.
    pub feed: Option<NodeFeed>,
    /// When it decided on mail last.
    pub last_mail: Option<Timestamp>,
    /// Receipts that wait on its disk until the database takes them.
    pub receipts_waiting: u64,
    /// Receipts that were given up since its start, for there was no room for more.
    pub receipts_lost: u64,
}

/// How a node follows the directory's change log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFeed {
    /// Every change up to this one is known to it.
    pub position: u64,
    /// Milliseconds since the directory answered it last. A node without mail asks nothing.
    pub age_ms: u64,
    /// Whether the directory gave no answer when it was asked last.
    pub is_behind: bool,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// Heard of lately.
    Running,
    /// Ended in order.
    Stopped,
    /// Not heard of for 30 seconds, and did not say that it ends.
    Lost,
}

impl NodeStatus {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

/// A node as the registry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRecord {
    /// What it said last.
    pub report: NodeReport,
    /// How long ago that was, by the registry's own clock.
    pub unheard: Duration,
}

impl NodeRecord {
    /// A row of the registry; of a report that cannot be read only the name is known.
    pub(crate) fn read(name: String, report: &str, unheard: Duration) -> Self {
        let report: NodeReport = serde_json::from_str(report).unwrap_or_default();
        Self { report: NodeReport { name, ..report }, unheard }
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        match (self.report.is_stopped, self.unheard < LOST_AFTER) {
            (true, _) => NodeStatus::Stopped,
            (false, true) => NodeStatus::Running,
            (false, false) => NodeStatus::Lost,
        }
    }
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is in the registry.
    Registered,
    /// Another node has the name, and was heard of so long ago.
    Taken(Duration),
}

/// The registry of the nodes that share a State.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Registers the node, or says that it is still there. A name belongs to one node until that stops, is removed or
    /// is lost.
    async fn heartbeat(&self, report: &NodeReport) -> Result<Heard, StateError>;

    /// All nodes, by name.
    async fn nodes(&self) -> Result<Vec<NodeRecord>, StateError>;

    /// Forgets a node; false when there is none of that name. One that runs comes back with its next heartbeat.
    async fn remove_node(&self, name: &str) -> Result<bool, StateError>;
}

/// The id of the node with that state directory, made when it is first asked for.
///
/// # Errors
/// When the file can be neither read nor written.
pub fn own_id(directory: &Path) -> io::Result<String> {
    let path = directory.join(ID_FILE);
    let made = uuid::Uuid::now_v7().to_string();
    let begun = path.with_extension(format!("id.{made}"));
    // Written beside and linked: another process sees all of it or nothing.
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
        file.write_all(made.as_bytes())?;
        file.sync_all()?;
        std::fs::hard_link(&begun, &path)
    };
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write();
    // Best effort: a leftover is a small file that nobody reads.
    drop(std::fs::remove_file(&begun));
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::read_to_string(&path).map(|id| id.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let id = own_id(directory.path()).unwrap();
        assert_eq!(own_id(directory.path()).unwrap(), id);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(own_id(Path::new("/nonexistent/state")).is_err());
    }

    #[test]
    fn a_report_of_another_version_is_read() {
        let report: NodeReport =
            serde_json::from_str(r#"{"name":"mx2","version":"9.0.0","colour":"blue"}"#).unwrap();
        assert_eq!((report.name.as_str(), report.connections), ("mx2", 0));
    }

    #[test]
    fn silence_makes_a_node_lost_unless_it_stopped() {
        let check = |is_stopped: bool, unheard: Duration, expect: NodeStatus| {
            let report = NodeReport { is_stopped, ..NodeReport::default() };
            assert_eq!(NodeRecord { report, unheard }.status(), expect);
        };
        check(false, LOST_AFTER - Duration::from_millis(1), NodeStatus::Running);
        check(false, LOST_AFTER, NodeStatus::Lost);
        check(true, Duration::ZERO, NodeStatus::Stopped);
        check(true, LOST_AFTER * 100, NodeStatus::Stopped);
    }
}
