//! Compiles scripts.

use std::fmt;
use std::panic::catch_unwind;

use sieve::Compiler;

use super::{check, syntax};

/// The extensions that scripts may `require` (RFC 5228 §3.2), sorted.
pub const EXTENSIONS: &[&str] = &[
    "body",
    "comparator-elbonia",
    "comparator-i;ascii-casemap",
    "comparator-i;ascii-numeric",
    "comparator-i;octet",
    "copy",
    "date",
    "duplicate",
    "editheader",
    "enclose",
    "encoded-character",
    "enotify",
    "envelope",
    "environment",
    "ereject",
    "extlists",
    "extracttext",
    "fcc",
    "fileinto",
    "foreverypart",
    "ihave",
    "imap4flags",
    "include",
    "index",
    "mailbox",
    "mailboxid",
    "mboxmetadata",
    "mime",
    "regex",
    "reject",
    "relational",
    "replace",
    "servermetadata",
    "spamtest",
    "spamtestplus",
    "special-use",
    "subaddress",
    "vacation",
    "vacation-seconds",
    "variables",
    "virustest",
];

/// Names that scripts written for other servers require, and that change nothing here but what may be written.
pub(super) const HARMLESS: &[&str] = &["vnd.dovecot.debug", "vnd.dovecot.environment"];

/// What is wrong with a script, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

/// Checks that a script compiles; gives what is allowed and yet odd.
///
/// # Errors
/// What is wrong with it, at least one thing.
pub fn compile(source: &str) -> Result<Vec<ScriptError>, Vec<ScriptError>> {
    let commands = syntax::parse(source).map_err(|error| vec![error])?;
    let found = check::check(&commands);
    if !found.errors.is_empty() {
        return Err(found.errors);
    }
    let source = without_harmless(source, &commands);
    let compiler = Compiler::new().with_max_script_size(usize::MAX).with_max_string_size(1 << 20);
    let compiled = catch_unwind(|| compiler.compile(source.as_bytes()).map(drop));
    match compiled {
        Ok(Ok(())) => Ok(found.warnings),
        Ok(Err(error)) => {
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or_default().to_owned();
            Err(vec![ScriptError { line: error.line_num().max(1), message }])
        }
        Err(_) => Err(vec![ScriptError { line: 1, message: "it cannot be read".to_owned() }]),
    }
}

/// The script without what the library does not know and need not know: lines and places stay.
fn without_harmless(source: &str, commands: &[syntax::Node]) -> String {
    let mut spans = Vec::new();
    collect_harmless(commands, &mut spans);
    let mut text = source.to_owned();
    // From the end, so that the places in front stay where they are.
    spans.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, instead) in spans {
        let lines = source.get(span.clone()).unwrap_or_default().matches('\n').count();
        text.replace_range(span, &format!("{instead}{}", "\n".repeat(lines)));
    }
    text
}

fn collect_harmless(commands: &[syntax::Node], spans: &mut Vec<(std::ops::Range<usize>, &'static str)>) {
    for node in commands {
        if node.name == "debug_log" {
            spans.push((node.span.clone(), ""));
        }
        if node.name == "require" {
            let names = node.arguments.iter().flat_map(|argument| argument.value.texts());
            let harmless = names.filter(|name| HARMLESS.contains(&&*name.text));
            spans.extend(harmless.map(|name| (name.span.clone(), "\"comparator-i;octet\"")));
        }
        collect_harmless(node.block.as_deref().unwrap_or_default(), spans);
    }
}
