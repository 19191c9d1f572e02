//! A network between a client and a server that can be made slow, silent or broken: a proxy in the test's own process.
//!
//! A paused server shows what a client does when nothing answers; a link shows it for one client alone, or for one of
//! two servers that replicate, and it can be slow without being silent.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::port::Port;

/// Bytes that are carried at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that a slow or stalled direction holds before its sender has to wait.
const HELD: usize = 64;
/// How long the server may take to accept.
const CONNECTING: Duration = Duration::from_secs(5);

/// What was read, with its time; nothing at the end of the stream.
type Chunk = (Instant, Option<Vec<u8>>);

/// A TCP port that leads to another one. Dropping it breaks all its connections.
#[derive(Debug)]
pub struct Link {
    port: Port,
    address: IpAddr,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What all threads of a link look at.
#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    is_stalled: bool,
    /// Grows when the link is cut: threads of connections from before end.
    epoch: u64,
    /// How many connections there were; the next one's number.
    accepted: u64,
    /// Both sides of every open connection.
    open: HashMap<u64, Vec<TcpStream>>,
}

impl Link {
    /// A link from a new port of 127.0.0.1 to this one.
    ///
    /// # Errors
    ///
    /// Fails if no port is free.
    pub fn start(port: u16) -> io::Result<Self> {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self::start_on(local, SocketAddr::new(local, port))
    }

    /// A link from a new port of this address of the machine to a server.
    ///
    /// # Errors
    ///
    /// Fails if no port is free or the address is not the machine's.
    pub fn start_on(address: IpAddr, target: SocketAddr) -> io::Result<Self> {
        let shared = Shared { target, state: Mutex::default(), changed: Condvar::new() };
        let link =
            Self { port: Port::free()?, address, shared: Arc::new(shared), acceptor: Mutex::default() };
        link.listen()?;
        Ok(link)
    }

    /// The port where it takes connections.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address and port where it takes connections.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port())
    }

    /// How many connections it has taken so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.state().open.len()
    }

    /// From now on everything arrives this much later, in each direction; how much fits through stays the same.
    pub fn delay(&self, delay: Duration) {
        self.shared.change(|state| state.delay = delay);
    }

    /// From now on connections are taken and stay open, and nothing is carried. What is sent meanwhile arrives after
    /// [`Self::heal`].
    pub fn stall(&self) {
        self.shared.change(|state| state.is_stalled = true);
    }

    /// Closes all connections and refuses new ones. What was on its way is lost.
    pub fn cut(&self) {
        self.shared.change(|state| {
            state.epoch += 1;
            for stream in state.open.drain().flat_map(|(_, streams)| streams) {
                close(&stream);
            }
        });
        let Some(acceptor) = self.acceptor().take() else { return };
        // A connection of our own wakes it; without one it waits for the next client, which gets nothing either.
        if TcpStream::connect_timeout(&self.address(), CONNECTING).is_ok() {
            acceptor.join().unwrap_or_default();
        }
    }

    /// Carries everything again, without delay.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be opened again after [`Self::cut`].
    pub fn heal(&self) -> io::Result<()> {
        self.shared.change(|state| {
            state.delay = Duration::ZERO;
            state.is_stalled = false;
        });
        self.listen()
    }

    /// Opens the port, if it is not open.
    fn listen(&self) -> io::Result<()> {
        let mut acceptor = self.acceptor();
        if acceptor.is_none() {
            let listener = TcpListener::bind(self.address())?;
            let (shared, epoch) = (Arc::clone(&self.shared), self.shared.state().epoch);
            *acceptor = Some(thread::spawn(move || shared.accept(&listener, epoch)));
        }
        Ok(())
    }

    fn acceptor(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Takes connections until the link is cut.
    fn accept(self: Arc<Self>, listener: &TcpListener, epoch: u64) {
        for client in listener.incoming() {
            let mut state = self.state();
            if state.epoch != epoch {
                return;
            }
            // A client that is gone before it is taken is not ours to report.
            let Ok(client) = client else { continue };
            let number = state.accepted;
            state.accepted += 1;
            state.open.insert(number, client.try_clone().into_iter().collect());
            drop(state);
            let shared = Arc::clone(&self);
            thread::spawn(move || {
                // A side that fails looks to the other like a closed connection, as everywhere.
                shared.connect(&client, number, epoch).unwrap_or_default();
                close(&client);
                shared.state().open.remove(&number);
            });
        }
    }

    /// Connects one client with the server and carries both directions to their ends.
    fn connect(self: &Arc<Self>, client: &TcpStream, number: u64, epoch: u64) -> io::Result<()> {
        if !self.is_due(Instant::now(), epoch) {
            return Ok(());
        }
        let server = TcpStream::connect_timeout(&self.target, CONNECTING)?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
        }
        match self.state().open.get_mut(&number) {
            Some(streams) => streams.push(server.try_clone()?),
            // Cut meanwhile.
            None => return Ok(()),
        }
        let (shared, from, to) = (Arc::clone(self), client.try_clone()?, server.try_clone()?);
        let upwards = thread::spawn(move || shared.carry(from, &to, epoch));
        Arc::clone(self).carry(server.try_clone()?, client, epoch);
        upwards.join().unwrap_or_default();
        close(&server);
        Ok(())
    }

    /// Carries one direction until its end, keeping the time of each chunk.
    fn carry(self: Arc<Self>, from: TcpStream, to: &TcpStream, epoch: u64) {
        let source = from.try_clone();
        let (sender, chunks) = sync_channel(HELD);
        let reader = thread::spawn(move || read(from, &sender));
        if self.write(&chunks, to, epoch).is_err() {
            // The receiver is gone: the sender learns it, and the reader wakes up.
            source.iter().for_each(close);
        }
        drop(chunks);
        reader.join().unwrap_or_default();
    }

    fn write(&self, chunks: &Receiver<Chunk>, mut to: &TcpStream, epoch: u64) -> io::Result<()> {
        for (read, chunk) in chunks {
            if !self.is_due(read, epoch) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match chunk {
                Some(bytes) => to.write_all(&bytes)?,
                None => return to.shutdown(Shutdown::Write),
            }
        }
        Ok(())
    }

    /// Waits until what was read at that time is to arrive; false if the link was cut.
    fn is_due(&self, read: Instant, epoch: u64) -> bool {
        let mut state = self.state();
        while state.epoch == epoch {
            let waiting = (read + state.delay).saturating_duration_since(Instant::now());
            state = if state.is_stalled {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else if waiting.is_zero() {
                return true;
            } else {
                self.changed.wait_timeout(state, waiting).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        false
    }
}

/// Reads to the end of the stream; stops when nobody takes the chunks any more.
fn read(mut from: TcpStream, sender: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        // A connection that breaks ends here like one that is closed.
        let length = from.read(&mut buffer).unwrap_or_default();
        let bytes = buffer.get(..length).filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec);
        let is_last = bytes.is_none();
        if sender.send((Instant::now(), bytes)).is_err() || is_last {
            return;
        }
    }
}

/// Ends both directions; threads that read or write there wake up.
fn close(stream: &TcpStream) {
    // An error means that it is closed already.
    stream.shutdown(Shutdown::Both).unwrap_or_default();
}
