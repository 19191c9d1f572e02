//! One conversation with the whole server in memory, and what must hold for any: shared with the fuzz target.

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::directory::Status;
use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::post_office::{PostOffice, Seen, reception};

/// `kind octets…`: the session ends well, says the same however the octets are cut, and answers for every recipient.
pub(crate) fn check_session(data: &[u8]) {
    let Some((kind, octets)) = data.split_first() else { return };
    let peer = || if kind & 1 == 1 { Peer::stdio(true) } else { Peer::unix(true) };
    let whole = converse(vec![octets.to_vec()], peer());
    check_replies(&whole.0, &whole.1);
    let piece = usize::from(kind >> 1).max(1);
    let cut = converse(octets.chunks(piece).map(<[u8]>::to_vec).collect(), peer());
    assert_eq!(String::from_utf8_lossy(&whole.0), String::from_utf8_lossy(&cut.0));
    assert_eq!(format!("{:?}", whole.1), format!("{:?}", cut.1));
}

/// Replies are lines of the protocol, and every recipient whose mail was stored is told so.
pub(crate) fn check_replies(replies: &[u8], seen: &[Seen]) {
    let lines: Vec<&[u8]> = replies.split_inclusive(|octet| *octet == b'\n').collect();
    for line in &lines {
        let is_reply =
            line.ends_with(b"\r\n") && line.len() <= 512 && line[..3].iter().all(u8::is_ascii_digit);
        assert!(is_reply, "{:?}", String::from_utf8_lossy(line));
    }
    let ids = lines.iter().filter(|line| String::from_utf8_lossy(line).contains(" ID ")).count();
    let stored = seen.iter().flat_map(|seen| recipients(&seen.envelope)).filter(|to| {
        // These two have mailboxes that take everything.
        to.starts_with("ann@example.org") || to.starts_with("bob@example.org")
    });
    assert!(ids >= stored.count(), "every recipient whose mail is stored hears of it: {seen:?}");
}

fn recipients(envelope: &str) -> impl Iterator<Item = &str> {
    let list = envelope.split_once(" to=<").and_then(|(_, rest)| rest.split_once("> helo="));
    list.map_or("", |(list, _)| list).split(',')
}

/// Sends pieces and hangs up; returns all replies and all that reached the core.
pub(crate) fn converse(pieces: Vec<Vec<u8>>, peer: Peer) -> (Vec<u8>, Vec<Seen>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let office = Arc::new(PostOffice::new());
        // A bug in a service is no bug of the session: its panic would only stop a fuzzer.
        office.world.status("panic@example.org", Status::Suspended);
        let limits = LmtpLimits { message_octets: 200, recipients: 3, errors: 1000, ..LmtpLimits::default() };
        let reception = reception(&office, Arc::new(NoSpool), limits);
        let (client, server) = tokio::io::duplex(64);
        let session = tokio::spawn(serve_stream(reception, server, peer, Stopping::never()));
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let sending = tokio::spawn(async move {
            for piece in pieces {
                if to_server.write_all(&piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            to_server.shutdown().await.unwrap_or_default();
        });
        let mut replies = Vec::new();
        let read = from_server.read_to_end(&mut replies);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the session ends").unwrap();
        sending.await.unwrap();
        session.await.expect("no panic");
        let seen = office.seen.lock().unwrap().clone();
        (without_ids(&replies), seen)
    })
}

/// Transaction ids differ from one conversation to the next.
fn without_ids(replies: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(replies.to_vec()).expect("replies are ASCII");
    let is_id =
        |word: &str| word.len() == 15 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let words =
        text.split_inclusive([' ', '\n']).map(|word| if is_id(word.trim_end()) { "ID " } else { word });
    words.collect::<String>().into_bytes()
}
