//! Commands that look into and change the parts of a message (RFC 5703).

use std::sync::Arc;

use super::machine::{Frame, Halt, Machine};
use super::mail::Mail;
use super::program::Op;

/// How much text `extracttext` takes at most, in characters, before a variable's own limit.
const MAX_EXTRACT: u64 = 1 << 20;

impl Machine<'_> {
    /// Does what `replace`, `enclose` or `extracttext` says.
    pub(super) fn mime_command(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        match op.name {
            "replace" => self.replace(frame, op),
            "enclose" => self.enclose(frame, op),
            _ => self.extract(frame, op)?,
        }
        Ok(())
    }

    fn extract(&mut self, frame: &mut Frame<'_>, op: &Op) -> Result<(), Halt> {
        // RFC 5703 §7: it makes sense inside of foreverypart alone.
        let Some(part) = self.part else {
            return Err(Halt::Error(op.line, "extracttext stands outside of foreverypart".to_owned()));
        };
        let is_text = self.mail.parts().get(part).is_some_and(|part| part.kind.0 == "text");
        let text = if is_text { self.mail.text_of(part) } else { String::new() };
        let first = op.number("first").unwrap_or(MAX_EXTRACT).min(MAX_EXTRACT);
        let text: String = text.chars().take(usize::try_from(first).unwrap_or(usize::MAX)).collect();
        let name = self.text_at(frame, op, 0);
        let value = self.modified(op, text);
        self.set(frame, &name, value);
        Ok(())
    }

    /// RFC 5703 §5: another part in the place of the current one, or another body in the place of the message's.
    fn replace(&mut self, frame: &mut Frame<'_>, op: &Op) {
        let text = self.text_at(frame, op, 0);
        let eol = self.mail.eol();
        let entity = if op.has("mime") { with_eol(&text, eol) } else { plain_entity(&text, eol) };
        match self.part.filter(|part| *part > 0) {
            Some(part) => {
                self.edits.retain(|(known, _)| *known != part);
                self.edits.push((part, entity.into_bytes()));
            }
            None => {
                let subject = self.tag_text(frame, op, "subject");
                let from = self.tag_text(frame, op, "from");
                self.replace_body(&entity, subject.as_deref(), from.as_deref());
            }
        }
    }

    fn replace_body(&mut self, entity: &str, subject: Option<&str>, from: Option<&str>) {
        self.edits.clear();
        let mail = Arc::make_mut(&mut self.mail);
        let inner = Mail::parse(entity.as_bytes());
        mail.retain(|_, field| {
            let is_mime =
                field.name().to_ascii_lowercase().starts_with("content-") || field.is("MIME-Version");
            let is_changed =
                (subject.is_some() && field.is("Subject")) || (from.is_some() && field.is("From"));
            !is_mime && !is_changed
        });
        for (name, value) in [("From", from), ("Subject", subject)] {
            if let Some(value) = value {
                let tokens = if name == "From" {
                    pigeon_core::compose::wire_tokens(value)
                } else {
                    pigeon_core::compose::text_tokens(value)
                };
                let folded = pigeon_core::compose::fold(name, &tokens);
                mail.add(name, folded.trim_start(), true);
            }
        }
        mail.add("MIME-Version", "1.0", true);
        mail.fields.extend(inner.fields.iter().filter(|field| !field.is("MIME-Version")).cloned());
        mail.set_body(inner.body().to_vec());
    }

    /// RFC 5703 §6: the message becomes an attachment of another one.
    fn enclose(&mut self, frame: &mut Frame<'_>, op: &Op) {
        self.finish_edits();
        let text = self.text_at(frame, op, 0);
        let subject = self.tag_text(frame, op, "subject");
        let headers = op.tag("headers").map(|list| self.values(frame, list)).unwrap_or_default();
        let original = self.mail.bytes();
        let eol = self.mail.eol();
        let boundary = boundary(&original);
        let mail = Arc::make_mut(&mut self.mail);
        // RFC 5703 §6: trace fields stay outside; all others are those of the message that is enclosed.
        mail.retain(|_, field| {
            ["Received", "Return-Path", "Delivered-To", "From", "To", "Cc", "Date", "Message-ID"]
                .iter()
                .any(|kept| field.is(kept))
                || (subject.is_none() && field.is("Subject"))
        });
        if let Some(subject) = &subject {
            let folded = pigeon_core::compose::fold("Subject", &pigeon_core::compose::text_tokens(subject));
            mail.add("Subject", folded.trim_start(), true);
        }
        for header in &headers {
            if let Some((name, value)) = header.split_once(':')
                && super::commands::is_field_name(name.trim())
            {
                let folded =
                    pigeon_core::compose::fold(name.trim(), &pigeon_core::compose::text_tokens(value.trim()));
                mail.add(name.trim(), folded.trim_start(), true);
            }
        }
        mail.add("MIME-Version", "1.0", true);
        mail.add("Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""), true);
        let mut body =
            format!("--{boundary}{eol}{}{eol}--{boundary}{eol}", plain_entity(&text, eol)).into_bytes();
        body.extend_from_slice(format!("Content-Type: message/rfc822{eol}{eol}").as_bytes());
        body.extend_from_slice(&original);
        body.extend_from_slice(format!("{eol}--{boundary}--{eol}").as_bytes());
        mail.set_body(body);
    }
}

/// A part of plain text.
fn plain_entity(text: &str, eol: &str) -> String {
    let text = with_eol(text, eol);
    format!("Content-Type: text/plain; charset=utf-8{eol}Content-Transfer-Encoding: 8bit{eol}{eol}{text}")
}

/// The text with these line ends.
pub(super) fn with_eol(text: &str, eol: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', eol)
}

/// A boundary that does not stand in the message, and is the same for the same message.
fn boundary(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mark = pigeon_core::compose::fingerprint(&[&text]);
    let mut boundary = format!("=_{mark}");
    while text.contains(&boundary) {
        boundary.push('x');
    }
    boundary
}
