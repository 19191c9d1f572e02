//! Makes plans from the directory and keeps them until something they depend on changes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, UnitWeighter};

use crate::address::Address;
use crate::clock::{TimedOut, with_limit};
use crate::directory::{Account, AliasPattern, Id, Lookup, Nobody, Resolution, Scope, Target, TargetKind};
use crate::plan::{Branch, BranchTarget, Parts, Plan, Planned};
use crate::ports::directory::{Directory, DirectoryError, Feed};
use crate::service::Catalogue;
use crate::setting::Setting;
use crate::srs;
use crate::timestamp::Timestamp;

/// What stands for a scope, in little room: where two share a number, a change of one costs a look-up of the other.
type ScopeNumber = u64;

fn number(scope: &Scope) -> ScopeNumber {
    let mut hash = DefaultHasher::new();
    scope.hash(&mut hash);
    hash.finish()
}

fn numbers(scopes: &[Scope]) -> Box<[ScopeNumber]> {
    scopes.iter().map(number).collect()
}

struct Kept {
    planned: Planned,
    scopes: Box<[ScopeNumber]>,
    seq: u64,
    valid_until: Option<Timestamp>,
}

/// How often at most the directory is asked what changed.
const FEED_INTERVAL: Duration = Duration::from_millis(100);
/// How often at most it is asked again after it gave no answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long one delivery waits for the feed: a directory that is slow must not make known recipients slow.
const FEED_PATIENCE: Duration = Duration::from_millis(250);
/// A question to the feed that has no answer after so long is put anew.
const FEED_LIMIT: Duration = Duration::from_secs(15);
/// How long a look-up may take, however many servers are asked: who waits for `RCPT TO` does not wait for ever.
const LOOKUP_LIMIT: Duration = Duration::from_secs(8);
/// The position of a feed that nobody follows yet.
const NOT_STARTED: u64 = u64::MAX;
/// How many addresses a server keeps plans for.
pub const KEPT_ADDRESSES: usize = 100_000;

fn cache(capacity: usize) -> Cache<String, Arc<Kept>> {
    // The number of shards is given, so that the system is not asked for its processors at every start.
    let shards = if capacity < 1000 { 1 } else { 16 };
    let options = OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .shards(shards)
        .build();
    match options {
        Ok(options) => Cache::with_options(options, UnitWeighter, <_>::default(), <_>::default()),
        Err(_) => Cache::new(capacity),
    }
}

/// Makes plans and keeps them.
///
/// A kept plan is right as long as none of the scopes it was made from changed behind the position of the
/// change log at which it was read. The feed is asked when mail comes, at most every 100 ms: an idle node asks nothing.
pub struct Planner {
    directory: Arc<dyn Directory>,
    catalogue: Arc<Catalogue>,
    kept: Cache<String, Arc<Kept>>,
    changed: RwLock<HashMap<ScopeNumber, u64>>,
    feed_seq: AtomicU64,
    /// Answers read before this position may have missed a change; `NOT_STARTED` before the first look-up.
    floor: AtomicU64,
    asked_at: AtomicI64,
    /// When the directory answered last, in microseconds.
    answered_at: AtomicI64,
    /// Whether it gave no answer when it was asked last.
    is_behind: AtomicBool,
    /// What the feed was asked and has not answered within the patience of one delivery.
    open_question: Mutex<Option<Question>>,
    parts: Parts,
}

/// What changed, asked at that time.
struct Question {
    at: Timestamp,
    answer: BoxFuture<'static, Result<Feed, DirectoryError>>,
}

/// How far a planner follows its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// The position of the change log up to which every change is known.
    pub position: u64,
    /// When the directory answered last; none: not yet.
    pub answered_at: Option<Timestamp>,
    /// Whether it gave no answer when it was asked last.
    pub is_behind: bool,
}

impl Planner {
    /// A planner over a directory.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, catalogue: Arc<Catalogue>) -> Self {
        Self::with_capacity(directory, catalogue, KEPT_ADDRESSES)
    }

    /// A planner that keeps at most so many addresses; one for a single message needs but a few.
    #[must_use]
    pub fn with_capacity(directory: Arc<dyn Directory>, catalogue: Arc<Catalogue>, capacity: usize) -> Self {
        Self {
            directory,
            catalogue,
            kept: cache(capacity),
            changed: RwLock::default(),
            feed_seq: AtomicU64::new(0),
            floor: AtomicU64::new(NOT_STARTED),
            asked_at: AtomicI64::new(i64::MIN),
            answered_at: AtomicI64::new(i64::MIN),
            is_behind: AtomicBool::new(false),
            open_question: Mutex::default(),
            parts: Parts::default(),
        }
    }

    /// The services and groups of settings.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The plans of an address. While the directory is down, addresses that are kept go on being answered.
    ///
    /// # Errors
    /// When the directory is down and the address is not kept: nothing is known.
    pub async fn plan(&self, address: &Address) -> Result<Planned, DirectoryError> {
        let now = self.catalogue.tools().clock.now();
        let key = address.key();
        let mut kept = self.kept.get(&key);
        if kept.is_some() {
            self.follow(now).await;
            kept = kept.filter(|kept| self.is_right(kept, now));
        }
        if let Some(kept) = kept {
            return Ok(kept.planned.clone());
        }
        let made = Arc::new(self.make(address, now).await?);
        self.kept.insert(key, Arc::clone(&made));
        Ok(made.planned.clone())
    }

    /// Forgets everything that is kept.
    pub fn forget(&self) {
        self.kept.clear();
    }

    /// How far the directory is followed.
    #[must_use]
    pub fn following(&self) -> Following {
        let answered_at = self.answered_at.load(Ordering::Acquire);
        Following {
            position: self.feed_seq.load(Ordering::Acquire),
            answered_at: (answered_at != i64::MIN).then(|| Timestamp::from_micros(answered_at)),
            is_behind: self.is_behind.load(Ordering::Acquire),
        }
    }

    /// How old the last good snapshot is, while the directory gives no answer.
    #[must_use]
    pub fn snapshot_age(&self, now: Timestamp) -> Option<Duration> {
        let Following { answered_at, is_behind, .. } = self.following();
        let age = now.micros().saturating_sub(answered_at?.micros());
        is_behind.then(|| Duration::from_micros(u64::try_from(age).unwrap_or_default()))
    }

    fn answered(&self, at: Timestamp) {
        self.answered_at.fetch_max(at.micros(), Ordering::AcqRel);
        self.is_behind.store(false, Ordering::Release);
    }

    async fn follow(&self, now: Timestamp) {
        let asked = self.asked_at.load(Ordering::Acquire);
        let interval = if self.is_behind.load(Ordering::Acquire) { RETRY_INTERVAL } else { FEED_INTERVAL };
        if asked.saturating_add(interval.as_micros().try_into().unwrap_or(i64::MAX)) > now.micros()
            && asked <= now.micros()
        {
            return;
        }
        // Whoever comes first asks; the others go on with what is known.
        if self.asked_at.compare_exchange(asked, now.micros(), Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        if let Err(why) = self.hear(now).await
            && !self.is_behind.swap(true, Ordering::AcqRel)
        {
            tracing::warn!("{why}; recipients that are known go on as they were last seen");
        }
    }

    /// Asks the feed, or goes on waiting for the answer to an earlier question: a directory that is slower than
    /// deliveries wait is followed all the same, later. An answer from before today's question is no news of today.
    async fn hear(&self, now: Timestamp) -> Result<(), String> {
        let clock = &*self.catalogue.tools().clock;
        let (began, earlier) = (clock.elapsed(), self.open_question().take());
        let mut question =
            earlier.filter(|open| now.since(open.at) < FEED_LIMIT).unwrap_or_else(|| self.ask(now));
        loop {
            let patience = FEED_PATIENCE.saturating_sub(clock.elapsed().saturating_sub(began));
            match with_limit(clock, patience, question.answer.as_mut()).await {
                Ok(Ok(feed)) => {
                    self.take_in(feed);
                    if question.at == now {
                        self.answered(now);
                        return Ok(());
                    }
                    self.answered_at.fetch_max(question.at.micros(), Ordering::AcqRel);
                }
                Ok(Err(error)) if question.at == now => return Err(error.to_string()),
                Ok(Err(_)) => {}
                Err(TimedOut) => {
                    *self.open_question() = Some(question);
                    return Err("the directory does not say in time what changed".to_owned());
                }
            }
            question = self.ask(now);
        }
    }

    fn ask(&self, at: Timestamp) -> Question {
        let (directory, since) = (Arc::clone(&self.directory), self.feed_seq.load(Ordering::Acquire));
        Question { at, answer: Box::pin(async move { directory.feed(since).await }) }
    }

    fn open_question(&self) -> MutexGuard<'_, Option<Question>> {
        self.open_question.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, feed: Feed) {
        if feed.scopes.is_empty() {
            self.feed_seq.fetch_max(feed.seq, Ordering::AcqRel);
            return;
        }
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        for (scope, seq) in feed.scopes {
            let last = changed.entry(number(&scope)).or_default();
            *last = seq.max(*last);
        }
        self.feed_seq.fetch_max(feed.seq, Ordering::AcqRel);
        // Bounded: past this many changes it is cheaper to begin anew than to remember each.
        if changed.len() > KEPT_ADDRESSES {
            self.floor.store(feed.seq, Ordering::Release);
            changed.clear();
            self.kept.clear();
        }
    }

    fn is_right(&self, kept: &Kept, now: Timestamp) -> bool {
        if kept.valid_until.is_some_and(|until| until <= now) {
            return false;
        }
        if kept.seq < self.floor.load(Ordering::Acquire) {
            return false;
        }
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        changed.is_empty()
            || kept.scopes.iter().all(|scope| changed.get(scope).is_none_or(|seq| *seq <= kept.seq))
    }

    async fn make(&self, address: &Address, now: Timestamp) -> Result<Kept, DirectoryError> {
        let clock = &*self.catalogue.tools().clock;
        let silent = |TimedOut| DirectoryError::Unavailable {
            what: format!("gave no answer within {} s", LOOKUP_LIMIT.as_secs()),
            source: None,
        };
        let lookup =
            with_limit(clock, LOOKUP_LIMIT, self.directory.lookup(address)).await.map_err(silent)??;
        self.answered(now);
        let kept = match lookup {
            Lookup::None(nobody) => self.plan_nobody(address, nobody, now),
            Lookup::Found(resolution) => self.plan_found(address, resolution, now),
        };
        self.follow_from(kept.seq);
        Ok(kept)
    }

    /// The feed is followed from the first answer on: what changed before is in the answers themselves.
    fn follow_from(&self, seq: u64) {
        let started =
            self.floor.compare_exchange(NOT_STARTED, seq, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if started {
            self.feed_seq.fetch_max(seq, Ordering::AcqRel);
        }
    }

    /// Nobody has the address; but a bounce to a sender that was rewritten here goes back to the original one.
    fn plan_nobody(&self, address: &Address, nobody: Nobody, now: Timestamp) -> Kept {
        let Nobody { domain, scopes, seq } = nobody;
        let is_our_domain = domain.is_some();
        let returned = domain.and_then(|(domain, settings)| self.returned(address, domain, &settings, now));
        // A rewritten address expires: it is looked at anew before long.
        let valid_until = returned.is_some().then(|| now.plus(Duration::from_secs(3600)));
        let planned = returned.unwrap_or(Planned::Nobody { is_our_domain });
        Kept { planned, scopes: numbers(&scopes), seq, valid_until }
    }

    /// Where a bounce to a rewritten sender goes, if `address` is one that was rewritten here.
    fn returned(
        &self,
        address: &Address,
        domain: Id,
        settings: &[Setting],
        now: Timestamp,
    ) -> Option<Planned> {
        if !srs::is_rewritten(address) {
            return None;
        }
        let plan = self.parts.plan(settings.to_vec(), &self.catalogue, now);
        let original = plan.redirect.original_sender(address, now)?;
        let to = BranchTarget::External(original, domain);
        Some(Planned::Found(Arc::new([Branch { to, via: Vec::new(), plan, alias: None }])))
    }

    /// Somebody has the address; a catch-all does not get the bounces to rewritten senders.
    fn plan_found(&self, address: &Address, resolution: Resolution, now: Timestamp) -> Kept {
        let caught = resolution.branches.first().filter(|target| {
            srs::is_rewritten(address) && target.via.first().is_some_and(AliasPattern::is_wildcard)
        });
        let returned = caught.and_then(|target| {
            let domain = match &target.to {
                TargetKind::Account(account, _) => account.domain.clone(),
                TargetKind::External(_, domain) => domain.clone(),
            };
            self.returned(address, domain, &target.settings, now)
        });
        match returned {
            Some(planned) => {
                let valid_until = Some(now.plus(Duration::from_secs(3600)));
                Kept { planned, scopes: numbers(&resolution.scopes), seq: resolution.seq, valid_until }
            }
            None => self.plan_all(resolution, now),
        }
    }

    fn plan_all(&self, resolution: Resolution, now: Timestamp) -> Kept {
        let Resolution { branches, broken, scopes, seq } = resolution;
        let branches: Arc<[Branch]> = branches.into_iter().map(|target| self.branch(target, now)).collect();
        let plans = branches.iter().flat_map(|branch| branch.alias.iter().chain([&branch.plan]));
        let valid_until = plans.filter_map(|plan| plan.valid_until()).min();
        let planned = match broken {
            Some(why) => Planned::Broken(why.into()),
            None if branches.is_empty() => Planned::Broken("the alias has no target".into()),
            None => Planned::Found(branches),
        };
        Kept { planned, scopes: numbers(&scopes), seq, valid_until }
    }

    fn branch(&self, target: Target, now: Timestamp) -> Branch {
        let alias = self.alias_plan(&target, now);
        let plan = self.parts.plan(target.settings, &self.catalogue, now);
        let to = match target.to {
            TargetKind::Account(account, detail) => {
                // No delivery asks for the password.
                let account = Account { password: None, ..account };
                BranchTarget::Account(Arc::new(account), detail)
            }
            TargetKind::External(address, domain) => BranchTarget::External(address, domain),
        };
        Branch { to, via: target.via, plan, alias }
    }

    /// What is written about aliases where the alias is that names the target.
    fn alias_plan(&self, target: &Target, now: Timestamp) -> Option<Arc<Plan>> {
        let is_about = |setting: &&Setting| setting.name.service == "alias";
        let settings: Vec<Setting> = target.alias_settings.iter().filter(is_about).cloned().collect();
        if settings.is_empty() {
            return None;
        }
        Some(self.parts.plan(settings, &self.catalogue, now))
    }
}
