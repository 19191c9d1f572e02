//! Rules that hold for scripts and messages of any octets.

use std::collections::BTreeMap;
use std::sync::Arc;

use pigeon_core::timestamp::Timestamp;

use super::trial::{Trial, compile_octets};

/// A script compiles, or its errors name lines that it has.
///
/// # Panics
/// When it is otherwise.
pub fn script(data: &[u8]) {
    if let Err(errors) = compile_octets(data) {
        let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
        assert!(!errors.is_empty());
        for error in errors {
            assert!((1..=lines).contains(&error.line), "line {} of {lines}: {}", error.line, error.message);
            assert!(!error.message.is_empty());
        }
    }
}

/// A script (all before the first NUL) runs over a message (all behind it) and loses it only where it says so.
///
/// # Panics
/// When it is otherwise.
pub fn delivery(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (source, message) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let trial = Trial {
        scripts: vec![("fuzz".to_owned(), source.to_vec())],
        message: Some(message.to_vec()),
        from: "sender@example.net".to_owned(),
        to: "user+detail@example.org".to_owned(),
        original_to: String::new(),
        auth: String::new(),
        find: Arc::new(|_, _| None),
        mailboxes: vec!["Archive".to_owned()],
        annotations: Vec::new(),
        config: BTreeMap::from([("sieve_max_cpu_time".to_owned(), "1".to_owned())]),
        now: Timestamp::from_micros(1_764_000_000_000_000),
        hostname: "mx.example.org".to_owned(),
    };
    let result = trial.run();
    if result.get("run").is_none_or(serde_json::Value::is_null) {
        return;
    }
    let has =
        |key: &str| result.get(key).and_then(|list| list.as_array()).is_some_and(|list| !list.is_empty());
    assert!(has("stored") || has("sent") || has("actions"), "{result}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Pieces of scripts, so that some compile.
    const PIECES: &[&str] = &[
        "require [\"fileinto\", \"variables\", \"regex\", \"vacation\", \"editheader\", \"mime\"];\n",
        "if header :contains \"Subject\" \"a\" ",
        "{ ",
        "} ",
        "keep; ",
        "discard; ",
        "stop; ",
        "fileinto \"Archive\"; ",
        "set \"x\" \"${1}${x}\"; ",
        "not ",
        "anyof (true, ",
        "true",
        ") ",
        "header :regex \"Subject\" \"(a|b)*\" ",
        "redirect \"x@example.net\"; ",
        "vacation \"away\"; ",
        "addheader \"X-A\" \"b\"; ",
        "\"",
        "text:\n.\n;",
        "/*",
        "\n",
        "[",
    ];

    proptest! {
        #[test]
        fn any_octets_are_scripts_or_none(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            super::script(&data);
        }

        #[test]
        fn no_mail_is_lost(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
                           message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut data = pieces.concat().into_bytes();
            super::script(&data);
            data.push(0);
            data.extend_from_slice(&message);
            super::delivery(&data);
        }
    }
}
