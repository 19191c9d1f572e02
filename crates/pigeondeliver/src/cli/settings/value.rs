//! From what people write, `service.key=value`, to a value or a range; the schema of the key says how to read it.

use pigeon_core::setting::{Content, Range};
use pigeon_services::octets::Octets;
use serde_json::{Number, Value};

use crate::show::types;

/// Reads the value part of `service.key=value`; `A..B` is a range where the key holds numbers.
///
/// # Errors
/// A sentence about what cannot be read.
pub(super) fn content(schema: Option<&Value>, key: &str, text: &str) -> Result<Content, String> {
    if let Some((min, max)) = text.split_once("..").filter(|_| holds_numbers(schema)) {
        return between(
            schema,
            Some(min).filter(|end| !end.is_empty()),
            Some(max).filter(|end| !end.is_empty()),
        );
    }
    value(schema, key, text).map(Content::Value)
}

/// A range from its two ends.
///
/// # Errors
/// A sentence about the end that is no number.
pub(super) fn between(
    schema: Option<&Value>,
    min: Option<&str>,
    max: Option<&str>,
) -> Result<Content, String> {
    let end = |text: &str| {
        number(schema, text).ok_or_else(|| format!("{text:?} is not a number: a range is written 4..8"))
    };
    let (min, max) = (min.map(end).transpose()?, max.map(end).transpose()?);
    Ok(Content::Range(Range::Between { min, max }))
}

/// A range from the values in it, separated by commas, or a JSON list.
///
/// # Errors
/// A sentence about the value that cannot be read.
pub(super) fn one_of(schema: Option<&Value>, key: &str, text: &str) -> Result<Content, String> {
    let one_of = match serde_json::from_str(text) {
        Ok(Value::Array(values)) => values,
        _ => split(text).map(|part| value(schema, key, part)).collect::<Result<_, _>>()?,
    };
    Ok(Content::Range(Range::OneOf { one_of }))
}

/// Reads one value by its schema; without one, JSON or else a text.
fn value(schema: Option<&Value>, key: &str, text: &str) -> Result<Value, String> {
    let kinds = schema.map(kinds).unwrap_or_default();
    let json: Option<Value> = serde_json::from_str(text).ok();
    if kinds.contains(&"null") && text == "null" {
        return Ok(Value::Null);
    }
    if kinds.contains(&"array") && !matches!(json, Some(Value::Array(_))) {
        let items = schema.and_then(|schema| schema.get("items"));
        if is_line(items) {
            return Ok(Value::Array(vec![Value::String(text.to_owned())]));
        }
        return split(text).map(|part| value(items, key, part)).collect::<Result<_, _>>().map(Value::Array);
    }
    if kinds.contains(&"boolean") {
        match text {
            "on" | "yes" | "true" => return Ok(Value::Bool(true)),
            "off" | "no" | "false" => return Ok(Value::Bool(false)),
            _ => {}
        }
    }
    if holds_numbers(schema)
        && let Some(number) = number(schema, text)
    {
        return Ok(Value::Number(number));
    }
    if kinds.contains(&"string") && !kinds.contains(&"object") {
        // A bare 2026 or true is a text where texts are meant; quotes are there for those who write JSON.
        return Ok(match json {
            Some(Value::String(quoted)) => Value::String(quoted),
            _ => Value::String(text.to_owned()),
        });
    }
    if json.is_none() && kinds.contains(&"object") {
        return Err(format!("{key} holds an object: write JSON, {{\"name\":\"value\"}}"));
    }
    Ok(json.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// The JSON types that a schema accepts, its alternatives included.
fn kinds(schema: &Value) -> Vec<&str> {
    let mut all = types(schema);
    let lists = [schema.get("anyOf"), schema.get("oneOf")];
    let alternatives = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
    all.extend(alternatives.flat_map(kinds));
    if all.is_empty() && (schema.get("enum").is_some() || schema.get("const").is_some_and(Value::is_string)) {
        all.push("string");
    }
    all
}

fn holds_numbers(schema: Option<&Value>) -> bool {
    schema.is_some_and(|schema| kinds(schema).iter().any(|kind| matches!(*kind, "integer" | "number")))
}

/// Whether each item is a whole line, in which commas have their own meaning: one item is given.
fn is_line(items: Option<&Value>) -> bool {
    items.is_some_and(|items| items.get("format").and_then(Value::as_str) == Some("field-line"))
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A number; where octets are counted also `50M` and `1.5 GiB`, which become numbers so that ranges can bind them.
fn number(schema: Option<&Value>, text: &str) -> Option<Number> {
    if let Ok(number) = serde_json::from_str::<Number>(text) {
        return Some(number);
    }
    let format = schema.and_then(|schema| schema.get("format")).and_then(Value::as_str);
    let counts_octets = format.is_some_and(|format| format.starts_with("octets"));
    text.parse::<Octets>().ok().filter(|_| counts_octets).map(|octets| octets.0.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, key: &str, text: &str, expect: Value) {
        assert_eq!(content(Some(schema), key, text), Ok(Content::Value(expect)), "{text}");
    }

    fn range(min: Option<u64>, max: Option<u64>) -> Result<Content, String> {
        Ok(Content::Range(Range::Between { min: min.map(Number::from), max: max.map(Number::from) }))
    }

    #[test]
    fn the_schema_says_how_to_read() {
        let text = json!({"type": "string", "format": "folder"});
        check(&text, "folder", "Archive/2026", json!("Archive/2026"));
        check(&text, "folder", "2026", json!("2026"));
        check(&text, "folder", "\"2026\"", json!("2026"));
        check(&text, "folder", "a..b", json!("a..b"));
        let octets = json!({"type": ["integer", "string"], "format": "octets"});
        check(&octets, "octets", "50M", json!(52_428_800));
        check(&octets, "octets", "2 GiB", json!(2_147_483_648_u64));
        check(&octets, "octets", "10%", json!("10%"));
        let number = json!({"type": ["integer", "null"]});
        check(&number, "messages", "null", Value::Null);
        check(&number, "messages", "50M", json!("50M"));
        check(&json!({"type": "boolean"}), "enabled", "yes", json!(true));
        check(&json!({"type": "boolean"}), "enabled", "off", json!(false));
        let choice = json!({"oneOf": [{"type": "string", "const": "auto"}, {"const": "never"}]});
        check(&choice, "delivered_to", "never", json!("never"));
        let optional = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
        check(&optional, "name", "null", Value::Null);
        check(&optional, "name", "7", json!("7"));
    }

    #[test]
    fn lists_are_written_with_commas() {
        let list = json!({"type": "array", "items": {"type": "string"}});
        check(&list, "to", "a@example.org, b@example.org", json!(["a@example.org", "b@example.org"]));
        check(&list, "to", "[\"a@example.org\"]", json!(["a@example.org"]));
        check(&list, "to", "7", json!(["7"]));
        check(&list, "to", "", json!([]));
        let lines = json!({"type": "array", "items": {"type": "string", "format": "field-line"}});
        check(&lines, "add", "X-Room: 1, second floor", json!(["X-Room: 1, second floor"]));
        let numbers = json!({"type": "array", "items": {"type": "integer"}});
        check(&numbers, "warn_at", "80,95", json!([80, 95]));
    }

    #[test]
    fn without_a_schema_json_comes_first() {
        assert_eq!(content(None, "x", "6"), Ok(Content::Value(json!(6))));
        assert_eq!(content(None, "x", "true"), Ok(Content::Value(json!(true))));
        assert_eq!(content(None, "x", "Work"), Ok(Content::Value(json!("Work"))));
    }

    #[test]
    fn objects_are_json() {
        let object = json!({"type": "object"});
        check(&object, "add", "{\"X-A\":\"b\"}", json!({"X-A": "b"}));
        assert!(content(Some(&object), "add", "X-A").unwrap_err().contains("JSON"));
    }

    #[test]
    fn ranges_have_two_ends_or_one() {
        let number = json!({"type": "integer"});
        assert_eq!(content(Some(&number), "threshold", "4..8"), range(Some(4), Some(8)));
        assert_eq!(content(Some(&number), "threshold", "4.."), range(Some(4), None));
        let octets = json!({"type": ["integer", "string"], "format": "octets"});
        assert_eq!(content(Some(&octets), "octets", "..2K"), range(None, Some(2048)));
        assert!(content(Some(&number), "threshold", "a..b").unwrap_err().contains("4..8"));
        let choices = Content::Range(Range::OneOf { one_of: vec![json!("a"), json!("b")] });
        assert_eq!(one_of(Some(&json!({"type": "string"})), "mode", "a,b"), Ok(choices));
    }
}
