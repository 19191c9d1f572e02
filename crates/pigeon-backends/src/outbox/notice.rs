//! Non-delivery notices: what the sender of a mail is told when it could not be handed over.
//!
//! Source: RFC 3464 (delivery status), RFC 6522 (`multipart/report`), RFC 3462 §2 (returned header).

use std::fmt::Write as _;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use pigeon_core::message::Message;
use pigeon_core::timestamp::Timestamp;

use super::OutboxRecord;

/// Of the original's header so much is returned at most.
const MAX_HEAD_OCTETS: usize = 32 * 1024;

/// A hand-over that failed for good.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The name of this host.
    pub hello: &'a str,
    /// The entry.
    pub record: &'a OutboxRecord,
    /// The enhanced status code (RFC 3463).
    pub status: &'a str,
    /// What the MTA said.
    pub error: &'a str,
    /// The original's header block.
    pub head: &'a [u8],
    /// When it failed.
    pub now: Timestamp,
}

/// The header block of a content, wherever the file stands; empty when it cannot be read.
#[must_use]
pub fn head_of(content: &File) -> Vec<u8> {
    let mut start = vec![0; MAX_HEAD_OCTETS];
    let mut length = 0;
    while let Some(rest) = start.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match content.read_at(rest, length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Vec::new(),
        }
    }
    start.truncate(length);
    Message::from_bytes(start).head().to_vec()
}

/// The notice, lines ended by LF.
#[must_use]
pub fn compose(failure: &Failure<'_>) -> Bytes {
    let boundary = format!("notice-{}", uuid::Uuid::now_v7().simple());
    let mut text = header(failure, &boundary);
    text.push_str(&explanation(failure, &boundary));
    text.push_str(&delivery_status(failure, &boundary));
    let transfer = if failure.head.is_ascii() { "7bit" } else { "8bit" };
    push(
        &mut text,
        format_args!(
            "--{boundary}\nContent-Type: text/rfc822-headers\nContent-Transfer-Encoding: {transfer}\n\n"
        ),
    );
    let mut notice = text.into_bytes();
    notice.extend(failure.head.trim_ascii_end());
    notice.extend(format!("\n\n--{boundary}--\n").bytes());
    notice.into()
}

/// Writing to a text cannot fail.
fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(what);
    debug_assert!(written.is_ok(), "a text takes everything");
}

fn header(failure: &Failure<'_>, boundary: &str) -> String {
    let Failure { hello, record, now, .. } = failure;
    let id = uuid::Uuid::now_v7().simple().to_string();
    // RFC 3834 §5: what a program says on its own; keeps other programs from answering it.
    format!(
        "From: Mail Delivery System <MAILER-DAEMON@{hello}>\n\
         To: {to}\n\
         Subject: Undelivered mail: {recipient}\n\
         Date: {date}\n\
         Message-ID: <{id}@{hello}>\n\
         Auto-Submitted: auto-replied\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{boundary}\"\n\n\
         This is a report in MIME format.\n\n",
        to = line(&record.sender),
        recipient = ascii(&line(&record.recipient)),
        date = now.to_rfc5322(),
    )
}

fn explanation(failure: &Failure<'_>, boundary: &str) -> String {
    let Failure { hello, record, error, .. } = failure;
    format!(
        "--{boundary}\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n\
         This is the mail system at {hello}.\n\n\
         Your message was accepted for {on_behalf_of}, who has mail sent on.\n\
         It could not be sent on to\n\n    <{recipient}>\n\n\
         and will not be tried again. The next mail server said:\n\n    {error}\n\n",
        on_behalf_of = line(&record.on_behalf_of),
        recipient = line(&record.recipient),
        error = line(error),
    )
}

/// RFC 3464 §2.2 (fields about the message) and §2.3 (about the recipient).
fn delivery_status(failure: &Failure<'_>, boundary: &str) -> String {
    let Failure { hello, record, status, error, now, .. } = failure;
    // RFC 6533 §3: an address that is not ASCII has a type of its own.
    let kind = if record.recipient.is_ascii() { "rfc822" } else { "utf-8" };
    format!(
        "--{boundary}\n\
         Content-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; {hello}\n\
         Arrival-Date: {arrival}\n\n\
         Final-Recipient: {kind}; {recipient}\n\
         Action: failed\n\
         Status: {status}\n\
         Diagnostic-Code: smtp; {error}\n\
         Last-Attempt-Date: {date}\n\n",
        arrival = record.created.to_rfc5322(),
        recipient = ascii(&line(&record.recipient)),
        status = line(status),
        error = ascii(&line(error)),
        date = now.to_rfc5322(),
    )
}

/// One line, and not too long a one: nobody adds fields to our notice.
fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(800).collect()
}

/// RFC 6533 §3 utf-8-addr-xtext: `\x{FC}` for what is not ASCII.
fn ascii(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            shown.push(letter);
        } else {
            push(&mut shown, format_args!("\\x{{{:X}}}", u32::from(letter)));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use pigeon_core::headers;

    use super::*;
    use crate::outbox::OutboxStatus;

    fn notice(recipient: &str, error: &str, head: &[u8]) -> String {
        let record = OutboxRecord {
            id: 1,
            key: "k".into(),
            on_behalf_of: "user@example.org".into(),
            sender: "sender@example.net".into(),
            recipient: recipient.into(),
            file: None,
            octets: 10,
            is_8bit: false,
            status: OutboxStatus::Failed,
            attempts: 1,
            next_attempt: Timestamp::default(),
            last_error: String::new(),
            created: Timestamp::from_seconds(1_795_467_600),
            node: None,
        };
        let now = Timestamp::from_seconds(1_795_467_700);
        let failure =
            Failure { hello: "mail.example.org", record: &record, status: "5.1.1", error, head, now };
        String::from_utf8(compose(&failure).to_vec()).unwrap()
    }

    #[test]
    fn a_notice_has_the_three_parts() {
        let text =
            notice("gone@example.com", "550 5.1.1 No such user", b"Subject: x\nFrom: a@example.net\n\n");
        assert_eq!(headers::find(text.as_bytes(), "To").unwrap().value(), "sender@example.net");
        assert_eq!(headers::find(text.as_bytes(), "Auto-Submitted").unwrap().value(), "auto-replied");
        let kind = headers::find(text.as_bytes(), "Content-Type").unwrap().value();
        let boundary = kind.split('"').nth(1).unwrap();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 5, "preamble, three parts, end");
        assert!(parts[1].contains("<gone@example.com>") && parts[1].contains("550 5.1.1 No such user"));
        assert!(
            parts[2].contains("\nFinal-Recipient: rfc822; gone@example.com\nAction: failed\nStatus: 5.1.1\n")
        );
        assert!(parts[2].contains("\nDiagnostic-Code: smtp; 550 5.1.1 No such user\n"));
        assert!(parts[3].ends_with("\n\nSubject: x\nFrom: a@example.net\n\n"));
        assert_eq!(parts[4], "--\n");
    }

    #[test]
    fn nothing_from_outside_adds_a_line() {
        let text = notice("jürgen@example.com", "550 no\r\nAction: delivered\n--x", b"");
        assert!(text.contains("Final-Recipient: utf-8; j\\x{FC}rgen@example.com\n"));
        assert!(!text.contains("\nAction: delivered"));
    }
}
