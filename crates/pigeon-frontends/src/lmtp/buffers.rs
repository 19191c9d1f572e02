//! Large read buffers, lent to connections while a message comes in.
//!
//! A connection has one only between `DATA` and the answer, so what idle connections cost does not depend on
//! what they once received, and a busy server allocates none.

use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;

/// Octets of a large buffer.
pub(super) const LARGE_OCTETS: usize = 16 * 1024;
/// How many are kept while nobody needs them.
const KEPT: usize = 32;

/// The buffers that nobody needs now.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<BytesMut>>);

impl Buffers {
    /// An empty buffer with room for [`LARGE_OCTETS`].
    pub(super) fn lend(&self) -> BytesMut {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| BytesMut::with_capacity(LARGE_OCTETS))
    }

    /// Takes a buffer back.
    pub(super) fn take_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}
