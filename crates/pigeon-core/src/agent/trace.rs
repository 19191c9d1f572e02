//! Trace fields: what a copy says about its way here, and how loops are seen in them.
//!
//! Source: RFC 5321 §4.4 (Return-Path, Received); Delivered-To and X-Original-To as Postfix and qmail write them.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Job;
use crate::address::Address;
use crate::headers::{HeaderEdits, RenderedHead};
use crate::message::Message;
use crate::plan::TraceRules;
use crate::timestamp::Timestamp;

/// Why this message is in a loop, if it is.
///
/// A Delivered-To field with the account's own address counts only below a Received field: above the first
/// one it was put there by this hop's own MTA (`pipe` with `flags=D`).
pub(super) fn find_loop(message: &Message, account: &Address, rules: &TraceRules) -> Option<String> {
    let mut hops = 0_u32;
    let own = account.key();
    for field in message.fields() {
        if field.name.eq_ignore_ascii_case("Received") {
            hops += 1;
        } else if hops > 0 && field.name.eq_ignore_ascii_case("Delivered-To") {
            let value = field.value();
            let address = Address::parse(value.trim_start_matches('<').trim_end_matches('>'));
            if address.is_ok_and(|address| address.key() == own) {
                return Some(format!("the message was delivered to {own} before"));
            }
        }
    }
    (hops > rules.max_hops).then(|| format!("{hops} hops are more than trace.max_hops={}", rules.max_hops))
}

/// Which fields a copy gets on top.
pub(super) struct Trace<'a> {
    /// The account's address, where the copy is to name it.
    pub(super) delivered_to: Option<&'a Address>,
    /// The original recipient, where it differs.
    pub(super) original_to: Option<&'a str>,
    /// Whether this is final delivery, which writes the Return-Path (RFC 5321 §4.4).
    pub(super) is_final: bool,
    /// When.
    pub(super) now: Timestamp,
    /// This host.
    pub(super) hostname: &'a str,
}

/// The head of a copy of `message`: trace fields, then the recipient's view of the header.
pub(super) fn head(
    job: &Job<'_>,
    (message, edits): (&Message, &HeaderEdits),
    trace: &Trace<'_>,
) -> RenderedHead {
    let mut top = BytesMut::with_capacity(512);
    if trace.is_final {
        top.put_slice(format!("Return-Path: <{}>\n", job.transaction.sender).as_bytes());
    }
    if let Some(address) = trace.delivered_to {
        top.put_slice(format!("Delivered-To: {address}\n").as_bytes());
    }
    if let Some(original) = trace.original_to {
        let clean: String = original.chars().filter(|letter| !letter.is_control()).collect();
        top.put_slice(format!("X-Original-To: {clean}\n").as_bytes());
    }
    put_received(&mut top, job, trace);
    let mut rendered = if message.field("Return-Path").is_some() {
        // RFC 5321 §4.4: the one of final delivery replaces those that are there.
        let mut edits = edits.clone();
        edits.remove("Return-Path");
        edits.render(message.head())
    } else {
        edits.render(message.head())
    };
    if message.is_binary() {
        // A binary message keeps its CRLF line ends; so do the lines put before it.
        rendered.prefix = to_crlf(&[top.freeze(), rendered.prefix].concat());
        return rendered;
    }
    top.put_slice(&rendered.prefix);
    rendered.prefix = top.freeze();
    rendered
}

fn put_received(top: &mut BytesMut, job: &Job<'_>, trace: &Trace<'_>) {
    let origin = &job.transaction.origin;
    // The MDA interface adds none: its MTA on this host has just written one.
    let Some(protocol) = origin.protocol else { return };
    let helo = origin.helo.as_deref().unwrap_or("unknown");
    let client = match (&origin.client_name, origin.client_address.or(origin.peer_address)) {
        (Some(name), Some(address)) => format!(" ({name} [{address}])"),
        (None, Some(address)) => format!(" ([{address}])"),
        _ => String::new(),
    };
    let recipient = trace.delivered_to.map(|address| format!("\n\tfor <{address}>")).unwrap_or_default();
    let (hostname, id, date) = (trace.hostname, &job.transaction.id, trace.now.to_rfc5322());
    let line = format!(
        "Received: from {helo}{client}\n\tby {hostname} with {protocol} id {id}{recipient}; {date}\n"
    );
    top.put_slice(line.as_bytes());
}

fn to_crlf(lines: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(lines.len() + 16);
    for byte in lines {
        if *byte == b'\n' && !wire.ends_with(b"\r") {
            wire.put_u8(b'\r');
        }
        wire.put_u8(*byte);
    }
    wire.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expect: Option<&str>) {
        let message = Message::from_bytes(format!("{head}\n"));
        let account = Address::parse("ann@example.org").unwrap();
        let rules = TraceRules { max_hops: 3, ..TraceRules::default() };
        assert_eq!(find_loop(&message, &account, &rules).as_deref(), expect, "{head}");
    }

    #[test]
    fn loops_are_seen() {
        check("Received: x\n", None);
        check("Delivered-To: ann@example.org\nReceived: x\n", None);
        check("Received: x\nDelivered-To: bob@example.org\n", None);
        check(
            "Received: x\nDelivered-To: Ann@Example.org\n",
            Some("the message was delivered to ann@example.org before"),
        );
        check("Received: 1\nReceived: 2\nReceived: 3\n", None);
        check(
            "Received: 1\nReceived: 2\nReceived: 3\nReceived: 4\n",
            Some("4 hops are more than trace.max_hops=3"),
        );
    }
}
