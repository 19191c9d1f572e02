//! A script that was checked: its commands with their arguments told apart, ready to run.

use std::collections::BTreeSet;

use super::rules::{COMMANDS, Rule, TESTS};
use super::syntax::{Node, Text, Value};
use super::{ScriptError, check, syntax};

/// A script that compiles.
#[derive(Debug)]
pub struct Program {
    /// Its commands.
    pub(super) commands: Vec<Op>,
    /// What it requires.
    pub(super) required: BTreeSet<String>,
    /// What is allowed and yet odd.
    pub warnings: Vec<ScriptError>,
}

impl Program {
    /// Whether it requires the extension.
    pub(super) fn has(&self, extension: &str) -> bool {
        self.required.contains(extension)
    }
}

/// A command or a test.
#[derive(Debug)]
pub(super) struct Op {
    /// Its name; empty for one that does not exist here.
    pub(super) name: &'static str,
    /// What it was called.
    pub(super) said: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its tags, each with what follows it.
    pub(super) tags: Vec<(&'static str, Option<Value>)>,
    /// The arguments behind the tags.
    pub(super) positional: Vec<Value>,
    /// Its tests.
    pub(super) tests: Vec<Op>,
    /// The commands of its block.
    pub(super) block: Vec<Op>,
}

impl Op {
    /// Whether the tag is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tags.iter().any(|(tag, _)| *tag == name)
    }

    /// What follows the tag.
    pub(super) fn tag(&self, name: &str) -> Option<&Value> {
        self.tags.iter().find(|(tag, _)| *tag == name).and_then(|(_, value)| value.as_ref())
    }

    /// The number behind the tag.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.tag(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

/// Compiles a script.
///
/// # Errors
/// What is wrong with it: at least one thing.
pub fn compile(source: &str) -> Result<Program, Vec<ScriptError>> {
    // A mark at the beginning says only that what follows is UTF-8.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut nodes = syntax::parse(source).map_err(|error| vec![error])?;
    let required = required(&nodes);
    if required.contains("encoded-character") {
        let mut errors = Vec::new();
        decode_nodes(&mut nodes, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    let found = check::check(&nodes);
    if !found.errors.is_empty() {
        return Err(found.errors);
    }
    let commands = nodes.iter().map(|node| op(node, COMMANDS)).collect();
    Ok(Program { commands, required, warnings: found.warnings })
}

fn required(nodes: &[Node]) -> BTreeSet<String> {
    let requires = nodes.iter().filter(|node| node.name == "require");
    let texts = requires.flat_map(|node| node.arguments.iter().flat_map(|argument| argument.value.texts()));
    let mut all: BTreeSet<String> = texts.map(|text| text.text.clone()).collect();
    if all.contains("ihave") {
        asked(nodes, &mut all);
    }
    all
}

/// RFC 5463 §4: what is asked for with success counts as required.
fn asked(nodes: &[Node], all: &mut BTreeSet<String>) {
    for node in nodes {
        if node.name == "ihave" {
            all.extend(
                node.arguments
                    .iter()
                    .flat_map(|argument| argument.value.texts())
                    .map(|text| text.text.clone()),
            );
        }
        asked(&node.tests, all);
        asked(node.block.as_deref().unwrap_or_default(), all);
    }
}

fn op(node: &Node, rules: &'static [Rule]) -> Op {
    let rule = rules.iter().find(|rule| rule.name == node.name);
    let mut made = Op {
        name: rule.map_or("", |rule| rule.name),
        said: node.name.clone(),
        line: node.line,
        tags: Vec::new(),
        positional: Vec::new(),
        tests: node.tests.iter().map(|test| op(test, TESTS)).collect(),
        block: node.block.iter().flatten().map(|command| op(command, COMMANDS)).collect(),
    };
    let mut arguments = node.arguments.iter();
    while let Some(argument) = arguments.next() {
        let Value::Tag(name) = &argument.value else {
            made.positional.push(argument.value.clone());
            continue;
        };
        let known = rule.and_then(|rule| rule.tags.iter().copied().flatten().find(|tag| tag.name == name));
        match known {
            Some(tag) => {
                let value = tag.value.and_then(|_| arguments.next()).map(|argument| argument.value.clone());
                made.tags.push((tag.name, value));
            }
            // Only where the script asks what there is (RFC 5463): it fails if it comes here.
            None => made.name = "",
        }
    }
    made
}

fn decode_nodes(nodes: &mut [Node], errors: &mut Vec<ScriptError>) {
    for node in nodes {
        for argument in &mut node.arguments {
            match &mut argument.value {
                Value::Text(text) => decode_text(text, errors),
                Value::List(texts) => texts.iter_mut().for_each(|text| decode_text(text, errors)),
                Value::Tag(_) | Value::Number(_) => {}
            }
        }
        decode_nodes(&mut node.tests, errors);
        decode_nodes(node.block.as_deref_mut().unwrap_or_default(), errors);
    }
}

/// RFC 5228 §2.4.2.4: `${hex: C3 84}` and `${unicode: 00C4}`; what has another form stays as it is.
fn decode_text(text: &mut Text, errors: &mut Vec<ScriptError>) {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = text.text.as_str();
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let end = from.find('}').map_or(from.len(), |end| end + 1);
        let inner = from.get(2..end.saturating_sub(1)).unwrap_or_default();
        match decoded(inner) {
            Some(Ok(octets)) => out.extend(octets),
            Some(Err(number)) => {
                let message = format!("{number:X} is no Unicode character");
                errors.push(ScriptError { line: text.line, message });
            }
            None => {
                // The rest may begin a form of its own.
                out.extend_from_slice(b"${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
        }
        rest = from.get(end..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    text.text = String::from_utf8_lossy(&out).into_owned();
}

fn decoded(inner: &str) -> Option<Result<Vec<u8>, u32>> {
    let (name, values) = inner.split_once(':')?;
    let numbers = |digits: std::ops::RangeInclusive<usize>| -> Option<Vec<u32>> {
        let words = values.split_ascii_whitespace();
        let number = |word: &str| digits.contains(&word.len()).then(|| u32::from_str_radix(word, 16).ok())?;
        let all: Vec<u32> = words.map(number).collect::<Option<_>>()?;
        (!all.is_empty()).then_some(all)
    };
    match &*name.to_ascii_lowercase() {
        "hex" => numbers(1..=2)?
            .into_iter()
            .map(|number| u8::try_from(number).ok())
            .collect::<Option<Vec<u8>>>()
            .map(Ok),
        "unicode" => {
            let mut text = String::new();
            for number in numbers(1..=6)? {
                match char::from_u32(number) {
                    Some(letter) => text.push(letter),
                    None => return Some(Err(number)),
                }
            }
            Some(Ok(text.into_bytes()))
        }
        _ => None,
    }
}
