//! Clients that send anything, and the same conversation cut into any pieces.

use pigeon_frontends::lmtp::Peer;
use proptest::prelude::*;

use super::conversation::{check_replies, check_session, converse};

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
        check_replies(&replies, &seen);
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

#[test]
fn seeds_and_their_beginnings_keep_the_rules() {
    pigeon_testkit::seeds::replay(&[("lmtp_session", check_session)]);
}
