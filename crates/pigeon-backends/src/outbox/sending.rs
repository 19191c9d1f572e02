//! The sending side: take what is due under a lease, hand it over, write down how that ended.

use std::collections::HashSet;
use std::fs::File;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use pigeon_core::address::ReversePath;
use pigeon_core::ports::state::{Destination, OutboxContent, OutboxEntry, StateError};
use pigeon_core::timestamp::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Leased, OutboxStore, Outgoing, Pace, PostWeb, Posting, Refusal, Submit, Verdict, Which, notice};

/// How often a server forgets what is no longer needed.
const TIDY: Duration = Duration::from_secs(3600);
/// How long a server tries to note that the MTA took an entry: what is not noted is sent again.
const NOTING: Duration = Duration::from_secs(3600);
/// Between two attempts to note something.
const NOTING_WAIT: Duration = Duration::from_millis(500);

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

/// The lease of an entry that was being sent was lost, and why.
struct Lost(String);

pub(super) struct Sending {
    pub(super) store: Arc<dyn OutboxStore>,
    pub(super) submit: Arc<dyn Submit>,
    /// What posts to servers; none in processes that do not.
    pub(super) web: Option<Arc<dyn PostWeb>>,
    pub(super) hello: String,
    pub(super) pace: Pace,
    /// Entries that the MTA took and that could not be noted so far.
    pub(super) accepted: Mutex<HashSet<i64>>,
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
                () = self.store.released(), if !is_full => {}
                () = self.store.clock().sleep(self.pace.poll), if !is_full => {}
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
                        if let Err(error) = sending.attempt(&leased, NOTING).await {
                            tracing::error!("outbox {}: {error}", leased.record.id);
                        }
                    });
                }
            }
            Err(error) => tracing::error!("outgoing mail waits: {error}"),
        }
    }

    async fn tidy_sometimes(&self, tidied: &mut Option<Duration>) {
        let elapsed = self.store.clock().elapsed();
        if tidied.is_none_or(|last: Duration| elapsed.saturating_sub(last) >= TIDY) {
            *tidied = Some(elapsed);
            if let Err(error) = self.store.tidy().await {
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
                self.store.tidy().await?;
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
        for ended in join_all(leased.iter().map(|leased| self.attempt(leased, self.pace.lease))).await {
            match ended? {
                Ended::Sent => flushed.sent += 1,
                Ended::Deferred => flushed.deferred += 1,
                Ended::Failed => flushed.failed += 1,
            }
        }
        Ok(())
    }

    async fn lease(&self, which: Which, room: usize) -> Result<Vec<Leased>, StateError> {
        if room == 0 { Ok(Vec::new()) } else { self.store.lease(which, room, self.pace.lease).await }
    }

    /// Sends one entry and notes how that ended; tries to note an acceptance for `noting`.
    async fn attempt(&self, leased: &Leased, noting: Duration) -> Result<Ended, StateError> {
        if self.accepted.lock().unwrap_or_else(PoisonError::into_inner).contains(&leased.record.id) {
            // The lease ended while the State was away; whoever handed it over is about to note that.
            return Ok(Ended::Sent);
        }
        let content = self.store.content(leased).await;
        let content = content.map_err(|error| Refusal::Temporary(error.to_string()));
        let head_source =
            content.as_ref().ok().and_then(Option::as_ref).and_then(|file| file.try_clone().ok());
        let result = match self.submit_under_lease(leased, content).await {
            Ok(result) => result,
            Err(Lost(why)) => {
                tracing::warn!("outbox {}: given out of hand, {why}", leased.record.id);
                return Ok(Ended::Deferred);
            }
        };
        let verdict = self.judge(leased, result, head_source.as_ref());
        self.report(leased, &verdict);
        let (ended, noting) = match verdict {
            Verdict::Sent { .. } => (Ended::Sent, noting),
            Verdict::Again { .. } => (Ended::Deferred, Duration::ZERO),
            Verdict::Failed { .. } => (Ended::Failed, Duration::ZERO),
        };
        self.note(leased, &verdict, noting).await?;
        Ok(ended)
    }

    async fn note(&self, leased: &Leased, verdict: &Verdict, patience: Duration) -> Result<(), StateError> {
        let noted = self.store.settle(leased, verdict).await;
        if noted.is_ok() || patience.is_zero() {
            return noted;
        }
        let accepted = || self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted().insert(leased.record.id);
        let began = Instant::now();
        let noted = loop {
            tokio::time::sleep(NOTING_WAIT).await;
            let noted = self.store.settle(leased, verdict).await;
            if noted.is_ok() || began.elapsed() >= patience {
                break noted;
            }
        };
        accepted().remove(&leased.record.id);
        noted
    }

    /// Submits, and renews the lease meanwhile.
    async fn submit_under_lease(
        &self,
        leased: &Leased,
        content: Result<Option<File>, Refusal>,
    ) -> Result<Result<String, Refusal>, Lost> {
        tokio::select! {
            biased;
            result = self.hand_over(leased, content) => Ok(result),
            lost = self.renew_until_lost(leased) => Err(lost),
        }
    }

    /// Hands an entry to the MTA, or to the server that it is for.
    async fn hand_over(
        &self,
        leased: &Leased,
        content: Result<Option<File>, Refusal>,
    ) -> Result<String, Refusal> {
        let broken = |what: &str| Refusal::Permanent { status: "5.3.0".into(), text: what.into() };
        let content = content?.ok_or_else(|| broken("the content is gone"))?;
        match Destination::parse(&leased.record.recipient) {
            Err(_) => Err(broken("the recipient is no address")),
            Ok(Destination::Mail(recipient)) => {
                let sender = ReversePath::parse(&leased.record.sender);
                let sender = sender.map_err(|_| broken("the sender is no address"))?;
                let (octets, is_8bit) = (leased.record.octets, leased.record.is_8bit);
                self.submit.submit(&Outgoing { sender, recipient, content, octets, is_8bit }).await
            }
            Ok(Destination::Web(url)) => {
                let web = self.web.as_ref();
                let web = web.ok_or_else(|| Refusal::Temporary("this process posts to no server".into()))?;
                web.post(Posting::read(leased, url, &content)?).await
            }
        }
    }

    /// Renews the lease for as long as that is possible; ends before somebody else may have the entry.
    async fn renew_until_lost(&self, leased: &Leased) -> Lost {
        let term = self.pace.lease;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(term / 4).await;
            let asked = Instant::now();
            match timeout_at(renewed + term * 3 / 4, self.store.renew(leased, term)).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return Lost("another process has it".to_owned()),
                // The lease is still good for a while: the State may answer again before it ends.
                Ok(Err(_)) if renewed.elapsed() < term * 3 / 4 => {}
                Ok(Err(error)) => return Lost(error.to_string()),
                Err(_) => return Lost("the State does not answer in time".to_owned()),
            }
        }
    }

    fn judge(&self, leased: &Leased, result: Result<String, Refusal>, content: Option<&File>) -> Verdict {
        let now = self.store.clock().now();
        let (status, error) = match result {
            Ok(reply) => return Verdict::Sent { reply },
            Err(Refusal::Permanent { status, text }) => (status, text),
            Err(Refusal::Temporary(error)) if now.since(leased.record.created) < self.pace.give_up => {
                return Verdict::Again { at: now.plus(self.wait(leased.record.attempts)), error };
            }
            // RFC 3463 §3.5: X.4.7, delivery time expired.
            Err(Refusal::Temporary(error)) => ("5.4.7".into(), format!("given up: {error}")),
        };
        let notice = self.notice(leased, (&status, &error), content, now);
        Verdict::Failed { error, notice }
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

    /// A notice to the sender. The null sender gets none (RFC 5321 §4.5.5).
    fn notice(
        &self,
        leased: &Leased,
        (status, error): (&str, &str),
        content: Option<&File>,
        now: Timestamp,
    ) -> Option<OutboxEntry> {
        let record = &leased.record;
        let Ok(ReversePath::Address(sender)) = ReversePath::parse(&record.sender) else { return None };
        let head = content.map(notice::head_of).unwrap_or_default();
        let failure = notice::Failure { hello: &self.hello, record, status, error, head: &head, now };
        Some(OutboxEntry {
            key: format!("notice:{}:{}", record.key, record.created.micros()),
            on_behalf_of: record.on_behalf_of.clone(),
            sender: ReversePath::Null,
            recipient: sender.into(),
            content: OutboxContent::Own(notice::compose(&failure)),
        })
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
