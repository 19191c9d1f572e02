//! Scripts on messages, from files: `sieve/*.cases` say what `pigeon sieve test` must print.
//!
//! A file holds a message for all its cases (behind `%% message`), then cases: `%% case NAME`, options (`from`, `to`,
//! `orig-to`, `auth`, `mailbox`, `metadata`, `config`, `personal NAME SOURCE`, `global NAME SOURCE`, `compile-only`, `differs` for
//! what Pigeonhole does otherwise), a
//! message of its own behind `%% message` where it has one, scripts behind `%% script`, and behind `%% expect` JSON that
//! must be found in what is printed: objects may have more keys, lists may not be longer. In the place of a message
//! stands what it must have and lack: `"has": […], "lacks": […]`.

#![cfg(test)]

#[path = "sieve_cases/peer.rs"]
mod peer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pigeon_core::timestamp::Timestamp;
use pigeon_services::sieve::trial::Trial;
use serde_json::Value;

#[derive(Default, Clone)]
struct Case {
    name: String,
    options: Vec<(String, String)>,
    message: Option<String>,
    scripts: Vec<String>,
    expect: String,
}

fn read_cases(text: &str) -> Vec<Case> {
    let mut common = None;
    let mut cases: Vec<Case> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("%% ") {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            section = word.to_owned();
            match word {
                "case" => cases.push(Case { name: rest.to_owned(), ..Case::default() }),
                "script" => cases.last_mut().unwrap().scripts.push(String::new()),
                "message" => match cases.last_mut() {
                    Some(case) => case.message = Some(String::new()),
                    None => common = Some(String::new()),
                },
                _ => {}
            }
            continue;
        }
        let target = match (section.as_str(), cases.last_mut()) {
            ("message", None) => common.as_mut().unwrap(),
            ("message", Some(case)) => case.message.as_mut().unwrap(),
            ("script", Some(case)) => case.scripts.last_mut().unwrap(),
            ("expect", Some(case)) => &mut case.expect,
            ("case", Some(case)) => {
                if let Some((key, value)) = line.split_once(' ') {
                    case.options.push((key.to_owned(), value.to_owned()));
                } else if !line.is_empty() {
                    case.options.push((line.to_owned(), String::new()));
                }
                continue;
            }
            _ => continue,
        };
        target.push_str(line);
        target.push_str("\r\n");
    }
    for case in &mut cases {
        case.message = case.message.take().or_else(|| common.clone());
    }
    cases
}

fn trial(case: &Case) -> Trial {
    let one = |key: &str, default: &str| {
        let found = case.options.iter().find(|(known, _)| known == key);
        found.map_or(default.to_owned(), |(_, value)| value.clone())
    };
    let all = |key: &str| -> Vec<String> {
        case.options.iter().filter(|(known, _)| known == key).map(|(_, value)| value.clone()).collect()
    };
    let sources = |key: &str| -> BTreeMap<String, Vec<u8>> {
        let pairs = all(key);
        pairs
            .iter()
            .filter_map(|pair| pair.split_once(' '))
            .map(|(name, source)| (name.to_owned(), source.as_bytes().to_vec()))
            .collect()
    };
    let (personal, global) = (sources("personal"), sources("global"));
    let is_compiled_only = case.options.iter().any(|(key, _)| key == "compile-only");
    Trial {
        scripts: case
            .scripts
            .iter()
            .enumerate()
            .map(|(at, script)| (format!("s{at}"), script.clone().into_bytes()))
            .collect(),
        message: case.message.clone().filter(|_| !is_compiled_only).map(String::into_bytes),
        from: one("from", "bob@example.net"),
        to: one("to", "ann@example.org"),
        original_to: one("orig-to", ""),
        auth: one("auth", ""),
        find: Arc::new(move |is_global, name| if is_global { &global } else { &personal }.get(name).cloned()),
        mailboxes: all("mailbox"),
        annotations: all("metadata")
            .iter()
            .map(|said| {
                let parts: Vec<&str> = said.splitn(3, '|').collect();
                (parts[0].to_owned(), parts[1].to_owned(), parts[2].to_owned())
            })
            .collect(),
        config: all("config")
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        now: Timestamp::parse("2026-11-24T10:20:30Z").unwrap(),
        hostname: "mx.example.org".to_owned(),
    }
}

/// What in `expect` is not in `got`.
fn missing(expect: &Value, got: &Value, at: &str) -> Option<String> {
    match (expect, got) {
        (Value::Object(expect), Value::Object(got)) => expect.iter().find_map(|(key, expect)| {
            if key == "has" || key == "lacks" {
                let octets = STANDARD.decode(got["message_b64"].as_str().unwrap()).unwrap();
                let text = String::from_utf8_lossy(&octets).replace("\r\n", "\n");
                let texts = expect.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
                let wrong = texts.into_iter().find(|wanted| text.contains(wanted) != (key == "has"));
                return wrong.map(|wrong| format!("{at}: {key} {wrong:?} is not so: {text}"));
            }
            let at = format!("{at}.{key}");
            got.get(key).map_or_else(|| Some(format!("{at} is missing")), |got| missing(expect, got, &at))
        }),
        (Value::Array(expect), Value::Array(got)) => {
            if expect.len() != got.len() {
                return Some(format!("{at}: {} items, not {}: {got:?}", got.len(), expect.len()));
            }
            expect
                .iter()
                .zip(got)
                .enumerate()
                .find_map(|(index, (expect, got))| missing(expect, got, &format!("{at}[{index}]")))
        }
        (Value::String(expect), Value::String(got)) if expect.starts_with('~') => (!got
            .contains(expect.trim_start_matches('~')))
        .then(|| format!("{at}: {got:?} does not have {expect:?}")),
        _ => (expect != got).then(|| format!("{at}: {got}, not {expect}")),
    }
}

/// Every case, with the name of its file in front of its own.
fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sieve");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cases"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let read = read_cases(&std::fs::read_to_string(&file).unwrap());
        all.extend(read.into_iter().map(|case| (format!("{stem}: {}", case.name), case)));
    }
    all
}

#[test]
fn scripts_do_what_the_cases_say() {
    let mut failed = Vec::new();
    let all = cases();
    for (name, case) in &all {
        let expect: Value =
            serde_json::from_str(&case.expect).unwrap_or_else(|error| panic!("{name}: {error}"));
        let got = trial(case).run();
        if let Some(wrong) = missing(&expect, &got, "") {
            failed.push(format!("{name}{wrong}\n   {}", short(&got)));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), all.len(), failed.join("\n"));
    assert!(all.len() >= 60, "{} cases", all.len());
}

fn short(got: &Value) -> String {
    let mut got = got.clone();
    for list in ["stored", "sent"] {
        for item in got[list].as_array_mut().into_iter().flatten() {
            item.as_object_mut().unwrap().remove("message_b64");
        }
    }
    got.to_string()
}
