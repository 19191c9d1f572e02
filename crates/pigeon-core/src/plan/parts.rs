//! The parts of plans, each kept once: what is the same for many recipients takes no memory for each of them.
//!
//! A part is made from what is written about one service. Equal settings are kept once, so that parts made from the
//! same settings are found by them, and plans by their parts: memory grows with what is written, not with the number
//! of accounts.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::{Plan, Step};
use crate::resolve::{Decided, decide, next_lapse};
use crate::service::{Bound, Catalogue, Descriptor, Handling, Stage};
use crate::setting::{Setting, SettingName};
use crate::timestamp::Timestamp;

/// After so many new things at least it is looked through what nobody needs any more.
const LEAST_ROOM: usize = 1000;

/// Something that is kept once: it is the same only as itself.
pub(super) struct Once<T>(Arc<T>);

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Once<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Once<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Once<T> {}

impl<T> Hash for Once<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(Arc::as_ptr(&self.0), state);
    }
}

/// What a plan says about one service or group of settings.
pub(super) struct Part {
    /// What is written about it, by key.
    pub(super) written: Box<[Once<Setting>]>,
    /// When a pin among them lapses.
    pub(super) valid_until: Option<Timestamp>,
    made_at: Timestamp,
    made: Made,
}

enum Made {
    /// Of a service that takes no part, or that this node does not know.
    Nothing,
    /// Of one that does.
    Step(Step),
    /// Of a group that the core itself reads.
    Rules(Bound),
}

impl Part {
    fn new(
        descriptor: Option<&Descriptor>,
        written: &[Once<Setting>],
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Self {
        let mut part = Self {
            written: written.into(),
            valid_until: next_lapse(written.iter().map(|setting| &**setting), now),
            made_at: now,
            made: Made::Nothing,
        };
        if let Some(descriptor) = descriptor {
            let held = part.decided(catalogue);
            let values = held.filter_map(|(name, held)| Some((name.key.clone(), held.value?.into_owned())));
            let values: Map<String, Value> = values.collect();
            part.made = match descriptor.stage {
                Some(stage) => {
                    bind_step(descriptor, stage, values, catalogue).map_or(Made::Nothing, Made::Step)
                }
                None => descriptor.bind(values).map_or(Made::Nothing, Made::Rules),
            };
        }
        part
    }

    pub(super) const fn step(&self) -> Option<&Step> {
        match &self.made {
            Made::Step(step) => Some(step),
            Made::Nothing | Made::Rules(_) => None,
        }
    }

    /// What holds for each key that is written.
    pub(super) fn decided<'a>(
        &'a self,
        catalogue: &'a Catalogue,
    ) -> impl Iterator<Item = (&'a SettingName, Decided<'a>)> {
        let keys = self.written.chunk_by(|one, next| one.name == next.name);
        keys.filter_map(|same| {
            let name = &same.first()?.name;
            Some((name, self.decide(name, same, catalogue)))
        })
    }

    /// What holds for one key, if it is written.
    pub(super) fn decided_key<'a>(
        &'a self,
        name: &SettingName,
        catalogue: &Catalogue,
    ) -> Option<Decided<'a>> {
        let mut keys = self.written.chunk_by(|one, next| one.name == next.name);
        let same = keys.find(|same| same.first().is_some_and(|first| first.name == *name))?;
        Some(self.decide(name, same, catalogue))
    }

    fn decide<'a>(
        &self,
        name: &SettingName,
        same: &'a [Once<Setting>],
        catalogue: &Catalogue,
    ) -> Decided<'a> {
        decide(same.iter().map(|setting| &**setting), self.made_at, || catalogue.default_of(name))
    }
}

fn bind_step(
    descriptor: &Descriptor,
    stage: Stage,
    values: Map<String, Value>,
    catalogue: &Catalogue,
) -> Option<Step> {
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
    let (name, sees_discarded) = (descriptor.name, descriptor.sees_discarded);
    Some(Step { name, stage, sees_discarded, handling, ready })
}

/// The rules of that type; the default ones where they cannot be read.
pub(super) fn rules_of<T: Default + Send + Sync + 'static>(parts: &[Once<Part>]) -> Arc<T> {
    let rules = parts.iter().find_map(|part| match &part.made {
        Made::Rules(bound) => Arc::clone(bound).downcast::<T>().ok(),
        Made::Nothing | Made::Step(_) => None,
    });
    rules.unwrap_or_default()
}

/// The parts of all plans that somebody holds, and these plans.
#[derive(Default)]
pub(crate) struct Parts(Mutex<Store>);

#[derive(Default)]
struct Store {
    settings: HashSet<Arc<Setting>>,
    parts: HashMap<&'static str, HashSet<ByWritten>>,
    plans: HashSet<ByParts>,
    /// How much was put in since it was last looked through.
    fresh: usize,
    /// How much may be.
    room: usize,
}

/// A part, found by what is written.
struct ByWritten(Once<Part>);

/// A plan, found by its parts.
struct ByParts(Arc<Plan>);

macro_rules! found_by {
    ($type:ty, $key:ty, $field:ident) => {
        impl Borrow<[$key]> for $type {
            fn borrow(&self) -> &[$key] {
                &self.0.$field
            }
        }
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.$field == other.0.$field
            }
        }
        impl Eq for $type {}
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.$field.hash(state);
            }
        }
    };
}
found_by!(ByWritten, Once<Setting>, written);
found_by!(ByParts, Once<Part>, parts);

impl Parts {
    /// The plan of these settings: made of parts that there are already as far as possible.
    pub(crate) fn plan(&self, settings: Vec<Setting>, catalogue: &Catalogue, now: Timestamp) -> Arc<Plan> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.make_room();
        let mut known: Vec<Once<Setting>> =
            settings.into_iter().map(|setting| store.setting(setting)).collect();
        known.sort_by(|one, other| one.name.cmp(&other.name).then(one.layer.cmp(&other.layer)));
        let mut parts: Vec<Once<Part>> = Vec::with_capacity(catalogue.descriptors().len());
        for descriptor in catalogue.descriptors() {
            let begin = known.partition_point(|setting| *setting.name.service < *descriptor.name);
            let written = known.get(begin..).unwrap_or_default();
            let end = written.partition_point(|setting| setting.name.service == descriptor.name);
            let written = written.get(..end).unwrap_or_default();
            parts.push(store.part(Some(descriptor), written, catalogue, now));
        }
        parts.sort_by_key(|part| part.step().map(|step| step.stage));
        // Newer nodes may have written what this one does not know.
        for written in known.chunk_by(|one, next| one.name.service == next.name.service) {
            if written.first().is_some_and(|first| catalogue.descriptor(&first.name.service).is_err()) {
                parts.push(store.part(None, written, catalogue, now));
            }
        }
        store.plan(&parts)
    }
}

impl Store {
    fn setting(&mut self, setting: Setting) -> Once<Setting> {
        if let Some(known) = self.settings.get(&setting) {
            return Once(Arc::clone(known));
        }
        let setting = Arc::new(setting);
        self.settings.insert(Arc::clone(&setting));
        self.fresh += 1;
        Once(setting)
    }

    fn part(
        &mut self,
        descriptor: Option<&Descriptor>,
        written: &[Once<Setting>],
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Once<Part> {
        let name = descriptor.map_or("", |descriptor| descriptor.name);
        let parts = self.parts.entry(name).or_default();
        let known = parts.get(written).map(|known| &known.0);
        if let Some(known) = known.filter(|known| known.valid_until.is_none_or(|until| until > now)) {
            return known.clone();
        }
        let part = Once(Arc::new(Part::new(descriptor, written, catalogue, now)));
        parts.replace(ByWritten(part.clone()));
        self.fresh += 1;
        part
    }

    fn plan(&mut self, parts: &[Once<Part>]) -> Arc<Plan> {
        let plan = Plan::of(parts);
        if let Some(known) = self.plans.get(&*plan.parts) {
            return Arc::clone(&known.0);
        }
        let plan = Arc::new(plan);
        self.plans.insert(ByParts(Arc::clone(&plan)));
        self.fresh += 1;
        plan
    }

    /// Forgets what nobody else holds any more, once half as much as there was has come in.
    fn make_room(&mut self) {
        if self.fresh <= self.room {
            return;
        }
        self.plans.retain(|plan| Arc::strong_count(&plan.0) > 1);
        for parts in self.parts.values_mut() {
            parts.retain(|part| Arc::strong_count(&part.0.0) > 1);
        }
        self.settings.retain(|setting| Arc::strong_count(setting) > 1);
        let parts: usize = self.parts.values().map(HashSet::len).sum();
        self.room = LEAST_ROOM.max((self.plans.len() + parts + self.settings.len()) / 2);
        self.fresh = 0;
    }
}
