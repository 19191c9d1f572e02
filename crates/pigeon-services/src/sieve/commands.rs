//! The commands that change something: actions, flags, variables, header fields.
//!
//! Source: RFC 5228 §4, RFC 5229 §4, RFC 5232, RFC 5230, RFC 5293, RFC 5429, RFC 5435.

use std::sync::Arc;

use super::conditions::{flags_of, is_same_folder};
use super::engine::{Action, Copy, Notify, Vacation, What};
use super::machine::{Frame, Halt, Machine};
use super::mail::Field;
use super::notify;
use super::program::Op;

/// Header fields that no script may touch (RFC 5293 §6 asks for Received and Auto-Submitted).
const UNTOUCHED: [&str; 2] = ["Received", "Auto-Submitted"];

impl Machine<'_> {
    /// Does what the command says.
    pub(super) fn act(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        match op.name {
            "keep" => {
                let flags = self.flags_for(frame, op);
                self.propose(frame, op, What::Keep, flags)
            }
            "fileinto" => self.file_into(frame, op),
            "redirect" => self.redirect(frame, op),
            "discard" => self.propose(frame, op, What::Discard, Vec::new()),
            "reject" | "ereject" => {
                let (reason, is_extended) = (self.text_at(frame, op, 0), op.name == "ereject");
                self.propose(frame, op, What::Reject { reason, is_extended }, Vec::new())
            }
            "vacation" => self.vacation(frame, op),
            "notify" => self.notify(frame, op),
            "set" => {
                let value = self.modified(op, self.text_at(frame, op, 1));
                let name = self.text_at(frame, op, 0);
                self.set(frame, &name, value);
                Ok(())
            }
            "setflag" | "addflag" | "removeflag" => {
                self.edit_flags(frame, op);
                Ok(())
            }
            "addheader" => self.add_header(frame, op),
            "deleteheader" => self.delete_header(frame, op),
            "replace" | "enclose" | "extracttext" => self.mime_command(frame, op),
            other => Err(Halt::Error(op.line, format!("{other} cannot be run"))),
        }
    }

    /// Adds an action: the same one twice counts once (RFC 5228 §2.10.3), and some cannot go together.
    fn propose(&mut self, frame: &Frame<'_>, op: &Op, what: What, flags: Vec<String>) -> Result<(), Halt> {
        let failed = |message: &str| Err(Halt::Error(op.line, message.to_owned()));
        let cancels = match &what {
            What::Keep | What::Vacation(_) | What::Notify(_) => false,
            What::FileInto { .. } | What::Redirect { .. } => !op.has("copy"),
            What::Discard | What::Reject { .. } => true,
        };
        for known in &self.actions {
            match (&known.what, &what) {
                // RFC 5429 §2.1: a message is not refused and taken.
                (What::Reject { .. }, What::Reject { .. }) => return failed("the message is refused twice"),
                (What::Reject { .. }, other) | (other, What::Reject { .. }) if delivers(other) => {
                    return failed("the message cannot be refused and delivered");
                }
                (What::Reject { .. }, What::Vacation(_)) | (What::Vacation(_), What::Reject { .. }) => {
                    return failed("the message cannot be refused and answered");
                }
                // RFC 5230 §4.7
                (What::Vacation(_), What::Vacation(_)) => return failed("the message is answered twice"),
                _ => {}
            }
        }
        if cancels {
            self.implicit_keep = false;
        }
        if matches!(what, What::Keep) {
            self.implicit_keep = false;
        }
        if let Some(known) = self.actions.iter_mut().find(|known| is_same(&known.what, &what)) {
            // What is said last about the flags counts.
            if !flags.is_empty() {
                known.flags = flags;
            }
            return Ok(());
        }
        if self.actions.len() >= self.world.limits.actions {
            return failed("the script takes too many actions");
        }
        let redirects =
            self.actions.iter().filter(|action| matches!(action.what, What::Redirect { .. })).count();
        if matches!(what, What::Redirect { .. }) && redirects >= self.world.limits.redirects {
            return failed("the script redirects to too many addresses");
        }
        let (mail, script, line) = (Arc::clone(&self.mail), frame.label.clone(), op.line);
        self.actions.push(Action { what, flags, mail, script, line });
        Ok(())
    }

    /// The flags of a copy: those of `:flags`, else those that were set before.
    fn flags_for(&self, frame: &Frame<'_>, op: &Op) -> Vec<String> {
        match op.tag("flags") {
            Some(flags) => flags_of(&self.values(frame, flags)),
            None => self.flags.clone(),
        }
    }

    fn file_into(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let folder = self.text_at(frame, op, 0);
        if !is_folder_name(&folder) {
            return Err(Halt::Error(op.line, format!("{folder:?} is no name of a folder")));
        }
        let flags = self.flags_for(frame, op);
        // RFC 8579 §4 and RFC 9042 §4: without a folder of that use or identifier, the named one is taken. No mail store
        // here knows either.
        self.propose(frame, op, What::FileInto { folder, create: op.has("create") }, flags)
    }

    fn redirect(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let said = self.text_at(frame, op, 0);
        if op.has("list") {
            // RFC 6134 §2.7: to each member of the list.
            let members = self.world.lists.get(&said).cloned();
            let Some(members) = members else {
                return Err(Halt::Error(op.line, format!("there is no list {said:?}")));
            };
            for to in members {
                self.propose(frame, op, What::Redirect { to }, Vec::new())?;
            }
            return Ok(());
        }
        match one_address(&said) {
            Some(to) => self.propose(frame, op, What::Redirect { to }, Vec::new()),
            None => Err(Halt::Error(op.line, format!("{said:?} is no address to redirect to"))),
        }
    }

    fn vacation(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let limits = &self.world.limits;
        let asked =
            op.number("seconds").or_else(|| op.number("days").map(|days| days.saturating_mul(86_400)));
        let (min, max) = limits.vacation;
        let seconds = asked.unwrap_or(limits.vacation_default).max(min);
        let seconds = if max > 0 { seconds.min(max.max(min)) } else { seconds };
        let vacation = Vacation {
            subject: self.tag_text(frame, op, "subject"),
            from: self.tag_text(frame, op, "from"),
            addresses: op.tag("addresses").map(|list| self.values(frame, list)).unwrap_or_default(),
            is_mime: op.has("mime"),
            handle: self.tag_text(frame, op, "handle"),
            seconds,
            reason: self.text_at(frame, op, 0),
            fcc: self.copy(frame, op),
        };
        if let Some(from) = vacation.from.as_deref().filter(|from| one_address(from).is_none()) {
            return Err(Halt::Error(op.line, format!("{from:?} is no address to answer from")));
        }
        self.propose(frame, op, What::Vacation(vacation), Vec::new())
    }

    fn notify(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let method = self.text_at(frame, op, 0);
        if !notify::is_method(&method) {
            return Err(Halt::Error(op.line, format!("{method:?} is no way to notify somebody: mailto: is")));
        }
        let importance = match self.tag_text(frame, op, "importance").as_deref() {
            Some("1") => 1,
            Some("3") => 3,
            _ => 2,
        };
        let from = self.tag_text(frame, op, "from").filter(|from| one_address(from).is_some());
        let message = self.tag_text(frame, op, "message");
        let fcc = self.copy(frame, op);
        self.propose(frame, op, What::Notify(Notify { method, from, importance, message, fcc }), Vec::new())
    }

    /// RFC 8580: where a copy of what is sent is kept.
    fn copy(&self, frame: &Frame<'_>, op: &Op) -> Option<Copy> {
        let folder = self.tag_text(frame, op, "fcc")?;
        let flags = op.tag("flags").map(|flags| flags_of(&self.values(frame, flags))).unwrap_or_default();
        Some(Copy { folder, create: op.has("create"), flags })
    }

    fn edit_flags(&mut self, frame: &mut Frame<'_>, op: &Op) {
        let is_named = op.positional.len() > 1;
        let given = flags_of(&self.texts_at(frame, op, usize::from(is_named)));
        let variable = is_named.then(|| self.text_at(frame, op, 0));
        let mut flags = match &variable {
            Some(name) => flags_of(&[self.variable(frame, name)]),
            None => std::mem::take(&mut self.flags),
        };
        let is_in = |flags: &[String], flag: &str| flags.iter().any(|known| known.eq_ignore_ascii_case(flag));
        match op.name {
            "setflag" => flags = given,
            "addflag" => {
                for flag in given {
                    if !is_in(&flags, &flag) {
                        flags.push(flag);
                    }
                }
            }
            _ => flags.retain(|flag| !is_in(&given, flag)),
        }
        match variable {
            Some(name) => self.set(frame, &name, flags.join(" ")),
            None => self.flags = flags,
        }
    }

    /// A value as the modifiers change it, the one of the highest precedence first (RFC 5229 §4.1).
    pub(super) fn modified(&self, op: &Op, value: String) -> String {
        let mut value = value;
        if op.has("lower") {
            value = value.to_lowercase();
        } else if op.has("upper") {
            value = value.to_uppercase();
        }
        if op.has("lowerfirst") || op.has("upperfirst") {
            let mut letters = value.chars();
            let first: String = letters.next().map_or_else(String::new, |first| {
                if op.has("upperfirst") {
                    first.to_uppercase().to_string()
                } else {
                    first.to_lowercase().to_string()
                }
            });
            value = first + letters.as_str();
        }
        if op.has("quotewildcard") {
            value = quoted(&value, "*?\\");
        } else if op.has("quoteregex") {
            value = quoted(&value, "\\^$.*+?()[]{}|");
        }
        if op.has("encodeurl") {
            value = url_encoded(&value);
        }
        if op.has("length") {
            value = value.chars().count().to_string();
        }
        value
    }

    fn is_protected(&self, name: &str, is_added: bool) -> bool {
        let protected = &self.world.protected;
        let lists = [&protected.both, if is_added { &protected.add } else { &protected.delete }];
        let is_in = |list: &&Vec<String>| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        lists.iter().any(is_in) || UNTOUCHED.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn add_header(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let (name, mut value) = (self.text_at(frame, op, 0), self.text_at(frame, op, 1));
        let failed = |message: String| Err(Halt::Error(op.line, message));
        if !is_field_name(&name) {
            return failed(format!("{name:?} is no name of a header field"));
        }
        // RFC 5293 §4: the value is free text; a line break would end the field.
        value = value
            .split(['\r', '\n', '\0'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if value.len() > self.world.limits.header {
            return failed(format!("the value of {name} is too long"));
        }
        if self.is_protected(&name, true) {
            self.remark(frame, op, format!("{name} may not be added"));
            return Ok(());
        }
        let folded = pigeon_core::compose::fold(&name, &pigeon_core::compose::text_tokens(&value));
        Arc::make_mut(&mut self.mail).add(&name, folded.trim_start(), op.has("last"));
        Ok(())
    }

    fn delete_header(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        let name = self.text_at(frame, op, 0);
        if !is_field_name(&name) {
            return Err(Halt::Error(op.line, format!("{name:?} is no name of a header field")));
        }
        // RFC 5293 §6: the subject may be changed, never be gone for good without another; sites may forbid it.
        if self.is_protected(&name, false) {
            self.remark(frame, op, format!("{name} may not be deleted"));
            return Ok(());
        }
        let matcher = self.matcher(frame, op)?;
        let patterns = (op.positional.len() > 1).then(|| self.texts_at(frame, op, 1));
        let all: Vec<usize> = self
            .mail
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.is(&name))
            .map(|(at, _)| at)
            .collect();
        let chosen: Vec<usize> = match op.number("index").and_then(|index| usize::try_from(index).ok()) {
            None => all,
            Some(index) => {
                let at = if op.has("last") { all.len().checked_sub(index) } else { index.checked_sub(1) };
                at.and_then(|at| all.get(at).copied()).into_iter().collect()
            }
        };
        let is_gone = |at: usize, field: &Field| {
            chosen.contains(&at)
                && patterns.as_ref().is_none_or(|patterns| matcher.any(&[field.text()], patterns).is_some())
        };
        let gone: Vec<usize> = self
            .mail
            .fields
            .iter()
            .enumerate()
            .filter(|(at, field)| is_gone(*at, field))
            .map(|(at, _)| at)
            .collect();
        if !gone.is_empty() {
            Arc::make_mut(&mut self.mail).retain(|at, _| !gone.contains(&at));
        }
        Ok(())
    }

    /// Notes what went wrong without stopping anything.
    pub(super) fn remark(&mut self, frame: &Frame<'_>, op: &Op, message: String) {
        let (script, origin) = (frame.label.clone(), frame.origin);
        self.remarks.push(super::engine::Trouble { script, origin, line: op.line, message });
    }
}

fn delivers(what: &What) -> bool {
    matches!(what, What::Keep | What::FileInto { .. } | What::Redirect { .. })
}

fn is_same(one: &What, two: &What) -> bool {
    let inbox = "INBOX";
    match (one, two) {
        (What::Keep, What::Keep) | (What::Discard, What::Discard) => true,
        (What::FileInto { folder: one, .. }, What::FileInto { folder: two, .. }) => is_same_folder(one, two),
        (What::Keep, What::FileInto { folder, .. }) | (What::FileInto { folder, .. }, What::Keep) => {
            is_same_folder(folder, inbox)
        }
        (What::Redirect { to: one }, What::Redirect { to: two }) => is_same_address(one, two),
        (What::Notify(one), What::Notify(two)) => one.method == two.method && one.message == two.message,
        _ => false,
    }
}

/// RFC 5321 §2.4: the case of a local part may mean something to whoever keeps the mailbox, that of a domain does not.
fn is_same_address(one: &str, two: &str) -> bool {
    match (one.rsplit_once('@'), two.rsplit_once('@')) {
        (Some((local, domain)), Some((other_local, other_domain))) => {
            local == other_local && domain.eq_ignore_ascii_case(other_domain)
        }
        _ => one == two,
    }
}

/// Whether a text may name a folder: printable and not empty.
pub(super) fn is_folder_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 500 && !name.chars().any(char::is_control)
}

/// Whether a text may name a header field (RFC 5322 §2.2).
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// The one address in a text like `Ann <ann@example.org>`; nothing where there is none, or more than one.
pub(super) fn one_address(text: &str) -> Option<String> {
    let specs = crate::address_list::specs(text);
    let [spec] = specs.as_slice() else { return None };
    let (local, domain) = spec.rsplit_once('@')?;
    let is_dotted = |text: &str| text.split('.').all(|part| !part.is_empty());
    let is_local = local.starts_with('"')
        || (is_dotted(local)
            && local
                .chars()
                .all(|letter| letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(letter)));
    let is_domain = domain.starts_with('[')
        || (is_dotted(domain)
            && domain.chars().all(|letter| letter.is_alphanumeric() || "-._".contains(letter)));
    (is_local && is_domain).then(|| spec.clone())
}

fn quoted(value: &str, special: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        if special.contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// RFC 5435 §6, RFC 3986 §2.3: all but letters, digits and four signs become `%XX`.
fn url_encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}
