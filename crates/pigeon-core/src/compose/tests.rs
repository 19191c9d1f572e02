//! What composed messages look like, and that nothing breaks out of its place in them.

use crate::headers::{fields, find};
use crate::message::Message;
use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn draft<'a>(from: &'a Address, to: &'a Address, name: &'a str, text: &'a str) -> Draft<'a> {
    Draft {
        from_name: name,
        from,
        to,
        subject: text_tokens("Hello"),
        date: Timestamp::parse("2026-11-23T19:00:00Z").unwrap(),
        message_id: "<vacation.1.0@mx.example.org>".into(),
        auto_submitted: "auto-replied",
        thread: thread("<a@example.net>", "<z@example.net> <y@example.net>"),
        text,
    }
}

/// The text behind encoded words, by an independent reading of RFC 2047 §6.2.
fn decode(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut was_encoded = false;
    for word in value.split_whitespace() {
        let inner = word.strip_prefix("=?UTF-8?B?").and_then(|rest| rest.strip_suffix("?="));
        let is_continued = was_encoded && inner.is_some();
        if !bytes.is_empty() && !is_continued {
            bytes.push(b' ');
        }
        was_encoded = inner.is_some();
        match inner {
            Some(inner) => bytes.extend(BASE64.decode(inner.as_bytes()).unwrap()),
            None => bytes.extend(word.bytes()),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn decode_quoted_printable(body: &str) -> Vec<u8> {
    let joined = body.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

#[test]
fn a_message_is_written_whole() {
    let (from, to) = (address("ann@example.org"), address("bob@example.net"));
    let text = draft(&from, &to, "Ann Example", "I am away.\r\nUntil Monday.").write();
    insta::assert_snapshot!(text);
}

#[test]
fn names_are_quoted_or_encoded() {
    let check = |name: &str, expect: &str| {
        let (from, to) = (address("ann@example.org"), address("bob@example.net"));
        let written = draft(&from, &to, name, "x").write();
        assert_eq!(find(written.as_bytes(), "From").unwrap().value(), expect);
    };
    check("", "ann@example.org");
    check("Ann Example", "Ann Example <ann@example.org>");
    check("Example, Ann", "\"Example, Ann\" <ann@example.org>");
    check("Ann \"A\" \\", "\"Ann \\\"A\\\" \\\\\" <ann@example.org>");
    check("=?UTF-8?Q?x?=", "\"=?UTF-8?Q?x?=\" <ann@example.org>");
    check("Änn", "=?UTF-8?B?w4Rubg==?= <ann@example.org>");
    check("Ann\r\nBcc: x@example.com", "\"Ann Bcc: x@example.com\" <ann@example.org>");
}

#[test]
fn a_thread_is_kept() {
    assert_eq!(thread("no identifier", "<a@b>"), None);
    assert_eq!(thread("<c@d>", "<a@b> junk"), Some(("<c@d>".into(), vec!["<a@b>".into(), "<c@d>".into()])));
    let many: Vec<String> = (0..40).map(|number| format!("<{number}@x>")).collect();
    let (_, kept) = thread("<last@x>", &many.join(" ")).unwrap();
    assert_eq!((kept.len(), &*kept[0], &*kept[1], &*kept[19]), (20, "<0@x>", "<22@x>", "<last@x>"));
}

#[test]
fn long_words_are_cut_and_lines_folded() {
    let folded = fold("Subject", &[vec!["word".to_owned(); 40], vec!["x".repeat(2000)]].concat());
    let lines: Vec<&str> = folded.lines().collect();
    assert!(lines.iter().all(|line| line.len() <= 901), "{lines:?}");
    assert!(lines[..2].iter().all(|line| line.len() <= 78), "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.starts_with(' ')), "{lines:?}");
}

proptest! {
    #[test]
    fn any_text_survives_its_encoding(text in "\\PC{0,200}") {
        let value = fold("Subject", &text_tokens(&text)).replace('\n', "");
        prop_assert!(value.is_ascii());
        let normal = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let decoded = decode(&value).split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(decoded, normal);
    }

    #[test]
    fn nothing_breaks_out_of_its_field(
        name in "(?s).{0,60}", subject in "(?s).{0,60}[\\r\\n]{0,2}.{0,60}", wire in "(?s).{0,300}", text in "(?s).{0,300}",
    ) {
        let (from, to) = (address("ann@example.org"), address("bob@example.net"));
        let mut draft = draft(&from, &to, &name, &text);
        draft.subject = [text_tokens(&subject), wire_tokens(&wire)].concat();
        draft.thread = thread(&subject, &wire);
        let written = draft.write();
        let message = Message::from_bytes(written.clone());
        let expect = if draft.thread.is_some() { 11 } else { 9 };
        let head = message.head();
        prop_assert_eq!(fields(head).count(), expect, "{}", written);
        prop_assert_eq!(fields(head).map(|field| field.raw.len()).sum::<usize>() + 1, head.len(), "{}", written);
        prop_assert!(written.lines().all(|line| line.len() <= 998));
        prop_assert!(!written.contains('\r') && !written.contains('\0'));
    }

    #[test]
    fn any_body_survives(text in "[ -~\\t\\nä€=]{0,400}") {
        let (from, to) = (address("ann@example.org"), address("bob@example.net"));
        let written = draft(&from, &to, "", &text).write();
        let (head, body) = written.split_once("\n\n").unwrap();
        let bytes = if head.contains("quoted-printable") {
            prop_assert!(body.is_ascii() && body.lines().all(|line| line.len() <= 76));
            decode_quoted_printable(body)
        } else {
            body.as_bytes().to_vec()
        };
        let lines: String = text.lines().flat_map(|line| [line, "\n"]).collect();
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), lines);
    }
}
