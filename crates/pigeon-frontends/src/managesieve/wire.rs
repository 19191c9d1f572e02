//! Buffers and time-outs around the stream of a connection, before and behind the beginning of TLS.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::login::Secured;
use super::reply::Replies;
use crate::stop::Stopping;
use crate::tls::Certificate;

/// Octets of one read.
const READ_OCTETS: usize = 8 * 1024;
/// How long a client that was told to go is listened to.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// RFC 9266 §2
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// RFC 9266 §2
const EXPORTER_OCTETS: usize = 32;

/// What came of waiting for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// More octets are in the buffer.
    Read,
    /// The client hung up.
    Closed,
    /// The client took too long.
    TimedOut,
    /// The server is stopping.
    Stopping,
}

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A stream with its buffers.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    pub(super) input: BytesMut,
    pub(super) replies: Replies,
    /// How long a client may leave responses unread.
    patience: Duration,
    stopping: Stopping,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Duplex>, patience: Duration, stopping: Stopping) -> Self {
        let (input, replies) = (BytesMut::new(), Replies::default());
        Self { stream, input, replies, patience, stopping }
    }

    /// Whether the server is stopping.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_stopping()
    }

    /// Sends the responses, then reads once.
    pub(super) async fn fill(&mut self, deadline: Instant) -> io::Result<Event> {
        self.flush().await?;
        self.input.reserve(READ_OCTETS);
        tokio::select! {
            biased;
            () = self.stopping.wait() => Ok(Event::Stopping),
            read = self.stream.read_buf(&mut self.input) => {
                Ok(if read? == 0 { Event::Closed } else { Event::Read })
            }
            () = sleep_until(deadline) => Ok(Event::TimedOut),
        }
    }

    /// Waits, unless the server is stopping.
    pub(super) async fn wait(&mut self, delay: Duration) {
        tokio::select! {
            () = self.stopping.wait() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }

    /// Sends the responses.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.stream.write_all(self.replies.octets()).await?;
            self.stream.flush().await
        };
        timeout(self.patience, sent).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.replies.clear();
        Ok(())
    }

    /// Begins TLS on the stream. The input is empty then: whatever was sent in front of it is none of the client's.
    pub(super) async fn start_tls(
        self,
        certificate: std::sync::Arc<Certificate>,
        deadline: Instant,
    ) -> io::Result<(Self, Secured)> {
        let config = tokio::task::spawn_blocking(move || certificate.current()).await?;
        let accepted = tokio::time::timeout_at(deadline, TlsAcceptor::from(config).accept(self.stream)).await;
        let stream = accepted.map_err(|_| io::ErrorKind::TimedOut)??;
        let (_, connection) = stream.get_ref();
        let mut exporter = None;
        // RFC 9266 §4.2: with TLS 1.2 it would take an extension that not everybody has.
        if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            let octets = vec![0; EXPORTER_OCTETS];
            exporter = connection.export_keying_material(octets, EXPORTER_LABEL, Some(b"")).ok();
        }
        let wire = Self { stream: Box::new(stream), input: BytesMut::new(), ..self };
        Ok((wire, Secured { exporter }))
    }

    /// Sends the responses and hangs up. What the client is still sending is read for a moment: closing with unread
    /// octets would make the system throw away responses that are on their way.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        let lingering = async {
            self.stream.shutdown().await?;
            self.input.clear();
            while self.stream.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            Ok(())
        };
        timeout(LINGER_TIME, lingering).await.unwrap_or(Ok(()))
    }
}
