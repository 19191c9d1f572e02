//! Says in the registry that this node takes mail, and how it is, for as long as it runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pigeon_backends::state::nodes::{self, HEARTBEAT, Heard, NodeFeed, NodeReport};
use pigeon_core::planner::Following;
use pigeon_core::timestamp::Timestamp;
use pigeon_frontends::lmtp::Reception;
use pigeon_frontends::stop::Stopping;

use crate::wiring::Site;

/// Over how long deliveries are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// How long the last word of a node that stops may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is needed to tell how the node is.
pub(super) struct Presence {
    site: Arc<Site>,
    receptions: Vec<Arc<Reception>>,
    listeners: Vec<String>,
    started: Timestamp,
    counts: Counts,
    trouble: Option<String>,
}

impl Presence {
    /// For a site whose sockets are open.
    pub(super) fn new(site: Arc<Site>, receptions: Vec<Arc<Reception>>, listeners: Vec<String>) -> Self {
        let started = site.catalogue.tools().clock.now();
        Self { site, receptions, listeners, started, counts: Counts::default(), trouble: None }
    }

    /// Registers the node, sends heartbeats, and says at the end that it stopped.
    pub(super) async fn keep(mut self, mut stopping: Stopping) {
        let clock = Arc::clone(&self.site.catalogue.tools().clock);
        loop {
            self.say(false).await;
            tokio::select! {
                () = stopping.wait() => break,
                () = clock.sleep(jittered(HEARTBEAT, clock.now())) => {}
            }
        }
        // Whoever waits for the end of this process need not wait for a database that is away.
        drop(tokio::time::timeout(FAREWELL, self.say(true)).await);
    }

    async fn say(&mut self, is_stopped: bool) {
        let trouble = match self.report(is_stopped) {
            Err(error) => Some(format!("this node is in no registry: {error}")),
            Ok(report) => match self.site.state.heartbeat(&report).await {
                Ok(Heard::Registered) => None,
                Ok(Heard::Taken(_)) => Some(format!(
                    "another node has the name {:?}, too: give each its own with node = \"…\" in the configuration",
                    report.name
                )),
                Err(error) => Some(error.to_string()),
            },
        };
        // Once for each trouble, not with each heartbeat.
        if let Some(trouble) = trouble.as_ref().filter(|_| self.trouble.is_none()) {
            tracing::warn!("{trouble}");
        }
        self.trouble = trouble;
    }

    fn report(&mut self, is_stopped: bool) -> std::io::Result<NodeReport> {
        let clock = &self.site.catalogue.tools().clock;
        let (config, tally) = (&self.site.config, self.site.state.tally());
        let now = clock.now();
        Ok(NodeReport {
            name: config.node_name(),
            id: nodes::own_id(&config.state)?,
            hostname: config.hostname(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: self.site.state.schema(),
            listeners: self.listeners.clone(),
            mail_root: config.mail.root.display().to_string(),
            started: self.started,
            is_stopped,
            deliveries_per_minute: self.counts.within_a_minute(clock.elapsed(), tally.deliveries),
            connections: self.receptions.iter().map(|reception| reception.connections() as u64).sum(),
            load_average: load_average(),
            feed: feed(self.site.agent.planner().following(), now),
            last_mail: tally.last_mail,
            receipts_waiting: tally.receipts_waiting,
            receipts_lost: tally.receipts_lost,
        })
    }
}

fn feed(following: Following, now: Timestamp) -> Option<NodeFeed> {
    let age = now.since(following.answered_at?);
    Some(NodeFeed {
        position: following.position,
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        is_behind: following.is_behind,
    })
}

/// A tenth more or less, so that nodes that were started together do not speak together for ever; the microseconds
/// of the moment are random enough for that.
fn jittered(span: Duration, now: Timestamp) -> Duration {
    let random = u32::try_from(now.micros().rem_euclid(201)).unwrap_or(100);
    span * (900 + random) / 1000
}

/// The host's load average of one minute; zero where the system does not say.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// What was counted when, for a little longer than a minute.
#[derive(Debug, Default)]
struct Counts(VecDeque<(Duration, u64)>);

impl Counts {
    /// How many came within the last minute, or since the first time that this was asked.
    fn within_a_minute(&mut self, elapsed: Duration, count: u64) -> u64 {
        self.0.push_back((elapsed, count));
        // The newest one that is a minute old is what the rest is compared with.
        while self.0.get(1).is_some_and(|(at, _)| elapsed.saturating_sub(*at) >= MINUTE) {
            self.0.pop_front();
        }
        self.0.front().map_or(0, |(_, before)| count.saturating_sub(*before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_within_a_minute_is_counted() {
        let mut counts = Counts::default();
        for (second, count, expect) in
            [(0, 0, 0), (5, 10, 10), (30, 30, 30), (60, 50, 50), (66, 60, 50), (90, 61, 31), (300, 61, 0)]
        {
            let elapsed = Duration::from_secs(second);
            assert_eq!(counts.within_a_minute(elapsed, count), expect, "after {second} s");
        }
    }

    #[test]
    fn heartbeats_are_not_all_at_once_and_never_late_enough_to_look_lost() {
        let span = |micros| jittered(HEARTBEAT, Timestamp::from_micros(micros));
        let spans: Vec<Duration> = (-300..300).map(span).collect();
        assert!(spans.iter().all(|span| *span * 5 < nodes::LOST_AFTER && *span > HEARTBEAT / 2));
        assert!(spans.iter().any(|span| *span != spans[0]));
    }
}
