//! Who handed the mail to this site: the MTA says so, or the Received field that it wrote.

use std::net::IpAddr;
use std::panic::catch_unwind;

use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, Host, Protocol};
use pigeon_core::envelope::Origin;
use pigeon_core::message::Message;

/// The client, as far as it is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
    /// What it called itself; may be empty.
    pub(super) helo: String,
    /// Whether it is somebody of this site: a program here, or a person who has logged in.
    pub(super) is_own: bool,
}

/// The client by what the MTA passed on (XFORWARD, XCLIENT), otherwise by the Received fields of `received_by`.
pub(super) fn find(origin: &Origin, message: &Message, received_by: &[String], relays: &[IpAddr]) -> Client {
    let is_relay = |address: &IpAddr| {
        address.to_canonical().is_loopback()
            || relays.iter().any(|relay| relay.to_canonical() == address.to_canonical())
    };
    match origin.client_address {
        Some(address) if !is_relay(&address) => {
            let address = Some(address.to_canonical());
            Client { address, helo: origin.helo.clone().unwrap_or_default(), is_own: false }
        }
        // A content filter on this host hides the client: without a Received field it is not known.
        _ => received(message, received_by, &is_relay).unwrap_or_default(),
    }
}

/// Goes down the Received fields that the site itself wrote, to the first client that is none of its own relays.
/// Only the topmost field is certainly the MTA's; one below it is believed when a relay wrote it.
fn received(message: &Message, received_by: &[String], is_relay: &dyn Fn(&IpAddr) -> bool) -> Option<Client> {
    let fields = message.fields().filter(|field| field.name.eq_ignore_ascii_case("Received"));
    let mut last = None;
    for field in fields.take(20) {
        let Some(hop) = parse(field.raw_value) else { break };
        let is_ours = received_by.iter().any(|name| name.eq_ignore_ascii_case(hop.by.trim_end_matches('.')));
        if !is_ours {
            break;
        }
        let is_relayed = hop.client.address.is_none_or(|address| is_relay(&address));
        if !is_relayed || hop.client.is_own {
            return Some(hop.client);
        }
        last = Some(Client { is_own: true, ..hop.client });
    }
    last
}

struct Hop {
    by: String,
    client: Client,
}

fn parse(value: &[u8]) -> Option<Hop> {
    let mut line = value.to_vec();
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    let parsed = catch_unwind(|| MessageStream::new(&line).parse_received().into_owned()).ok()?;
    let HeaderValue::Received(received) = parsed else { return None };
    let name = |host: &Host<'_>| match host {
        Host::Name(name) => name.to_string(),
        Host::IpAddr(address) => address.to_string(),
    };
    // RFC 3848: an A at the end of the protocol's name, or before its S, says that the client has logged in.
    let is_own = matches!(
        received.with,
        Some(
            Protocol::ESMTPA
                | Protocol::ESMTPSA
                | Protocol::LMTPA
                | Protocol::LMTPSA
                | Protocol::UTF8SMTPA
                | Protocol::UTF8SMTPSA
                | Protocol::UTF8LMTPA
                | Protocol::UTF8LMTPSA
        )
    );
    let helo = received.helo.as_ref().or(received.from.as_ref()).map(name).unwrap_or_default();
    // Exim writes only the address where the name of the client cannot be proven.
    let from = match received.from {
        Some(Host::IpAddr(address)) => Some(address),
        _ => None,
    };
    let address = received.from_ip.or(from).map(|address| address.to_canonical());
    let client = Client { address, helo, is_own };
    Some(Hop { by: received.by.as_ref().map(name)?, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&str], told: Option<&str>, expect: (Option<&str>, &str, bool)) {
        let head: String = fields.iter().map(|value| format!("Received: {value}\n")).collect();
        let message = Message::from_bytes(format!("{head}\n"));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let origin =
            Origin { client_address: told.map(address), helo: Some("told".to_owned()), ..Origin::default() };
        let client = find(&origin, &message, &["mx.example.org".to_owned()], &[address("192.0.2.1")]);
        let expect = Client { address: expect.0.map(address), helo: expect.1.to_owned(), is_own: expect.2 };
        assert_eq!(client, expect, "{fields:?} {told:?}");
    }

    const POSTFIX: &str = "from mail.example.net (host.example.net [198.51.100.7])\n\tby mx.example.org (Postfix) with \
                           ESMTPS id 4XYZ\n\tfor <ann@example.org>; Tue, 24 Nov 2026 03:00:00 +0000 (UTC)";
    const EXIM: &str = "from [198.51.100.8] (helo=mail.example.net)\n\tby mx.example.org with esmtps (TLS1.3) (Exim 4.96)\n\t\
                        id 1abc\n\tfor ann@example.org; Tue, 24 Nov 2026 03:00:00 +0000";
    const FILTER: &str = "from localhost (localhost [127.0.0.1]) by mx.example.org (Postfix) with ESMTP id 5; \
                          Tue, 24 Nov 2026 03:00:01 +0000";
    const RELAY: &str = "from in.example.org (in.example.org [192.0.2.1]) by mx.example.org (Postfix) with ESMTP id 6; \
                         Tue, 24 Nov 2026 03:00:02 +0000";
    const FORGED: &str = "from good.example (good.example [203.0.113.9]) by mx.example.org with ESMTP id 7; \
                          Tue, 24 Nov 2026 02:00:00 +0000";
    const LOGGED_IN: &str = "from [10.0.0.9] (dsl.example.net [203.0.113.5]) by mx.example.org (Postfix) with ESMTPSA id 8; \
                             Tue, 24 Nov 2026 03:00:00 +0000";

    #[test]
    fn the_client_is_found() {
        check(&[], None, (None, "", false));
        check(&[POSTFIX], Some("203.0.113.1"), (Some("203.0.113.1"), "told", false));
        check(&[POSTFIX], None, (Some("198.51.100.7"), "mail.example.net", false));
        check(&[EXIM], None, (Some("198.51.100.8"), "mail.example.net", false));
        check(&[&POSTFIX.replace("by mx.", "by mail.")], None, (None, "", false));
        check(&[FILTER, RELAY, POSTFIX, FORGED], None, (Some("198.51.100.7"), "mail.example.net", false));
        check(&[FILTER, POSTFIX], Some("127.0.0.1"), (Some("198.51.100.7"), "mail.example.net", false));
        check(&[], Some("127.0.0.1"), (None, "", false));
        check(&[], Some("::ffff:203.0.113.1"), (Some("203.0.113.1"), "told", false));
        let mapped = POSTFIX.replace("[198.51.100.7]", "[IPv6:::ffff:198.51.100.7]");
        check(&[&mapped], None, (Some("198.51.100.7"), "mail.example.net", false));
        // What a client calls itself is not where it is.
        let named = POSTFIX.replacen("mail.example.net", "[127.0.0.1]", 1);
        check(&[&named, FORGED], None, (Some("198.51.100.7"), "127.0.0.1", false));
        check(&[FILTER], None, (Some("127.0.0.1"), "localhost", true));
        check(&[POSTFIX, FORGED], None, (Some("198.51.100.7"), "mail.example.net", false));
    }

    #[test]
    fn who_has_logged_in_is_one_of_us() {
        let message = Message::from_bytes(format!("Received: {LOGGED_IN}\n\n"));
        let client = find(&Origin::default(), &message, &["mx.example.org".to_owned()], &[]);
        assert!(client.is_own, "{client:?}");
    }
}
