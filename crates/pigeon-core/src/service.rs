//! What a service is: a name, a stage, a settings type and one function.
//!
//! An author writes the typed [`Service`]; the walk sees the erased [`Runner`] behind a [`Descriptor`].
//! From the settings type follow validation, help texts, forms and the reference page.

mod bounds;
mod catalogue;
mod wording;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::fault::Fault;
use crate::outcome::Next;
use crate::ports::spool::Spool;
use crate::setting::{Content, Layer, lowercase_names};

pub use catalogue::{Catalogue, HIDDEN};

/// When in the walk a service runs, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// May refuse, also at `RCPT TO`, where the message is only announced.
    Admit,
    /// Writes facts and edits header fields.
    Inspect,
    /// Edits the list of effects.
    Decide,
    /// The core's own: effects become durable.
    Commit,
    /// Runs after the commit and can fail nothing.
    Notify,
}
lowercase_names!(
    Stage,
    "stage",
    Admit = "admit",
    Inspect = "inspect",
    Decide = "decide",
    Commit = "commit",
    Notify = "notify"
);

/// What every service gets when it is opened.
#[derive(Clone)]
pub struct Tools {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The name of this host in messages and Message-IDs.
    pub hostname: Arc<str>,
    /// Where large messages go that services make or take in.
    pub spool: Arc<dyn Spool>,
}

/// A delivery module.
pub trait Service: Send + Sync + Sized + 'static {
    /// One lower-case word: the name in settings, receipts and logs.
    const NAME: &'static str;
    /// When it runs.
    const STAGE: Stage;
    /// Whether it runs for messages, too, that an earlier step discarded.
    const SEES_DISCARDED: bool = false;
    /// Whether people may write its settings for their own account; otherwise that takes an administrator.
    const IS_FOR_USERS: bool = true;
    /// How the site reaches what it needs (socket, URL): written at the system layer only.
    type Config: DeserializeOwned + Serialize + JsonSchema + Default;
    /// What a recipient wants: layered. Its doc comment describes the service, those of its fields the keys.
    type Settings: DeserializeOwned + Serialize + JsonSchema + Default + Send + Sync;

    /// Makes the service ready; called once for each configuration.
    ///
    /// # Errors
    /// A fault: until the configuration is mended, the service fails for every recipient that has it enabled.
    fn open(config: Self::Config, tools: &Tools) -> Result<Self, Fault>;

    /// Does its work for one recipient: looks at the delivery, edits its header, facts or effects.
    ///
    /// # Errors
    /// A fault costs this recipient a 4xx, or with `on_fault = skip` a mark in the receipt.
    fn handle(
        &self,
        settings: &Self::Settings,
        delivery: &mut Delivery,
    ) -> impl Future<Output = Result<Next, Fault>> + Send;

    /// Checks what the type of one value cannot say. The settings have that one value, all others are defaults.
    ///
    /// # Errors
    /// A sentence that names the key and what is allowed.
    fn check(_settings: &Self::Settings) -> Result<(), String> {
        Ok(())
    }

    /// Which values of different keys contradict each other: asked before one of them is written, with all that would
    /// hold together then. Later changes at other layers may still bring them together: no delivery may fail by it.
    fn contradictions(_settings: &Self::Settings) -> Vec<Contradiction> {
        Vec::new()
    }

    /// The same as [`check`](Self::check) for how the site reaches it: what is refused here need not fail in
    /// [`open`](Self::open), where it would keep all mail waiting.
    ///
    /// # Errors
    /// A sentence that names the key and what is allowed.
    fn check_config(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// The same as [`contradictions`](Self::contradictions) for how the site reaches it.
    fn config_contradictions(_config: &Self::Config) -> Vec<Contradiction> {
        Vec::new()
    }

    /// Asks what the service needs at the site whether it is there, for `pigeon check`; says what it found in a few
    /// words. Services that need nothing say nothing.
    ///
    /// # Errors
    /// A fault that says what does not answer and what to do.
    fn probe(&self) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        async { Ok(None) }
    }
}

/// Two values of one service that cannot both be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The two keys.
    pub keys: [&'static str; 2],
    /// What is allowed, in words: `the end must not lie before the start`.
    pub allowed: String,
}

/// For services that need no configuration of the site.
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NoConfig {}

/// What the core does when a service fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// The MTA keeps the mail and tries again later.
    #[default]
    Defer,
    /// The mail goes on without this service; the receipt says so.
    Skip,
}

/// The keys of every service that the core itself handles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Handling {
    /// Whether the service takes part in deliveries.
    pub enabled: bool,
    /// What happens when the service fails or runs out of time.
    pub on_fault: OnFault,
    /// How long the service may take for one recipient, in milliseconds (1 to 600000).
    #[schemars(range(min = 1, max = 600_000))]
    pub timeout_ms: u64,
}

impl Default for Handling {
    fn default() -> Self {
        Self { enabled: false, on_fault: OnFault::Defer, timeout_ms: 30_000 }
    }
}

/// Settings bound to their type.
pub type Bound = Arc<dyn Any + Send + Sync>;

/// An opened service, its types erased.
pub trait Runner: Send + Sync {
    /// Runs [`Service::handle`] with settings that this service's descriptor bound.
    fn run<'a>(
        &'a self,
        settings: &'a (dyn Any + Send + Sync),
        delivery: &'a mut Delivery,
    ) -> BoxFuture<'a, Result<Next, Fault>>;

    /// Runs [`Service::probe`].
    fn probe(&self) -> BoxFuture<'_, Result<Option<String>, Fault>> {
        Box::pin(async { Ok(None) })
    }
}

struct Typed<S>(S);

impl<S: Service> Runner for Typed<S> {
    fn run<'a>(
        &'a self,
        settings: &'a (dyn Any + Send + Sync),
        delivery: &'a mut Delivery,
    ) -> BoxFuture<'a, Result<Next, Fault>> {
        match settings.downcast_ref::<S::Settings>() {
            Some(settings) => Box::pin(self.0.handle(settings, delivery)),
            None => Box::pin(async { Err(Fault::temporary("the settings belong to another service")) }),
        }
    }

    fn probe(&self) -> BoxFuture<'_, Result<Option<String>, Fault>> {
        Box::pin(self.0.probe())
    }
}

/// What the core knows about a service, or about one of its own groups of settings.
#[derive(Clone, Copy)]
pub struct Descriptor {
    /// The name in settings.
    pub name: &'static str,
    /// When it runs; none for the core's own groups, which have no service.
    pub stage: Option<Stage>,
    /// Whether it runs for messages, too, that an earlier step discarded.
    pub(crate) sees_discarded: bool,
    /// Whether people may write its settings for their own account.
    pub is_for_users: bool,
    /// The innermost layer that it can be written at.
    innermost: Layer,
    schema: fn() -> Schema,
    config_schema: Option<fn() -> Schema>,
    defaults: fn() -> Map<String, Value>,
    bind: fn(Map<String, Value>) -> Result<Bound, String>,
    check: fn(Map<String, Value>) -> Result<(), String>,
    contradictions: fn(Map<String, Value>) -> Vec<Contradiction>,
    rewrite: fn(Map<String, Value>) -> Result<Value, String>,
    check_config: fn(Map<String, Value>) -> Result<(), String>,
    open: Option<OpenFn>,
}

/// Makes a service ready from its configuration, its types erased.
pub type OpenFn = fn(Map<String, Value>, &Tools) -> Result<Arc<dyn Runner>, Fault>;

impl Descriptor {
    /// Describes a service: the one line that the catalogue needs.
    #[must_use]
    pub const fn of<S: Service>() -> Self {
        Self {
            name: S::NAME,
            stage: Some(S::STAGE),
            sees_discarded: S::SEES_DISCARDED,
            is_for_users: S::IS_FOR_USERS,
            innermost: Layer::Account,
            schema: schema_of::<S::Settings>,
            config_schema: if size_of::<S::Config>() == 0 { None } else { Some(schema_of::<S::Config>) },
            defaults: defaults_of::<S::Settings>,
            bind: bind_as::<S::Settings>,
            rewrite: rewrite_as::<S::Settings>,
            check: |map| read_as::<S::Settings>(map).and_then(|settings| S::check(&settings)),
            contradictions: |map| {
                let of_site =
                    read_as::<S::Config>(map.clone()).map(|config| S::config_contradictions(&config));
                let found = read_as::<S::Settings>(map).map(|settings| S::contradictions(&settings));
                [of_site.unwrap_or_default(), found.unwrap_or_default()].concat()
            },
            check_config: |map| read_as::<S::Config>(map).and_then(|config| S::check_config(&config)),
            open: Some(|map, tools| {
                let config = read_as::<S::Config>(map)
                    .map_err(|error| Fault::temporary(format!("{}: {error}", S::NAME)))?;
                Ok(Arc::new(Typed(S::open(config, tools)?)))
            }),
        }
    }

    /// Describes a group of settings that the core itself reads.
    #[must_use]
    pub const fn core_group<T>(name: &'static str) -> Self
    where
        T: DeserializeOwned + Serialize + JsonSchema + Default + Send + Sync + 'static,
    {
        Self {
            name,
            stage: None,
            sees_discarded: false,
            is_for_users: true,
            innermost: Layer::Account,
            schema: schema_of::<T>,
            config_schema: None,
            defaults: defaults_of::<T>,
            bind: bind_as::<T>,
            rewrite: rewrite_as::<T>,
            check: |map| read_as::<T>(map).map(drop),
            contradictions: |_| Vec::new(),
            check_config: |_| Ok(()),
            open: None,
        }
    }

    /// The same with another runner behind it: tests put one in its place that fails.
    #[must_use]
    pub const fn opened_by(mut self, open: OpenFn) -> Self {
        self.open = Some(open);
        self
    }

    /// The same, written at this layer and outer ones only: it is about more than one account.
    #[must_use]
    pub const fn down_to(mut self, innermost: Layer) -> Self {
        self.innermost = innermost;
        self
    }

    /// The JSON Schema of the settings, with help texts; the core's keys are in [`Handling`].
    #[must_use]
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The JSON Schema of the site's configuration, where there is any.
    #[must_use]
    pub fn config_schema(&self) -> Option<Schema> {
        self.config_schema.map(|schema| schema())
    }

    /// The default of every key of the settings, the core's own included.
    #[must_use]
    pub fn defaults(&self) -> Map<String, Value> {
        let mut all = if self.stage.is_some() { defaults_of::<Handling>() } else { Map::new() };
        all.extend((self.defaults)());
        all
    }

    /// Binds effective values to the settings type; unknown keys are passed over, for newer nodes may have written them.
    ///
    /// # Errors
    /// Which value does not fit.
    pub fn bind(&self, values: Map<String, Value>) -> Result<Bound, String> {
        (self.bind)(values)
    }

    /// A value of one key as the settings type itself writes it; as it is where the type cannot read it.
    fn normal_form(&self, key: &str, value: &Value) -> Value {
        let map = Map::from_iter([(key.to_owned(), value.clone())]);
        let written = (self.rewrite)(map).ok();
        written.and_then(|written| written.get(key).cloned()).unwrap_or_else(|| value.clone())
    }

    fn is_config_key(&self, key: &str) -> bool {
        self.config_schema().is_some_and(|schema| has_property(&schema, key))
    }

    fn validate(&self, layer: Layer, key: &str, content: &Content) -> Result<(), String> {
        let name = format!("{}.{key}", self.name);
        let schema = schema_of::<Handling>();
        let is_handled = self.stage.is_some() && has_property(&schema, key);
        let is_config = !is_handled && self.is_config_key(key);
        if !is_handled && !is_config && !has_property(&self.schema(), key) {
            return Err(format!("{name} is not a setting: {} has {}", self.name, self.keys().join(", ")));
        }
        if is_config && layer != Layer::System {
            return Err(format!(
                "{name} says how the site reaches the service: write it at the system layer"
            ));
        }
        let innermost = self.innermost_of(key);
        if layer > innermost {
            return Err(format!(
                "{name} at the {layer} layer says nothing: write it at the {innermost} layer or further out"
            ));
        }
        let bounded = match (is_handled, is_config) {
            (true, _) => schema,
            (_, true) => self.config_schema().unwrap_or_default(),
            _ => self.schema(),
        };
        let check = |value: &Value| {
            let map = Map::from_iter([(key.to_owned(), value.clone())]);
            match (is_handled, is_config) {
                (true, _) => read_as::<Handling>(map).and_then(|handling| match handling.timeout_ms {
                    1..=600_000 => Ok(()),
                    _ => Err("must be 1 to 600000".to_owned()),
                }),
                (_, true) => (self.check_config)(map),
                _ => (self.check)(map),
            }
            .and_then(|()| bounds::check(bounded.get("properties").and_then(|keys| keys.get(key)), value))
            .map_err(|error| format!("{name} at the {layer} layer cannot be {value}: {error}"))
        };
        match content {
            Content::Value(value) => check(value),
            Content::Range(range) => check_range(&name, range, layer, &check),
        }
    }

    /// The innermost layer that a key can be written at: its schema may say `x-innermost`, where the key is not for
    /// those whom the service works for.
    fn innermost_of(&self, key: &str) -> Layer {
        let schema = self.schema();
        let said = schema.get("properties").and_then(|keys| keys.get(key)?.get("x-innermost")?.as_str());
        said.and_then(|layer| layer.parse().ok())
            .map_or(self.innermost, |layer: Layer| layer.min(self.innermost))
    }

    /// The keys whose values nobody is shown without asking: their schemas say `x-secret`.
    fn secret_keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for schema in [Some(self.schema()), self.config_schema()].into_iter().flatten() {
            let Some(Value::Object(properties)) = schema.get("properties") else { continue };
            let secret = properties.iter().filter(|(_, schema)| is_secret(schema));
            keys.extend(secret.map(|(key, _)| key.clone()));
        }
        keys
    }

    /// Every key that can be written, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.defaults().keys().cloned().collect();
        for schema in [Some(self.schema()), self.config_schema()].into_iter().flatten() {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                keys.extend(properties.keys().cloned());
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }
}

fn check_range(
    name: &str,
    range: &crate::setting::Range,
    layer: Layer,
    check: &dyn Fn(&Value) -> Result<(), String>,
) -> Result<(), String> {
    use crate::setting::Range;
    if layer == Layer::Account {
        return Err(format!("{name}: a range binds inner layers, and there is none below an account"));
    }
    match range {
        Range::OneOf { one_of } if one_of.is_empty() => {
            Err(format!("{name}: one_of needs at least one value"))
        }
        Range::OneOf { one_of } => one_of.iter().try_for_each(check),
        Range::Between { min: None, max: None } => Err(format!("{name}: a range needs min, max or one_of")),
        Range::Between { min, max } => {
            let ends = (
                min.as_ref().and_then(serde_json::Number::as_f64),
                max.as_ref().and_then(serde_json::Number::as_f64),
            );
            if matches!(ends, (Some(min), Some(max)) if min > max) {
                return Err(format!("{name}: min is larger than max"));
            }
            [min, max].into_iter().flatten().try_for_each(|end| check(&Value::Number(end.clone())))
        }
    }
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::from(
        schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true),
    )
    .into_root_schema_for::<T>()
}

fn has_property(schema: &Schema, key: &str) -> bool {
    schema.get("properties").and_then(|properties| properties.get(key)).is_some()
}

/// Whether a key's schema says that its value is a secret (`#[schemars(extend("x-secret" = true))]`).
#[must_use]
pub fn is_secret(schema: &Value) -> bool {
    schema.get("x-secret") == Some(&Value::Bool(true))
}

fn defaults_of<T: Default + Serialize>() -> Map<String, Value> {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn read_as<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(map)).map_err(|error| wording::plain(&error.to_string()))
}

fn rewrite_as<T: DeserializeOwned + Serialize>(map: Map<String, Value>) -> Result<Value, String> {
    read_as::<T>(map).and_then(|settings| serde_json::to_value(settings).map_err(|error| error.to_string()))
}

fn bind_as<T: DeserializeOwned + Send + Sync + 'static>(map: Map<String, Value>) -> Result<Bound, String> {
    read_as::<T>(map).map(|settings| Arc::new(settings) as Bound)
}

#[cfg(test)]
mod tests;
