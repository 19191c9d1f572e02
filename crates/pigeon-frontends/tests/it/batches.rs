//! How many reads and writes a conversation costs: each is a system call.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use super::post_office::{PostOffice, reception};

/// Counts what moved octets.
struct Counted {
    inner: DuplexStream,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.reads.fetch_add(usize::from(read.is_ready()), Ordering::SeqCst);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, octets);
        self.writes.fetch_add(usize::from(written.is_ready()), Ordering::SeqCst);
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[tokio::test]
async fn a_pipelined_message_costs_two_reads_and_two_writes() {
    let office = Arc::new(PostOffice::new());
    let reception = reception(&office, Arc::new(NoSpool), LmtpLimits::default());
    let (mut client, inner) = tokio::io::duplex(1 << 20);
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stream = Counted { inner, reads: Arc::clone(&reads), writes: Arc::clone(&writes) };
    tokio::spawn(serve_stream(reception, stream, Peer::unix(false), Stopping::never()));
    let mut converse = async |text: &str, replies: usize| {
        client.write_all(text.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while read.iter().filter(|octet| **octet == b'\n').count() < replies {
            assert!(client.read_buf(&mut read).await.unwrap() > 0);
        }
    };
    converse("LHLO client\r\n", 9).await;
    let before = (reads.load(Ordering::SeqCst), writes.load(Ordering::SeqCst));
    let recipients = "RCPT TO:<ann@example.org>\r\n".repeat(50);
    for message in 1..=3 {
        converse(&format!("MAIL FROM:<s@example.net>\r\n{recipients}DATA\r\n"), 52).await;
        converse(&format!("Subject: x\r\n\r\n{}.\r\n", "text\r\n".repeat(1000)), 50).await;
        let after = (reads.load(Ordering::SeqCst), writes.load(Ordering::SeqCst));
        assert_eq!((after.0 - before.0, after.1 - before.1), (2 * message, 2 * message));
    }
    assert_eq!(office.count(), 3);
}
