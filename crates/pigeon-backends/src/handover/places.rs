//! Where other nodes take mail, as the registry has it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lmtp::Trouble;
use crate::state::nodes::{NodeReport, Nodes};

/// How long an answer of the registry is used.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Where a node takes mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A host and a port.
    Tcp(String, u16),
    /// A Unix socket on this very host.
    Unix(PathBuf),
}

/// The registry, asked every few seconds at most. While it gives no answer, what it said last holds.
pub(super) struct Places {
    nodes: Arc<dyn Nodes>,
    /// This host: its Unix sockets can be reached.
    hostname: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    places: HashMap<String, Vec<Place>>,
    at: Option<Instant>,
}

impl Places {
    pub(super) fn new(nodes: Arc<dyn Nodes>, hostname: String) -> Self {
        Self { nodes, hostname, known: Mutex::default() }
    }

    /// Where a node takes mail, best first.
    pub(super) async fn of(&self, node: &str) -> Result<Vec<Place>, Trouble> {
        let is_fresh = |known: &Known| known.at.is_some_and(|at| at.elapsed() < FRESH_FOR);
        let held = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            is_fresh(&known).then(|| known.places.get(node).cloned()).flatten()
        };
        if let Some(places) = held {
            return Ok(places);
        }
        match self.nodes.nodes().await {
            Ok(records) => {
                let places = |report: &NodeReport| (report.name.clone(), places_of(report, &self.hostname));
                let places = records.iter().map(|record| places(&record.report)).collect();
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                *known = Known { places, at: Some(Instant::now()) };
            }
            Err(error) => tracing::warn!("{error}; nodes are looked for where they were last"),
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.places.get(node) {
            Some(places) if !places.is_empty() => Ok(places.clone()),
            Some(_) => Err(Trouble::Unreachable("it has no listener that this node can reach".to_owned())),
            None => Err(Trouble::Unreachable("no node of that name is registered".to_owned())),
        }
    }
}

/// What of a node's listeners can be reached from the host `hostname`: TCP first, for it always can.
fn places_of(report: &NodeReport, hostname: &str) -> Vec<Place> {
    let mut tcp = Vec::new();
    let mut unix = Vec::new();
    for listener in &report.listeners {
        if let Some(path) = listener.strip_prefix("unix:") {
            if report.hostname == hostname {
                unix.push(Place::Unix(path.into()));
            }
            continue;
        }
        let Some((host, port)) = listener.rsplit_once(':') else { continue };
        let Ok(port) = port.parse() else { continue };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = match host {
            // On every address: the host's name leads there.
            "0.0.0.0" | "::" | "*" | "" => report.hostname.as_str(),
            "127.0.0.1" | "::1" | "localhost" if report.hostname != hostname => continue,
            host => host,
        };
        tcp.push(Place::Tcp(host.to_owned(), port));
    }
    tcp.append(&mut unix);
    tcp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_reached_from_elsewhere_or_not() {
        let check = |listener: &str, from: &str, expect: &[Place]| {
            let report = NodeReport {
                hostname: "mx2".to_owned(),
                listeners: vec![listener.to_owned()],
                ..NodeReport::default()
            };
            assert_eq!(places_of(&report, from), expect, "{listener} from {from}");
        };
        let tcp = |host: &str, port: u16| Place::Tcp(host.to_owned(), port);
        check("192.0.2.2:24", "mx1", &[tcp("192.0.2.2", 24)]);
        check("0.0.0.0:24", "mx1", &[tcp("mx2", 24)]);
        check("[::]:24", "mx1", &[tcp("mx2", 24)]);
        check("[2001:db8::2]:24", "mx1", &[tcp("2001:db8::2", 24)]);
        check("127.0.0.1:24", "mx1", &[]);
        check("127.0.0.1:24", "mx2", &[tcp("127.0.0.1", 24)]);
        check("unix:/run/x", "mx1", &[]);
        check("unix:/run/x", "mx2", &[Place::Unix("/run/x".into())]);
        check("inherited:lmtp", "mx2", &[]);
    }
}
