//! Every service and group of settings there is, and what is checked across them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value};

use super::{Contradiction, Descriptor, Runner, Tools, has_property};
use crate::directory::{Change, LoggedChange};
use crate::resolve::{Effective, EffectiveSettings, resolve};
use crate::setting::{Content, ContentKind, Layer, Setting, SettingName};

/// Every service and every group of settings there is, in the order in which services of one stage run.
pub struct Catalogue {
    descriptors: Vec<Descriptor>,
    /// What each descriptor says of its keys, made when it is first asked for.
    made: Vec<Made>,
    tools: Tools,
    opened: Mutex<HashMap<&'static str, Opened>>,
}

#[derive(Default)]
struct Made {
    defaults: OnceLock<Map<String, Value>>,
    secrets: OnceLock<Vec<String>>,
}

type Opened = (Map<String, Value>, Result<Arc<dyn Runner>, Arc<str>>);

impl Catalogue {
    /// A catalogue of these services, besides the core's own groups.
    #[must_use]
    pub fn new(services: &[Descriptor], tools: Tools) -> Self {
        let mut descriptors = crate::plan::CORE_GROUPS.to_vec();
        descriptors.extend_from_slice(services);
        let made = descriptors.iter().map(|_| Made::default()).collect();
        Self { descriptors, made, tools, opened: Mutex::default() }
    }

    /// The descriptors: the core's groups first, then services by catalogue order.
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// What services are given: the clock and the host's name.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The descriptor of that name.
    ///
    /// # Errors
    /// A sentence with the names there are.
    pub fn descriptor(&self, name: &str) -> Result<&Descriptor, String> {
        self.descriptors.iter().find(|descriptor| descriptor.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.descriptors.iter().map(|descriptor| descriptor.name).collect();
            format!("there is no service {name:?}: {}", names.join(", "))
        })
    }

    /// Checks a setting before it is written, with the type that will read it.
    ///
    /// # Errors
    /// A sentence that names the key, the layer and what is allowed.
    pub fn validate(&self, layer: Layer, name: &SettingName, content: &Content) -> Result<(), String> {
        self.descriptor(&name.service)?.validate(layer, &name.key, content)?;
        if matches!(content, Content::Range(_)) && self.is_secret(name) {
            return Err(format!("{name} is a secret: it has no range to choose from"));
        }
        Ok(())
    }

    /// What is to be written for a setting that was checked: every value in the form that its type writes, so
    /// that `500M` and 524288000 are the same to ranges and to whoever compares.
    #[must_use]
    pub fn normalised(&self, name: &SettingName, content: &Content) -> Content {
        use crate::setting::Range;
        let Ok(descriptor) = self.descriptor(&name.service) else { return content.clone() };
        match content {
            Content::Value(value) => Content::Value(descriptor.normal_form(&name.key, value)),
            Content::Range(Range::OneOf { one_of }) => {
                let values = one_of.iter().map(|value| descriptor.normal_form(&name.key, value));
                Content::Range(Range::OneOf { one_of: values.collect() })
            }
            Content::Range(range @ Range::Between { .. }) => Content::Range(range.clone()),
        }
    }

    /// The default of a key, where the key exists.
    #[must_use]
    pub fn default_of(&self, name: &SettingName) -> Option<Value> {
        let (descriptor, made) = self.made(&name.service)?;
        made.defaults.get_or_init(|| descriptor.defaults()).get(&name.key).cloned()
    }

    fn made(&self, service: &str) -> Option<(&Descriptor, &Made)> {
        self.descriptors.iter().zip(&self.made).find(|(descriptor, _)| descriptor.name == service)
    }

    /// Checks a value before it is written against what would hold together with it: `written` is all that is written
    /// at the same place and at its outer layers now.
    ///
    /// # Errors
    /// A sentence that names both keys, their values, and what is allowed.
    pub fn check_together(&self, setting: &Setting, written: &[Setting]) -> Result<(), String> {
        let name = &setting.name;
        let Content::Value(value) = &setting.content else { return Ok(()) };
        let is_kept = |known: &&Setting| {
            let is_same = known.layer == setting.layer && known.name == *name;
            known.name.service == name.service && !(is_same && known.content.kind() == ContentKind::Value)
        };
        let mut together: Vec<Setting> = written.iter().filter(is_kept).cloned().collect();
        together.push(setting.clone());
        let effective = resolve(&together, self.tools.clock.now(), &|name| self.default_of(name));
        let winner = effective.keys.get(name).and_then(|held| held.winner.as_ref());
        if winner.is_none_or(|winner| winner.layer != setting.layer) {
            // It loses against a pin: it holds nowhere, and contradicts nothing.
            return Ok(());
        }
        let found = self.found(&name.service, &effective);
        let Some(found) = found.iter().find(|found| found.keys.contains(&name.key.as_str())) else {
            return Ok(());
        };
        let other = found.keys.into_iter().find(|key| *key != name.key).unwrap_or_default();
        Err(format!(
            "{name} at the {} layer cannot be {} while {}: {}",
            setting.layer,
            self.shown(name, value),
            self.described(&name.service, other, &effective),
            found.allowed
        ))
    }

    /// Every contradiction among the values that hold together, in words: for `pigeon check`.
    #[must_use]
    pub fn contradictions(&self, effective: &EffectiveSettings) -> Vec<String> {
        let mut all = Vec::new();
        for descriptor in &self.descriptors {
            for found in self.found(descriptor.name, effective) {
                let [one, two] = found.keys.map(|key| self.described(descriptor.name, key, effective));
                all.push(format!("{one} and {two}: {}", found.allowed));
            }
        }
        all
    }

    fn found(&self, service: &str, effective: &EffectiveSettings) -> Vec<Contradiction> {
        let values = effective.of(service);
        let descriptor = self.descriptor(service).ok().filter(|_| !values.is_empty());
        descriptor.map(|descriptor| (descriptor.contradictions)(values)).unwrap_or_default()
    }

    /// `vacation.start is "2026-12-24" (domain)`
    fn described(&self, service: &str, key: &str, effective: &EffectiveSettings) -> String {
        let name = SettingName { service: service.to_owned(), key: key.to_owned() };
        let held = effective.keys.get(&name);
        let value = held.and_then(|held| held.value.clone()).or_else(|| self.default_of(&name));
        let origin = held.map_or_else(|| "default".to_owned(), Effective::origin);
        format!("{name} is {} ({origin})", self.shown(&name, &value.unwrap_or_default()))
    }

    /// A value of that key as logs and lists may show it.
    #[must_use]
    pub fn shown(&self, name: &SettingName, value: &Value) -> Value {
        if self.is_secret(name) { hidden(value) } else { value.clone() }
    }

    /// Whether the value of a key is a secret, which logs and lists do not show.
    #[must_use]
    pub fn is_secret(&self, name: &SettingName) -> bool {
        self.made(&name.service).is_some_and(|(descriptor, made)| {
            made.secrets.get_or_init(|| descriptor.secret_keys()).contains(&name.key)
        })
    }

    /// The setting as logs and lists may show it: a secret that is set reads [`HIDDEN`].
    #[must_use]
    pub fn without_secret(&self, mut setting: Setting) -> Setting {
        if self.is_secret(&setting.name) {
            setting.content = hidden_content(&setting.content);
        }
        setting
    }

    /// A row of the change log as it may be shown, wherever a secret stands in it.
    #[must_use]
    pub fn logged_without_secret(&self, mut logged: LoggedChange) -> LoggedChange {
        // Rows of another kind are none of these, and stay as they are.
        if let Ok(change) = serde_json::from_value::<Change>(logged.change.clone())
            && let Ok(shown) = serde_json::to_value(self.change_without_secret(change))
        {
            logged.change = shown;
        }
        for row in [&mut logged.before, &mut logged.after].into_iter().flatten() {
            if let Ok(setting) = serde_json::from_value::<Setting>(row.clone())
                && let Ok(shown) = serde_json::to_value(self.without_secret(setting))
            {
                *row = shown;
            }
        }
        logged
    }

    /// The change as logs may show it.
    #[must_use]
    pub fn change_without_secret(&self, mut change: Change) -> Change {
        match &mut change {
            Change::Set { name, content, .. } if self.is_secret(name) => *content = hidden_content(content),
            Change::IfWritten { .. } => return self.change_without_secret(change.unconditional().clone()),
            _ => {}
        }
        change
    }

    /// The service opened with this configuration; opened once for each configuration.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn runner(
        &self,
        descriptor: &Descriptor,
        values: &Map<String, Value>,
    ) -> Result<Arc<dyn Runner>, Arc<str>> {
        let mut config = Map::new();
        if let Some(schema) = descriptor.config_schema {
            let schema = schema();
            config = values.iter().filter(|(key, _)| has_property(&schema, key)).map(clone_pair).collect();
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runner)) = opened.get(descriptor.name).filter(|(known, _)| *known == config) {
            return runner.clone();
        }
        let runner = match descriptor.open {
            Some(open) => open(config.clone(), &self.tools).map_err(|fault| Arc::from(fault.explain())),
            None => Err(Arc::from("there is no such service")),
        };
        opened.insert(descriptor.name, (config, runner.clone()));
        runner
    }
}

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(secret)";

/// That nothing is set is no secret.
fn hidden(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Array(items) if items.is_empty() => value.clone(),
        _ => Value::from(HIDDEN),
    }
}

fn hidden_content(content: &Content) -> Content {
    match content {
        Content::Value(value) => Content::Value(hidden(value)),
        Content::Range(_) => Content::Value(Value::from(HIDDEN)),
    }
}

fn clone_pair((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
