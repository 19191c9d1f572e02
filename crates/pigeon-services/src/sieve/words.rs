//! Decodes what header fields and body parts are written in: encoded words, transfer encodings, character sets.
//!
//! Source: RFC 2047, RFC 2045 §6, RFC 2231.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_parser::decoders::charsets::map::charset_decoder;

/// Base64 as mail programs write it: with padding or without, stray bits passed over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of some octets in a character set; octets that have no meaning become the replacement character.
pub(super) fn decode_charset(charset: &str, octets: &[u8]) -> String {
    let is_utf8 =
        ["utf-8", "utf8", "us-ascii", "ascii", ""].iter().any(|name| name.eq_ignore_ascii_case(charset));
    match charset_decoder(charset.as_bytes()).filter(|_| !is_utf8 && !charset.is_empty()) {
        Some(decode) => decode(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// Undoes a transfer encoding; one that nobody knows leaves the octets as they are.
pub(super) fn decode_transfer(encoding: &str, octets: &[u8]) -> Vec<u8> {
    if encoding.eq_ignore_ascii_case("base64") {
        decode_base64(octets)
    } else if encoding.eq_ignore_ascii_case("quoted-printable") {
        decode_quoted_printable(octets)
    } else {
        octets.to_vec()
    }
}

fn decode_base64(octets: &[u8]) -> Vec<u8> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut letters: Vec<u8> =
        octets.iter().copied().take_while(|byte| *byte != b'=').filter(is_letter).collect();
    // A single letter behind the last group of four says nothing.
    if letters.len() % 4 == 1 {
        letters.pop();
    }
    BASE64.decode(letters).unwrap_or_default()
}

fn decode_quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let end = line
            .get(line.len() - usize::from(line.ends_with(b"\r\n")) - usize::from(line.ends_with(b"\n"))..);
        let (content, is_soft) = match text.strip_suffix(b"=") {
            Some(content) => (content, true),
            None => (text, false),
        };
        unescape(content, b'=', false, &mut out);
        if !is_soft {
            out.extend_from_slice(end.unwrap_or_default());
        }
    }
    out
}

/// Undoes escapes of two hexadecimal digits: `=C3` in mail, `%C3` in addresses of notifications.
pub(super) fn unescape(octets: &[u8], mark: u8, is_word: bool, out: &mut Vec<u8>) {
    let mut rest = octets;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == mark
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else if is_word && *first == b'_' {
            out.push(b' ');
        } else {
            out.push(*first);
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A field's value as people read it: encoded words decoded, blanks between them taken away (RFC 2047 §6.2).
pub(super) fn decode_words(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    let mut was_word = false;
    // Octets of neighbouring words of one set belong together: a letter may be cut between them.
    let mut open: Option<(String, Vec<u8>)> = None;
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let Some((charset, octets, after)) = encoded_word(from) else {
            flush(&mut open, &mut out);
            out.push_str(before);
            out.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            was_word = false;
            continue;
        };
        if !(was_word && before.trim().is_empty()) {
            flush(&mut open, &mut out);
            out.push_str(before);
        }
        match &mut open {
            Some((known, collected)) if known.eq_ignore_ascii_case(charset) => collected.extend(octets),
            _ => {
                flush(&mut open, &mut out);
                open = Some((charset.to_owned(), octets));
            }
        }
        rest = after;
        was_word = true;
    }
    flush(&mut open, &mut out);
    out.push_str(rest);
    out
}

fn flush(open: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((charset, octets)) = open.take() {
        out.push_str(&decode_charset(&charset, &octets));
    }
}

/// `=?charset?encoding?text?=` at the beginning: the set, the octets, and what follows.
fn encoded_word(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (content, after) = rest.split_once("?=")?;
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
    if charset.is_empty() || !is_plain(charset) || content.contains(['\r', '\n']) {
        return None;
    }
    // RFC 2231 §5: a language may follow the set.
    let charset = charset.split('*').next().unwrap_or(charset);
    let octets = match encoding {
        "B" | "b" => decode_base64(content.as_bytes()),
        "Q" | "q" => {
            let mut out = Vec::new();
            unescape(content.as_bytes(), b'=', true, &mut out);
            out
        }
        _ => return None,
    };
    Some((charset, octets, after))
}

/// Cuts a text to so many octets, between letters.
pub(super) fn cut(text: &mut String, octets: usize) {
    if text.len() > octets {
        let end = (0..=octets).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded() {
        let check = |value: &str, expect: &str| assert_eq!(decode_words(value), expect, "{value}");
        check("plain =? text", "plain =? text");
        check("=?UTF-8?B?w4Rubg==?= hi", "Änn hi");
        check("=?iso-8859-1?q?=C4nn_B?=", "Änn B");
        check("a =?utf-8?q?b?=\r\n =?utf-8?q?c?= d", "a bc d");
        check("=?utf-8?q?=C3?= =?utf-8?q?=84?=", "Ä");
        check("=?utf-8?x?abc?=", "=?utf-8?x?abc?=");
        check("=?us-ascii*en?q?x?=", "x");
    }

    #[test]
    fn transfer_encodings_are_undone() {
        assert_eq!(decode_transfer("quoted-printable", b"a=C3=84=\r\nb \r\nc"), "aÄb\r\nc".as_bytes());
        assert_eq!(decode_transfer("BASE64", b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(decode_transfer("base64", b"SGVsbG8"), b"Hello");
        assert_eq!(decode_transfer("8bit", b"x=41"), b"x=41");
    }
}
