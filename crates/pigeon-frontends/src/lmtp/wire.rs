//! Buffers and time-outs around the stream of a connection.
//!
//! Replies go out when nothing more is there to be read, so a pipelined batch costs one read and one write.
//! One timer lives as long as the connection: arming one for each read would cost more than the read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use memchr::memchr_iter;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::Reception;
use super::buffers::LARGE_OCTETS;
use super::data::LineEnds;
use super::reply::{Refusal, Replies};
use crate::stop::Stopping;

/// Room for commands; an idle connection keeps no more than this.
const SMALL_OCTETS: usize = 4 * 1024;
/// How long a client that was told to go is listened to.
const LINGER_TIME: Duration = Duration::from_secs(2);

const NOT_CRLF: Refusal = Refusal::new(500, (5, 5, 2), "Lines must end with CR LF");
const TOO_LONG: Refusal = Refusal::new(500, (5, 5, 2), "The line is too long");

/// What came of waiting for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// More octets are in the buffer.
    Read,
    /// A line is at the front of the buffer: this much text, and this much with its line end.
    Line(usize, usize),
    /// A line was thrown away.
    Malformed(Refusal),
    /// The client hung up.
    Closed,
    /// The client took too long.
    TimedOut,
    /// The server is stopping.
    Stopping,
}

/// Whether the line end of the session is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It is.
    Known(LineEnds),
    /// The first line decides, before any message is there that could.
    FirstLine,
}

/// What is waited for, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// A command. A stop ends the waiting.
    Command(Instant),
    /// More of a message.
    Message(Instant),
}

/// A stream with its buffers.
pub(super) struct Wire<S> {
    stream: S,
    reception: Arc<Reception>,
    pub(super) input: BytesMut,
    /// The small buffer, while the input is in a large one.
    small: BytesMut,
    is_large: bool,
    pub(super) replies: Replies,
    ends: Ends,
    is_skipping: bool,
    alarm: Alarm,
    stopping: Stopping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, ends: Ends, reception: Arc<Reception>, stopping: Stopping) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(SMALL_OCTETS),
            small: BytesMut::new(),
            is_large: false,
            replies: Replies::default(),
            ends,
            is_skipping: false,
            alarm: Alarm::new(reception.limits.command_time),
            reception,
            stopping,
        }
    }

    /// The line end of this session.
    pub(super) fn line_ends(&self) -> LineEnds {
        match self.ends {
            Ends::Known(ends) => ends,
            Ends::FirstLine => LineEnds::CrLf,
        }
    }

    /// Waits for a command line, for `limit` in all.
    pub(super) async fn line(&mut self, limit: Duration) -> io::Result<Event> {
        let mut deadline = None;
        loop {
            if let Some(event) = self.find_line() {
                // Shutting down, what is there already is not begun any more.
                return Ok(if self.stopping.is_stopping() { Event::Stopping } else { event });
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
            match self.fill(Until::Command(deadline)).await? {
                Event::Read => {}
                other => return Ok(other),
            }
        }
    }

    fn find_line(&mut self) -> Option<Event> {
        if self.is_skipping && !self.skip() {
            return None;
        }
        let feed = memchr::memchr(b'\n', &self.input);
        let has_cr = feed.is_some_and(|feed| feed > 0 && self.input.get(feed - 1) == Some(&b'\r'));
        if feed.map_or(self.input.len(), |feed| feed + 1) > self.reception.limits.line_octets {
            self.is_skipping = true;
            return Some(Event::Malformed(TOO_LONG));
        }
        let feed = feed?;
        if self.ends == Ends::FirstLine {
            self.ends = Ends::Known(if has_cr { LineEnds::CrLf } else { LineEnds::Lf });
        }
        match self.line_ends() {
            LineEnds::Lf => Some(Event::Line(feed - usize::from(has_cr), feed + 1)),
            LineEnds::CrLf if has_cr => Some(Event::Line(feed - 1, feed + 1)),
            // RFC 5321 §2.3.8: a bare LF ends no line; what stands before and behind it is one line, and not obeyed.
            LineEnds::CrLf => {
                self.input.advance(feed + 1);
                self.is_skipping = true;
                Some(Event::Malformed(NOT_CRLF))
            }
        }
    }

    /// Throws the rest of a refused line away; false while its end is not there.
    fn skip(&mut self) -> bool {
        let ends = self.line_ends();
        let is_end = |feed: &usize| {
            ends == LineEnds::Lf || feed.checked_sub(1).and_then(|cr| self.input.get(cr)) == Some(&b'\r')
        };
        let end = memchr_iter(b'\n', &self.input).find(is_end);
        match end {
            Some(feed) => self.input.advance(feed + 1),
            // A CR at the end may be half of the line end.
            None => self.input.advance(self.input.len() - usize::from(self.input.ends_with(b"\r"))),
        }
        self.is_skipping = end.is_none();
        end.is_some()
    }

    /// Sends the replies, then reads once.
    pub(super) async fn fill(&mut self, until: Until) -> io::Result<Event> {
        self.flush().await?;
        let (deadline, is_command) = match until {
            Until::Command(deadline) => (deadline, true),
            Until::Message(deadline) => (deadline, false),
        };
        if is_command {
            self.make_small();
        } else {
            self.make_large();
        }
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.input) => {
                Ok(if read? == 0 { Event::Closed } else { Event::Read })
            }
            () = self.stopping.wait(), if is_command => Ok(Event::Stopping),
            () = self.alarm.until(deadline) => Ok(Event::TimedOut),
        }
    }

    /// Makes room for commands; a large buffer is given back as soon as what is in it fits a small one.
    fn make_small(&mut self) {
        if self.is_large && self.input.len() < SMALL_OCTETS {
            let mut small = std::mem::take(&mut self.small);
            small.extend_from_slice(&self.input);
            self.reception.buffers.take_back(std::mem::replace(&mut self.input, small));
            self.is_large = false;
        }
        reserve(&mut self.input, SMALL_OCTETS);
    }

    /// Makes room for a message.
    fn make_large(&mut self) {
        if !self.is_large {
            let mut large = self.reception.buffers.lend();
            reserve(&mut large, LARGE_OCTETS);
            large.extend_from_slice(&self.input);
            self.small = std::mem::replace(&mut self.input, large);
            self.small.clear();
            self.is_large = true;
        }
        reserve(&mut self.input, LARGE_OCTETS);
    }

    /// Sends the replies.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.stream.write_all(self.replies.octets()).await?;
            self.stream.flush().await
        };
        timeout(self.reception.limits.data_time, sent).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.replies.clear();
        Ok(())
    }

    /// Sends the replies and hangs up.
    ///
    /// What the client is still sending is read for a moment: closing with unread octets would make the
    /// system throw away replies that are on their way, and the client would send acknowledged mail again.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        let lingering = async {
            self.stream.shutdown().await?;
            self.make_small();
            self.input.clear();
            while self.stream.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            Ok(())
        };
        timeout(LINGER_TIME, lingering).await.unwrap_or(Ok(()))
    }
}

/// Makes room for about so many octets in all. What was consumed at the front is used again first.
fn reserve(buffer: &mut BytesMut, octets: usize) {
    if buffer.capacity() - buffer.len() < octets / 2 {
        buffer.reserve(octets.saturating_sub(buffer.len()).max(SMALL_OCTETS / 2));
    }
}

/// One timer for all the deadlines of a connection.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(first: Duration) -> Self {
        Self(Box::pin(sleep_until(Instant::now() + first)))
    }

    /// Resolves when the deadline has passed. A timer that is set to an earlier moment is left to ring, and
    /// set anew then: moving deadlines forth costs nothing.
    async fn until(&mut self, deadline: Instant) {
        if self.0.is_elapsed() || self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        loop {
            self.0.as_mut().await;
            if Instant::now() >= deadline {
                return;
            }
            self.0.as_mut().reset(deadline);
        }
    }
}
