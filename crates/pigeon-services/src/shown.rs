//! Header fields as people read them, for what is written to them about a mail.

use pigeon_core::message::Message;

/// A field's value in one line, its encoded words (RFC 2047) read, with as many letters at most; empty where there is no
/// such field. What a sender encoded can break no line.
#[must_use]
pub fn value(message: &Message, name: &str, letters: usize) -> String {
    let raw = message.field(name).map(|field| field.value()).unwrap_or_default();
    // The parser reads encoded words in the fields that it knows to hold text.
    let field = format!("Subject: {raw}\n\n");
    let parsed = mail_parser::MessageParser::new().parse_headers(field.as_bytes());
    let read = parsed.as_ref().and_then(|message| message.subject()).unwrap_or(&raw);
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    read.chars().map(shown).take(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_shown_in_one_line() {
        let check = |field: &str, expect: &str| {
            let message = Message::from_bytes(format!("{field}\n\n"));
            assert_eq!(value(&message, "Subject", 20), expect, "{field}");
        };
        check("Subject: hi there", "hi there");
        check("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n =?utf-8?q?_all?=", "Grüße all");
        check("Subject: =?utf-8?q?a=0D=0AX-Injected:_1?=", "a  X-Injected: 1");
        check("Subject: a\rb =?utf-8?q?c", "ab =?utf-8?q?c");
        check("Subject: 123456789 123456789 123456789", "123456789 123456789 ");
        check("Other: x", "");
    }
}
