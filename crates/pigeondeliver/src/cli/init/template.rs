//! The configuration as a file for people: every key with its help text, those at their default commented out.
//!
//! The texts are the doc comments of [`Config`], so that the file, the reference and the parser say the same.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::show::{description, kind};

/// Columns of a comment.
const WIDTH: usize = 100;

/// The schema of the configuration, with everything in its place.
pub(crate) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Value::from(settings.into_generator().into_root_schema_for::<Config>())
}

/// The file for a configuration.
pub(crate) fn commented(config: &Config) -> String {
    let schema = schema();
    let values = serde_json::to_value(config).unwrap_or_default();
    let mut text = String::new();
    comment(
        &mut text,
        "How this node of PigeonDeliver starts. Everything about mail itself is in the directory.",
    );
    comment(&mut text, "See pigeon check, and the reference page of the configuration.");
    section(&mut text, "", &schema, &values);
    text
}

/// A table of the file: plain keys first, then the tables in it.
fn section(text: &mut String, path: &str, schema: &Value, values: &Value) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    for (key, property) in properties.iter().filter(|(_, property)| table_of(property).is_none()) {
        plain(text, key, property, schema, values.get(key));
    }
    for (key, property) in properties {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match table_of(property) {
            Some(Kind::One) => {
                text.push('\n');
                comment(text, &description(property));
                // One that may be left out says something by being there.
                let inner = values.get(key).unwrap_or(&Value::Null);
                let mark = if inner.is_null() { "#" } else { "" };
                text.extend([format!("{mark}[{name}]\n")]);
                section(text, &name, property, inner);
            }
            Some(Kind::Many(items)) => {
                for one in values.get(key).and_then(Value::as_array).into_iter().flatten() {
                    text.push('\n');
                    comment(text, &description(property));
                    text.extend([format!("[[{name}]]\n")]);
                    section(text, &name, items, one);
                }
            }
            None => {}
        }
    }
}

/// Whether a property is a table, or a list of tables.
pub(crate) enum Kind<'a> {
    /// `[name]`
    One,
    /// `[[name]]`, each with this schema.
    Many(&'a Value),
}

/// What kind of table a property is, if it is one.
pub(crate) fn table_of(property: &Value) -> Option<Kind<'_>> {
    if property.get("properties").is_some() {
        return Some(Kind::One);
    }
    let items = property.get("items")?;
    items.get("properties").is_some().then_some(Kind::Many(items))
}

fn plain(text: &mut String, key: &str, property: &Value, schema: &Value, value: Option<&Value>) {
    text.push('\n');
    comment(text, &description(property));
    let default = property.get("default").unwrap_or(&Value::Null);
    let is_required = required(schema, key);
    let value = value.unwrap_or(default);
    match toml_value(value) {
        Some(shown) if is_required || value != default => text.extend([format!("{key} = {shown}\n")]),
        Some(shown) => text.extend([format!("#{key} = {shown}\n")]),
        None => text.extend([format!("#{key} = … ({})\n", kind(property).trim_end_matches(", or null"))]),
    }
}

fn required(schema: &Value, key: &str) -> bool {
    let names = schema.get("required").and_then(Value::as_array);
    names.is_some_and(|names| names.iter().any(|name| name == key))
}

/// A value as TOML writes it; none for what TOML does not have.
pub(crate) fn toml_value(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let table = Map::from_iter([("x".to_owned(), value.clone())]);
    let line = toml::to_string(&table).ok()?;
    line.trim_end().strip_prefix("x = ").map(str::to_owned)
}

/// Writes a comment, in lines that are not too long.
fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Lmtp;

    #[test]
    fn the_file_says_what_the_configuration_says() {
        let mut config = Config::new(Path::new("/d.sqlite"), Path::new("/s"), Path::new("/m"));
        config.lmtp.push(Lmtp::new("127.0.0.1:24"));
        config.mail.user = Some("vmail".into());
        let text = commented(&config);
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&config).unwrap(), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }

    #[test]
    fn every_key_is_explained_and_can_be_uncommented() {
        let mut config = Config::new(Path::new("/d.sqlite"), Path::new("/s"), Path::new("/m"));
        config.lmtp.push(Lmtp::new("127.0.0.1:24"));
        // The one key without which its table means nothing.
        let text = commented(&config).replace("#base = … (text)", "#base = \"o=people\"");
        let open: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.contains('…')))
            .zip(text.lines())
            .map(|(key, line)| key.unwrap_or(line))
            .collect();
        toml::from_str::<Config>(&open.join("\n")).unwrap();
        for key in ["hostname", "root", "listen", "max_message_size", "submit", "level"] {
            let at = text
                .lines()
                .position(|line| line.trim_start_matches('#').starts_with(&format!("{key} =")))
                .unwrap();
            assert!(text.lines().nth(at - 1).unwrap().starts_with("# "), "{key} has no help text");
        }
    }
}
