//! `docs/reference/config.md`: every key of `pigeondeliver.toml`; and the file itself as an example.

use std::path::Path;

use serde_json::Value;

use super::cell;
use crate::cli::template::{Kind, commented, schema, table_of, toml_value};
use crate::config::{Config, DEFAULT_PATH, Lmtp, ManageSieve};
use crate::show::{description, key_docs};

/// The page.
pub(super) fn page() -> String {
    let schema = schema();
    let mut text = format!(
        "# pigeondeliver.toml\n\n{}\n\nIt is read once, at the start, from the file that `--config` or the environment \
         variable `PIGEON_CONFIG` names, else from `{DEFAULT_PATH}`. A key that is not listed here is refused. \
         `pigeon init` writes a first one, `pigeon check` tells whether it is right. Everything else is in the \
         directory: see [services](services.md).\n",
        description(&schema)
    );
    table(&mut text, &schema);
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, property) in &properties {
        let (title, inner) = match table_of(property) {
            Some(Kind::One) => (format!("[{key}]"), property),
            Some(Kind::Many(items)) => (format!("[[{key}]]"), items),
            None => continue,
        };
        text.extend([format!("\n## `{title}`\n\n{}\n", description(property))]);
        table(&mut text, inner);
    }
    text.push_str("\n## Example\n\n[pigeondeliver.toml](pigeondeliver.toml) is a file with every key.\n");
    text
}

/// The file that a new node on a mail server begins with.
pub(super) fn example() -> String {
    let data = Path::new("/var/lib/pigeondeliver");
    let mut config = Config::new(&data.join("directory.sqlite"), data, Path::new("/var/mail/pigeondeliver"));
    config.mail.user = Some("vmail".to_owned());
    let mut listener = Lmtp::new("unix:/run/pigeondeliver/lmtp.sock");
    listener.group = Some("postfix".to_owned());
    config.lmtp.push(listener);
    let mut scripts = ManageSieve::new("0.0.0.0:4190");
    scripts.certificate = Some("/etc/pigeondeliver/fullchain.pem".into());
    scripts.key = Some("/etc/pigeondeliver/privkey.pem".into());
    config.managesieve.push(scripts);
    commented(&config)
}

/// The plain keys of one table of the file.
fn table(text: &mut String, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    text.push_str("\n| key | accepts | default | what it is for |\n|---|---|---|---|\n");
    for doc in key_docs(schema, &serde_json::Map::new()) {
        let Some(property) = properties.get(&doc.key) else { continue };
        if table_of(property).is_some() {
            continue;
        }
        let default = property.get("default").and_then(toml_value);
        let default = default.map(|default| format!("`{default}`")).unwrap_or_default();
        let row = [
            format!("`{}`", doc.key),
            cell(doc.kind.trim_end_matches(", or null")),
            cell(&default),
            cell(&doc.help),
        ];
        text.extend([format!("| {} |\n", row.join(" | "))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_on_the_page() {
        let page = page();
        for expect in [
            "## `[mail]`",
            "## `[[lmtp]]`",
            "## `[[managesieve]]`",
            "## `[outbox]`",
            "## `[log]`",
            "| `hostname` |",
            "| `listen` |",
        ] {
            assert!(page.contains(expect), "{expect} is missing");
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config: Config = toml::from_str(&example()).unwrap();
        assert_eq!((config.lmtp.len(), config.managesieve.len()), (1, 1));
    }
}
