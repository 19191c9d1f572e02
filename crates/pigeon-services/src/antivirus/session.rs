//! One connection to clamd, on which one message after the other is scanned.
//!
//! Source: clamd(8): `zIDSESSION` opens a session, in which every answer begins with the number of its command;
//! `zINSTREAM` is followed by chunks (a length of four octets, then so many octets) and a chunk of no length.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, BytesMut};
use pigeon_core::message::{Body, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::address::ServerAddress;
use super::reply::{self, MAX_REPLY_OCTETS, MAX_STRANGE_LETTERS, Reply};

/// Pieces below this are put together before they are sent.
const SMALL_OCTETS: usize = 16 * 1024;
/// How much of a spooled message is read at once, and the longest chunk that is sent.
const CHUNK_OCTETS: usize = 256 * 1024;

/// Why a scan did not come to an answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended while the message was being sent.
    Sending(io::Error),
    /// It ended after that, without an answer.
    Waiting(io::Error),
    /// This is no answer of clamd.
    Garbage(String),
    /// The spooled message cannot be read.
    Spool(io::Error),
}

impl Broken {
    /// Whether the server ended the connection before it had read all of the message: the system tells that by a reset.
    pub(super) fn is_cut_short(&self) -> bool {
        match self {
            Self::Sending(_) => true,
            Self::Waiting(error) => error.kind() == io::ErrorKind::ConnectionReset,
            Self::Garbage(_) | Self::Spool(_) => false,
        }
    }
}

/// A Unix socket or a TCP connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A session with one clamd.
pub(super) struct Session {
    stream: Box<dyn Stream>,
    /// How many commands were given in the session.
    number: u32,
}

impl Session {
    pub(super) async fn connect(address: &ServerAddress) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match address {
            ServerAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
            ServerAddress::Tcp(place) => {
                let stream = TcpStream::connect(place.as_str()).await?;
                // A scan is one question and one answer: waiting to fill packets only costs time.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok(Self { stream, number: 0 })
    }

    /// Asks something outside of a session; the connection is used up then.
    pub(super) async fn ask(mut self, command: &str) -> Result<String, Broken> {
        self.stream.write_all(format!("z{command}\0").as_bytes()).await.map_err(Broken::Sending)?;
        let answer = self.read().await?;
        Ok(reply::shown(&String::from_utf8_lossy(&answer)))
    }

    /// Streams the message and reads the answer. After anything but `Ok(Clean)` and `Ok(Infected)` the session is over.
    pub(super) async fn scan(&mut self, message: &Arc<Message>) -> Result<Reply, Broken> {
        self.number += 1;
        let sent = self.send(message).await;
        match (sent, self.number) {
            (Ok(()), number) => reply::parse(&self.read().await?, number).map_err(Broken::Garbage),
            // What it does not want it cuts short: with an answer, which is there by now, or with none.
            (Err(Broken::Sending(error)), number) => match self.read().await {
                Ok(answer) => match reply::parse(&answer, number).map_err(Broken::Garbage)? {
                    // It has not seen the rest.
                    Reply::Clean => Err(Broken::Sending(error)),
                    other => Ok(other),
                },
                Err(_) => Err(Broken::Sending(error)),
            },
            (Err(broken), _) => Err(broken),
        }
    }

    async fn send(&mut self, message: &Arc<Message>) -> Result<(), Broken> {
        let small = usize::try_from(message.size()).unwrap_or(usize::MAX).min(SMALL_OCTETS);
        let mut out = BytesMut::with_capacity(small + 64);
        if self.number == 1 {
            out.put_slice(b"zIDSESSION\0");
        }
        out.put_slice(b"zINSTREAM\0");
        self.send_piece(message.head(), &mut out).await?;
        match message.body() {
            Body::Memory(pieces) => {
                for piece in pieces.iter().flat_map(|piece| piece.chunks(CHUNK_OCTETS)) {
                    self.send_piece(piece, &mut out).await?;
                }
            }
            Body::Spooled(_) => self.send_spooled(message, &mut out).await?,
        }
        out.put_u32(0);
        self.stream.write_all(&out).await.map_err(Broken::Sending)
    }

    /// Reads the spool file off the runtime's threads, a piece at a time.
    async fn send_spooled(&mut self, message: &Arc<Message>, out: &mut BytesMut) -> Result<(), Broken> {
        let (mut buffer, mut offset) = (vec![0; CHUNK_OCTETS], 0);
        loop {
            let reader = Arc::clone(message);
            let read = tokio::task::spawn_blocking(move || {
                let count = reader.read_body(offset, &mut buffer)?;
                Ok((buffer, count))
            });
            let (filled, count) = read.await.map_err(io::Error::other).flatten().map_err(Broken::Spool)?;
            let piece: &[u8] = filled.get(..count).unwrap_or_default();
            if piece.is_empty() {
                return Ok(());
            }
            self.send_piece(piece, out).await?;
            offset += count as u64;
            buffer = filled;
        }
    }

    async fn send_piece(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), Broken> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(piece.len()).map_err(|error| Broken::Spool(io::Error::other(error)))?;
        out.put_u32(length);
        if piece.len() + out.len() < SMALL_OCTETS {
            out.put_slice(piece);
            return Ok(());
        }
        let mut both = out.split().chain(piece);
        self.stream.write_all_buf(&mut both).await.map_err(Broken::Sending)
    }

    /// The next answer, without the zero octet behind it.
    async fn read(&mut self) -> Result<Vec<u8>, Broken> {
        let mut answer = Vec::with_capacity(128);
        loop {
            let count = self.stream.read_buf(&mut answer).await.map_err(Broken::Waiting)?;
            if let Some(end) = answer.iter().position(|byte| *byte == 0) {
                answer.truncate(end);
                return Ok(answer);
            }
            if count == 0 {
                return Err(Broken::Waiting(io::ErrorKind::UnexpectedEof.into()));
            }
            if answer.len() > MAX_REPLY_OCTETS {
                let begin: String =
                    String::from_utf8_lossy(&answer).chars().take(MAX_STRANGE_LETTERS).collect();
                return Err(Broken::Garbage(reply::shown(&begin)));
            }
        }
    }

    /// Whether it is still as it was left: open, and nothing was said unasked.
    pub(super) async fn is_open(&mut self) -> bool {
        let mut byte = [0; 1];
        // The read is polled once, and not waited for.
        let ready = futures_util::poll!(std::pin::pin!(self.stream.read(&mut byte)));
        ready.is_pending()
    }
}
