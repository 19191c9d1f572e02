//! Runs scripts: control structures, variables and limits (RFC 5228 §3, RFC 5229, RFC 6609).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::engine::{Action, Origin, Question, Run, Script, Trouble, What, World};
use super::mail::Mail;
use super::matching::{Comparator, MatchType, Matcher, Relation};
use super::program::{Op, Program};
use super::syntax::{Text, Value};
use super::words::cut;

/// Why a script cannot go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// A mistake at this line.
    Error(usize, String),
    /// Something must be known first.
    Ask(Question),
}

/// Where a script goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Stop,
    Return,
    Break(Option<String>),
}

/// A script that runs, with what belongs to it alone.
pub(super) struct Frame<'s> {
    pub(super) program: &'s Program,
    pub(super) label: String,
    pub(super) origin: Origin,
    locals: HashMap<String, String>,
    globals: HashSet<String>,
    pub(super) captures: Vec<String>,
    depth: usize,
}

/// The state of a run.
pub(super) struct Machine<'w> {
    pub(super) world: &'w World,
    pub(super) mail: Arc<Mail>,
    pub(super) actions: Vec<Action>,
    pub(super) implicit_keep: bool,
    pub(super) marks: Vec<(String, u64)>,
    pub(super) remarks: Vec<Trouble>,
    /// The flags of `setflag` without a variable (RFC 5232 §2).
    pub(super) flags: Vec<String>,
    /// The part that `foreverypart` is at, and what was put in the place of parts.
    pub(super) part: Option<usize>,
    pub(super) edits: Vec<(usize, Vec<u8>)>,
    globals: HashMap<String, String>,
    included: HashSet<(bool, String)>,
    includes: usize,
    steps: u64,
}

impl<'w> Machine<'w> {
    pub(super) fn new(mail: &Arc<Mail>, world: &'w World) -> Self {
        Self {
            world,
            mail: Arc::clone(mail),
            actions: Vec::new(),
            implicit_keep: true,
            marks: Vec::new(),
            remarks: Vec::new(),
            flags: Vec::new(),
            part: None,
            edits: Vec::new(),
            globals: HashMap::new(),
            included: HashSet::new(),
            includes: 0,
            steps: 0,
        }
    }

    /// Runs the scripts.
    pub(super) fn run(mut self, scripts: &[Script]) -> Result<Run, Question> {
        let mut keep_flags = Vec::new();
        let mut failure = None;
        for (at, script) in scripts.iter().enumerate() {
            let before = (self.actions.clone(), Arc::clone(&self.mail), self.marks.len(), keep_flags.clone());
            self.implicit_keep = true;
            match self.one(script) {
                Ok(()) => {}
                Err(Halt::Ask(question)) => return Err(question),
                Err(Halt::Error(line, message)) => {
                    // RFC 5228 §2.10.6: what the script has decided so far does not count; the message is kept.
                    (self.actions, self.mail, _, keep_flags) = before;
                    self.marks.truncate(before.2);
                    self.implicit_keep = true;
                    let (script, origin) = (script.label.clone(), script.origin);
                    failure = Some(Trouble { script, origin, line, message });
                    break;
                }
            }
            let is_last = at + 1 == scripts.len();
            if !is_last
                && let Some(kept) = self.actions.iter().position(|action| matches!(action.what, What::Keep))
            {
                // What one script keeps the next one may put elsewhere.
                keep_flags = self.actions.remove(kept).flags;
                self.implicit_keep = true;
            } else if self.implicit_keep && !self.flags.is_empty() {
                keep_flags.clone_from(&self.flags);
            }
            if !self.implicit_keep {
                break;
            }
        }
        let implicit_keep = self.implicit_keep.then_some(keep_flags);
        let (actions, mail, marks, remarks) = (self.actions, self.mail, self.marks, self.remarks);
        Ok(Run { actions, implicit_keep, mail, marks, failure, remarks })
    }

    fn one(&mut self, script: &Script) -> Result<(), Halt> {
        (self.part, self.edits) = (None, Vec::new());
        self.flags.clear();
        self.included.clear();
        let mut frame = Frame::new(&script.program, script.label.clone(), script.origin, 0);
        self.commands(&mut frame, &script.program.commands).map(drop)
    }

    fn step(&mut self, line: usize) -> Result<(), Halt> {
        self.steps += 1;
        if self.steps > self.world.limits.instructions {
            return Err(Halt::Error(line, "the script takes too many instructions".to_owned()));
        }
        Ok(())
    }

    fn commands(&mut self, frame: &mut Frame<'_>, commands: &[Op]) -> Result<Flow, Halt> {
        // Whether a branch of the open if was taken.
        let mut is_done = false;
        for op in commands {
            self.step(op.line)?;
            let flow = match op.name {
                "if" | "elsif" | "else" => {
                    if op.name == "if" {
                        is_done = false;
                    }
                    let is_taken = !is_done
                        && match op.tests.first() {
                            Some(test) => self.test(frame, test)?,
                            None => op.name == "else",
                        };
                    is_done |= is_taken;
                    if is_taken { self.commands(frame, &op.block)? } else { Flow::Next }
                }
                "stop" => Flow::Stop,
                "return" => Flow::Return,
                "break" => Flow::Break(op.tag("name").map(|name| self.value(frame, name))),
                "foreverypart" => self.every_part(frame, op)?,
                "include" => self.include(frame, op)?,
                "global" => {
                    self.global(frame, op);
                    Flow::Next
                }
                "error" => return Err(Halt::Error(op.line, self.text_at(frame, op, 0))),
                "require" | "debug_log" => Flow::Next,
                "" => return Err(Halt::Error(op.line, format!("there is no {} here", op.said))),
                _ => {
                    self.act(frame, op)?;
                    Flow::Next
                }
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn every_part(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<Flow, Halt> {
        let parts = Arc::clone(self.mail.parts());
        // RFC 5703 §3: the outermost loop goes over the message itself and all parts, one inside of it over the
        // parts that lie in the current one.
        let outer = self.part;
        let (first, last) = match outer {
            None => (0, parts.len()),
            Some(at) => (at + 1, at + 1 + parts.get(at).map_or(0, |part| part.inner)),
        };
        let own = op.tag("name").map(|name| self.value(frame, name));
        let mut flow = Flow::Next;
        for at in first..last {
            self.step(op.line)?;
            self.part = Some(at);
            match self.commands(frame, &op.block)? {
                Flow::Next => {}
                Flow::Break(None) => break,
                Flow::Break(name) if name == own => break,
                other => {
                    flow = other;
                    break;
                }
            }
        }
        self.part = outer;
        if outer.is_none() {
            self.finish_edits();
        }
        Ok(flow)
    }

    /// Puts what `replace` made into the message.
    pub(super) fn finish_edits(&mut self) {
        let edits = std::mem::take(&mut self.edits);
        if !edits.is_empty() {
            Arc::make_mut(&mut self.mail).splice(&edits);
        }
    }

    fn include(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<Flow, Halt> {
        let name = self.text_at(frame, op, 0);
        let is_global = op.has("global");
        if op.has("once") && self.included.contains(&(is_global, name.clone())) {
            return Ok(Flow::Next);
        }
        let failed = |message: String| Halt::Error(op.line, message);
        self.includes += 1;
        if self.includes > self.world.limits.includes {
            return Err(failed("too many scripts are included".to_owned()));
        }
        if frame.depth + 1 > self.world.limits.nesting {
            return Err(failed(format!("{name:?} is included too deep")));
        }
        let Some(program) = (self.world.includes)(is_global, &name, frame.origin) else {
            if op.has("optional") {
                return Ok(Flow::Next);
            }
            return Err(failed(format!("there is no script {name:?} to include")));
        };
        self.included.insert((is_global, name.clone()));
        let mut inner =
            Frame::new(&program, format!("{} > {name}", frame.label), frame.origin, frame.depth + 1);
        let flow = self.commands(&mut inner, &program.commands).map_err(|halt| match halt {
            Halt::Error(line, message) => {
                Halt::Error(op.line, format!("in {name:?}, line {line}: {message}"))
            }
            ask @ Halt::Ask(_) => ask,
        })?;
        Ok(if flow == Flow::Stop { Flow::Stop } else { Flow::Next })
    }

    fn global(&mut self, frame: &mut Frame<'_>, op: &Op) {
        for text in op.positional.first().map(Value::texts).unwrap_or_default() {
            let name = text.text.to_ascii_lowercase();
            self.globals.entry(name.clone()).or_default();
            frame.globals.insert(name);
        }
    }

    /// Whether a test holds; the control tests of RFC 5228 §5, and a match puts its captures into the frame.
    pub(super) fn test(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        self.step(op.line)?;
        match op.name {
            "true" => Ok(true),
            "false" => Ok(false),
            "not" => match op.tests.first() {
                Some(test) => Ok(!self.test(frame, test)?),
                None => Ok(false),
            },
            "allof" => {
                for test in &op.tests {
                    if !self.test(frame, test)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            "anyof" => {
                for test in &op.tests {
                    if self.test(frame, test)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            "" => Err(Halt::Error(op.line, format!("there is no test {} here", op.said))),
            _ => self.condition(frame, op),
        }
    }

    /// The match type and comparator of a test.
    pub(super) fn matcher(&self, frame: &Frame<'_>, op: &Op) -> Result<Matcher, Halt> {
        let relation = |name: &str| {
            let text = op.tag(name).map(|value| self.value(frame, value)).unwrap_or_default();
            Relation::named(&text).ok_or_else(|| Halt::Error(op.line, format!("{text:?} is no relation")))
        };
        let kind = if op.has("value") {
            MatchType::Value(relation("value")?)
        } else if op.has("count") {
            MatchType::Count(relation("count")?)
        } else if op.has("contains") {
            MatchType::Contains
        } else if op.has("matches") {
            MatchType::Matches
        } else if op.has("regex") {
            MatchType::Regex
        } else if op.has("list") {
            MatchType::List
        } else {
            MatchType::Is
        };
        let named = op.tag("comparator").map(|value| self.value(frame, value)).unwrap_or_default();
        Ok(Matcher { kind, comparator: Comparator::named(&named) })
    }

    /// The positional argument at `at` as one string.
    pub(super) fn text_at(&self, frame: &Frame<'_>, op: &Op, at: usize) -> String {
        op.positional.get(at).map(|value| self.value(frame, value)).unwrap_or_default()
    }

    /// The positional argument at `at` as a list.
    pub(super) fn texts_at(&self, frame: &Frame<'_>, op: &Op, at: usize) -> Vec<String> {
        op.positional.get(at).map(|value| self.values(frame, value)).unwrap_or_default()
    }

    /// What follows a tag, as one string.
    pub(super) fn tag_text(&self, frame: &Frame<'_>, op: &Op, name: &str) -> Option<String> {
        op.tag(name).map(|value| self.value(frame, value))
    }

    fn value(&self, frame: &Frame<'_>, value: &Value) -> String {
        value.texts().first().map(|text| self.text(frame, text)).unwrap_or_default()
    }

    /// The strings of an argument, variables put in.
    pub(super) fn values(&self, frame: &Frame<'_>, value: &Value) -> Vec<String> {
        value.texts().iter().map(|text| self.text(frame, text)).collect()
    }

    /// A string, variables put in (RFC 5229 §3).
    fn text(&self, frame: &Frame<'_>, text: &Text) -> String {
        if !text.text.contains("${") || !frame.program.has("variables") {
            return text.text.clone();
        }
        let mut out = String::new();
        let mut rest = text.text.as_str();
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let inner = from.get(2..).unwrap_or_default();
            match inner.split_once('}').filter(|(name, _)| is_reference(name)) {
                Some((name, after)) => {
                    out.push_str(&self.variable(frame, name));
                    rest = after;
                }
                None => {
                    out.push_str("${");
                    rest = inner;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// What a variable holds; empty where nobody has set it.
    pub(super) fn variable(&self, frame: &Frame<'_>, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        if let Ok(number) = name.parse::<usize>() {
            return frame.captures.get(number).cloned().unwrap_or_default();
        }
        if let Some(item) = name.strip_prefix("env.") {
            return self.world.environment.get(item).cloned().unwrap_or_default();
        }
        let global = name.strip_prefix("global.");
        let held = match global {
            Some(name) => self.globals.get(name),
            None if frame.globals.contains(&name) => self.globals.get(&name),
            None => frame.locals.get(&name),
        };
        held.cloned().unwrap_or_default()
    }

    /// Sets a variable, cut to what one may hold.
    pub(super) fn set(&mut self, frame: &mut Frame<'_>, name: &str, mut value: String) {
        cut(&mut value, self.world.limits.variable);
        let name = name.to_ascii_lowercase();
        if let Some(name) = name.strip_prefix("global.") {
            self.globals.insert(name.to_owned(), value);
        } else if frame.globals.contains(&name) {
            self.globals.insert(name, value);
        } else {
            frame.locals.insert(name, value);
        }
    }
}

impl<'s> Frame<'s> {
    fn new(program: &'s Program, label: String, origin: Origin, depth: usize) -> Self {
        let (locals, globals, captures) = (HashMap::new(), HashSet::new(), Vec::new());
        Self { program, label, origin, locals, globals, captures, depth }
    }
}

/// Whether `${…}` holds the name of a variable (RFC 5229 §3): names with dots are namespaces, digits are captures.
fn is_reference(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !word.is_empty()
            && word.bytes().all(is_part)
            && !word.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number || name.split('.').all(is_word)
}
