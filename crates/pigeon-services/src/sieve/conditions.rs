//! The tests of RFC 5228 and its extensions that look at the message, the envelope and the world.

use super::engine::Question;
use super::machine::{Frame, Halt, Machine};
use super::mail::{Field, kind_of, parameter};
use super::matching::{MatchType, Matcher};
use super::moment::{Moment, zone};
use super::program::Op;
use super::{EXTENSIONS, HARMLESS, notify};

impl Machine<'_> {
    /// Whether the test holds.
    pub(super) fn condition(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        let (values, keys) = match op.name {
            "header" => (self.header_values(frame, op)?, 1),
            "address" => (self.address_values(frame, op), 1),
            "envelope" => (self.envelope_values(frame, op), 1),
            "string" => {
                let matcher = self.matcher(frame, op)?;
                let mut values = self.texts_at(frame, op, 0);
                if matches!(matcher.kind, MatchType::Count(_)) {
                    // RFC 5229 §5: empty strings do not count.
                    values.retain(|value| !value.is_empty());
                }
                (values, 1)
            }
            "date" => (self.date_values(frame, op)?, 2),
            "currentdate" => (self.current_date(frame, op)?, 1),
            "hasflag" => return self.has_flag(frame, op),
            "body" => return self.body(frame, op),
            "environment" => {
                let name = self.text_at(frame, op, 0).to_ascii_lowercase();
                (self.world.environment.get(&name).cloned().into_iter().collect(), 1)
            }
            "spamtest" => (vec![self.spam_value(op.has("percent"))], 0),
            "virustest" => (vec![self.virus_value()], 0),
            "metadata" | "servermetadata" => {
                let is_server = op.name == "servermetadata";
                let mailbox = if is_server { String::new() } else { self.text_at(frame, op, 0) };
                let at = usize::from(!is_server);
                let name = self.text_at(frame, op, at);
                (self.annotation(&mailbox, &name).into_iter().collect(), at + 1)
            }
            "notify_method_capability" => {
                let is_online = self.text_at(frame, op, 1).eq_ignore_ascii_case("online");
                let is_known = notify::is_method(&self.text_at(frame, op, 0));
                // RFC 5436 §2.5: whether somebody reads mail now is not known.
                let values = if is_online && is_known { vec!["maybe".to_owned()] } else { Vec::new() };
                (values, 2)
            }
            _ => return self.plain_condition(frame, op),
        };
        let keys = self.texts_at(frame, op, keys);
        let matcher = self.matcher(frame, op)?;
        Ok(self.holds(frame, matcher, &values, &keys))
    }

    fn holds(&self, frame: &mut Frame<'_>, matcher: Matcher, values: &[String], keys: &[String]) -> bool {
        if matcher.kind == MatchType::List {
            let is_listed = |value: &String| keys.iter().any(|list| self.is_listed(list, value));
            return values.iter().any(is_listed);
        }
        match matcher.any(values, keys) {
            Some(captures) => {
                if !captures.is_empty() {
                    frame.captures = captures;
                }
                true
            }
            None => false,
        }
    }

    fn is_listed(&self, list: &str, value: &str) -> bool {
        let members = self.world.lists.get(list).map(Vec::as_slice).unwrap_or_default();
        members.iter().any(|member| member.eq_ignore_ascii_case(value))
    }

    fn plain_condition(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        let texts = self.texts_at(frame, op, 0);
        Ok(match op.name {
            "exists" => {
                let fields = self.fields(op);
                texts.iter().all(|name| fields.iter().any(|field| field.is(name)))
            }
            "size" => match (op.number("over"), op.number("under")) {
                (Some(limit), _) => self.world.size > limit,
                (_, Some(limit)) => self.world.size < limit,
                _ => false,
            },
            "ihave" => {
                let is_there = |name: &String| EXTENSIONS.contains(&&**name) || HARMLESS.contains(&&**name);
                texts.iter().all(is_there)
            }
            "mailboxexists" => {
                let folders = self.folders()?;
                texts.iter().all(|name| is_folder(folders, name))
            }
            "specialuse_exists" => {
                // What is used for what is known to IMAP servers alone.
                false
            }
            "metadataexists" => {
                let names = self.texts_at(frame, op, 1);
                let mailbox = self.text_at(frame, op, 0);
                names.iter().all(|name| self.annotation(&mailbox, name).is_some())
            }
            "servermetadataexists" => texts.iter().all(|name| self.annotation("", name).is_some()),
            "valid_notify_method" => texts.iter().all(|method| notify::is_method(method)),
            "valid_ext_list" => texts.iter().all(|list| self.world.lists.contains_key(list)),
            "duplicate" => self.is_duplicate(frame, op)?,
            // mailboxidexists: no mail store here has identifiers of folders (RFC 9042).
            _ => false,
        })
    }

    /// The folders of the mailbox.
    pub(super) fn folders(&self) -> Result<&[String], Halt> {
        self.world.folders.as_deref().ok_or(Halt::Ask(Question::Folders))
    }

    fn annotation(&self, mailbox: &str, name: &str) -> Option<String> {
        let fits = |(at, known, _): &&(String, String, String)| {
            is_same_folder(at, mailbox) && known.eq_ignore_ascii_case(name)
        };
        self.world.annotations.iter().find(fits).map(|(_, _, value)| value.clone())
    }

    /// RFC 5235 §3.2: 0 for not tested, 1 for clear, 10 for spam; or percent.
    fn spam_value(&self, is_percent: bool) -> String {
        if let Some(level) = self.world.spam_level.filter(|_| !is_percent) {
            return level.min(10).to_string();
        }
        match self.world.spam.filter(|ratio| *ratio >= 0.0) {
            None => "0".to_owned(),
            Some(ratio) if is_percent => format!("{:.0}", (ratio.min(1.0) * 100.0 + 0.001).floor()),
            Some(ratio) => format!("{:.0}", (ratio.min(1.0) * 9.0 + 1.001).floor()),
        }
    }

    /// RFC 5235 §3.3: 0 for not tested, 1 for clear, 5 for a virus.
    fn virus_value(&self) -> String {
        match self.world.virus.filter(|ratio| *ratio >= 0.0) {
            None => "0".to_owned(),
            Some(ratio) => format!("{:.0}", (ratio.min(1.0) * 4.0 + 1.001).floor()),
        }
    }

    /// The fields that a test looks at: those of the message, or with `:mime` of the part that `foreverypart` is at.
    fn fields(&self, op: &Op) -> Vec<&Field> {
        if !op.has("mime") {
            return self.mail.fields.iter().collect();
        }
        let parts = self.mail.parts();
        let at = self.part.unwrap_or(0);
        let last = if op.has("anychild") { at + parts.get(at).map_or(0, |part| part.inner) } else { at };
        (at..=last).flat_map(|part| self.mail.fields_of(part)).collect()
    }

    /// The fields of a name, or the one that `:index` and `:last` choose (RFC 5260 §6).
    fn indexed<'f>(fields: &[&'f Field], op: &Op, name: &str) -> Vec<&'f Field> {
        let named: Vec<&Field> = fields.iter().copied().filter(|field| field.is(name)).collect();
        let Some(index) = op.number("index").and_then(|index| usize::try_from(index).ok()) else {
            return named;
        };
        let at = if op.has("last") { named.len().checked_sub(index) } else { index.checked_sub(1) };
        at.and_then(|at| named.get(at).copied()).into_iter().collect()
    }

    fn header_values(&self, frame: &Frame<'_>, op: &Op) -> Result<Vec<String>, Halt> {
        let fields = self.fields(op);
        let parameters = op.tag("param").map(|names| self.values(frame, names)).unwrap_or_default();
        let mut values = Vec::new();
        for name in self.texts_at(frame, op, 0) {
            for field in Self::indexed(&fields, op, &name) {
                if op.has("param") {
                    values.extend(parameters.iter().filter_map(|name| parameter(&field.unfolded(), name)));
                } else if op.has("type") || op.has("subtype") || op.has("contenttype") {
                    let value = field.unfolded();
                    let plain = || value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                    // RFC 5703 §4.2: Content-Disposition has a type and no subtype.
                    values.push(match kind_of(&value) {
                        Some((kind, _)) if op.has("type") => kind,
                        Some((_, subtype)) if op.has("subtype") => subtype,
                        Some((kind, subtype)) => format!("{kind}/{subtype}"),
                        None if op.has("subtype") => String::new(),
                        None => plain(),
                    });
                } else {
                    values.push(field.text());
                }
            }
        }
        Ok(values)
    }

    fn address_values(&self, frame: &Frame<'_>, op: &Op) -> Vec<String> {
        let fields = self.fields(op);
        let mut values = Vec::new();
        for name in self.texts_at(frame, op, 0) {
            for field in Self::indexed(&fields, op, &name) {
                for spec in crate::address_list::specs(&field.unfolded()) {
                    values.extend(self.address_part(op, &spec));
                }
            }
        }
        values
    }

    fn envelope_values(&self, frame: &Frame<'_>, op: &Op) -> Vec<String> {
        let paths = &self.world.paths;
        let mut values = Vec::new();
        for name in self.texts_at(frame, op, 0) {
            match &*name.to_ascii_lowercase() {
                // RFC 5228 §5.4: the null sender is the empty string, whatever part is asked for.
                "from" if paths.from.is_empty() => values.push(String::new()),
                "from" => values.extend(self.address_part(op, &paths.from)),
                "to" => values.extend(self.address_part(op, &paths.to)),
                "orig_to" | "orig-to" => values.extend(self.address_part(op, &paths.original_to)),
                "auth" if !paths.auth.is_empty() => values.extend(self.address_part(op, &paths.auth)),
                _ => {}
            }
        }
        values
    }

    /// The part of an address that is asked for (RFC 5228 §2.7.4, RFC 5233); nothing where there is no such part.
    fn address_part(&self, op: &Op, spec: &str) -> Option<String> {
        let split = spec.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let is_partial = ["localpart", "domain", "user", "detail"].iter().any(|part| op.has(part));
        if !is_partial {
            return Some(spec.to_owned());
        }
        let (local, domain) = split?;
        if op.has("domain") {
            return Some(domain.to_owned());
        }
        let local = unquoted(local);
        let delimiter = self.world.delimiter.as_str();
        let detailed =
            if delimiter.is_empty() { None } else { local.split_once(|letter| delimiter.contains(letter)) };
        match (op.has("user"), op.has("detail")) {
            (true, _) => Some(detailed.map_or(local.as_str(), |(user, _)| user).to_owned()),
            (_, true) => detailed.map(|(_, detail)| detail.to_owned()),
            _ => Some(local),
        }
    }

    fn zoned(&self, frame: &Frame<'_>, op: &Op, moment: Moment) -> Result<Moment, Halt> {
        match self.tag_text(frame, op, "zone") {
            Some(text) => {
                let zone =
                    zone(&text).ok_or_else(|| Halt::Error(op.line, format!("{text:?} is no time zone")))?;
                Ok(moment.in_zone(zone))
            }
            None if op.has("originalzone") => Ok(moment),
            None => Ok(moment.in_zone(self.world.now.zone)),
        }
    }

    fn date_values(&self, frame: &Frame<'_>, op: &Op) -> Result<Vec<String>, Halt> {
        let name = self.text_at(frame, op, 0);
        let part = self.text_at(frame, op, 1).to_ascii_lowercase();
        let fields: Vec<&Field> = self.mail.fields.iter().collect();
        let mut values = Vec::new();
        for field in Self::indexed(&fields, op, &name) {
            let value = field.unfolded();
            // RFC 5322 §3.6.7: what lies behind the last semicolon of a Received field.
            let text = value.rsplit_once(';').map_or(value.as_str(), |(_, date)| date);
            let Some(moment) = Moment::parse(text) else { continue };
            values.extend(self.zoned(frame, op, moment)?.part(&part));
        }
        Ok(values)
    }

    fn current_date(&self, frame: &Frame<'_>, op: &Op) -> Result<Vec<String>, Halt> {
        let part = self.text_at(frame, op, 0).to_ascii_lowercase();
        Ok(self.zoned(frame, op, self.world.now)?.part(&part).into_iter().collect())
    }

    fn has_flag(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        let matcher = self.matcher(frame, op)?;
        let (values, keys) = if op.positional.len() > 1 {
            let variables = self.texts_at(frame, op, 0);
            let held = variables.iter().flat_map(|name| flags_of(&[self.variable(frame, name)]));
            (held.collect(), self.texts_at(frame, op, 1))
        } else {
            (self.flags.clone(), self.texts_at(frame, op, 0))
        };
        // RFC 5232 §4: a key may list several flags.
        let keys = if matches!(matcher.kind, MatchType::Count(_)) { keys } else { flags_of(&keys) };
        Ok(self.holds(frame, matcher, &values, &keys))
    }

    fn body(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        let matcher = self.matcher(frame, op)?;
        let keys = self.texts_at(frame, op, 0);
        let values = if op.has("raw") {
            vec![String::from_utf8_lossy(self.mail.body()).into_owned()]
        } else {
            let wanted = op.tag("content").map(|kinds| self.values(frame, kinds));
            self.body_texts(wanted.as_deref())
        };
        // RFC 5173 §6: this test sets no match variables.
        let before = std::mem::take(&mut frame.captures);
        let holds = self.holds(frame, matcher, &values, &keys);
        frame.captures = before;
        Ok(holds)
    }

    /// The parts' texts (RFC 5173 §5): those of these kinds, or those that are text.
    fn body_texts(&self, kinds: Option<&[String]>) -> Vec<String> {
        let mut texts = Vec::new();
        for (at, part) in self.mail.parts().iter().enumerate() {
            let (kind, subtype) = (part.kind.0.as_str(), part.kind.1.as_str());
            let whole = format!("{kind}/{subtype}");
            let is_wanted = match kinds {
                None => kind == "text",
                Some(kinds) => kinds.iter().any(|wanted| {
                    let wanted = wanted.to_ascii_lowercase();
                    // RFC 5173 §5.2: what is no type matches nothing.
                    wanted.is_empty() || if wanted.contains('/') { wanted == whole } else { wanted == kind }
                }),
            };
            if !is_wanted {
                continue;
            }
            if kind == "multipart" || whole == "message/rfc822" {
                texts.push(self.mail.frame_of(at));
            } else if kinds.is_none() && subtype == "html" {
                texts.push(mail_parser::decoders::html::html_to_text(&self.mail.text_of(at)));
            } else {
                texts.push(self.mail.text_of(at));
            }
        }
        texts
    }

    /// Whether this was seen before (RFC 7352); if not, it is to be remembered.
    fn is_duplicate(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<bool, Halt> {
        /// A day and a half: mail that comes twice comes soon.
        const DEFAULT_SECONDS: u64 = 129_600;
        /// A quarter of a year.
        const MAX_SECONDS: u64 = 90 * 86_400;
        let id = match self.tag_text(frame, op, "uniqueid") {
            Some(id) => Some(id),
            None => {
                let header = self.tag_text(frame, op, "header").unwrap_or_else(|| "Message-ID".to_owned());
                self.mail.named(&header).next().map(Field::unfolded)
            }
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(false) };
        let handle = self.tag_text(frame, op, "handle").unwrap_or_default();
        let key = format!("duplicate:{}", pigeon_core::compose::fingerprint(&[&handle, &id]));
        let Some(is_seen) = self.world.seen.get(&key).copied() else {
            return Err(Halt::Ask(Question::Seen(key)));
        };
        let seconds = op.number("seconds").unwrap_or(DEFAULT_SECONDS).min(MAX_SECONDS);
        if (!is_seen || op.has("last")) && !self.marks.iter().any(|(known, _)| *known == key) {
            self.marks.push((key, seconds));
        }
        Ok(is_seen)
    }
}

/// The local part without its quotes.
fn unquoted(local: &str) -> String {
    match local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) {
        Some(inner) => {
            let mut out = String::new();
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
            }
            out
        }
        None => local.to_owned(),
    }
}

/// Flags out of lists of flags (RFC 5232 §2), each once.
pub(super) fn flags_of(texts: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for flag in texts.iter().flat_map(|text| text.split_ascii_whitespace()) {
        if !all.iter().any(|known| known.eq_ignore_ascii_case(flag)) {
            all.push(flag.to_owned());
        }
    }
    all
}

/// Whether two names are the same folder: the INBOX in any case.
pub(super) fn is_same_folder(one: &str, two: &str) -> bool {
    one == two || (one.eq_ignore_ascii_case("INBOX") && two.eq_ignore_ascii_case("INBOX"))
}

/// Whether there is a folder of that name; the INBOX always is.
pub(super) fn is_folder(folders: &[String], name: &str) -> bool {
    name.eq_ignore_ascii_case("INBOX") || folders.iter().any(|known| known == name)
}
