//! Buffers and time-outs around the stream of a connection.
//!
//! Replies go out when nothing more is there to be read, so a pipelined batch costs one read and one write.
//! One timer lives as long as the connection: arming one for each read would cost more than the read.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use memchr::memchr_iter;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::data::LineEnds;
use super::limits::LmtpLimits;
use super::reply::{Refusal, Replies};
use crate::stop::Stopping;

/// Room for commands; an idle connection keeps no more than this.
pub(super) const COMMAND_ROOM: usize = 4 * 1024;
/// Room for messages.
pub(super) const DATA_ROOM: usize = 64 * 1024;
/// A connection that is silent for this long gives its large buffer back.
const SHRINK_AFTER: Duration = Duration::from_secs(1);
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

/// A stream with its buffers.
pub(super) struct Wire<S> {
    stream: S,
    pub(super) input: BytesMut,
    pub(super) replies: Replies,
    ends: Ends,
    is_skipping: bool,
    line_octets: usize,
    write_time: Duration,
    alarm: Alarm,
    stopping: Stopping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, ends: Ends, limits: &LmtpLimits, stopping: Stopping) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(COMMAND_ROOM),
            replies: Replies::default(),
            ends,
            is_skipping: false,
            line_octets: limits.line_octets,
            write_time: limits.data_time,
            alarm: Alarm::new(limits.command_time),
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
            match self.fill(COMMAND_ROOM, deadline, true).await? {
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
        if feed.map_or(self.input.len(), |feed| feed + 1) > self.line_octets {
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

    /// Sends the replies, then reads once into a buffer with about that much room.
    pub(super) async fn fill(&mut self, room: usize, deadline: Instant, stops: bool) -> io::Result<Event> {
        self.flush().await?;
        if self.input.capacity() - self.input.len() < room / 2 {
            self.input.reserve(room.saturating_sub(self.input.len()).max(COMMAND_ROOM / 2));
        }
        loop {
            let shrinks = self.input.is_empty() && self.input.capacity() > COMMAND_ROOM;
            let until = if shrinks { deadline.min(Instant::now() + SHRINK_AFTER) } else { deadline };
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.input) => {
                    return Ok(if read? == 0 { Event::Closed } else { Event::Read });
                }
                () = self.stopping.wait(), if stops => return Ok(Event::Stopping),
                () = self.alarm.until(until) => {
                    if Instant::now() >= deadline {
                        return Ok(Event::TimedOut);
                    }
                    self.input = BytesMut::with_capacity(COMMAND_ROOM);
                }
            }
        }
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
        timeout(self.write_time, sent).await.map_err(|_| io::ErrorKind::TimedOut)??;
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
            self.input = BytesMut::with_capacity(COMMAND_ROOM);
            while self.stream.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            Ok(())
        };
        timeout(LINGER_TIME, lingering).await.unwrap_or(Ok(()))
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
