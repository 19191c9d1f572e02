//! The pieces in which a large body is kept in memory.
//!
//! Their memory is used again for the next message: the system clears each page that it hands out, which costs
//! more than copying a message into it.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::CHUNK_OCTETS;

/// How many are kept while nobody needs them.
const KEPT: usize = 64;

/// The memory that nobody needs now.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A piece that is being filled, to [`CHUNK_OCTETS`] at most.
pub(super) struct Piece(Vec<u8>);

impl Piece {
    /// An empty one.
    pub(super) fn lend() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(spare.unwrap_or_else(|| Vec::with_capacity(CHUNK_OCTETS)))
    }

    /// Takes what fits from the front of `bytes` and gives back the rest.
    pub(super) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = CHUNK_OCTETS.saturating_sub(self.0.len());
        let (fitting, rest) = bytes.split_at(bytes.len().min(room));
        self.0.extend_from_slice(fitting);
        rest
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= CHUNK_OCTETS
    }

    /// Ends the filling.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.0);
        memory.clear();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_takes_what_fits_and_is_used_again_empty() {
        let bytes = vec![b'a'; CHUNK_OCTETS + 3];
        let mut piece = Piece::lend();
        assert_eq!(piece.fill(b"bc"), b"");
        assert_eq!(piece.fill(&bytes).len(), 5);
        assert!(piece.is_full());
        assert_eq!(piece.fill(b"d"), b"d");
        let frozen = piece.freeze();
        assert_eq!((frozen.len(), &frozen[..3]), (CHUNK_OCTETS, b"bca".as_slice()));
        drop(frozen);
        for _ in 0..=KEPT {
            assert!(Piece::lend().as_ref().is_empty());
        }
    }
}
