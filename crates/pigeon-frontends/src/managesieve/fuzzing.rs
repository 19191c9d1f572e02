//! What must hold for any octets that a ManageSieve client sends: the entry functions of the fuzz targets.
//!
//! Each function takes octets as a fuzzer makes them and panics when its rule is broken.

use bytes::BytesMut;

use super::command::Command;
use super::line::{Assembled, Assembler, Word};
use super::reply::{Refusal, Replies};

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[("managesieve_commands", commands), ("managesieve_reply", reply)];

const LINE_OCTETS: usize = 100;
const LITERAL_OCTETS: u64 = 50;
const SKIPPED: Refusal = Refusal::plain("skipped");

/// `piece octets…`: commands are the same however they are cut, no longer than what came in, and never begin again
/// behind a line that left their place unclear.
pub fn commands(octets: &[u8]) {
    let Some((piece, octets)) = octets.split_first() else { return };
    let whole = assembled(octets, usize::MAX);
    assert_eq!(assembled(octets, usize::from(*piece).max(1)), whole, "in pieces as in one");
    let broken = whole.iter().position(|assembled| matches!(assembled, Assembled::Broken(_)));
    assert!(broken.is_none_or(|place| place + 1 == whole.len()), "something follows: {whole:?}");
    for assembled in whole {
        let Assembled::Command(words) = assembled else { continue };
        let total: usize = words.iter().map(octets_of).sum();
        assert!(total <= octets.len(), "words are pieces of what came in: {words:?}");
        // Read or refused; never anything else.
        drop(Command::read(words));
    }
}

fn octets_of(word: &Word) -> usize {
    match word {
        Word::Atom(atom) => atom.len(),
        Word::Text(text) => text.len(),
    }
}

fn assembled(octets: &[u8], piece: usize) -> Vec<Assembled> {
    let (mut assembler, mut input, mut seen) = (Assembler::default(), BytesMut::new(), Vec::new());
    for piece in octets.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match assembler.take(&mut input, LINE_OCTETS) {
                Assembled::More => break,
                Assembled::Literal(octets) if octets > LITERAL_OCTETS => assembler.skip(SKIPPED),
                Assembled::Literal(_) => assembler.keep(),
                broken @ Assembled::Broken(_) => {
                    seen.push(broken);
                    return seen;
                }
                other => seen.push(other),
            }
        }
    }
    seen
}

/// Whatever a script's error says, the response is one string that reads as the same text.
pub fn reply(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets).into_owned();
    let mut replies = Replies::default();
    replies.no(None, &text);
    let written = replies.octets();
    let Some(written) = written.strip_prefix(b"NO").and_then(|rest| rest.strip_suffix(b"\r\n")) else {
        unreachable!("a response is a word and ends with CR LF")
    };
    assert_eq!(read_back(written), text);
}

fn read_back(written: &[u8]) -> String {
    let Some(string) = written.strip_prefix(b" ") else { return String::new() };
    let literal = string.strip_prefix(b"{").and_then(|rest| {
        let end = memchr::memchr(b'}', rest)?;
        let octets: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        rest.get(end..)?.strip_prefix(b"}\r\n").filter(|rest| rest.len() == octets)
    });
    if let Some(literal) = literal {
        return String::from_utf8_lossy(literal).into_owned();
    }
    let mut line = b"X ".to_vec();
    line.extend_from_slice(string);
    line.extend_from_slice(b"\r\n");
    let mut assembler = Assembler::default();
    match assembler.take(&mut BytesMut::from(line.as_slice()), line.len() + 1) {
        Assembled::Command(words) => match words.get(1) {
            Some(Word::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            other => unreachable!("no string: {other:?}"),
        },
        other => unreachable!("no line: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
