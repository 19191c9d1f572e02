//! The server: listeners, a task for each connection, and an orderly end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, debug_span, error, warn};

use super::Reception;
use super::connection::serve_stream;
use super::peer::{LmtpListener, Peer};
use crate::listener::{Bound, ListenAddress, ListenError, Stream};
use crate::stop::Stopping;
use crate::systemd::InheritedSocket;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An LMTP server whose listeners are open.
pub struct LmtpServer {
    reception: Arc<Reception>,
    bound: Vec<(Bound, LmtpListener)>,
}

/// Numbers connections in debug logs.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

impl LmtpServer {
    /// Opens all listeners. Needs a tokio runtime.
    ///
    /// `inherited` are the sockets of the service manager ([`crate::systemd::inherited_sockets`]); those
    /// that a listener names are taken from it.
    ///
    /// # Errors
    /// The first listener that cannot be opened; those before it are closed again.
    pub fn bind(
        reception: Arc<Reception>,
        listeners: Vec<LmtpListener>,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Result<Self, ListenError> {
        let bound = listeners
            .into_iter()
            .map(|listener| Ok((Bound::open(listener.address.clone(), inherited)?, listener)))
            .collect::<Result<_, _>>()?;
        Ok(Self { reception, bound })
    }

    /// Where the server listens, in the order of its listeners; with the real port where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.bound.iter().map(|(bound, _)| bound.address()).collect()
    }

    /// Serves until `stopping` says so, then for at most [`shutdown_time`](super::LmtpLimits::shutdown_time):
    /// messages that are coming in or being delivered are finished and answered, everyone else gets 421.
    pub async fn serve(self, stopping: Stopping) {
        let mut listeners = JoinSet::new();
        for bound in self.bound {
            listeners.spawn(listen(bound, Arc::clone(&self.reception), stopping.clone()));
        }
        while let Some(ended) = listeners.join_next().await {
            report(ended);
        }
    }
}

async fn listen((bound, listener): (Bound, LmtpListener), reception: Arc<Reception>, mut stopping: Stopping) {
    let mut connections = JoinSet::new();
    let mut is_full = false;
    loop {
        tokio::select! {
            accepted = bound.accept() => match accepted {
                Ok((stream, _)) if connections.len() >= reception.limits.connections => {
                    if !is_full {
                        warn!("{}: all {} connections are open", bound.address(), connections.len());
                    }
                    is_full = true;
                    stream.turn_away(&format!("421 4.3.2 {} Too many connections\r\n", reception.hostname));
                }
                Ok((stream, address)) => {
                    is_full = false;
                    reception.connections.fetch_add(1, Ordering::Relaxed);
                    spawn(&mut connections, stream, listener.peer(address), (&reception, &stopping));
                }
                // The client was gone before it could be accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!("{}: a client cannot be accepted: {error}", bound.address());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                reception.connections.fetch_sub(1, Ordering::Relaxed);
                report(ended);
            }
            () = stopping.wait() => break,
        }
    }
    drop(bound);
    let deadline = Instant::now() + reception.limits.shutdown_time;
    while let Ok(Some(ended)) = timeout_at(deadline, connections.join_next()).await {
        report(ended);
    }
    if !connections.is_empty() {
        warn!("{} connections did not end in time and are cut", connections.len());
        connections.shutdown().await;
    }
}

fn spawn(
    connections: &mut JoinSet<()>,
    stream: Stream,
    peer: Peer,
    (reception, stopping): (&Arc<Reception>, &Stopping),
) {
    let (reception, stopping) = (Arc::clone(reception), stopping.clone());
    let span = debug_span!("lmtp", connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed));
    match stream {
        Stream::Unix(stream) => {
            connections.spawn(serve_stream(reception, stream, peer, stopping).instrument(span))
        }
        Stream::Tcp(stream) => {
            connections.spawn(serve_stream(reception, stream, peer, stopping).instrument(span))
        }
    };
}

fn report(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && failed.is_panic()
    {
        error!("a connection ended by a bug; its client tries again: {failed}");
    }
}

/// Serves one client on standard input and output: the program that started this process.
///
/// Ends with the conversation. A read of standard input may still wait then, on a thread of the runtime:
/// shut the runtime down in the background, or exit.
pub async fn serve_stdio(reception: Arc<Reception>, is_trusted: bool, stopping: Stopping) {
    let stream = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    serve_stream(reception, stream, Peer::stdio(is_trusted), stopping).await;
}
