//! One connection: reads commands and messages, lets the session answer them.

use std::io;
use std::sync::Arc;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::data::DataDecoder;
use super::session::{Chunk, Session, Step};
use super::wire::{Event, Until, Wire};
use super::{Peer, Reception};
use crate::stop::Stopping;

/// Whether the conversation goes on.
enum Flow {
    Continue,
    /// The client is gone, or is to go: send what is to be sent and hang up.
    Close,
}

/// A stream and its session.
struct Connection<S> {
    wire: Wire<S>,
    session: Session,
}

/// Serves one client to the end of its connection.
///
/// A stop ends it with 421 at the next command; a message that is coming in is taken and answered before.
pub async fn serve_stream<S>(reception: Arc<Reception>, stream: S, peer: Peer, stopping: Stopping)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wire = Wire::new(stream, peer.ends, Arc::clone(&reception), stopping);
    debug!("{peer}: connected");
    let mut connection = Connection { wire, session: Session::new(reception, peer.clone()) };
    match connection.run().await {
        Ok(()) => debug!("{peer}: disconnected"),
        Err(error) => debug!("{peer}: {error}"),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> io::Result<()> {
        self.session.greet(&mut self.wire.replies);
        while let Flow::Continue = self.turn().await? {}
        self.wire.close().await
    }

    async fn turn(&mut self) -> io::Result<Flow> {
        let limits = &self.session.reception().limits;
        let limit = if self.session.is_idle() { limits.idle_time } else { limits.command_time };
        let step = match self.wire.line(limit).await? {
            Event::Line(text, whole) => {
                let line = self.wire.input.get(..text).unwrap_or_default();
                let step = self.session.command(line, &mut self.wire.replies).await;
                self.wire.input.advance(whole);
                step
            }
            Event::Malformed(refusal) => self.session.refuse(&refusal, &mut self.wire.replies),
            other => return Ok(self.end(&other)),
        };
        match step {
            Step::Continue => Ok(Flow::Continue),
            Step::Data => self.data().await,
            Step::Chunk(chunk) => self.chunk(chunk).await,
            Step::Close => Ok(Flow::Close),
        }
    }

    /// The conversation ends, and not by `QUIT`.
    fn end(&mut self, event: &Event) -> Flow {
        match event {
            // RFC 5321 §4.5.3.2: X.4.2, the connection broke down.
            Event::TimedOut => self.session.leave(&mut self.wire.replies, (4, 4, 2), "Time-out"),
            // RFC 3463 §3.4: X.3.2, the system takes no messages.
            Event::Stopping => self.session.leave(&mut self.wire.replies, (4, 3, 2), "Shutting down"),
            _ => {}
        }
        Flow::Close
    }

    /// Waits for more of a message.
    async fn more(&mut self) -> io::Result<Option<Flow>> {
        let deadline = Instant::now() + self.session.reception().limits.data_time;
        match self.wire.fill(Until::Message(deadline)).await? {
            Event::Read => Ok(None),
            other => Ok(Some(self.end(&other))),
        }
    }

    async fn data(&mut self) -> io::Result<Flow> {
        let mut intake = self.session.intake();
        let mut decoder = DataDecoder::new(self.wire.line_ends());
        loop {
            let decoded = decoder.decode(&mut self.wire.input);
            intake.take(&mut self.wire.input, decoded.produced).await;
            self.wire.input.advance(decoded.consumed - decoded.produced);
            if decoded.is_complete {
                break;
            }
            if let Some(flow) = self.more().await? {
                return Ok(flow);
            }
        }
        self.send_outcomes().await?;
        self.session.finish(intake, &mut self.wire.replies).await;
        Ok(Flow::Continue)
    }

    async fn chunk(&mut self, chunk: Chunk) -> io::Result<Flow> {
        let mut missing = chunk.octets;
        loop {
            let available = usize::try_from(missing).unwrap_or(usize::MAX).min(self.wire.input.len());
            if available > 0 {
                self.session.take_chunk(&chunk, &mut self.wire.input, available).await;
                missing -= available as u64;
            }
            if missing == 0 {
                break;
            }
            if let Some(flow) = self.more().await? {
                return Ok(flow);
            }
        }
        self.send_outcomes().await?;
        match self.session.end_chunk(&chunk, &mut self.wire.replies).await {
            Step::Close => Ok(Flow::Close),
            _ => Ok(Flow::Continue),
        }
    }

    /// Before the next delivery begins, the client hears of the last one.
    async fn send_outcomes(&mut self) -> io::Result<()> {
        if self.wire.replies.has_outcome() { self.wire.flush().await } else { Ok(()) }
    }
}
