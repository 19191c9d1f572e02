//! A message as scripts see and change it: header fields, and the tree of its parts.
//!
//! Source: RFC 5322 §2.2, RFC 2045 and RFC 2046. What is not touched stays as it is, to the octet.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::words::{decode_charset, decode_transfer, decode_words};

/// How deep parts may lie in one another; deeper ones are seen as one part.
const MAX_DEPTH: usize = 30;
/// How many parts are told apart.
const MAX_PARTS: usize = 2000;

/// One header field, with its name, colon and line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    raw: Vec<u8>,
    name: usize,
}

impl Field {
    /// A new field; the value is folded already.
    pub(super) fn new(name: &str, value: &str, eol: &str) -> Self {
        let value = value.replace("\r\n", "\n").replace('\n', eol);
        Self { raw: format!("{name}: {value}{eol}").into_bytes(), name: name.len() }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(self.raw.get(..self.name).unwrap_or_default()).trim_end().to_owned()
    }

    /// Whether it has this name, in any case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.raw
            .get(..self.name)
            .is_some_and(|own| own.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value without folding and without blanks around it, as it was written.
    pub(super) fn unfolded(&self) -> String {
        let value = self.raw.get(self.name + 1..).unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        text.replace(['\r', '\n'], "").trim_matches([' ', '\t']).to_owned()
    }

    /// The value as people read it.
    pub(super) fn text(&self) -> String {
        let value = self.unfolded();
        if value.contains("=?") { decode_words(&value).trim_matches([' ', '\t']).to_owned() } else { value }
    }
}

/// The fields of a header block, and what lies behind it.
fn read_fields(bytes: &[u8]) -> (Vec<Field>, usize) {
    let mut fields: Vec<Field> = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr_line(rest);
        let line = rest.get(..length).unwrap_or(rest);
        if line == b"\n" || line == b"\r\n" {
            return (fields, at + length);
        }
        let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
        match (is_folded, fields.last_mut(), line.iter().position(|byte| *byte == b':')) {
            (true, Some(field), _) => field.raw.extend_from_slice(line),
            (false, _, Some(name)) if is_name(line.get(..name).unwrap_or_default()) => {
                fields.push(Field { raw: line.to_vec(), name });
            }
            // No field: the body has begun without a blank line.
            _ => return (fields, at),
        }
        at += length;
    }
    (fields, at)
}

fn memchr_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

fn is_name(name: &[u8]) -> bool {
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    /// The header fields, in order.
    pub(super) fields: Vec<Field>,
    separator: Vec<u8>,
    body: Arc<[u8]>,
    eol: &'static str,
    parts: OnceLock<Arc<Vec<Part>>>,
}

/// One part of a message; the first one is the message itself.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The fields of its own header; empty for the message itself, whose fields are [`Mail::fields`].
    pub(super) fields: Vec<Field>,
    /// `text/plain` and the like, in lower case.
    pub(super) kind: (String, String),
    /// Where header and body lie in the message's body.
    span: Range<usize>,
    /// Where its body lies.
    body: Range<usize>,
    /// How many parts lie in it, at any depth.
    pub(super) inner: usize,
    encoding: String,
    charset: String,
}

impl Mail {
    /// Reads a message.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let (fields, head) = read_fields(bytes);
        let eol = if bytes.get(..memchr_line(bytes)).is_some_and(|line| line.ends_with(b"\r\n")) {
            "\r\n"
        } else {
            "\n"
        };
        let has_separator = fields.iter().map(|field| field.raw.len()).sum::<usize>() < head;
        let separator = if has_separator { eol.as_bytes().to_vec() } else { Vec::new() };
        let body = bytes.get(head..).unwrap_or_default().into();
        Self { fields, separator, body, eol, parts: OnceLock::new() }
    }

    /// The whole message.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 4096);
        for field in &self.fields {
            out.extend_from_slice(&field.raw);
        }
        if self.separator.is_empty() && !self.body.is_empty() && !self.fields.is_empty() {
            out.extend_from_slice(self.eol.as_bytes());
        }
        out.extend_from_slice(&self.separator);
        out.extend_from_slice(&self.body);
        out
    }

    /// The line end that it is written with.
    pub(super) fn eol(&self) -> &'static str {
        self.eol
    }

    /// The fields of that name, in order.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The first field of that name, as people read it.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.named(name).next().map(Field::text)
    }

    /// The octets behind the header.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The parts, the message itself first, then each part before those that lie in it.
    pub(super) fn parts(&self) -> &Arc<Vec<Part>> {
        self.parts.get_or_init(|| {
            let mut all = Vec::new();
            let (kind, boundary, encoding, charset) = content(&self.fields, ("text", "plain"));
            let body = 0..self.body.len();
            all.push(Part {
                fields: Vec::new(),
                kind,
                span: body.clone(),
                body,
                inner: 0,
                encoding,
                charset,
            });
            read_children(&self.body, 0, boundary.as_deref(), 1, &mut all);
            Arc::new(all)
        })
    }

    /// The fields of a part.
    pub(super) fn fields_of(&self, part: usize) -> &[Field] {
        match self.parts().get(part) {
            Some(found) if part > 0 => &found.fields,
            _ => &self.fields,
        }
    }

    /// The body of a part, as it was written.
    pub(super) fn raw_body(&self, part: usize) -> &[u8] {
        self.parts().get(part).and_then(|part| self.body.get(part.body.clone())).unwrap_or_default()
    }

    /// The body of a part, its transfer encoding undone.
    pub(super) fn decoded(&self, part: usize) -> Vec<u8> {
        let encoding = self.parts().get(part).map(|part| part.encoding.as_str()).unwrap_or_default();
        decode_transfer(encoding, self.raw_body(part))
    }

    /// The body of a part as text.
    pub(super) fn text_of(&self, part: usize) -> String {
        let charset = self.parts().get(part).map(|part| part.charset.as_str()).unwrap_or_default();
        decode_charset(charset, &self.decoded(part))
    }

    /// What surrounds the parts of a part (RFC 5173 §5.2): its text before the first one, or the header of the
    /// message that it holds.
    pub(super) fn frame_of(&self, part: usize) -> String {
        let parts = self.parts();
        let Some(found) = parts.get(part) else { return String::new() };
        let end = match parts.get(part + 1).filter(|_| found.inner > 0) {
            Some(child) if found.kind.0 == "message" => child.body.start,
            Some(child) => child.span.start,
            None => found.body.end,
        };
        String::from_utf8_lossy(self.body.get(found.body.start..end).unwrap_or_default()).into_owned()
    }

    /// Puts other octets in the place of parts: header and body of each. The message itself cannot be among them.
    pub(super) fn splice(&mut self, edits: &[(usize, Vec<u8>)]) {
        let parts = Arc::clone(self.parts());
        let mut edits: Vec<(Range<usize>, &[u8])> = edits
            .iter()
            .filter_map(|(part, bytes)| Some((parts.get(*part)?.span.clone(), bytes.as_slice())))
            .collect();
        edits.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
        let mut out = Vec::with_capacity(self.body.len());
        let mut at = 0;
        for (span, bytes) in edits {
            // One that lies in a part that was replaced is gone with it.
            if span.start < at {
                continue;
            }
            out.extend_from_slice(self.body.get(at..span.start).unwrap_or_default());
            out.extend_from_slice(bytes);
            at = span.end;
        }
        out.extend_from_slice(self.body.get(at..).unwrap_or_default());
        self.set_body(out);
    }

    /// Gives the message another body.
    pub(super) fn set_body(&mut self, body: Vec<u8>) {
        self.separator = self.eol.as_bytes().to_vec();
        self.body = body.into();
        self.parts = OnceLock::new();
    }

    /// Adds a field at the top or at the end of the header.
    pub(super) fn add(&mut self, name: &str, value: &str, is_last: bool) {
        let field = Field::new(name, value, self.eol);
        let at = if is_last { self.fields.len() } else { 0 };
        self.fields.insert(at, field);
        self.parts = OnceLock::new();
    }

    /// Keeps only those fields for which `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, &Field) -> bool) {
        let mut at = 0;
        self.fields.retain(|field| {
            at += 1;
            keep(at - 1, field)
        });
        self.parts = OnceLock::new();
    }
}

/// What the header of a part says: kind, boundary, transfer encoding, character set.
fn content(fields: &[Field], default: (&str, &str)) -> ((String, String), Option<String>, String, String) {
    let value = fields.iter().find(|field| field.is("Content-Type")).map(Field::unfolded);
    let encoding = fields.iter().find(|field| field.is("Content-Transfer-Encoding")).map(Field::unfolded);
    let encoding = encoding.unwrap_or_default().to_ascii_lowercase();
    let Some(value) = value else {
        return ((default.0.to_owned(), default.1.to_owned()), None, encoding, String::new());
    };
    let kind = kind_of(&value).unwrap_or_else(|| ("text".to_owned(), "plain".to_owned()));
    let boundary = parameter(&value, "boundary").filter(|boundary| !boundary.is_empty());
    let boundary = boundary.filter(|_| kind.0 == "multipart");
    (kind, boundary, encoding, parameter(&value, "charset").unwrap_or_default())
}

/// Type and subtype of a Content-Type field, in lower case.
pub(super) fn kind_of(value: &str) -> Option<(String, String)> {
    let kind = value.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = kind.split_once('/')?;
    let subtype = subtype.trim().split([' ', '\t', '(']).next().unwrap_or_default();
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let kind = kind.trim();
    (is_token(kind) && is_token(subtype)).then(|| (kind.to_ascii_lowercase(), subtype.to_ascii_lowercase()))
}

/// A parameter of a field like Content-Type or Content-Disposition (RFC 2045 §5.1, RFC 2231 §3 and §4).
pub(super) fn parameter(value: &str, name: &str) -> Option<String> {
    let mut pieces: Vec<(usize, bool, String)> = Vec::new();
    for (key, text) in parameters(value) {
        if key.eq_ignore_ascii_case(name) {
            return Some(decode_words(&text));
        }
        let Some((base, rest)) = key.split_once('*') else { continue };
        if !base.eq_ignore_ascii_case(name) {
            continue;
        }
        let is_encoded = rest.is_empty() || rest.ends_with('*');
        let number = rest.trim_end_matches('*').parse().unwrap_or(0);
        pieces.push((number, is_encoded, text));
    }
    pieces.sort_by_key(|(number, ..)| *number);
    let mut charset = String::new();
    let mut octets = Vec::new();
    for (at, (_, is_encoded, text)) in pieces.iter().enumerate() {
        let mut text = text.as_str();
        if at == 0 && *is_encoded {
            let mut split = text.splitn(3, '\'');
            if let (Some(set), Some(_), Some(rest)) = (split.next(), split.next(), split.next()) {
                set.clone_into(&mut charset);
                text = rest;
            }
        }
        if *is_encoded {
            super::words::unescape(text.as_bytes(), b'%', false, &mut octets);
        } else {
            octets.extend_from_slice(text.as_bytes());
        }
    }
    (!pieces.is_empty()).then(|| decode_charset(&charset, &octets))
}

/// Every parameter behind the first semicolon.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = value.split_once(';').map(|(_, rest)| rest).unwrap_or_default();
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (text, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (text, tail) = after.split_at(end);
                (text.trim().to_owned(), tail)
            }
        };
        all.push((key.trim_start_matches([';', ' ', '\t']).trim_end().to_owned(), text));
        rest = tail.split_once(';').map(|(_, rest)| rest).unwrap_or_default();
    }
    all
}

fn quoted_text(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (out, text.get(at + 1..).unwrap_or_default()),
            '\\' => out.extend(letters.next().map(|(_, letter)| letter)),
            other => out.push(other),
        }
    }
    (out, "")
}

/// Reads what lies in the part at `at`; gives the number of parts to its parents.
fn read_children(bytes: &[u8], at: usize, boundary: Option<&str>, depth: usize, all: &mut Vec<Part>) {
    let Some((body, kind)) = all.get(at).map(|part| (part.body.clone(), part.kind.clone())) else { return };
    let is_message = kind.0 == "message" && matches!(&*kind.1, "rfc822" | "global");
    let spans = match boundary {
        Some(boundary) if depth <= MAX_DEPTH => split(bytes, &body, boundary),
        _ if is_message && depth <= MAX_DEPTH => vec![body],
        _ => return,
    };
    let default = if kind.1 == "digest" { ("message", "rfc822") } else { ("text", "plain") };
    for span in spans {
        if all.len() >= MAX_PARTS {
            break;
        }
        let (fields, head) = read_fields(bytes.get(span.clone()).unwrap_or_default());
        let (kind, boundary, encoding, charset) = content(&fields, default);
        let body = span.start + head..span.end;
        let child = all.len();
        all.push(Part { fields, kind, span, body, inner: 0, encoding, charset });
        read_children(bytes, child, boundary.as_deref(), depth + 1, all);
    }
    let inner = all.len() - at - 1;
    if let Some(part) = all.get_mut(at) {
        part.inner = inner;
    }
}

/// The parts between the boundary's lines (RFC 2046 §5.1.1): the line end in front of a boundary is the boundary's.
fn split(bytes: &[u8], body: &Range<usize>, boundary: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut open = None;
    let mut at = body.start;
    while at < body.end {
        let rest = bytes.get(at..body.end).unwrap_or_default();
        let length = memchr_line(rest);
        let line = rest.get(..length).unwrap_or(rest).trim_ascii_end();
        let tail = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        if matches!(tail, Some(b"" | b"--")) {
            if let Some(start) = open {
                spans.push(start..without_line_end(bytes, start, at));
            }
            open = (tail == Some(b"")).then_some(at + length);
            if open.is_none() {
                return spans;
            }
        }
        at += length;
    }
    if let Some(start) = open {
        spans.push(start..body.end);
    }
    spans
}

fn without_line_end(bytes: &[u8], start: usize, end: usize) -> usize {
    let text = bytes.get(start..end).unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    start + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "Subject: hi\r\nContent-Type: multipart/mixed; boundary=\"x y\"\r\n\r\npre\r\n--x y\r\n\
                         \r\none\r\n--x y\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--x y--\r\nend\r\n";

    #[test]
    fn parts_are_found() {
        let mail = Mail::parse(MIXED.as_bytes());
        let kinds: Vec<&str> = mail.parts().iter().map(|part| part.kind.1.as_str()).collect();
        assert_eq!(kinds, ["mixed", "plain", "rfc822", "plain"]);
        assert_eq!(mail.raw_body(1), b"one");
        assert_eq!(mail.raw_body(3), b"two");
        assert_eq!(mail.parts()[0].inner, 3);
        assert_eq!(mail.bytes(), MIXED.as_bytes());
    }

    #[test]
    fn parts_are_replaced() {
        let mut mail = Mail::parse(MIXED.as_bytes());
        mail.splice(&[(1, b"\r\nnew".to_vec())]);
        assert_eq!(mail.bytes(), MIXED.replace("\r\none", "\r\nnew").as_bytes());
    }

    #[test]
    fn fields_are_read_and_changed() {
        let mut mail = Mail::parse(b"A: 1\n  2 \nb : =?utf-8?q?=C3=84?=\n\nbody\n");
        assert_eq!(mail.value("a").as_deref(), Some("1  2"));
        assert_eq!(mail.value("B").as_deref(), Some("Ä"));
        mail.add("C", "3", true);
        mail.retain(|_, field| !field.is("A"));
        assert_eq!(mail.bytes(), b"b : =?utf-8?q?=C3=84?=\nC: 3\n\nbody\n");
    }

    #[test]
    fn parameters_are_read() {
        let check =
            |value: &str, expect: Option<&str>| assert_eq!(parameter(value, "name").as_deref(), expect);
        check("text/plain; name=x; b=y", Some("x"));
        check("text/plain; a=\"1;2\"; NAME=\"x \\\"y\"", Some("x \"y"));
        check("text/plain; name*=utf-8''%C3%84", Some("Ä"));
        check("text/plain; name*0=a; name*1=b", Some("ab"));
        check("text/plain", None);
    }
}
