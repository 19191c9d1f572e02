//! What settings there are: help texts, kinds and defaults, from the types that read them.

use std::io::{self, Write};

use anyhow::bail;
use pigeon_core::service::{Descriptor, Handling};
use pigeon_core::setting::SettingName;
use serde_json::{Map, Value, json};

use crate::cli::output::Output;
use crate::cli::parse::nearest;
use crate::cli::service::descriptors;
use crate::cli::session::did_you_mean;
use crate::show::{KeyDoc, Paper, Table, Tone, description, key_docs, short};

/// Prints the descriptions of services, groups of settings, or single keys.
pub(super) fn run(out: Output, names: &[String]) -> anyhow::Result<()> {
    let mut chosen: Vec<(Descriptor, Option<String>)> = Vec::new();
    for name in names {
        let (service, key) =
            name.split_once('.').map_or((name.as_str(), None), |(service, key)| (service, Some(key)));
        chosen.push((find_service(service)?, key.map(str::to_owned)));
    }
    if names.is_empty() {
        chosen = descriptors().into_iter().map(|descriptor| (descriptor, None)).collect();
    }
    for (descriptor, key) in &chosen {
        if let Some(key) = key {
            known_key(descriptor, key)?;
        }
    }
    let document: Vec<Value> =
        chosen.iter().map(|(descriptor, key)| document(descriptor, key.as_deref())).collect();
    out.print(&json!({ "services": document }), |paper_out| {
        for (index, (descriptor, key)) in chosen.iter().enumerate() {
            if index > 0 {
                writeln!(paper_out)?;
            }
            describe_keys(paper_out, out.paper, descriptor, key.as_deref())?;
        }
        Ok(())
    })
}

/// The service or group of settings of that name.
///
/// # Errors
/// A sentence with the names there are.
pub(in crate::cli) fn find_service(name: &str) -> anyhow::Result<Descriptor> {
    let all = descriptors();
    if let Some(found) = all.iter().find(|descriptor| descriptor.name == name) {
        return Ok(*found);
    }
    let names: Vec<&str> = all.iter().map(|descriptor| descriptor.name).collect();
    let hint = nearest(name, names.iter().copied());
    bail!("there is no service {name:?}{}; there are {}", did_you_mean(hint), names.join(", "))
}

/// Refuses a key that the service does not have.
pub(super) fn known_key(descriptor: &Descriptor, key: &str) -> anyhow::Result<()> {
    let keys = descriptor.keys();
    if keys.iter().any(|known| known == key) {
        return Ok(());
    }
    let hint = nearest(key, keys.iter().map(String::as_str));
    let name = descriptor.name;
    bail!("{name}.{key} is not a setting{}; {name} has {}", did_you_mean(hint), keys.join(", "))
}

/// The schema of one key, wherever the service has it.
pub(super) fn key_schema(descriptor: &Descriptor, key: &str) -> Option<Value> {
    let own = Value::from(descriptor.schema());
    let site = descriptor.config_schema().map(Value::from);
    let handled = descriptor.stage.map(|_| Value::from(schemars::schema_for!(Handling)));
    // The core's own keys come first: a service cannot give them another meaning.
    let schemas = [handled, Some(own), site];
    schemas.into_iter().flatten().find_map(|schema| inlined(&schema, schema.get("properties")?.get(key)?))
}

/// The property, with what it refers to in its place.
fn inlined(root: &Value, property: &Value) -> Option<Value> {
    let referred = property.get("$ref").and_then(Value::as_str);
    let target = referred.and_then(|path| root.pointer(path.trim_start_matches('#')));
    let mut schema = target.unwrap_or(property).clone();
    if let (Some(merged), Some(given)) = (schema.as_object_mut(), property.as_object()) {
        let own = given.iter().filter(|(key, _)| *key != "$ref");
        merged.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    }
    Some(schema)
}

/// The keys of a service in three groups: its own, those of every service, and those of the site.
pub(crate) fn groups(descriptor: &Descriptor) -> [(&'static str, Vec<KeyDoc>); 3] {
    let defaults = descriptor.defaults();
    let own = key_docs(&Value::from(descriptor.schema()), &defaults);
    let site = descriptor.config_schema().map(|schema| key_docs(&Value::from(schema), &Map::new()));
    let handled = if descriptor.stage.is_some() { handling_docs(&defaults) } else { Vec::new() };
    [
        ("what a recipient wants", own),
        ("what every service has", handled),
        ("how the site reaches it (system layer only)", site.unwrap_or_default()),
    ]
}

fn handling_docs(defaults: &Map<String, Value>) -> Vec<KeyDoc> {
    let root = Value::from(schemars::schema_for!(Handling));
    let properties = root.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let inline =
        properties.iter().filter_map(|(key, property)| Some((key.clone(), inlined(&root, property)?)));
    let schema = json!({ "properties": Value::Object(inline.collect()) });
    key_docs(&schema, defaults)
}

/// Writes what a service is for and its keys, or one of them.
pub(in crate::cli) fn describe_keys(
    out: &mut dyn Write,
    paper: Paper,
    descriptor: &Descriptor,
    only: Option<&str>,
) -> io::Result<()> {
    let stage = descriptor.stage.map_or("read by the core".to_owned(), |stage| format!("stage {stage}"));
    let mut head = Table::new(paper, &[]);
    head.row([(descriptor.name, Tone::Strong), (stage.as_str(), Tone::Dim)]);
    head.write(out)?;
    if only.is_none() {
        writeln!(out, "{}", description(&Value::from(descriptor.schema())))?;
    }
    let mut table = Table::new(paper, &["SETTING", "ACCEPTS", "DEFAULT", "WHAT IT IS FOR"]).indented(2);
    let keys = groups(descriptor).into_iter().flat_map(|(_, keys)| keys);
    for doc in keys.filter(|doc| only.is_none_or(|key| key == doc.key)) {
        let name = format!("{}.{}", descriptor.name, doc.key);
        table.row([
            (name.as_str(), Tone::Strong),
            (doc.kind.as_str(), Tone::Plain),
            (short(&doc.default).as_str(), Tone::Plain),
            (doc.help.as_str(), Tone::Plain),
        ]);
    }
    table.write(out)
}

fn document(descriptor: &Descriptor, only: Option<&str>) -> Value {
    let keys = groups(descriptor).into_iter().flat_map(|(_, keys)| keys);
    let keys: Vec<Value> = keys
        .filter(|doc| only.is_none_or(|key| key == doc.key))
        .map(|doc| {
            let name = SettingName { service: descriptor.name.to_owned(), key: doc.key.clone() };
            json!({
                "name": name.to_string(),
                "accepts": doc.kind,
                "default": descriptor.defaults().get(&doc.key),
                "help": doc.help,
                "schema": key_schema(descriptor, &doc.key),
            })
        })
        .collect();
    json!({
        "service": descriptor.name,
        "stage": descriptor.stage,
        "description": description(&Value::from(descriptor.schema())),
        "settings": keys,
    })
}
