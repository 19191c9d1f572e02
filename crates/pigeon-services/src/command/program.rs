//! A program as the site configures it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::octets::Octets;

/// The placeholders of arguments, as they are written; each is also a variable of the environment.
pub(super) const PLACEHOLDERS: [(&str, &str); 7] = [
    ("{sender}", "PIGEON_SENDER"),
    ("{recipient}", "PIGEON_RECIPIENT"),
    ("{account}", "PIGEON_ACCOUNT"),
    ("{domain}", "PIGEON_DOMAIN"),
    ("{detail}", "PIGEON_DETAIL"),
    ("{id}", "PIGEON_ID"),
    ("{size}", "PIGEON_SIZE"),
];

/// What follows from an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The next step goes on.
    Continue,
    /// The message is accepted and thrown away.
    Discard,
    /// The message is refused for good.
    Reject,
    /// The mail server tries again later.
    Defer,
}

/// What the program's standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Nothing.
    #[default]
    Ignore,
    /// It is the message from now on.
    Message,
    /// It is header fields to add.
    Header,
}

/// A program, what follows from its end, and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Program {
    /// The file, from the root on.
    pub path: PathBuf,
    /// Its arguments, each as it is: no shell reads them.
    pub arguments: Vec<String>,
    /// More variables of its environment.
    pub environment: BTreeMap<String, String>,
    /// What follows from exit codes, besides those that are known already.
    pub exit_codes: BTreeMap<u8, Action>,
    /// What its standard output is for.
    pub output: Output,
    /// Whether no output at all leaves the message as it is, where the output is to replace it.
    pub empty_is_unchanged: bool,
    /// Files and directories that it may read, besides those of the system.
    pub readable: Vec<PathBuf>,
    /// Whether it may open sockets.
    pub network: bool,
    /// How long it may run.
    pub seconds: u32,
    /// How long it may compute.
    pub cpu_seconds: u32,
    /// Memory of each of its processes.
    pub memory: Octets,
    /// Octets that it may print.
    pub output_limit: Octets,
    /// Octets of each file that it writes.
    pub file_size: Octets,
    /// Processes and threads at the same time.
    pub processes: u32,
    /// Open files of each process.
    pub open_files: u32,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            exit_codes: BTreeMap::new(),
            output: Output::Ignore,
            empty_is_unchanged: false,
            readable: Vec::new(),
            network: false,
            seconds: 20,
            cpu_seconds: 10,
            memory: Octets(512 << 20),
            output_limit: Octets(64 << 20),
            file_size: Octets(64 << 20),
            processes: 20,
            open_files: 64,
        }
    }
}

impl Program {
    /// Checks what the types cannot say.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.path.is_absolute() || self.readable.iter().any(|path| !path.is_absolute()) {
            return Err("path and readable take whole paths, from the root on".to_owned());
        }
        if self.seconds == 0 || self.cpu_seconds == 0 || self.processes == 0 || self.open_files < 3 {
            return Err("seconds, cpu_seconds and processes are at least 1, open_files at least 3".to_owned());
        }
        let is_begun = |argument: &&String| {
            PLACEHOLDERS.iter().any(|(placeholder, _)| argument.starts_with(placeholder))
        };
        let end = self.arguments.iter().position(|argument| argument == "--");
        let options = self.arguments.get(..end.unwrap_or(self.arguments.len())).unwrap_or_default();
        match options.iter().find(is_begun) {
            // An address may begin with a hyphen, and the program would take it for an option.
            Some(argument) => Err(format!(
                "the argument {argument} takes \"--\" before it, or a text like \"--name={argument}\""
            )),
            None => Ok(()),
        }
    }

    /// What follows from an exit code; none where it only means that the program failed.
    pub(super) fn action(&self, code: u8) -> Option<Action> {
        self.exit_codes.get(&code).copied().or(match code {
            0 => Some(Action::Continue),
            // sysexits.h: EX_TEMPFAIL; and what qmail's programs say for the same.
            75 | 111 => Some(Action::Defer),
            // sysexits.h: EX_NOPERM; and what qmail's programs say for the same.
            77 | 100 => Some(Action::Reject),
            99 => Some(Action::Discard),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_checked() {
        let check = |json: &str, expect: Option<&str>| {
            let read = serde_json::from_str::<Program>(json).map_err(|error| error.to_string());
            let error = read.and_then(|program| program.check()).err();
            match expect {
                None => assert_eq!(error, None, "{json}"),
                Some(part) => {
                    assert!(error.as_ref().is_some_and(|text| text.contains(part)), "{json}: {error:?}");
                }
            }
        };
        check(r#"{"path": "/bin/true"}"#, None);
        check(r#"{"path": "true"}"#, Some("from the root"));
        check(r#"{"path": "/bin/x", "arguments": ["{sender}"]}"#, Some("takes \"--\" before it"));
        check(r#"{"path": "/bin/x", "arguments": ["-f={sender}", "--", "{recipient}"]}"#, None);
        check(r#"{"path": "/bin/x", "seconds": 0}"#, Some("at least 1"));
        check(r#"{"path": "/bin/x", "memmory": 1}"#, Some("unknown field"));
        check(r#"{"path": "/bin/x", "memory": "100M", "exit_codes": {"3": "discard"}}"#, None);
        check(r#"{"path": "/bin/x", "exit_codes": {"300": "discard"}}"#, Some("u8"));
    }

    #[test]
    fn exit_codes_decide() {
        let own = BTreeMap::from([(1, Action::Discard), (99, Action::Continue)]);
        let program = Program { exit_codes: own, ..Program::default() };
        let check = |code: u8, expect: Option<Action>| assert_eq!(program.action(code), expect, "{code}");
        check(0, Some(Action::Continue));
        check(1, Some(Action::Discard));
        check(75, Some(Action::Defer));
        check(77, Some(Action::Reject));
        check(99, Some(Action::Continue));
        check(100, Some(Action::Reject));
        check(111, Some(Action::Defer));
        check(2, None);
        check(64, None);
        check(127, None);
    }
}
