//! One connection: reads commands, lets the session answer them, begins TLS.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::line::{Assembled, Assembler, Word};
use super::reply::Code;
use super::session::{Session, Step, Verdict};
use super::wire::{Event, Wire};
use super::{ManageSieve, Peer};
use crate::stop::Stopping;

/// How many octets of answers are kept back at most until a client reads, for commands that come in one packet.
const UNSENT_OCTETS: usize = 64 * 1024;

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    StartTls,
    Close,
}

struct Connection {
    wire: Wire,
    session: Session,
    assembler: Assembler,
    /// When the client must have logged in.
    login_deadline: Instant,
}

/// Serves one client to the end of its connection. A stop ends it with BYE once the command that is being carried out
/// is answered.
pub async fn serve_stream<S>(server: Arc<ManageSieve>, stream: S, peer: Peer, stopping: Stopping)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    debug!("{peer}: connected");
    let address = peer.0.map(|address| address.ip());
    let mut wire = Wire::new(Box::new(stream), server.limits.command_time, stopping);
    let ended = match server.guests.enter(address, server.limits.connections_per_client) {
        Some(visit) => {
            let login_deadline = Instant::now() + server.limits.login_time;
            let session = Session::new(server, peer, visit);
            converse(Connection { wire, session, assembler: Assembler::default(), login_deadline }).await
        }
        None => {
            wire.replies.bye(Some(Code::TryLater), "Too many connections from your address");
            wire.close().await
        }
    };
    match ended {
        Ok(()) => debug!("{peer}: disconnected"),
        Err(error) => debug!("{peer}: {error}"),
    }
}

async fn converse(mut connection: Connection) -> io::Result<()> {
    connection.session.capabilities(&mut connection.wire.replies, "ManageSieve is ready");
    loop {
        match connection.turn().await? {
            Flow::Continue => {}
            Flow::StartTls => connection = connection.start_tls().await?,
            Flow::Close => return connection.wire.close().await,
        }
    }
}

impl Connection {
    /// One command, from its first octet to its answer.
    async fn turn(&mut self) -> io::Result<Flow> {
        if self.wire.replies.octets().len() > UNSENT_OCTETS {
            self.wire.flush().await?;
        }
        let mut deadline = self.deadline();
        let mut was_begun = false;
        loop {
            let line_octets = self.session.server().limits.line_octets;
            let step = match self.assembler.take(&mut self.wire.input, line_octets) {
                Assembled::More => {
                    // From its first octet on a command has a time of its own.
                    if self.assembler.is_begun() && !was_begun {
                        (was_begun, deadline) = (true, self.deadline());
                    }
                    match self.wire.fill(deadline).await? {
                        Event::Read => continue,
                        other => return Ok(self.end(other)),
                    }
                }
                Assembled::Literal(octets) => {
                    match self.session.judge_literal(self.assembler.words(), octets).await {
                        Verdict::Keep => self.assembler.keep(),
                        Verdict::Skip(refusal) => self.assembler.skip(refusal),
                        Verdict::Close(refusal) => {
                            self.session.leave(&mut self.wire.replies, refusal.code, refusal.text);
                            return Ok(Flow::Close);
                        }
                    }
                    continue;
                }
                // Shutting down, what is there already is not begun any more.
                _ if self.wire.is_stopping() => return Ok(self.end(Event::Stopping)),
                Assembled::Command(words) => self.take(words).await,
                Assembled::Refused(refusal) => self.session.take_refused(&refusal, &mut self.wire.replies),
                Assembled::Broken(refusal) => {
                    self.session.leave(&mut self.wire.replies, refusal.code, refusal.text);
                    return Ok(Flow::Close);
                }
            };
            return self.follow(step).await;
        }
    }

    async fn take(&mut self, words: Vec<Word>) -> Step {
        let was_logged_in = self.session.is_logged_in();
        let step = self.session.take(words, &mut self.wire.replies).await;
        if was_logged_in && !self.session.is_logged_in() {
            self.login_deadline = Instant::now() + self.session.server().limits.login_time;
        }
        step
    }

    async fn follow(&mut self, step: Step) -> io::Result<Flow> {
        match step {
            Step::Continue => return Ok(Flow::Continue),
            Step::Wait(delay) => {
                self.wire.wait(delay).await;
                return Ok(Flow::Continue);
            }
            Step::WaitAndClose(delay) => self.wire.wait(delay).await,
            // What stands behind STARTTLS was sent without TLS, perhaps by somebody between (RFC 5804 §2.2).
            Step::StartTls if !self.wire.input.is_empty() => {
                self.wire.replies.clear();
                self.session.leave(
                    &mut self.wire.replies,
                    None,
                    "Nothing may follow STARTTLS before TLS is active",
                );
            }
            Step::StartTls => {
                self.wire.flush().await?;
                return Ok(Flow::StartTls);
            }
            Step::Close => {}
        }
        Ok(Flow::Close)
    }

    async fn start_tls(self) -> io::Result<Self> {
        let Some(certificate) = self.session.server().certificate.clone() else { return Ok(self) };
        let Self { wire, mut session, assembler, login_deadline } = self;
        let (mut wire, secured) = wire.start_tls(certificate, login_deadline).await?;
        session.secure(secured, &mut wire.replies);
        Ok(Self { wire, session, assembler, login_deadline })
    }

    /// Until when the client must have said what it is waited for.
    fn deadline(&self) -> Instant {
        let limits = &self.session.server().limits;
        match (self.session.is_logged_in(), self.assembler.is_begun()) {
            (false, _) => self.login_deadline,
            (true, false) => Instant::now() + limits.idle_time,
            (true, true) => Instant::now() + limits.command_time,
        }
    }

    /// The conversation ends, and not by `LOGOUT`.
    fn end(&mut self, event: Event) -> Flow {
        match event {
            Event::TimedOut => self.session.leave(&mut self.wire.replies, None, "Time-out"),
            Event::Stopping => {
                self.session.leave(&mut self.wire.replies, Some(Code::TryLater), "Shutting down");
            }
            Event::Closed | Event::Read => {}
        }
        Flow::Close
    }
}
