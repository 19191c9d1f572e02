//! Writes messages of our own: header fields that no input can break out of, and plain text bodies.
//!
//! Source: RFC 5322 §2.2.3 (folding) and §3.6 (fields), RFC 2047 (encoded words), RFC 2045 §6.7
//! (quoted-printable). Lines end with LF, as the core keeps messages.

use crate::address::Address;
use crate::timestamp::Timestamp;
use data_encoding::BASE64;

/// Lines are folded before this column where they can be (RFC 5322 §2.1.1).
const SOFT_COLUMNS: usize = 78;
/// No token is longer, so that no line can pass the hard limit of 998 octets (RFC 5322 §2.1.1).
const MAX_TOKEN_OCTETS: usize = 900;
/// Longest name in a From or To field, in characters.
const MAX_NAME_LETTERS: usize = 200;
/// Octets in one encoded word: 60 letters of base64, 72 in all of the 75 that RFC 2047 §2 allows.
const ENCODED_WORD_OCTETS: usize = 45;
/// A References field keeps so many identifiers at most.
const MAX_REFERENCES: usize = 20;

/// A message of our own, before it is written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The person's name in the From field; may be empty.
    pub from_name: &'a str,
    /// Who it is from.
    pub from: &'a Address,
    /// Who it is for.
    pub to: &'a Address,
    /// The words of the subject, from [`text_tokens`] or [`wire_tokens`].
    pub subject: Vec<String>,
    /// When it was written.
    pub date: Timestamp,
    /// From [`message_id`].
    pub message_id: String,
    /// `auto-replied` or `auto-generated` (RFC 3834 §5.1).
    pub auto_submitted: &'static str,
    /// The identifier of the message that this one answers, and its References; from [`thread`].
    pub thread: Option<(String, Vec<String>)>,
    /// The text, in any line ends.
    pub text: &'a str,
}

impl Draft<'_> {
    /// The whole message.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = String::new();
        let from_angle = format!("<{}>", self.from);
        let mut from = phrase_tokens(self.from_name);
        from.push(if from.is_empty() { self.from.to_string() } else { from_angle });
        put_field(&mut out, "Date", &[self.date.to_rfc5322()]);
        put_field(&mut out, "From", &from);
        put_field(&mut out, "To", &[self.to.to_string()]);
        put_field(&mut out, "Subject", &self.subject);
        put_field(&mut out, "Message-ID", std::slice::from_ref(&self.message_id));
        if let Some((answered, references)) = &self.thread {
            put_field(&mut out, "In-Reply-To", std::slice::from_ref(answered));
            put_field(&mut out, "References", references);
        }
        put_field(&mut out, "Auto-Submitted", &[self.auto_submitted.to_owned()]);
        put_field(&mut out, "MIME-Version", &["1.0".to_owned()]);
        put_body(&mut out, self.text);
        out
    }
}

/// A Message-ID of our own that differs for every other `parts` and every other moment.
#[must_use]
pub fn message_id(kind: &str, now: Timestamp, parts: &[&str], hostname: &str) -> String {
    format!("<{kind}.{}.{}@{hostname}>", now.micros(), fingerprint(parts))
}

/// Sixteen hexadecimal digits that stand for some texts, the same on every node (FNV-1a, 64 bit).
#[must_use]
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// What In-Reply-To and References of an answer hold (RFC 5322 §3.6.4), from the answered message's fields.
#[must_use]
pub fn thread(message_id: &str, references: &str) -> Option<(String, Vec<String>)> {
    let answered = identifiers(message_id).next()?;
    let mut all: Vec<String> = identifiers(references).filter(|known| *known != answered).collect();
    all.push(answered.clone());
    if all.len() > MAX_REFERENCES {
        // The first one names the thread, the last ones the place in it.
        all.drain(1..=all.len() - MAX_REFERENCES);
    }
    Some((answered, all))
}

fn identifiers(value: &str) -> impl Iterator<Item = String> {
    let is_one = |word: &&str| {
        word.len() > 2
            && word.len() <= MAX_TOKEN_OCTETS
            && word.starts_with('<')
            && word.ends_with('>')
            && word.bytes().all(|byte| byte.is_ascii_graphic())
    };
    value.split_whitespace().filter(is_one).map(str::to_owned)
}

/// The words of a text, encoded where a header field cannot hold them as they are (RFC 2047 §2).
#[must_use]
pub fn text_tokens(text: &str) -> Vec<String> {
    if text.is_ascii() && !text.contains("=?") { words(text).collect() } else { encoded_words(text) }
}

/// The words of a field's value as another message had it: encoded words stay what they are.
#[must_use]
pub fn wire_tokens(value: &str) -> Vec<String> {
    if value.is_ascii() { words(value).collect() } else { encoded_words(value) }
}

/// A field's value from words: folded at the soft limit, the first line as if behind `name: `.
#[must_use]
pub fn fold(name: &str, tokens: &[String]) -> String {
    let mut value = String::new();
    let mut column = name.len() + 1;
    for token in tokens {
        let token = cut(token, MAX_TOKEN_OCTETS);
        if !value.is_empty() && column + 1 + token.len() > SOFT_COLUMNS {
            value.push('\n');
            column = 0;
        }
        if !value.is_empty() {
            value.push(' ');
        }
        // A control character in a token, line breaks among them, would end the field.
        value.extend(token.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
        column += 1 + token.len();
    }
    value
}

fn put_field(out: &mut String, name: &str, tokens: &[String]) {
    out.push_str(name);
    out.push_str(": ");
    out.push_str(&fold(name, tokens));
    out.push('\n');
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
}

fn encoded_words(text: &str) -> Vec<String> {
    let clean: String =
        text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = String::new();
    for letter in clean.chars() {
        // RFC 2047 §5: an encoded word holds whole characters.
        if piece.len() + letter.len_utf8() > ENCODED_WORD_OCTETS {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(letter);
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    pieces.iter().map(|piece| format!("=?UTF-8?B?{}?=", BASE64.encode(piece.as_bytes()))).collect()
}

/// The words of a person's name (RFC 5322 §3.2.5 phrase): atoms, a quoted string, or encoded words.
fn phrase_tokens(name: &str) -> Vec<String> {
    let name: String = name.trim().chars().take(MAX_NAME_LETTERS).collect();
    if !name.is_ascii() {
        return encoded_words(&name);
    }
    let name = words(&name).collect::<Vec<_>>().join(" ");
    let is_atext = |letter: char| letter.is_ascii_alphanumeric() || " !#$%&'*+-/=^_`{|}~".contains(letter);
    if name.is_empty() {
        return Vec::new();
    }
    if name.chars().all(is_atext) {
        return words(&name).collect();
    }
    // RFC 5322 §3.2.4 quoted-string; inside of it nothing is taken for an encoded word (RFC 2047 §5).
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    vec![format!("\"{escaped}\"")]
}

fn cut(text: &str, octets: usize) -> &str {
    text.get(..text.floor_char_boundary(octets)).unwrap_or(text)
}

/// The fields that describe the body, the blank line, and the body.
fn put_body(out: &mut String, text: &str) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let is_plain = text.bytes().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'))
        && text.lines().all(|line| line.len() <= MAX_TOKEN_OCTETS);
    let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
    let encoding = if is_plain { "7bit" } else { "quoted-printable" };
    put_field(out, "Content-Type", &["text/plain;".to_owned(), format!("charset={charset}")]);
    put_field(out, "Content-Transfer-Encoding", &[encoding.to_owned()]);
    out.push('\n');
    for line in text.lines() {
        if is_plain {
            out.push_str(line);
        } else {
            put_quoted_printable(out, line);
        }
        out.push('\n');
    }
}

/// One line in quoted-printable (RFC 2045 §6.7), with soft line breaks where it is longer than 76 columns.
fn put_quoted_printable(out: &mut String, line: &str) {
    let mut column = 0;
    for (at, byte) in line.bytes().enumerate() {
        let is_last = at + 1 == line.len();
        let is_literal = match byte {
            // Rule 3: white space must not end a line.
            b' ' | b'\t' => !is_last,
            b'=' => false,
            b'!'..=b'~' => true,
            _ => false,
        };
        let width = if is_literal { 1 } else { 3 };
        // Rule 5: 76 columns, the final `=` of a soft break included.
        if column + width > 75 {
            out.push_str("=\n");
            column = 0;
        }
        if is_literal {
            out.push(char::from(byte));
        } else {
            out.push('=');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
        column += width;
    }
}

#[cfg(test)]
mod tests;
