//! Takes the octets of a message in, off the async threads as soon as they may wait for a disk.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use pigeon_core::fault::Reply;
use pigeon_core::message::{Message, MessageWriter, WriteError};
use pigeon_core::ports::spool::Spool;

/// A message that is coming in, or the reply that it will get once all of it was read and thrown away.
pub(super) struct Intake {
    state: State,
    threshold: u64,
}

enum State {
    Open(MessageWriter),
    Failed(Reply),
}

impl Intake {
    /// Begins a message of at most `limit` octets.
    pub(super) fn new(spool: &Arc<dyn Spool>, limit: u64, is_binary: bool) -> Self {
        let writer = MessageWriter::new(Arc::clone(spool), limit, is_binary);
        Self { state: State::Open(writer), threshold: spool.threshold() }
    }

    /// The reply for a message that is lost.
    pub(super) fn failure(&self) -> Option<&Reply> {
        match &self.state {
            State::Open(_) => None,
            State::Failed(reply) => Some(reply),
        }
    }

    /// Takes the first `length` octets of the buffer into the message, and removes them from it.
    pub(super) async fn take(&mut self, buffer: &mut BytesMut, length: usize) {
        let touches_disk = match &self.state {
            State::Open(writer) => {
                writer.is_spooling() || writer.size().saturating_add(length as u64) > self.threshold
            }
            State::Failed(_) => false,
        };
        if touches_disk {
            self.write_off_thread(buffer.split_to(length).freeze()).await;
        } else {
            self.write(buffer.get(..length).unwrap_or_default());
            buffer.advance(length);
        }
    }

    /// Takes a few octets that stand in no buffer.
    pub(super) async fn take_octets(&mut self, octets: &'static [u8]) {
        if !octets.is_empty() {
            self.take(&mut BytesMut::from(octets), octets.len()).await;
        }
    }

    fn write(&mut self, octets: &[u8]) {
        if let State::Open(writer) = &mut self.state
            && let Err(error) = writer.write(octets)
        {
            self.state = State::Failed(refusal_for(&error));
        }
    }

    async fn write_off_thread(&mut self, octets: Bytes) {
        let lost = State::Failed(Reply::local_error("Local error in processing, try again later"));
        let State::Open(mut writer) = std::mem::replace(&mut self.state, lost) else { return };
        let written = tokio::task::spawn_blocking(move || writer.write(&octets).map(|()| writer)).await;
        match written {
            Ok(Ok(writer)) => self.state = State::Open(writer),
            Ok(Err(error)) => self.state = State::Failed(refusal_for(&error)),
            Err(error) => tracing::error!("a message cannot be spooled: {error}"),
        }
    }

    /// The message, complete.
    pub(super) fn finish(self) -> Result<Message, Reply> {
        match self.state {
            State::Open(writer) => Ok(writer.finish()),
            State::Failed(reply) => Err(reply),
        }
    }
}

fn refusal_for(error: &WriteError) -> Reply {
    match error {
        // RFC 1870 §6.2: also when the size was not announced, or wrongly.
        WriteError::TooLarge { .. } => super::session::TOO_LARGE.into(),
        WriteError::Spool(_) => {
            tracing::error!("{error}");
            // RFC 5321 §4.2.3, RFC 3463 §3.4: X.3.1, the mail system is full.
            Reply::new(452, (4, 3, 1), "Insufficient system storage, try again later")
        }
    }
}
