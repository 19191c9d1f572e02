//! Clients that send anything, and the same conversation cut into any pieces.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pigeon_frontends::managesieve::{ManageSieveLimits, Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::desk::{Desk, limits, server, server_of};

/// `\0ann@example.org\0secret`
const LOGIN: &str = "AUTHENTICATE \"PLAIN\" \"AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\"\r\n";

fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        LOGIN,
        "AUTHENTICATE \"PLAIN\"\r\n",
        "AUTHENTICATE \"SCRAM-SHA-256\" \"eCxhPWIsbj1jLHI9ZA==\"\r\n",
        "\"*\"\r\n",
        "UNAUTHENTICATE\r\n",
        "STARTTLS\r\n",
        "CAPABILITY\r\n",
        "LISTSCRIPTS\r\n",
        "PUTSCRIPT \"a\" {7+}\r\nkeep;\r\n\r\n",
        "PUTSCRIPT {1+}\r\nb \"odd\"\r\n",
        "PUTSCRIPT \"c\" {150+}\r\n",
        "CHECKSCRIPT \"wrong\"\r\n",
        "SETACTIVE \"a\"\r\n",
        "SETACTIVE \"\"\r\n",
        "GETSCRIPT \"a\"\r\n",
        "DELETESCRIPT \"a\"\r\n",
        "RENAMESCRIPT \"a\" \"b\"\r\n",
        "HAVESPACE \"a\" 1000\r\n",
        "NOOP \"x\"\r\n",
        "NOOP {3+}\r\n",
        "\r\n",
        "\"",
        "\\",
        "{",
        "\n",
        "\0",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ]);
    let scrap = prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

/// Sends pieces and hangs up; returns all that the server said.
fn converse(pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits = ManageSieveLimits { errors: 1000, failures: 1000, ..limits() };
        let (client, stream) = tokio::io::duplex(64);
        let session =
            tokio::spawn(serve_stream(Arc::new(server(limits)), stream, Peer(None), Stopping::never()));
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
        let mut said = Vec::new();
        let read = from_server.read_to_end(&mut said);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the session ends").unwrap();
        sending.await.unwrap();
        session.await.expect("no panic");
        said
    })
}

/// Answers do not pile up for a client that asks and asks and reads nothing; it is cut off in the end.
#[tokio::test]
async fn who_reads_nothing_is_not_served() {
    const SCRIPT: usize = 20_000;
    const UNDER_WAY: usize = 1 << 18;
    let desk = Arc::new(Desk::default());
    desk.keep("a", &"x".repeat(SCRIPT));
    let limits = ManageSieveLimits { command_time: Duration::from_millis(500), ..limits() };
    let (client, stream) = tokio::io::duplex(UNDER_WAY);
    let served = Arc::new(server_of(&desk, limits));
    let session = tokio::spawn(serve_stream(served, stream, Peer(None), Stopping::never()));
    let (_from_server, mut to_server) = tokio::io::split(client);
    to_server.write_all(LOGIN.as_bytes()).await.unwrap();
    to_server.write_all("GETSCRIPT \"a\"\r\n".repeat(5000).as_bytes()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), session).await.expect("it is cut off").unwrap();
    let answers = desk.given.load(Ordering::Relaxed) * SCRIPT;
    assert!((UNDER_WAY..UNDER_WAY + 200_000).contains(&answers), "{answers} octets of answers");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn pieces_do_not_matter(octets in scraps(), cut in 1_usize..30) {
        let whole = converse(vec![octets.clone()]);
        let pieces = converse(octets.chunks(cut).map(<[u8]>::to_vec).collect());
        prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&pieces));
        prop_assert!(whole.ends_with(b"\r\n") && whole.starts_with(b"\"IMPLEMENTATION\""));
    }

    /// Nobody but who logged in sees a script, or is told that one is there.
    #[test]
    fn nothing_is_done_before_the_login(octets in scraps()) {
        let text = String::from_utf8_lossy(&octets).replace("AGFubkBl", "AGFubkBm");
        let said = String::from_utf8_lossy(&converse(vec![text.into_bytes()])).into_owned();
        for word in ["OK \"The script", "OK \"These are the scripts\"", "OK (WARNINGS)", "OWNER", "OK \"You are logged"] {
            prop_assert!(!said.contains(word), "{}", said);
        }
    }
}
