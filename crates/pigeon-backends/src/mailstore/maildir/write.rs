//! Writes a message's bytes into an open file and counts what readers want to know.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};

use bytes::Bytes;
use memchr::{memchr, memchr_iter};
use pigeon_core::headers::RenderedHead;
use pigeon_core::message::{Body, Message};

/// Size of the pieces in which a spooled body is moved.
const PIECE_OCTETS: usize = 256 * 1024;

/// The size of a message on disk and with CRLF line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sizes {
    pub(super) octets: u64,
    pub(super) wire_octets: u64,
}

/// Counts what passes by.
#[derive(Default)]
struct Counter {
    sizes: Sizes,
    last: u8,
}

impl Counter {
    fn count(&mut self, bytes: &[u8]) {
        // Counting all line feeds is much quicker than looking at each, and few messages have a CR.
        let bare = if self.last == b'\r' || memchr(b'\r', bytes).is_some() {
            self.bare_feeds(bytes)
        } else {
            memchr_iter(b'\n', bytes).count()
        };
        self.sizes.octets += bytes.len() as u64;
        self.sizes.wire_octets += (bytes.len() + bare) as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Line feeds that no carriage return stands before.
    fn bare_feeds(&self, bytes: &[u8]) -> usize {
        let before = |at: usize| at.checked_sub(1).map_or(Some(self.last), |at| bytes.get(at).copied());
        memchr_iter(b'\n', bytes).filter(|at| before(*at) != Some(b'\r')).count()
    }
}

/// Writes head and body.
pub(super) fn write(mut file: &File, head: &RenderedHead, message: &Message) -> io::Result<Sizes> {
    let mut counter = Counter::default();
    match message.body() {
        Body::Memory(chunks) => {
            let parts: Vec<&Bytes> = [&head.prefix, &head.head].into_iter().chain(chunks).collect();
            parts.iter().for_each(|part| counter.count(part));
            write_parts(&mut file, &parts)?;
        }
        Body::Spooled(_) => {
            let parts = [&head.prefix, &head.head];
            parts.iter().for_each(|part| counter.count(part));
            write_parts(&mut file, &parts)?;
            copy_body(&mut file, message, &mut counter)?;
        }
    }
    Ok(counter.sizes)
}

/// One `writev` for a small message.
fn write_parts(file: &mut &File, parts: &[&Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> =
        parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The bytes pass through here rather than from file to file in the kernel (which copies them as well), because the
/// size with CRLF line ends is to be counted.
fn copy_body(file: &mut &File, message: &Message, counter: &mut Counter) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_OCTETS];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        counter.count(piece);
        file.write_all(piece)?;
        offset += count as u64;
    }
    if offset == message.body_size() {
        return Ok(());
    }
    // A spool file that lost its end must not become a mail that lost its end.
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the spooled message is shorter than it was received"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_size_with_crlf_does_not_depend_on_the_pieces(text in "[a\\r\\n]{0,60}", cut in 1usize..9) {
            let mut counter = Counter::default();
            text.as_bytes().chunks(cut).for_each(|piece| counter.count(piece));
            let wire = text.replace("\r\n", "\n").replace('\n', "\r\n").len() as u64;
            prop_assert_eq!(counter.sizes, Sizes { octets: text.len() as u64, wire_octets: wire });
        }
    }
}
