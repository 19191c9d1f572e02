//! What must hold for any octets that an LMTP client sends: the entry functions of the fuzz targets.
//!
//! Each function takes octets as a fuzzer makes them and panics when its rule is broken.

use pigeon_core::address::ReversePath;
use pigeon_core::envelope::Origin;
use pigeon_core::fault::Reply;

use super::client::ClientAttributes;
use super::command::{self, Command};
use super::data::{ChunkDecoder, DataDecoder, LineEnds};
use super::parameters;
use super::reply::{Refusal, Replies};

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[
    ("lmtp_command", command),
    ("lmtp_parameters", parameters),
    ("lmtp_client", client),
    ("lmtp_data", data),
    ("lmtp_chunks", chunks),
    ("lmtp_reply", reply),
];

/// A line is a command made of its own pieces or is refused for good; an address in it survives being written again.
pub fn command(line: &[u8]) {
    match command::parse(line) {
        Err(refusal) => check_refusal(&refusal),
        Ok(Command::Mail { path, parameters } | Command::Rcpt { path, parameters }) => {
            assert!(path.len() + parameters.len() < line.len(), "pieces of the line");
            let Ok(sender) = ReversePath::parse(path) else { return };
            let again = format!("MAIL FROM:<{sender}> SIZE=1");
            let Ok(Command::Mail { path, parameters }) = command::parse(again.as_bytes()) else {
                unreachable!("what was an address is none any more: {again:?}")
            };
            assert_eq!(ReversePath::parse(path), Ok(sender), "{again:?}");
            assert_eq!(parameters, "SIZE=1", "{again:?}");
        }
        Ok(Command::Lhlo(text) | Command::Xclient(text) | Command::Xforward(text)) => {
            assert!(
                text.len() < line.len() && !text.contains(|letter: char| letter.is_ascii_control()),
                "{text:?}"
            );
        }
        Ok(_) => {}
    }
}

/// Parameters are read within their limits or refused for good, and what is read has no control characters.
pub fn parameters(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    match parameters::of_mail(&text) {
        Err(refusal) => check_refusal(&refusal),
        Ok((read, _)) => {
            let id = read.envelope_id.unwrap_or_default();
            assert!(id.len() <= 100 && !id.contains(char::is_control), "ENVID {id:?}");
        }
    }
    match parameters::of_rcpt(&text) {
        Err(refusal) => check_refusal(&refusal),
        Ok(original) => {
            let original = original.unwrap_or_default();
            assert!(original.len() <= 500 && !original.contains(char::is_control), "ORCPT {original:?}");
        }
    }
}

/// Attributes of a client are fit for a Received field, or the whole command is refused and changes nothing.
pub fn client(octets: &[u8]) {
    let mut attributes = ClientAttributes::default();
    let mut origin = Origin::default();
    if let Err(refusal) = attributes.take(&String::from_utf8_lossy(octets)) {
        check_refusal(&refusal);
        assert_eq!(attributes, ClientAttributes::default(), "changed by a refused command");
    }
    attributes.apply(&mut origin);
    for text in [origin.helo, origin.client_name, origin.queue_id].into_iter().flatten() {
        let is_bad = |letter: char| letter.is_control() || letter.is_whitespace() || "()<>;".contains(letter);
        assert!(text.chars().count() <= 255 && !text.contains(is_bad), "{text:?}");
    }
}

fn check_refusal(refusal: &Refusal) {
    assert!((500..=599).contains(&refusal.code) && refusal.status.0 == 5, "{refusal:?}");
}

/// `piece octets…`: data decodes alike however it is cut, never grows, and a stuffed message comes back.
pub fn data(octets: &[u8]) {
    let Some((piece, octets)) = octets.split_first() else { return };
    for ends in [LineEnds::CrLf, LineEnds::Lf] {
        let whole = decoded(octets, usize::MAX, ends);
        assert_eq!(decoded(octets, usize::from(*piece).max(1), ends), whole, "in pieces as in one");
    }
    let mut message = octets.to_vec();
    message.push(b'\n');
    let (mut wire, mut is_line_start) = (Vec::new(), true);
    for octet in &message {
        if is_line_start && *octet == b'.' {
            wire.push(b'.');
        }
        is_line_start = *octet == b'\n';
        if is_line_start {
            wire.push(b'\r');
        }
        wire.push(*octet);
    }
    wire.extend_from_slice(b".\r\nQUIT\r\n");
    let expect = Some((message, b"QUIT\r\n".to_vec()));
    assert_eq!(decoded(&wire, usize::from(*piece).max(1), LineEnds::CrLf), expect, "there and back");
}

/// The message and what follows its end, if it ends.
fn decoded(octets: &[u8], piece: usize, ends: LineEnds) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut decoder = DataDecoder::new(ends);
    let (mut message, mut buffer, mut is_complete) = (Vec::new(), Vec::new(), false);
    for piece in octets.chunks(piece) {
        buffer.extend_from_slice(piece);
        if is_complete {
            continue;
        }
        let decoded = decoder.decode(&mut buffer);
        assert!(decoded.produced <= decoded.consumed && decoded.consumed <= buffer.len(), "{decoded:?}");
        message.extend(buffer.iter().take(decoded.produced));
        buffer.drain(..decoded.consumed);
        is_complete = decoded.is_complete;
        assert!(is_complete || buffer.len() <= 2, "only an undecided end is left: {buffer:?}");
    }
    is_complete.then_some((message, buffer))
}

/// `piece octets…`: chunks have the same lines however they are cut, and lose nothing but the CR of line ends.
pub fn chunks(octets: &[u8]) {
    let Some((piece, octets)) = octets.split_first() else { return };
    let whole = decoded_chunks(octets, usize::MAX);
    assert_eq!(decoded_chunks(octets, usize::from(*piece).max(1)), whole, "in pieces as in one");
    let ends = octets.windows(2).filter(|pair| *pair == b"\r\n").count();
    assert_eq!(whole.len() + ends, octets.len(), "only the CR of line ends is gone");
}

fn decoded_chunks(octets: &[u8], piece: usize) -> Vec<u8> {
    let mut decoder = ChunkDecoder::default();
    let mut message = Vec::new();
    for piece in octets.chunks(piece) {
        let mut buffer = piece.to_vec();
        let (before, length) = decoder.decode(&mut buffer);
        assert!(length <= buffer.len(), "it never grows");
        message.extend_from_slice(before);
        message.extend(buffer.iter().take(length));
    }
    message.extend_from_slice(decoder.finish());
    message
}

/// Whatever a service says, its reply is one line of printable ASCII within the limit.
pub fn reply(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets).into_owned();
    let mut replies = Replies::default();
    replies.outcome(&Reply { code: 550, status: (5, 7, 999), text });
    let Some((line, b"\r\n")) = replies.octets().split_last_chunk() else {
        unreachable!("a reply ends with CR LF")
    };
    assert!(line.len() <= 510 && line.iter().all(|octet| (b' '..=b'~').contains(octet)), "{line:?}");
    assert!(line.starts_with(b"550 5.7.999 "), "{line:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
