//! Parses the parameters of `MAIL` and `RCPT`.
//!
//! Source: RFC 1870 (SIZE), RFC 6152 and RFC 3030 (BODY), RFC 6531 (SMTPUTF8), RFC 3461 and RFC 6533 (DSN).

use pigeon_core::envelope::MailParameters;

use super::reply::Refusal;

/// `BODY=` of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum BodyType {
    /// `7BIT`, `8BITMIME` or nothing: lines, taken as they come.
    #[default]
    Lines,
    /// `BINARYMIME`: octets, only by `BDAT`.
    Binary,
}

const NOT_KNOWN: Refusal = Refusal::new(555, (5, 5, 4), "The parameter is not supported");
const BAD_VALUE: Refusal = Refusal::new(501, (5, 5, 4), "A parameter has a bad value");
const TWICE: Refusal = Refusal::new(501, (5, 5, 4), "A parameter is named twice");

/// `ENVID` has at most 100 characters before its encoding (RFC 3461 §4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// `ORCPT` has at most 500 characters (RFC 3461 §4.2).
const MAX_ORIGINAL: usize = 500;

/// Parses the parameters of `MAIL`.
pub(super) fn of_mail(text: &str) -> Result<(MailParameters, BodyType), Refusal> {
    let mut parameters = MailParameters::default();
    let mut body = None;
    for (key, value) in pairs(text) {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        if is("SIZE") {
            // RFC 1870 §4: up to 20 digits.
            let is_number = |value: &&str| {
                (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit())
            };
            let size = value.filter(is_number).map(|digits| digits.parse().unwrap_or(u64::MAX));
            once(&mut parameters.size, size)?;
        } else if is("BODY") {
            once(&mut body, value.and_then(body_type))?;
        } else if is("SMTPUTF8") {
            if value.is_some() {
                return Err(BAD_VALUE);
            }
            parameters.is_smtputf8 = true;
        } else if is("RET") {
            let ret = value.map(str::to_ascii_uppercase).filter(|ret| ret == "FULL" || ret == "HDRS");
            once(&mut parameters.ret, ret)?;
        } else if is("ENVID") {
            let id = value.and_then(xtext).filter(|id| (1..=MAX_ENVELOPE_ID).contains(&id.len()));
            once(&mut parameters.envelope_id, id)?;
        } else {
            return Err(NOT_KNOWN);
        }
    }
    Ok((parameters, body.unwrap_or_default()))
}

/// Parses the parameters of `RCPT`; returns the address part of `ORCPT`.
///
/// `NOTIFY` is checked and otherwise left to the server that has the queue.
pub(super) fn of_rcpt(text: &str) -> Result<Option<String>, Refusal> {
    let (mut original, mut notify) = (None, None);
    for (key, value) in pairs(text) {
        if key.eq_ignore_ascii_case("ORCPT") {
            once(&mut original, value.and_then(original_recipient))?;
        } else if key.eq_ignore_ascii_case("NOTIFY") {
            once(&mut notify, value.filter(|value| is_notify(value)))?;
        } else {
            return Err(NOT_KNOWN);
        }
    }
    Ok(original)
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value))))
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), Refusal> {
    let value = value.ok_or(BAD_VALUE)?;
    if place.replace(value).is_some() { Err(TWICE) } else { Ok(()) }
}

fn body_type(value: &str) -> Option<BodyType> {
    if value.eq_ignore_ascii_case("BINARYMIME") {
        return Some(BodyType::Binary);
    }
    (value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME")).then_some(BodyType::Lines)
}

/// RFC 3461 §4.1: `NEVER` alone, or a list of the others.
fn is_notify(value: &str) -> bool {
    let is_condition =
        |word: &str| ["SUCCESS", "FAILURE", "DELAY"].iter().any(|name| word.eq_ignore_ascii_case(name));
    value.eq_ignore_ascii_case("NEVER") || value.split(',').all(is_condition)
}

/// RFC 3461 §4.2: `addr-type ";" xtext`; RFC 6533 §3 for the type `utf-8`.
fn original_recipient(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';').filter(|_| value.len() <= MAX_ORIGINAL)?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let decoded = xtext(address)?;
    let decoded = if kind.eq_ignore_ascii_case("utf-8") { unicode_escapes(&decoded)? } else { decoded };
    (!decoded.is_empty() && !decoded.chars().any(char::is_control)).then_some(decoded)
}

/// RFC 3461 §4: `+` and two hexadecimal digits stand for an octet. None when that is not so, or when the
/// octets are no printable text.
pub(super) fn xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                octets.push(u8::try_from(value).ok()?);
            }
            // `=` is forbidden by the grammar; those who send it mean themselves.
            b'!'..=b'~' | 0x80.. => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

/// RFC 6533 §3: `\x{HEX}` stands for a character.
fn unicode_escapes(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\\x{") {
        let (digits, after) = behind.split_once('}')?;
        decoded.push_str(before);
        decoded.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    decoded.push_str(rest);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mail_parameters_are_read() {
        let (parameters, body) =
            of_mail("size=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ314159+2B1").unwrap();
        let expect = MailParameters {
            size: Some(1000),
            is_smtputf8: true,
            envelope_id: Some("QQ314159+1".to_owned()),
            ret: Some("HDRS".to_owned()),
        };
        assert_eq!((parameters, body), (expect, BodyType::Lines));
        assert_eq!(of_mail("BODY=BINARYMIME").unwrap().1, BodyType::Binary);
        assert_eq!(of_mail(""), Ok((MailParameters::default(), BodyType::Lines)));
    }

    #[test]
    fn broken_mail_parameters_are_refused() {
        let check = |text: &str, expect: Refusal| assert_eq!(of_mail(text), Err(expect), "{text}");
        check("AUTH=<>", NOT_KNOWN);
        check("FOO", NOT_KNOWN);
        check("SIZE=1 SIZE=2", TWICE);
        check(&format!("ENVID={}", "x".repeat(101)), BAD_VALUE);
        let broken = [
            "SIZE",
            "SIZE=",
            "SIZE=-1",
            "SIZE=99999999999999999999999",
            "BODY=FOO",
            "SMTPUTF8=1",
            "RET=ALL",
            "ENVID=",
            "ENVID=+4",
            "ENVID=+00",
        ];
        for text in broken {
            check(text, BAD_VALUE);
        }
    }

    #[test]
    fn recipient_parameters_are_read() {
        let check = |text: &str, expect: Result<Option<&str>, Refusal>| {
            assert_eq!(of_rcpt(text).as_ref().map(Option::as_deref), expect.as_ref().copied(), "{text}");
        };
        check("", Ok(None));
        check("NOTIFY=NEVER ORCPT=rfc822;Bob+2Bbox@example.org", Ok(Some("Bob+box@example.org")));
        check("NOTIFY=SUCCESS,delay", Ok(None));
        check("ORCPT=utf-8;j\\x{FC}rgen@example.org", Ok(Some("jürgen@example.org")));
        check("ORCPT=utf-8;jürgen@example.org", Ok(Some("jürgen@example.org")));
        for broken in ["NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=a@example.org", "ORCPT=rfc822;", "ORCPT"] {
            check(broken, Err(BAD_VALUE));
        }
        check("ORCPT=utf-8;\\x{A}", Err(BAD_VALUE));
        check("ORCPT=utf-8;\\x{D800}", Err(BAD_VALUE));
        check("ORCPT=rfc822;a@b ORCPT=rfc822;a@b", Err(TWICE));
        check("SIZE=1", Err(NOT_KNOWN));
    }

    proptest! {
        #[test]
        fn any_parameters_are_read_or_refused(text in "((SIZE|BODY|RET|ENVID|ORCPT|NOTIFY|SMTPUTF8)=?[ -~é]{0,20} ){0,4}") {
            drop((of_mail(&text), of_rcpt(&text)));
        }

        #[test]
        fn encoded_text_comes_back(text in "[\\PC]{1,20}") {
            let encoded: String = text.bytes().map(|octet| format!("+{octet:02X}")).collect();
            prop_assert_eq!(xtext(&encoded), Some(text).filter(|text| !text.chars().any(char::is_control)));
        }
    }
}
