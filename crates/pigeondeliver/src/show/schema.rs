//! What a JSON Schema says about each key, in words: the source of help texts and of the reference pages.

use pigeon_core::service::is_secret;
use serde_json::{Map, Value};

/// One key of a settings type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDoc {
    /// The key.
    pub key: String,
    /// What it holds: `whole number, 1 to 10`.
    pub kind: String,
    /// Its default as text; empty where it has none.
    pub default: String,
    /// What it is for: the doc comment of its field, with the meaning of each choice.
    pub help: String,
}

/// The keys of a settings type with these defaults, in the order in which its author wrote them.
#[must_use]
pub fn key_docs(schema: &Value, defaults: &Map<String, Value>) -> Vec<KeyDoc> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Vec::new() };
    let document = |(key, property): (&String, &Value)| KeyDoc {
        key: key.clone(),
        kind: kind(property),
        default: defaults.get(key).or_else(|| property.get("default")).map(default_text).unwrap_or_default(),
        help: help(property),
    };
    properties.iter().map(document).collect()
}

/// The first text of a schema: what the type or field is for; line breaks of the source are gone.
#[must_use]
pub fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// What a schema accepts, in words.
#[must_use]
pub fn kind(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        let names: Vec<String> = choices.into_iter().map(|(name, _)| name).collect();
        return format!("one of {}", names.join(", "));
    }
    if let Some(Value::Array(branches)) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let kinds: Vec<String> =
            branches.iter().filter(|branch| types(branch) != ["null"]).map(kind).collect();
        return kinds.join(" or ");
    }
    let named: Vec<&str> = types(schema).into_iter().filter(|name| *name != "null").collect();
    let plain = match named.as_slice() {
        _ if schema.get("format").and_then(Value::as_str) == Some("octets") => "size".to_owned(),
        _ if schema.get("format").and_then(Value::as_str) == Some("octets-or-percent") => {
            "size or percentage".to_owned()
        }
        ["string"] => text_kind(schema),
        ["boolean"] => "true or false".to_owned(),
        ["integer"] => format!("whole number{}", bounds(schema)),
        ["number"] => format!("number{}", bounds(schema)),
        ["array"] => match schema.get("items") {
            Some(items) => format!("list: {}", kind(items)),
            None => "list".to_owned(),
        },
        ["object"] => object_kind(schema),
        other => other.join(" or "),
    };
    let plain = if types(schema).contains(&"null") { format!("{plain}, or null") } else { plain };
    if is_secret(schema) { format!("{plain} (secret)") } else { plain }
}

/// The names of the JSON types that a schema accepts.
#[must_use]
pub(crate) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The choices of an enumeration, each with its own description.
fn choices(schema: &Value) -> Option<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(Value::Array(names)) = schema.get("enum") {
        let named = names.iter().filter(|name| !name.is_null());
        return Some(named.map(|name| (text(name), String::new())).collect());
    }
    let Some(Value::Array(branches)) = schema.get("oneOf") else { return None };
    let mut all = Vec::new();
    for branch in branches {
        match (branch.get("const"), branch.get("enum")) {
            (Some(name), _) => all.push((text(name), description(branch))),
            (None, Some(Value::Array(names))) => {
                all.extend(names.iter().map(|name| (text(name), String::new())));
            }
            _ => return None,
        }
    }
    Some(all)
}

fn help(schema: &Value) -> String {
    let mut text = description(schema);
    let about = text.clone();
    for (name, meaning) in choices(schema).unwrap_or_default() {
        // The author may have explained it in the text already.
        if !meaning.is_empty() && !about.contains(&format!("`{name}`")) {
            let meaning = meaning.trim_end_matches('.');
            text.extend([format!(" `{name}`: {meaning}.")]);
        }
    }
    text.trim().to_owned()
}

fn text_kind(schema: &Value) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some("idn-email") => "address".to_owned(),
        Some("field-name") => "name of a header field".to_owned(),
        Some("field-line") => "header field".to_owned(),
        Some("imap-flag") => "IMAP flag".to_owned(),
        Some(other) => other.to_owned(),
        None => "text".to_owned(),
    }
}

fn object_kind(schema: &Value) -> String {
    match schema.get("properties") {
        Some(Value::Object(properties)) => {
            let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
            format!("object with {}", keys.join(", "))
        }
        _ => "object".to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let end = |key: &str| schema.get(key).filter(|end| end.is_number()).map(Value::to_string);
    match (end("minimum"), end("maximum")) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        // That a count is not negative goes without saying.
        (Some(min), None) if min != "0" => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        _ => String::new(),
    }
}

fn default_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => super::value(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_words() {
        let check = |schema: Value, expect: &str| assert_eq!(kind(&schema), expect, "{schema}");
        check(json!({"type": "boolean"}), "true or false");
        check(json!({"type": "array", "items": {"type": "string"}, "x-secret": true}), "list: text (secret)");
        check(json!({"type": ["integer", "null"], "minimum": 0}), "whole number, or null");
        check(json!({"type": "integer", "minimum": 1, "maximum": 9}), "whole number, 1 to 9");
        check(json!({"type": "array", "items": {"type": "string", "format": "idn-email"}}), "list: address");
        check(json!({"oneOf": [{"const": "a", "description": "A."}, {"const": "b"}]}), "one of a, b");
        check(json!({"anyOf": [{"type": "string", "format": "folder"}, {"type": "null"}]}), "folder");
    }

    #[test]
    fn every_choice_is_explained() {
        let schema = json!({"properties": {"mode": {
            "description": "How it\nworks.",
            "oneOf": [{"const": "fast", "description": "In haste."}, {"const": "slow", "description": "At ease."}],
        }}});
        let defaults = Map::from_iter([("mode".to_owned(), json!("fast"))]);
        let expect = KeyDoc {
            key: "mode".into(),
            kind: "one of fast, slow".into(),
            default: "fast".into(),
            help: "How it works. `fast`: In haste. `slow`: At ease.".into(),
        };
        assert_eq!(key_docs(&schema, &defaults), [expect]);
    }
}
