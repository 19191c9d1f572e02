//! `/etc/aliases`.

use std::collections::BTreeSet;
use std::path::Path;

use pigeon_core::address::Address;
use pigeon_core::directory::{AliasPattern, Status};

use super::super::targets::{self, Reading, Target};
use super::super::{Foreign, ForeignAlias, Origin, shown, text};
use super::{File, Source};

/// How deep files may include others.
const MAX_DEPTH: usize = 10;
/// How many targets an alias may have, with all that is included.
const MAX_TARGETS: usize = 10_000;

/// A logical line: a name and its targets.
struct Line {
    name: String,
    list: String,
    origin: Origin,
}

/// Reads the aliases; those of people change what happens to their mail.
pub(super) fn read(source: &Source<'_>, file: File<'_>, foreign: &mut Foreign) {
    let mut seen = BTreeSet::new();
    for line in lines(file, foreign) {
        if !seen.insert(line.name.to_lowercase()) {
            foreign.leave(
                line.origin,
                format!("alias {}", shown(&line.name)),
                "it stands there already: the first one counts",
            );
            continue;
        }
        take(source, &line, foreign);
    }
}

fn take(source: &Source<'_>, line: &Line, foreign: &mut Foreign) {
    let what = format!("alias {}", shown(&line.name));
    if line.name.contains('*') {
        return foreign.leave(
            line.origin.clone(),
            what,
            "only some systems take * for any name: add it with pigeon alias add",
        );
    }
    let parsed = if line.name.contains('@') {
        Address::parse(&line.name)
    } else {
        Address::from_parts(&line.name, source.domain.clone())
    };
    let address = match parsed {
        Ok(address) => address,
        Err(error) => return foreign.leave(line.origin.clone(), what, error.to_string()),
    };
    if *address.domain() != *source.domain {
        return foreign.leave(
            line.origin.clone(),
            what,
            format!("it is not in the domain {}", source.domain),
        );
    }
    let mut expansion = Expansion { source, line, what, targets: Vec::new(), left: 0, foreign };
    expansion.list(&line.list, false, &line.origin, 0);
    let Expansion { targets, left, .. } = expansion;
    apply(&address, targets, left, line, foreign);
}

/// Gives the targets to the person of that name, or makes an alias.
fn apply(address: &Address, targets: Vec<Address>, left: usize, line: &Line, foreign: &mut Foreign) {
    let key = address.key();
    let (own, others): (Vec<Address>, Vec<Address>) =
        targets.into_iter().partition(|target| target.key() == key);
    if let Some(local) = line.name.to_lowercase().strip_prefix("owner-") {
        foreign.leave(
            line.origin.clone(),
            format!("owner-{local} as the sender of mail to {local}"),
            "the sender stays as it is: it is carried over as a plain alias; see alias.notice_to for whom to tell",
        );
    }
    let Some(at) = foreign.accounts.iter().position(|account| account.address.key() == key) else {
        if others.is_empty() {
            let why = if own.is_empty() {
                "nothing of it can be carried over"
            } else {
                "it leads to itself, and no user has the name"
            };
            return foreign.leave(line.origin.clone(), format!("alias {}", shown(&line.name)), why);
        }
        let origin = line.origin.clone();
        let pattern: AliasPattern = match address.to_string().parse() {
            Ok(pattern) => pattern,
            Err(error) => return foreign.leave(origin, format!("alias {}", shown(&line.name)), error),
        };
        return foreign.aliases.push(ForeignAlias {
            pattern,
            targets: others,
            status: Status::Active,
            origin,
        });
    };
    let Some(account) = foreign.accounts.get_mut(at) else { return };
    if others.is_empty() {
        return;
    }
    let is_own_kept = account.settings.get("forward.keep").is_none_or(|keep| keep == true);
    if own.is_empty() {
        // Mail never comes to the user, so neither to what ~/.forward says; what is left must not be lost.
        let is_replaced = account.settings.remove("forward.to").is_some();
        account.forward(&others, left > 0);
        if is_replaced {
            foreign.leave(
                line.origin.clone(),
                format!("~/.forward of {address}"),
                "the alias of the same name goes before it",
            );
        }
    } else {
        account.forward(&others, is_own_kept);
    }
}

/// The logical lines: one that begins with a blank continues the one before.
fn lines(file: File<'_>, foreign: &mut Foreign) -> Vec<Line> {
    let mut logical: Vec<(usize, String)> = Vec::new();
    for (number, line) in text(file.octets).lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let is_more = line.starts_with([' ', '\t']);
        let line = line.trim_end().strip_suffix('\\').unwrap_or(line);
        match logical.last_mut().filter(|_| is_more) {
            Some((_, before)) => {
                before.push(' ');
                before.push_str(line.trim());
            }
            // A comment that is indented, before anything that it could continue.
            None if is_more && line.trim().starts_with('#') => {}
            None => logical.push((number + 1, line.to_owned())),
        }
    }
    let mut lines = Vec::new();
    for (number, line) in logical {
        let origin = Origin::at(file.name, number);
        match split(&line) {
            Some((name, list)) => lines.push(Line { name, list: list.to_owned(), origin }),
            None => foreign.leave(
                origin,
                format!("`{}`", shown(&line)),
                "this is not an alias: it has no name and colon",
            ),
        }
    }
    lines
}

/// The name before the first colon that is not quoted, and the rest.
fn split(line: &str) -> Option<(String, &str)> {
    let mut reading = Reading::default();
    let at = line.char_indices().find(|(_, letter)| reading.take(*letter) && *letter == ':')?.0;
    let name = targets::unquoted(line.get(..at)?.trim());
    (!name.is_empty()).then_some((name, line.get(at + 1..)?))
}

/// The targets of one alias, with what it includes.
struct Expansion<'a> {
    source: &'a Source<'a>,
    line: &'a Line,
    what: String,
    targets: Vec<Address>,
    left: usize,
    foreign: &'a mut Foreign,
}

impl Expansion<'_> {
    fn leave(&mut self, origin: Origin, what: &str, why: &str) {
        self.left += 1;
        let what = format!("{what} of {}", self.what);
        self.foreign.leave(origin, what, why);
    }

    fn list(&mut self, list: &str, is_by_line: bool, origin: &Origin, depth: usize) {
        for (at, target) in targets::parse(list, is_by_line) {
            let origin = if is_by_line { Origin::at(&origin.file, at + 1) } else { origin.clone() };
            if self.targets.len() >= MAX_TARGETS {
                return self.leave(origin, "the rest", &format!("an alias may have {MAX_TARGETS} targets"));
            }
            self.target(target, origin, depth);
        }
    }

    fn target(&mut self, target: Target, origin: Origin, depth: usize) {
        let parsed = match &target {
            Target::Address(address) => Address::parse(address),
            Target::Local { name, .. } => Address::from_parts(name, self.source.domain.clone()),
            Target::Include(path) => return self.include(path, origin, depth),
            Target::Program(command) => {
                let what = format!("program `|{}`", shown(command));
                return self.leave(origin, &what, no_counterpart(command));
            }
            Target::File(path) if path == "/dev/null" => {
                return self.leave(origin, "`/dev/null`", "mail is not thrown away here by an alias");
            }
            Target::File(path) => {
                let what = format!("file `{}`", shown(path));
                return self.leave(
                    origin,
                    &what,
                    "mail is not appended to files here: make an account of it",
                );
            }
            Target::Special(text) => {
                let what = format!("`{}`", shown(text));
                return self.leave(origin, &what, "it has no counterpart");
            }
        };
        match (parsed, target) {
            (Ok(address), _) => {
                if !self.targets.iter().any(|known| known.key() == address.key()) {
                    self.targets.push(address);
                }
            }
            (Err(error), Target::Address(text) | Target::Local { name: text, .. }) => {
                self.leave(origin, &format!("target `{}`", shown(&text)), &error.to_string());
            }
            (Err(_), _) => {}
        }
    }

    fn include(&mut self, path: &str, origin: Origin, depth: usize) {
        let what = format!("included file `{}`", shown(path));
        if depth >= MAX_DEPTH {
            return self.leave(origin, &what, &format!("files may include each other {MAX_DEPTH} deep"));
        }
        match (self.source.read)(Path::new(path)) {
            Ok(octets) => {
                let file = Origin::whole(path);
                self.list(&text(&octets), true, &file, depth + 1);
                if depth == 0 {
                    let origin = self.line.origin.clone();
                    let why = "its addresses are carried over: later changes to the file have no effect";
                    self.foreign.leave(origin, format!("{what} of {}", self.what), why);
                }
            }
            Err(error) => self.leave(origin, &what, &format!("it cannot be read: {error}")),
        }
    }
}

/// What to do about a program.
pub(super) fn no_counterpart(command: &str) -> &'static str {
    let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
    match program.trim_matches('"').rsplit('/').next().unwrap_or_default() {
        "vacation" => "programs are not started here: set the vacation service",
        "procmail" | "maildrop" => "its rules are not read: set folders and forwards of the account",
        "spamc" | "spamassassin" => "programs are not started here",
        "majordomo" | "wrapper" | "mailman" | "sympa" => {
            "list programs are not started here: leave the address to the mail server"
        }
        _ => "programs are not started here: leave the address to the mail server",
    }
}
