//! Finds what is wrong with a script before it runs: every mistake with its line.
//!
//! Source: RFC 5228 §2.10.6 (errors are found before any action is taken where that is possible).

use std::collections::BTreeSet;

use super::constants::Said;
use super::rules::{COMMANDS, Kind, Rule, TESTS, Tag, Tests};
use super::syntax::{Argument, Node, Value};
use super::{EXTENSIONS, HARMLESS, ScriptError};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Mistakes: the script does not compile.
    pub(super) errors: Vec<ScriptError>,
    /// What is allowed and yet odd.
    pub(super) warnings: Vec<ScriptError>,
}

/// Checks the commands of a script.
pub(super) fn check(commands: &[Node]) -> Found {
    let mut checker = Checker::default();
    checker.declare(commands);
    checker.commands(commands, true);
    checker.found
}

/// What is known of a script while it is checked.
#[derive(Default)]
pub(super) struct Checker {
    found: Found,
    required: BTreeSet<String>,
    /// How many foreverypart blocks are open.
    loops: usize,
}

impl Checker {
    /// Notes a mistake.
    pub(super) fn error(&mut self, line: usize, message: impl Into<String>) {
        self.found.errors.push(ScriptError { line, message: message.into() });
    }

    /// Notes what is allowed and yet odd.
    pub(super) fn warn(&mut self, line: usize, message: impl Into<String>) {
        self.found.warnings.push(ScriptError { line, message: message.into() });
    }

    /// Whether the script asks for extensions while it runs (RFC 5463 §4): what is unknown may then be there.
    fn is_lenient(&self) -> bool {
        self.required.contains("ihave")
    }

    /// RFC 5228 §3.2: what is required, and RFC 5463 §4: what is asked for.
    fn declare(&mut self, commands: &[Node]) {
        for node in commands {
            if node.name == "require" {
                for text in node.arguments.iter().flat_map(|argument| argument.value.texts()) {
                    if !EXTENSIONS.contains(&&*text.text) && !HARMLESS.contains(&&*text.text) {
                        self.error(text.line, format!("there is no extension {:?} here", text.text));
                    }
                    if HARMLESS.contains(&&*text.text) {
                        self.warn(text.line, format!("{} changes nothing here", text.text));
                    }
                    self.required.insert(text.text.clone());
                }
            }
        }
        if self.is_lenient() {
            self.declare_asked(commands);
        }
    }

    fn declare_asked(&mut self, nodes: &[Node]) {
        for node in nodes {
            if node.name == "ihave" {
                let asked = node.arguments.iter().flat_map(|argument| argument.value.texts());
                let asked: Vec<String> = asked.map(|text| text.text.clone()).collect();
                self.required.extend(asked);
            }
            self.declare_asked(&node.tests);
            self.declare_asked(node.block.as_deref().unwrap_or_default());
        }
    }

    /// Whether the extension is required, or none is needed.
    pub(super) fn has(&self, extension: &str) -> bool {
        let implied = match extension {
            // RFC 5235 §2.1: spamtestplus includes spamtest. RFC 6131 §2: vacation-seconds includes vacation.
            "spamtest" => "spamtestplus",
            "vacation" => "vacation-seconds",
            _ => extension,
        };
        extension.is_empty() || self.required.contains(extension) || self.required.contains(implied)
    }

    fn commands(&mut self, commands: &[Node], is_outermost: bool) {
        let mut may_require = is_outermost;
        let mut before: &str = "";
        for node in commands {
            if node.name == "require" {
                if !may_require {
                    self.error(node.line, "require must stand before all other commands");
                }
            } else {
                may_require = false;
            }
            if matches!(&*node.name, "elsif" | "else") && !matches!(before, "if" | "elsif") {
                self.error(node.line, format!("{} must follow if or elsif", node.name));
            }
            before = &node.name;
            self.command(node);
        }
    }

    fn command(&mut self, node: &Node) {
        let Some(rule) = COMMANDS.iter().find(|rule| rule.name == node.name) else {
            if !self.is_lenient() {
                let hint = TESTS.iter().any(|rule| rule.name == node.name);
                let hint = if hint { ": it is a test, and belongs behind if" } else { "" };
                self.error(node.line, format!("there is no command {:?}{hint}", node.name));
            }
            return;
        };
        self.against(rule, node);
        if node.name == "break" && self.loops == 0 {
            self.error(node.line, "break stands outside of foreverypart");
        }
        let is_loop = node.name == "foreverypart";
        self.loops += usize::from(is_loop);
        if let Some(block) = &node.block {
            self.commands(block, false);
        }
        self.loops -= usize::from(is_loop);
    }

    fn test(&mut self, node: &Node) {
        let Some(rule) = TESTS.iter().find(|rule| rule.name == node.name) else {
            if !self.is_lenient() {
                self.error(node.line, format!("there is no test {:?}", node.name));
            }
            return;
        };
        self.against(rule, node);
    }

    fn against(&mut self, rule: &Rule, node: &Node) {
        let is_declared = rule.needs.is_empty() || rule.needs.iter().any(|needed| self.has(needed));
        if !is_declared {
            let needed = rule.needs.first().copied().unwrap_or_default();
            self.error(node.line, format!("{} needs require {needed:?}", rule.name));
        }
        self.arguments(rule, node);
        match (rule.tests, node.tests.len(), node.has_test_list) {
            (Tests::None, 0, false) | (Tests::One, 1, false) | (Tests::List, 1.., true) => {}
            (Tests::None, ..) => self.error(node.line, format!("{} takes no test", rule.name)),
            (Tests::One, ..) => self.error(node.line, format!("{} takes one test", rule.name)),
            (Tests::List, ..) => self.error(node.line, format!("{} takes tests in parentheses", rule.name)),
        }
        match (rule.block, node.block.is_some()) {
            (true, false) => self.error(node.line, format!("{} needs a block in braces", rule.name)),
            (false, true) => self.error(node.line, format!("{} takes no block", rule.name)),
            _ => {}
        }
        for test in &node.tests {
            self.test(test);
        }
    }

    fn arguments(&mut self, rule: &Rule, node: &Node) {
        let mut rest = node.arguments.iter();
        let mut seen: Vec<&Tag> = Vec::new();
        let mut said = Said { node, tags: Vec::new(), positional: Vec::new() };
        while let Some(argument) = rest.next() {
            let Value::Tag(name) = &argument.value else {
                said.positional.push(argument);
                continue;
            };
            let mut known = rule.tags.iter().copied().flatten();
            let Some(tag) = known.find(|tag| tag.name == name) else {
                if !self.is_lenient() {
                    self.error(argument.line, format!("{} has no :{name}", rule.name));
                }
                return;
            };
            if !said.positional.is_empty() {
                self.error(argument.line, format!(":{name} must stand before the other arguments"));
            }
            self.tag(rule, tag, argument, &mut seen);
            let value = tag.value.and_then(|_| rest.next());
            said.tags.push((tag.name, value));
            match (tag.value, value) {
                (Some(kind), Some(value)) if value.is(kind) => self.tag_value(tag, value),
                (Some(kind), _) => {
                    self.error(argument.line, format!(":{name} must be followed by {}", kind.words()));
                }
                (None, _) => {}
            }
        }
        self.positional(rule, node, &said.positional);
        self.meaning(&said);
    }

    fn tag<'t>(&mut self, rule: &Rule, tag: &'t Tag, argument: &Argument, seen: &mut Vec<&'t Tag>) {
        if !self.has(tag.needs) {
            self.error(argument.line, format!(":{} needs require {:?}", tag.name, tag.needs));
        }
        let clash =
            seen.iter().find(|other| other.name == tag.name || (tag.group > 0 && other.group == tag.group));
        if let Some(other) = clash {
            let message = if other.name == tag.name {
                format!("{} has :{} twice", rule.name, tag.name)
            } else {
                format!("{} has both :{} and :{}", rule.name, other.name, tag.name)
            };
            self.error(argument.line, message);
        }
        seen.push(tag);
    }

    fn tag_value(&mut self, tag: &Tag, argument: &Argument) {
        let Value::Text(text) = &argument.value else { return };
        match tag.name {
            "comparator" => {
                let known = ["i;octet", "i;ascii-casemap", "i;ascii-numeric"];
                if !known.contains(&&*text.text) {
                    self.error(text.line, format!("there is no comparator {:?} here", text.text));
                } else if text.text == "i;ascii-numeric" && !self.has("comparator-i;ascii-numeric") {
                    self.error(text.line, "i;ascii-numeric needs require \"comparator-i;ascii-numeric\"");
                }
            }
            "value" | "count" => {
                let known = ["gt", "ge", "lt", "le", "eq", "ne"];
                if !known.contains(&&*text.text.to_ascii_lowercase()) {
                    self.error(
                        text.line,
                        format!(":{} is followed by one of {}", tag.name, known.join(", ")),
                    );
                }
            }
            _ => {}
        }
    }

    fn positional(&mut self, rule: &Rule, node: &Node, given: &[&Argument]) {
        let wanted = rule.positional;
        let missing = wanted.len().saturating_sub(given.len());
        if given.len() > wanted.len() || missing > rule.optional {
            let needed = match wanted.len() {
                0 => "no arguments".to_owned(),
                _ => wanted.iter().map(|kind| kind.words()).collect::<Vec<_>>().join(", then "),
            };
            self.error(node.line, format!("{} takes {needed}", rule.name));
            return;
        }
        // RFC 5293 §5: what deleteheader may leave out stands at the end, with all others in front.
        let skipped = if rule.name == "deleteheader" { 0 } else { missing };
        for (argument, kind) in given.iter().zip(wanted.iter().skip(skipped)) {
            if !argument.is(*kind) {
                self.error(argument.line, format!("{} takes {} here", rule.name, kind.words()));
            }
        }
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Texts => "a string or a list of strings",
        }
    }
}

impl Argument {
    fn is(&self, kind: Kind) -> bool {
        matches!(
            (kind, &self.value),
            (Kind::Number, Value::Number(_))
                | (Kind::Text | Kind::Texts, Value::Text(_))
                | (Kind::Texts, Value::List(_))
        )
    }
}
