//! `~/.forward` and `~/.vacation.msg`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use pigeon_core::address::Address;

use super::super::targets::{self, Target};
use super::super::{Foreign, Origin, shown, text};
use super::Source;
use super::aliases::no_counterpart;

/// Reads the forwards of the account at a place of the list.
pub(super) fn read(source: &Source<'_>, homes: &BTreeMap<String, String>, foreign: &mut Foreign, at: usize) {
    let Some(address) = foreign.accounts.get(at).map(|account| account.address.clone()) else { return };
    let Some(home) = homes.get(&address.key()).filter(|home| home.starts_with('/')) else { return };
    let path = Path::new(home).join(".forward");
    let name = path.display().to_string();
    let octets = match (source.read)(&path) {
        Ok(octets) => octets,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return;
        }
        Err(error) => {
            return foreign.leave(
                Origin::whole(&name),
                format!("~/.forward of {address}"),
                format!("it cannot be read: {error}"),
            );
        }
    };
    let list = text(&octets);
    // RFC 5228 is not what this says: it is a filter of Exim's, with its own language or Sieve.
    let first = list.lines().next().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with("# exim filter") || first.starts_with("# sieve filter") {
        return foreign.leave(
            Origin::at(&name, 1),
            format!("~/.forward of {address}"),
            "filters are not read: mail is only kept",
        );
    }
    let mut forward = Forward { source, address: &address, to: Vec::new(), is_kept: false, vacation: None };
    for (line, target) in targets::parse(&list, true) {
        forward.take(target, Origin::at(&name, line + 1), foreign);
    }
    let Forward { to, is_kept, vacation, .. } = forward;
    if let Some(origin) = vacation {
        take_vacation(source, home, foreign, at, origin);
    }
    if let Some(account) = foreign.accounts.get_mut(at) {
        account.forward(&to, is_kept);
    }
}

struct Forward<'a> {
    source: &'a Source<'a>,
    address: &'a Address,
    to: Vec<Address>,
    is_kept: bool,
    /// Where vacation is called.
    vacation: Option<Origin>,
}

impl Forward<'_> {
    fn take(&mut self, target: Target, origin: Origin, foreign: &mut Foreign) {
        // What cannot be carried over kept the mail, for all that is known: so a copy is kept here.
        let mut leave = |what: String, why: &str| {
            self.is_kept = true;
            foreign.leave(origin.clone(), format!("{what} in ~/.forward of {}", self.address), why);
        };
        let (parsed, shown_as) = match target {
            Target::Address(text) => (Address::parse(&text), text),
            Target::Local { name, .. } => (Address::from_parts(&name, self.source.domain.clone()), name),
            Target::Program(command) => {
                if no_counterpart(&command).contains("vacation") {
                    self.vacation = Some(origin);
                } else {
                    leave(format!("program `|{}`", shown(&command)), no_counterpart(&command));
                }
                return;
            }
            Target::File(path) => {
                return leave(format!("file `{}`", shown(&path)), "mail is kept in the account's mailbox");
            }
            Target::Include(path) => {
                return leave(
                    format!("included file `{}`", shown(&path)),
                    "it is not read: write its addresses to forward.to",
                );
            }
            Target::Special(text) => return leave(format!("`{}`", shown(&text)), "it has no counterpart"),
        };
        match parsed {
            Ok(to) if to.key() == self.address.key() => self.is_kept = true,
            Ok(to) => self.to.push(to),
            Err(error) => leave(format!("target `{}`", shown(&shown_as)), &error.to_string()),
        }
    }
}

/// vacation(1): the header of the answer with its subject, an empty line, the text; `$SUBJECT` is the mail's.
fn take_vacation(source: &Source<'_>, home: &str, foreign: &mut Foreign, at: usize, origin: Origin) {
    let Some(account) = foreign.accounts.get_mut(at) else { return };
    let what = format!("vacation in ~/.forward of {}", account.address);
    let message = match (source.read)(&Path::new(home).join(".vacation.msg")) {
        Ok(message) => text(&message).replace("\r\n", "\n"),
        Err(error) => {
            return foreign.leave(
                origin,
                what,
                format!("~/.vacation.msg cannot be read ({error}): set the vacation service"),
            );
        }
    };
    let (head, body) = message.split_once("\n\n").unwrap_or(("", &message));
    let is_head = head.lines().all(|line| {
        line.starts_with([' ', '\t']) || line.split_once(':').is_some_and(|(name, _)| !name.contains(' '))
    });
    let (head, body) = if is_head { (head, body) } else { ("", &*message) };
    let subject = head.lines().find_map(|line| {
        line.split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("subject"))
            .map(|(_, value)| value.trim())
    });
    let subject = subject.unwrap_or_default();
    account.set([("vacation.enabled", true.into()), ("vacation.text", body.into())]);
    if !subject.contains("$SUBJECT") {
        account.set([("vacation.subject", subject.into())]);
    }
    let why = "the text is carried over; the options of the program and whom it has answered are not";
    foreign.leave(origin, what, why);
}
