//! Clients that send anything, and the same conversation cut into any pieces.

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::post_office::{PostOffice, Seen, reception};

/// Sends pieces and hangs up; returns all replies and all that reached the core.
fn converse(pieces: Vec<Vec<u8>>, peer: Peer) -> (Vec<u8>, Vec<Seen>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let office = Arc::new(PostOffice::new());
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

fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "LHLO a\r\n",
        "MAIL FROM:<s@example.net>\r\n",
        "MAIL FROM:<> BODY=BINARYMIME SMTPUTF8\r\n",
        "RCPT TO:<ann@example.org>\r\n",
        "RCPT TO:<bob@example.org> NOTIFY=NEVER\r\n",
        "RCPT TO:<nobody@example.org>\r\n",
        "DATA\r\n",
        "BDAT 5\r\n",
        "BDAT 7 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "XFORWARD NAME=a\r\n",
        "Subject: x\r\n\r\n",
        "\r\n.\r\n",
        "..\r\n",
        ".",
        "\r",
        "\n",
        "\0",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ]);
    let scrap = prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_client_brings_a_session_down(octets in scraps(), is_stdio in any::<bool>()) {
        let peer = if is_stdio { Peer::stdio(true) } else { Peer::unix(true) };
        let (replies, seen) = converse(vec![octets], peer);
        let lines: Vec<&[u8]> = replies.split_inclusive(|octet| *octet == b'\n').collect();
        for line in &lines {
            prop_assert!(line.ends_with(b"\r\n") && line.len() <= 512 && line[..3].iter().all(u8::is_ascii_digit));
        }
        let ids = lines.iter().filter(|line| String::from_utf8_lossy(line).contains(" ID ")).count();
        let recipients: usize = seen.iter().map(|seen| seen.envelope.matches("@example.org").count()).sum();
        prop_assert!(ids >= recipients, "every recipient that reached the core is answered");
    }

    #[test]
    fn pieces_do_not_matter(octets in scraps(), cut in 1_usize..30) {
        let mut all = b"LHLO a\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<ann@example.org>\r\n".to_vec();
        all.extend(octets);
        let whole = converse(vec![all.clone()], Peer::unix(true));
        let cut = converse(all.chunks(cut).map(<[u8]>::to_vec).collect(), Peer::unix(true));
        prop_assert_eq!(String::from_utf8_lossy(&whole.0), String::from_utf8_lossy(&cut.0));
        prop_assert_eq!(format!("{:?}", whole.1), format!("{:?}", cut.1));
    }
}
