//! A recipient's plan: the ordered services with the settings that hold for them.

mod parts;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::alias::AliasRules;
use crate::directory::{Account, AliasPattern, Id};
use crate::fault::Fault;
use crate::redirect::RedirectPolicy;
use crate::resolve::{Decided, EffectiveSettings};
use crate::service::{Bound, Catalogue, Descriptor, HIDDEN, Handling, Runner, Stage};
use crate::setting::{Layer, Setting, SettingName};
use crate::timestamp::Timestamp;

pub(crate) use parts::Parts;
use parts::{Once, Part, rules_of};

/// How an address is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AddressRules {
    /// The characters that set off the detail of a sub-address (`user+detail`), none of them a letter or a digit; empty: there are no sub-addresses.
    #[serde(deserialize_with = "read_separators")]
    pub separators: String,
}

fn read_separators<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.chars().find(|letter| letter.is_alphanumeric()) {
        Some(letter) => Err(D::Error::custom(format!(
            "{letter:?} is part of names: separators are signs such as \"+\" and \"-\""
        ))),
        None => Ok(text),
    }
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

/// Where the mailboxes are, in a cluster whose nodes do not share their storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StorageRules {
    /// The node that keeps the mailbox: mail that reaches another node is handed over to it. Unset: every node can
    /// store it, for all of them share the mail root. `pigeon account move` changes it and takes the mail along.
    pub node: Option<String>,
}

/// The groups of settings that the core itself reads.
pub const CORE_GROUPS: &[Descriptor] = &[
    Descriptor::core_group::<AddressRules>("address"),
    Descriptor::core_group::<TraceRules>("trace"),
    Descriptor::core_group::<RedirectPolicy>("redirect"),
    Descriptor::core_group::<StorageRules>("storage"),
    Descriptor::core_group::<AliasRules>("alias").down_to(Layer::Domain),
];

/// One service of a plan with its settings bound.
#[derive(Clone)]
pub struct Step {
    /// The service's name.
    pub name: &'static str,
    /// When it runs.
    pub stage: Stage,
    /// Whether it runs for messages, too, that an earlier step discarded.
    pub(crate) sees_discarded: bool,
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

    /// Asks the service whether what it needs at the site is there ([`crate::service::Service::probe`]).
    ///
    /// # Errors
    /// What does not answer, and what to do.
    pub async fn probe(&self) -> Result<Option<String>, Fault> {
        match &self.ready {
            Ok((runner, _)) => runner.probe().await,
            Err(_) => Ok(None),
        }
    }
}

/// The ordered services of one recipient.
pub struct Plan {
    /// What is written for the recipient, by service, and what follows from it; the steps in the order in which they run.
    parts: Box<[Once<Part>]>,
    /// What may leave on the recipient's behalf.
    pub redirect: Arc<RedirectPolicy>,
    /// Trace fields.
    pub trace: Arc<TraceRules>,
    /// What the owners of aliases are told.
    pub alias: Arc<AliasRules>,
    /// Where the mailbox is.
    pub storage: Arc<StorageRules>,
    address: Arc<AddressRules>,
}

impl Plan {
    /// Builds a plan from what is written at a recipient's layers.
    #[must_use]
    pub fn build(settings: &[Setting], catalogue: &Catalogue, now: Timestamp) -> Arc<Self> {
        Parts::default().plan(settings.to_vec(), catalogue, now)
    }

    fn of(parts: &[Once<Part>]) -> Self {
        let is_needed = |part: &&Once<Part>| !part.written.is_empty() || part.step().is_some();
        Self {
            parts: parts.iter().filter(is_needed).cloned().collect(),
            redirect: rules_of(parts),
            trace: rules_of(parts),
            alias: rules_of(parts),
            storage: rules_of(parts),
            address: rules_of(parts),
        }
    }

    /// The enabled services, in the order in which they run.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().filter_map(|part| part.step())
    }

    /// The steps of one stage.
    pub fn stage(&self, stage: Stage) -> impl Iterator<Item = &Step> {
        self.steps().filter(move |step| step.stage == stage)
    }

    /// The character that sets off the detail of a sub-address; the first of them where there are several.
    pub(crate) fn separator(&self) -> char {
        self.address.separators.chars().next().unwrap_or('+')
    }

    /// When a pin lapses next, so that whoever keeps the plan knows until when it is right.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.parts.iter().filter_map(|part| part.valid_until).min()
    }

    /// Everything that is written for the recipient, resolved anew as it was when the plan was made: for people, not for deliveries.
    #[must_use]
    pub fn effective(&self, catalogue: &Catalogue) -> EffectiveSettings {
        let keys = self.parts.iter().flat_map(|part| part.decided(catalogue));
        EffectiveSettings {
            keys: keys.map(|(name, held)| (name.clone(), held.into_effective())).collect(),
            valid_until: self.valid_until(),
        }
    }

    /// `service.key=value (layer)`, for receipts; a key that is nowhere written shows its default.
    #[must_use]
    pub fn provenance(&self, service: &str, key: &str, catalogue: &Catalogue) -> String {
        let name = SettingName { service: service.to_owned(), key: key.to_owned() };
        let held = self.parts.iter().find_map(|part| part.decided_key(&name, catalogue));
        let origin = held.as_ref().map_or_else(|| "default".to_owned(), Decided::origin);
        let value = held.and_then(|held| held.value);
        let value = value.or_else(|| catalogue.default_of(&name).map(Cow::Owned)).unwrap_or_default();
        let shown = match &*value {
            _ if catalogue.is_secret(&name) => HIDDEN.to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let shown: String =
            if shown.len() > 60 { shown.chars().take(57).chain("...".chars()).collect() } else { shown };
        format!("{name}={shown} ({origin})")
    }
}

/// One target of a recipient with its plan.
pub struct Branch {
    /// The account and the detail of its sub-address, or an address elsewhere.
    pub to: BranchTarget,
    /// The aliases that lead there.
    pub via: Vec<AliasPattern>,
    /// What happens there.
    pub plan: Arc<Plan>,
    /// What holds in the domain of the last of these aliases, where anything is written there about aliases.
    pub alias: Option<Arc<Plan>>,
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
