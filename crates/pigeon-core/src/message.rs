//! The bytes received: shared by all recipients and never changed.
//!
//! Lines end with LF, as files on Unix have it; front-ends that receive CRLF convert (all but `BINARYMIME`
//! bodies, which are kept to the byte). The header block is in memory, the body too while the message is
//! small; larger ones live in a spool file, so that memory does not grow with the size of a message.

mod piece;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memmem};
use sha2::{Digest as _, Sha256};

use crate::headers::{self, Field};
use crate::ports::spool::{Spool, SpoolFile};
use piece::Piece;

/// Largest header block that is recognised as one; what lies behind it counts as body.
pub const MAX_HEAD_OCTETS: usize = 256 * 1024;
/// Size of the pieces in which bodies are kept and moved.
pub const CHUNK_OCTETS: usize = 64 * 1024;
/// A body of no more than about this is kept in one piece of its own size.
const SMALL_OCTETS: usize = 16 * 1024;

/// Where the bytes after the header are.
pub enum Body {
    /// In memory, in pieces.
    Memory(Vec<Bytes>),
    /// In a spool file that holds nothing else.
    Spooled(Arc<dyn SpoolFile>),
}

/// One message.
pub struct Message {
    head: Bytes,
    body: Body,
    size: u64,
    lines: u64,
    is_binary: bool,
    digest: OnceLock<Option<[u8; 32]>>,
    memo: Mutex<HashMap<String, Memo>>,
}

type Memo = Arc<futures_util::lock::Mutex<Option<Arc<dyn Any + Send + Sync>>>>;

impl Message {
    /// A small message from bytes at hand.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let mut head: Bytes = bytes.into();
        let lines = memchr_iter(b'\n', &head).count() as u64;
        let size = head.len() as u64;
        let body = head.split_off(head_end(&head).unwrap_or(head.len()).min(MAX_HEAD_OCTETS));
        Self::new(head, Body::Memory(vec![body]), (size, lines), false)
    }

    /// A message that is only announced, as at `RCPT TO`: no bytes yet, but a size.
    #[must_use]
    pub fn announced(size: u64) -> Self {
        Self::new(Bytes::new(), Body::Memory(Vec::new()), (size, 0), false)
    }

    fn new(head: Bytes, body: Body, (size, lines): (u64, u64), is_binary: bool) -> Self {
        Self { head, body, size, lines, is_binary, digest: OnceLock::new(), memo: Mutex::default() }
    }

    /// The header block with the blank line that ends it.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The bytes after the header block.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Octets in all.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Number of line feeds: the size on the wire is [`size`](Self::size) plus this, unless the body is binary.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether the bytes are kept as they came, CRLF included (`BODY=BINARYMIME`, RFC 3030 §3).
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// The header fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        headers::fields(&self.head)
    }

    /// The first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Field<'_>> {
        headers::find(&self.head, name)
    }

    /// The value of the Message-ID field, without angle brackets; empty where there is none.
    #[must_use]
    pub fn message_id(&self) -> String {
        let value = self.field("Message-ID").map(|field| field.value()).unwrap_or_default();
        value.trim_start_matches('<').trim_end_matches('>').to_owned()
    }

    /// Octets of the body.
    #[must_use]
    pub fn body_size(&self) -> u64 {
        self.size.saturating_sub(self.head.len() as u64)
    }

    /// Reads a piece of the body from `offset`; returns how much, zero at the end.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn read_body(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.body {
            Body::Spooled(file) => file.read_at(offset, buffer),
            Body::Memory(chunks) => Ok(read_chunks(chunks, offset, buffer)),
        }
    }

    /// SHA-256 of all bytes: recognises a message that the MTA sends again.
    ///
    /// # Errors
    /// When the spool file cannot be read.
    pub fn digest(&self) -> io::Result<[u8; 32]> {
        let unreadable = || io::Error::other("the spooled message cannot be read");
        (*self.digest.get_or_init(|| self.compute_digest().ok())).ok_or_else(unreadable)
    }

    fn compute_digest(&self) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(&self.head);
        let mut buffer = vec![0; CHUNK_OCTETS];
        let mut offset = 0;
        loop {
            let count = self.read_body(offset, &mut buffer)?;
            if count == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(buffer.get(..count).unwrap_or_default());
            offset += count as u64;
        }
    }

    /// Computes something about the message once for all its recipients; all who ask share the answer.
    pub async fn once<T, F>(&self, key: &str, make: impl FnOnce() -> F) -> Arc<T>
    where
        T: Any + Send + Sync,
        F: Future<Output = T>,
    {
        let slot = {
            let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(memo.entry(key.to_owned()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_ref().and_then(|known| Arc::clone(known).downcast().ok()) {
            return known;
        }
        let made = Arc::new(make().await);
        *slot = Some(Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        made
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Message").field("size", &self.size).finish_non_exhaustive()
    }
}

fn read_chunks(chunks: &[Bytes], offset: u64, buffer: &mut [u8]) -> usize {
    let mut skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut filled = 0;
    for chunk in chunks {
        let Some(rest) = chunk.get(skip..) else {
            skip -= chunk.len();
            continue;
        };
        skip = 0;
        let Some(room) = buffer.get_mut(filled..) else { break };
        let count = rest.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        filled += count;
    }
    filled
}

/// Where the header block ends: behind its blank line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\n") {
        return Some(1);
    }
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    let unix = memmem::find(bytes, b"\n\n").map(|at| at + 2);
    let wire =
        memmem::find(bytes.get(..unix.unwrap_or(bytes.len())).unwrap_or(bytes), b"\n\r\n").map(|at| at + 3);
    wire.or(unix)
}

/// The message grew beyond what it may be, or could not be spooled.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Larger than the limit.
    #[error("the message is larger than {limit} octets")]
    TooLarge {
        /// The limit in octets.
        limit: u64,
    },
    /// The spool file cannot be made or written.
    #[error("the message cannot be spooled: {0}")]
    Spool(#[from] io::Error),
}

/// Takes a message in, piece by piece: in memory up to a threshold, then into a spool file.
pub struct MessageWriter {
    spool: Arc<dyn Spool>,
    limit: u64,
    is_binary: bool,
    head: Option<Bytes>,
    /// The header block while its end is not there; then a body that is still small.
    open: BytesMut,
    piece: Option<Piece>,
    chunks: Vec<Bytes>,
    file: Option<Box<dyn SpoolFile>>,
    size: u64,
    lines: u64,
}

impl MessageWriter {
    /// Begins a message of at most `limit` octets; `is_binary` as in [`Message::is_binary`].
    #[must_use]
    pub fn new(spool: Arc<dyn Spool>, limit: u64, is_binary: bool) -> Self {
        let (open, chunks) = (BytesMut::new(), Vec::new());
        Self { spool, limit, is_binary, head: None, open, piece: None, chunks, file: None, size: 0, lines: 0 }
    }

    /// Octets taken so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the message has left memory, so that writing may wait for a disk.
    #[must_use]
    pub fn is_spooling(&self) -> bool {
        self.file.is_some()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`WriteError`]; the message is then lost and the transaction must be refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(WriteError::TooLarge { limit: self.limit });
        }
        self.lines += memchr_iter(b'\n', bytes).count() as u64;
        if let Some(file) = &mut self.file {
            return Ok(file.append(bytes)?);
        }
        if self.head.is_none() {
            self.open.extend_from_slice(bytes);
            self.take_head();
        } else {
            self.take_body(bytes);
        }
        if self.head.is_some() && self.size > self.spool.threshold() {
            self.move_to_spool()?;
        }
        Ok(())
    }

    fn take_head(&mut self) {
        let end =
            head_end(&self.open).or_else(|| (self.open.len() >= MAX_HEAD_OCTETS).then_some(MAX_HEAD_OCTETS));
        if let Some(end) = end {
            self.head = Some(self.open.split_to(end.min(MAX_HEAD_OCTETS)).freeze());
        }
    }

    fn take_body(&mut self, mut bytes: &[u8]) {
        if self.piece.is_none() && self.open.len() + bytes.len() <= SMALL_OCTETS {
            self.open.extend_from_slice(bytes);
            return;
        }
        while !bytes.is_empty() {
            if self.piece.as_ref().is_none_or(Piece::is_full) {
                self.end_chunk();
            }
            bytes = self.piece.get_or_insert_with(Piece::lend).fill(bytes);
        }
    }

    /// Puts what is being filled to the chunks: the small start of a body, or a piece.
    fn end_chunk(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push(self.open.split().freeze());
        }
        self.chunks.extend(self.piece.take().map(Piece::freeze));
    }

    fn move_to_spool(&mut self) -> Result<(), WriteError> {
        self.end_chunk();
        let mut file = self.spool.create()?;
        for chunk in self.chunks.drain(..) {
            file.append(&chunk)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// The message, complete.
    #[must_use]
    pub fn finish(mut self) -> Message {
        let head = self.head.take().unwrap_or_else(|| self.open.split().freeze());
        self.end_chunk();
        let body = match self.file {
            Some(file) => Body::Spooled(Arc::from(file)),
            None => Body::Memory(self.chunks),
        };
        Message::new(head, body, (self.size, self.lines), self.is_binary)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::ports::spool::NoSpool;

    fn body_of(message: &Message) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 7];
        loop {
            let count = message.read_body(all.len() as u64, &mut buffer).unwrap();
            if count == 0 {
                return all;
            }
            all.extend_from_slice(&buffer[..count]);
        }
    }

    #[test]
    fn the_header_ends_at_the_blank_line() {
        let check = |text: &str, head: &str| {
            let message = Message::from_bytes(text.to_owned());
            assert_eq!(message.head(), head, "{text:?}");
            assert_eq!(body_of(&message), text.as_bytes()[head.len()..], "{text:?}");
        };
        check("A: 1\n\nbody\n", "A: 1\n\n");
        check("A: 1\r\nB: 2\r\n\r\nbody\n\nx", "A: 1\r\nB: 2\r\n\r\n");
        check("\nbody\n", "\n");
        check("A: 1\n", "A: 1\n");
        check("", "");
    }

    #[test]
    fn the_size_limit_is_an_error() {
        let mut writer = MessageWriter::new(Arc::new(NoSpool), 10, false);
        writer.write(b"0123456789").unwrap();
        assert!(matches!(writer.write(b"0"), Err(WriteError::TooLarge { limit: 10 })));
    }

    #[test]
    fn large_bodies_are_kept_in_full_pieces() {
        let text: Vec<u8> =
            b"A: 1\n\n".iter().copied().chain((0..300_000_u32).map(|at| at.to_le_bytes()[1])).collect();
        for cut in [1_000, SMALL_OCTETS, 100_000, text.len()] {
            let mut writer = MessageWriter::new(Arc::new(NoSpool), u64::MAX, false);
            text.chunks(cut).for_each(|piece| writer.write(piece).unwrap());
            let message = writer.finish();
            assert_eq!((message.head().as_ref(), message.size()), (&text[..6], text.len() as u64));
            assert_eq!(
                message.digest().unwrap(),
                Message::from_bytes(text.clone()).digest().unwrap(),
                "{cut}"
            );
            let Body::Memory(chunks) = message.body() else { panic!("there is no spool") };
            let inner = chunks.get(1..chunks.len() - 1).unwrap_or_default();
            assert!(inner.iter().all(|chunk| chunk.len() == CHUNK_OCTETS), "{cut}");
        }
    }

    #[test]
    fn once_computes_once() {
        let message = Message::from_bytes("A: 1\n\n");
        for _ in 0..3 {
            let made = message.once("key", || async { 7_u32 }).now_or_never().unwrap();
            assert_eq!(*made, 7);
        }
        let other = message.once("key", || async { 8_u32 }).now_or_never().unwrap();
        assert_eq!(*other, 7, "the first answer is kept");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a-z:\\n]{0,200}", cut in 1usize..20) {
            let mut writer = MessageWriter::new(Arc::new(NoSpool), 10_000, false);
            for piece in text.as_bytes().chunks(cut) {
                writer.write(piece).unwrap();
            }
            let message = writer.finish();
            let whole = Message::from_bytes(text.clone());
            prop_assert_eq!(message.head(), whole.head());
            prop_assert_eq!(body_of(&message), body_of(&whole));
            prop_assert_eq!(message.digest().unwrap(), whole.digest().unwrap());
            prop_assert_eq!(message.lines(), whole.lines());
            prop_assert_eq!(message.size(), text.len() as u64);
        }
    }
}
