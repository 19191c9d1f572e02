//! A recipient's plan: the ordered services with the settings that hold for them, made from the directory
//! and kept until something it depends on changes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, UnitWeighter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::Address;
use crate::directory::{Account, AliasPattern, Id, Lookup, Nobody, Resolution, Scope, Target, TargetKind};
use crate::ports::directory::{Directory, DirectoryError};
use crate::redirect::RedirectPolicy;
use crate::resolve::{EffectiveSettings, resolve};
use crate::service::{Bound, Catalogue, Descriptor, Handling, Runner, Stage};
use crate::setting::Setting;
use crate::timestamp::Timestamp;

/// How an address is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AddressRules {
    /// The characters that set off the detail of a sub-address (`user+detail`); empty: there are no sub-addresses.
    pub separators: String,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self { separators: "+".to_owned() }
    }
}

/// When the stored copy names its recipient in a Delivered-To field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveredTo {
    /// When the message has one recipient; copies for several are alike and share one file.
    #[default]
    Auto,
    /// In every copy.
    Always,
    /// In no copy.
    Never,
}

/// The trace fields of stored and redirected messages, and the limits against loops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TraceRules {
    /// When the stored copy names its recipient in a Delivered-To field. Redirected messages always do: it stops loops.
    pub delivered_to: DeliveredTo,
    /// A message with more Received fields than this is in a loop and is refused.
    pub max_hops: u32,
}

impl Default for TraceRules {
    fn default() -> Self {
        Self { delivered_to: DeliveredTo::Auto, max_hops: 50 }
    }
}

/// The groups of settings that the core itself reads.
pub const CORE_GROUPS: &[Descriptor] = &[
    Descriptor::core_group::<AddressRules>("address"),
    Descriptor::core_group::<TraceRules>("trace"),
    Descriptor::core_group::<RedirectPolicy>("redirect"),
];

/// One service of a plan with its settings bound.
#[derive(Clone)]
pub struct Step {
    /// The service's name.
    pub name: &'static str,
    /// When it runs.
    pub stage: Stage,
    /// What the core does with it.
    pub handling: Handling,
    /// The service and its settings, or why it cannot run.
    pub(crate) ready: Result<(Arc<dyn Runner>, Bound), Arc<str>>,
}

impl Step {
    /// Why the service cannot run for this recipient, where that is so.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.ready.as_ref().err().map(|problem| &**problem)
    }
}

/// The ordered services of one recipient.
pub struct Plan {
    /// The enabled services, in the order in which they run.
    pub steps: Vec<Step>,
    /// Everything that is written for this recipient, resolved.
    pub effective: EffectiveSettings,
    /// What may leave on the recipient's behalf.
    pub redirect: RedirectPolicy,
    /// Trace fields.
    pub trace: TraceRules,
}

impl Plan {
    /// Builds a plan from what is written at a recipient's layers.
    #[must_use]
    pub fn build(settings: &[Setting], catalogue: &Catalogue, now: Timestamp) -> Self {
        let effective = resolve(settings, now, &|name| catalogue.default_of(name));
        let mut steps: Vec<Step> = catalogue
            .descriptors()
            .iter()
            .filter_map(|descriptor| bind_step(descriptor, descriptor.stage?, &effective, catalogue))
            .collect();
        steps.sort_by_key(|step| step.stage);
        let redirect = core_group(&effective, "redirect");
        let trace = core_group(&effective, "trace");
        Self { steps, effective, redirect, trace }
    }

    /// The steps of one stage.
    pub fn stage(&self, stage: Stage) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.stage == stage)
    }

    /// `service.key=value (layer)`, for receipts; a key that is nowhere written shows its default.
    #[must_use]
    pub fn provenance(&self, service: &str, key: &str, catalogue: &Catalogue) -> String {
        let name = crate::setting::SettingName { service: service.to_owned(), key: key.to_owned() };
        let held = self.effective.keys.get(&name);
        let value = held.and_then(|held| held.value.clone()).or_else(|| catalogue.default_of(&name));
        let origin = held.map_or_else(|| "default".to_owned(), crate::resolve::Effective::origin);
        let shown = match value.unwrap_or_default() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let shown: String =
            if shown.len() > 60 { shown.chars().take(57).chain("...".chars()).collect() } else { shown };
        format!("{name}={shown} ({origin})")
    }
}

fn core_group<T: Default + serde::de::DeserializeOwned>(effective: &EffectiveSettings, name: &str) -> T {
    serde_json::from_value(Value::Object(effective.of(name))).unwrap_or_default()
}

fn bind_step(
    descriptor: &Descriptor,
    stage: Stage,
    effective: &EffectiveSettings,
    catalogue: &Catalogue,
) -> Option<Step> {
    let values: Map<String, Value> = effective.of(descriptor.name);
    let handled = serde_json::from_value::<Handling>(Value::Object(values.clone()));
    let handling = handled.as_ref().map_or_else(
        // A broken core key must not switch a service off silently: it runs, and fails visibly.
        |_| Handling { enabled: values.get("enabled") != Some(&Value::Bool(false)), ..Handling::default() },
        Clone::clone,
    );
    if !handling.enabled {
        return None;
    }
    let ready = match handled {
        Err(error) => Err(Arc::from(format!("the settings of {} are broken: {error}", descriptor.name))),
        Ok(_) => catalogue.runner(descriptor, &values).and_then(|runner| {
            let bound = descriptor.bind(values);
            bound.map(|bound| (runner, bound)).map_err(|error| {
                Arc::from(format!("the settings of {} are broken: {error}", descriptor.name))
            })
        }),
    };
    Some(Step { name: descriptor.name, stage, handling, ready })
}

/// One target of a recipient with its plan.
pub struct Branch {
    /// The account and the detail of its sub-address, or an address elsewhere.
    pub to: BranchTarget,
    /// The aliases that lead there.
    pub via: Vec<AliasPattern>,
    /// What happens there.
    pub plan: Arc<Plan>,
}

/// Who a branch ends at.
pub enum BranchTarget {
    /// An account here.
    Account(Arc<Account>, Option<String>),
    /// An address elsewhere.
    External(Address, Id),
}

impl Branch {
    /// The address that the branch ends at.
    #[must_use]
    pub fn address(&self) -> &Address {
        match &self.to {
            BranchTarget::Account(account, _) => &account.address,
            BranchTarget::External(address, _) => address,
        }
    }
}

/// A recipient that was admitted: its branches, each with a plan.
#[derive(Clone)]
pub struct Recipient {
    /// As the MTA named it.
    pub address: Address,
    /// The original recipient, where it was passed on.
    pub original: Option<String>,
    /// At least one.
    pub branches: Arc<[Branch]>,
    /// The announced size in octets.
    pub announced_size: Option<u64>,
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Recipient({}, {} branches)", self.address, self.branches.len())
    }
}

/// What an address means, with plans.
#[derive(Clone)]
pub enum Planned {
    /// Somebody receives its mail.
    Found(Arc<[Branch]>),
    /// Its aliases cannot be followed: says why.
    Broken(Arc<str>),
    /// Nobody has it.
    Nobody {
        /// Whether the domain at least is one of ours.
        is_our_domain: bool,
    },
}

struct Kept {
    planned: Planned,
    scopes: Vec<Scope>,
    seq: u64,
    valid_until: Option<Timestamp>,
}

/// How often at most the directory is asked what changed.
const FEED_INTERVAL: Duration = Duration::from_millis(100);
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
    changed: RwLock<HashMap<Scope, u64>>,
    feed_seq: AtomicU64,
    /// Answers read before this position may have missed a change; `NOT_STARTED` before the first look-up.
    floor: AtomicU64,
    asked_at: AtomicI64,
    shared: SharedPlans,
}

/// Plans by the settings they were made from: accounts with nothing of their own share those of their domain,
/// so that memory grows with what is written, not with the number of accounts.
#[derive(Default)]
struct SharedPlans(Mutex<HashMap<u64, (Arc<[Setting]>, Weak<Plan>)>>);

impl SharedPlans {
    /// The plan of these settings, made if nobody holds it; plans in which a pin lapses belong to their maker alone.
    fn get(&self, settings: &[Setting], make: impl FnOnce() -> Plan) -> Arc<Plan> {
        let mut hash = DefaultHasher::new();
        for setting in settings {
            setting.hash(&mut hash);
        }
        let hash = hash.finish();
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = plans.get(&hash).filter(|(written, _)| **written == *settings);
        if let Some(plan) = known.and_then(|(_, plan)| plan.upgrade()) {
            return plan;
        }
        let plan = Arc::new(make());
        if plan.effective.valid_until.is_none() {
            if plans.len() == plans.capacity() {
                plans.retain(|_, (_, plan)| plan.strong_count() > 0);
            }
            plans.insert(hash, (settings.into(), Arc::downgrade(&plan)));
        }
        plan
    }
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
            shared: SharedPlans::default(),
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

    async fn follow(&self, now: Timestamp) {
        let asked = self.asked_at.load(Ordering::Acquire);
        if asked.saturating_add(FEED_INTERVAL.as_micros().try_into().unwrap_or(i64::MAX)) > now.micros()
            && asked <= now.micros()
        {
            return;
        }
        // Whoever comes first asks; the others go on with what is known.
        if self.asked_at.compare_exchange(asked, now.micros(), Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        match self.directory.feed(self.feed_seq.load(Ordering::Acquire)).await {
            Ok(feed) => self.take_in(feed),
            Err(error) => tracing::warn!("{error}; recipients that are known go on as they were last seen"),
        }
    }

    fn take_in(&self, feed: crate::ports::directory::Feed) {
        if feed.scopes.is_empty() {
            self.feed_seq.fetch_max(feed.seq, Ordering::AcqRel);
            return;
        }
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        for (scope, seq) in feed.scopes {
            let last = changed.entry(scope).or_default();
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
        let lookup = self.directory.lookup(address).await?;
        let kept = match lookup {
            Lookup::None(Nobody { is_our_domain, scopes, seq }) => {
                let planned = Planned::Nobody { is_our_domain };
                Kept { planned, scopes, seq, valid_until: None }
            }
            Lookup::Found(resolution) => self.plan_all(resolution, now),
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

    fn plan_all(&self, resolution: Resolution, now: Timestamp) -> Kept {
        let Resolution { branches, broken, scopes, seq } = resolution;
        let branches: Arc<[Branch]> = branches.into_iter().map(|target| self.branch(target, now)).collect();
        let valid_until = branches.iter().filter_map(|branch| branch.plan.effective.valid_until).min();
        let planned = match broken {
            Some(why) => Planned::Broken(why.into()),
            None if branches.is_empty() => Planned::Broken("the alias has no target".into()),
            None => Planned::Found(branches),
        };
        Kept { planned, scopes, seq, valid_until }
    }

    fn branch(&self, target: Target, now: Timestamp) -> Branch {
        let build = || Plan::build(&target.settings, &self.catalogue, now);
        let plan = self.shared.get(&target.settings, build);
        let to = match target.to {
            TargetKind::Account(account, detail) => BranchTarget::Account(Arc::new(account), detail),
            TargetKind::External(address, domain) => BranchTarget::External(address, domain),
        };
        Branch { to, via: target.via, plan }
    }
}
