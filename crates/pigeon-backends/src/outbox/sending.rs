//! The sending side: take what is due under a lease, hand it over, write down how that ended.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pigeon_core::address::{Address, ReversePath};
use pigeon_core::ports::state::{OutboxContent, OutboxEntry, StateError};
use pigeon_core::timestamp::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Outgoing, Pace, Refusal, Submit, Which, content, notice};
use crate::state::sqlite::Shared;
use crate::state::sqlite::outbox::{self as rows, Leased, NewEntry, Verdict};

/// How often a server forgets what is no longer needed.
const TIDY: Duration = Duration::from_secs(3600);

/// What a round of sending came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Flushed {
    /// Entries that the MTA took.
    pub sent: u32,
    /// Entries that wait for another attempt.
    pub deferred: u32,
    /// Entries given up.
    pub failed: u32,
}

/// How one attempt ended.
enum Ended {
    Sent,
    Deferred,
    Failed,
}

pub(super) struct Sending {
    pub(super) shared: Arc<Shared>,
    pub(super) submit: Arc<dyn Submit>,
    pub(super) hello: String,
    pub(super) pace: Pace,
}

impl Sending {
    pub(super) async fn run(self: &Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut attempts = JoinSet::new();
        let mut tidied = None;
        loop {
            while attempts.try_join_next().is_some() {}
            self.begin_due(&mut attempts).await;
            self.tidy_sometimes(&mut tidied).await;
            let is_full = attempts.len() >= self.pace.at_once;
            tokio::select! {
                () = &mut shutdown => break,
                () = self.shared.released.notified(), if !is_full => {}
                () = self.shared.clock.sleep(self.pace.poll), if !is_full => {}
                Some(_) = attempts.join_next() => {}
            }
        }
        let rest = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.pace.grace, rest).await.is_err() {
            tracing::warn!("outgoing mail was still being sent: it is tried again after the start");
        }
    }

    async fn begin_due(self: &Arc<Self>, attempts: &mut JoinSet<()>) {
        let room = self.pace.at_once.saturating_sub(attempts.len());
        match self.lease(Which::Due, room).await {
            Ok(leased) => {
                for leased in leased {
                    let sending = Arc::clone(self);
                    attempts.spawn(async move {
                        if let Err(error) = sending.attempt(&leased).await {
                            tracing::error!("outbox {}: {error}", leased.record.id);
                        }
                    });
                }
            }
            Err(error) => tracing::error!("outgoing mail waits: {error}"),
        }
    }

    async fn tidy_sometimes(&self, tidied: &mut Option<Duration>) {
        let elapsed = self.shared.clock.elapsed();
        if tidied.is_none_or(|last: Duration| elapsed.saturating_sub(last) >= TIDY) {
            *tidied = Some(elapsed);
            if let Err(error) = self.shared.tidy().await {
                tracing::error!("{error}");
            }
        }
    }

    pub(super) async fn flush_once(self: &Arc<Self>, which: Which) -> Result<Flushed, StateError> {
        let mut flushed = Flushed::default();
        match which {
            Which::Due => {
                loop {
                    let leased = self.lease(Which::Due, self.pace.at_once).await?;
                    if leased.is_empty() {
                        break;
                    }
                    self.attempt_all(&leased, &mut flushed).await?;
                }
                self.shared.tidy().await?;
            }
            Which::Keys(keys) => {
                for some in keys.chunks(self.pace.at_once.max(1)) {
                    let leased = self.lease(Which::Keys(some.to_vec()), some.len()).await?;
                    self.attempt_all(&leased, &mut flushed).await?;
                }
            }
        }
        Ok(flushed)
    }

    async fn attempt_all(&self, leased: &[Leased], flushed: &mut Flushed) -> Result<(), StateError> {
        for ended in join_all(leased.iter().map(|leased| self.attempt(leased))).await {
            match ended? {
                Ended::Sent => flushed.sent += 1,
                Ended::Deferred => flushed.deferred += 1,
                Ended::Failed => flushed.failed += 1,
            }
        }
        Ok(())
    }

    async fn lease(&self, which: Which, room: usize) -> Result<Vec<Leased>, StateError> {
        let tried = "cannot give out outgoing mail";
        let now = self.shared.clock.now();
        let until = now.plus(self.pace.lease);
        if room == 0 {
            return Ok(Vec::new());
        }
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

    async fn attempt(&self, leased: &Leased) -> Result<Ended, StateError> {
        let Some(result) = self.submit_under_lease(leased).await else {
            tracing::warn!("outbox {}: another process took it over", leased.record.id);
            return Ok(Ended::Deferred);
        };
        let verdict = self.judge(leased, result).await?;
        self.report(leased, &verdict);
        let ended = match verdict {
            Verdict::Sent { .. } => Ended::Sent,
            Verdict::Again { .. } => Ended::Deferred,
            Verdict::Failed { .. } => Ended::Failed,
        };
        let has_notice = matches!(verdict, Verdict::Failed { notice: Some(_), .. });
        let (row, now) = (leased.clone(), self.shared.clock.now());
        let settle = move |connection: &rusqlite::Connection| rows::settle(connection, &row, &verdict, now);
        let settled = self.shared.database.write("cannot note how sending ended", settle).await?;
        self.shared.remove_files(settled.unneeded).await;
        if has_notice {
            self.shared.released.notify_one();
        }
        Ok(ended)
    }

    /// Submits, and renews the lease meanwhile; nothing when the lease was lost.
    async fn submit_under_lease(&self, leased: &Leased) -> Option<Result<String, Refusal>> {
        let mail = match self.outgoing(leased) {
            Ok(mail) => mail,
            Err(refusal) => return Some(Err(refusal)),
        };
        let mut submit = pin!(self.submit.submit(&mail));
        loop {
            tokio::select! {
                biased;
                result = &mut submit => return Some(result),
                () = tokio::time::sleep(self.pace.lease / 4) => {}
            }
            if !self.renew(leased).await {
                return None;
            }
        }
    }

    async fn renew(&self, leased: &Leased) -> bool {
        let until = self.shared.clock.now().plus(self.pace.lease);
        let (id, lease) = (leased.record.id, leased.lease.clone());
        let renew = move |connection: &rusqlite::Connection| rows::renew(connection, id, &lease, until);
        self.shared.database.write("cannot renew a lease", renew).await.unwrap_or(false)
    }

    fn outgoing(&self, leased: &Leased) -> Result<Outgoing, Refusal> {
        let record = &leased.record;
        let broken = |what: &str| Refusal::Permanent { status: "5.3.0".into(), text: what.into() };
        let file = record.file.as_deref().ok_or_else(|| broken("the content is gone"))?;
        Ok(Outgoing {
            sender: ReversePath::parse(&record.sender).map_err(|_| broken("the sender is no address"))?,
            recipient: Address::parse(&record.recipient)
                .map_err(|_| broken("the recipient is no address"))?,
            file: content::path(self.shared.database.directory(), file),
            octets: record.octets,
            is_8bit: record.is_8bit,
        })
    }

    async fn judge(&self, leased: &Leased, result: Result<String, Refusal>) -> Result<Verdict, StateError> {
        let now = self.shared.clock.now();
        let (status, error) = match result {
            Ok(reply) => return Ok(Verdict::Sent { reply }),
            Err(Refusal::Permanent { status, text }) => (status, text),
            Err(Refusal::Temporary(error)) if now.since(leased.record.created) < self.pace.give_up => {
                return Ok(Verdict::Again { at: now.plus(self.wait(leased.record.attempts)), error });
            }
            // RFC 3463 §3.5: X.4.7, delivery time expired.
            Err(Refusal::Temporary(error)) => ("5.4.7".into(), format!("given up: {error}")),
        };
        let notice = self.notice(leased, &status, &error, now).await?;
        Ok(Verdict::Failed { error, notice })
    }

    /// 30 s, 1 min, 2 min, … 4 h, each a fifth more or less, so that entries of one outage do not come together.
    fn wait(&self, attempts: u32) -> Duration {
        let doubled = self
            .pace
            .first_wait
            .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let random = u32::try_from(uuid::Uuid::now_v7().as_u128() % 401).unwrap_or(200);
        doubled.min(self.pace.longest_wait) * (800 + random) / 1000
    }

    /// A notice to the sender, durable but not yet in the outbox. The null sender gets none (RFC 5321 §4.5.5).
    async fn notice(
        &self,
        leased: &Leased,
        status: &str,
        error: &str,
        now: Timestamp,
    ) -> Result<Option<NewEntry>, StateError> {
        let record = &leased.record;
        let Ok(ReversePath::Address(sender)) = ReversePath::parse(&record.sender) else { return Ok(None) };
        let path = record.file.as_deref().map(|file| content::path(self.shared.database.directory(), file));
        let head = self
            .shared
            .blocking("cannot be read", move || Ok(path.map(|path| notice::head_of(&path))))
            .await?;
        let failure = notice::Failure {
            hello: &self.hello,
            record,
            status,
            error,
            head: head.as_deref().unwrap_or_default(),
            now,
        };
        let entry = OutboxEntry {
            key: format!("notice:{}:{}", record.key, record.created.micros()),
            on_behalf_of: record.on_behalf_of.clone(),
            sender: ReversePath::Null,
            recipient: sender,
            content: OutboxContent::Own(notice::compose(&failure)),
        };
        Ok(self.shared.write_contents(vec![entry], now).await?.pop())
    }

    fn report(&self, leased: &Leased, verdict: &Verdict) {
        let record = &leased.record;
        let (word, why) = match verdict {
            Verdict::Sent { reply } => ("sent", format!(" ({reply})")),
            Verdict::Again { at, error } => ("deferred", format!(" next-attempt={at} ({error})")),
            Verdict::Failed { error, .. } => ("failed", format!(" ({error})")),
        };
        tracing::info!(
            target: "pigeon::journal",
            "outbox {}: {word} to=<{}> from=<{}> on-behalf-of=<{}> size={} attempts={}{}",
            record.id,
            record.recipient,
            record.sender,
            record.on_behalf_of,
            record.octets,
            record.attempts,
            why.replace(|letter: char| letter.is_control(), "?"),
        );
    }
}
