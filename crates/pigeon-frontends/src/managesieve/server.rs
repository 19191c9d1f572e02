//! The server: listeners, a task for each connection, and an orderly end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, debug_span, error, warn};

use super::connection::serve_stream;
use super::{ManageSieve, Peer};
use crate::listener::{Bound, ListenAddress, ListenError, Stream};
use crate::stop::Stopping;
use crate::systemd::InheritedSocket;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Numbers connections in debug logs.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// A ManageSieve server whose listener is open.
pub struct ManageSieveServer {
    server: Arc<ManageSieve>,
    bound: Bound,
}

impl ManageSieveServer {
    /// Opens the listener. Needs a tokio runtime.
    ///
    /// `inherited` are the sockets of the service manager ([`crate::systemd::inherited_sockets`]); one that `address`
    /// names is taken from it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn bind(
        server: Arc<ManageSieve>,
        address: ListenAddress,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Result<Self, ListenError> {
        Ok(Self { server, bound: Bound::open(address, inherited)? })
    }

    /// Where it listens, with the real port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        self.bound.address()
    }

    /// Serves until `stopping` says so, then for at most
    /// [`shutdown_time`](super::ManageSieveLimits::shutdown_time): commands that are being carried out are answered.
    pub async fn serve(self, mut stopping: Stopping) {
        let Self { server, bound } = self;
        let mut connections = JoinSet::new();
        let mut is_full = false;
        loop {
            tokio::select! {
                accepted = bound.accept() => match accepted {
                    Ok((stream, _)) if connections.len() >= server.limits.connections => {
                        if !is_full {
                            warn!("{}: all {} connections are open", bound.address(), connections.len());
                        }
                        is_full = true;
                        stream.turn_away("BYE (TRYLATER) \"Too many connections\"\r\n");
                    }
                    Ok((stream, address)) => {
                        is_full = false;
                        spawn(&mut connections, stream, Peer(address), (&server, &stopping));
                    }
                    // The client was gone before it could be accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        warn!("{}: a client cannot be accepted: {error}", bound.address());
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => report(ended),
                () = stopping.wait() => break,
            }
        }
        drop(bound);
        finish(connections, server.limits.shutdown_time).await;
    }
}

fn spawn(
    connections: &mut JoinSet<()>,
    stream: Stream,
    peer: Peer,
    (server, stopping): (&Arc<ManageSieve>, &Stopping),
) {
    let (server, stopping) = (Arc::clone(server), stopping.clone());
    let span = debug_span!("managesieve", connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed));
    match stream {
        Stream::Unix(stream) => {
            connections.spawn(serve_stream(server, stream, peer, stopping).instrument(span))
        }
        Stream::Tcp(stream) => {
            connections.spawn(serve_stream(server, stream, peer, stopping).instrument(span))
        }
    };
}

async fn finish(mut connections: JoinSet<()>, time: Duration) {
    let deadline = Instant::now() + time;
    while let Ok(Some(ended)) = timeout_at(deadline, connections.join_next()).await {
        report(ended);
    }
    if !connections.is_empty() {
        warn!("{} connections did not end in time and are cut", connections.len());
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && failed.is_panic()
    {
        error!("a connection ended by a bug: {failed}");
    }
}
