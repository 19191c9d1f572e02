//! A clamd that does what a test tells it to, on a port of 127.0.0.1.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::ports::spool::{Spool, SpoolFile};
use pigeon_core::service::{Descriptor, NoConfig, Service, Stage, Tools};
use pigeon_testkit::memory::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::antivirus::Antivirus;
use crate::mailbox::Mailbox;

/// What it does with a stream.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Answers this, with the number of the command before it.
    Say(String),
    /// Answers these bytes and ends the connection.
    Raw(Vec<u8>),
    /// Answers this after a while.
    Slow(Duration, String),
    /// Never answers.
    Hang,
    /// Ends the connection when a stream begins.
    Close,
    /// Ends it after so many octets of a stream.
    CloseAfter(usize),
    /// Calls a stream clean after so many octets of it, and ends the connection.
    CleanAfter(usize),
    /// Ends it when all is there.
    CloseAfterStream,
    /// Takes no connection at all.
    Refuse,
}

impl Act {
    pub(super) fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self::Raw(bytes.to_vec())
    }
}

#[derive(Default)]
struct Seen {
    /// What is done with the next streams; the last one with all that follow.
    script: Vec<Act>,
    streams: Vec<Vec<u8>>,
    connections: usize,
}

/// The scripted clamd.
pub(super) struct Fake {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    /// Counts how often all connections were to end.
    ends: watch::Sender<u32>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Fake {
    pub(super) fn start(script: Vec<Act>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refuses = matches!(script.first(), Some(Act::Refuse));
        let seen = Arc::new(Mutex::new(Seen { script, ..Seen::default() }));
        let (ends, _) = watch::channel(0);
        let mut fake = Self { port, seen, ends, task: None };
        if !refuses {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            fake.task = Some(tokio::spawn(serve(listener, Arc::clone(&fake.seen), fake.ends.clone())));
        }
        fake
    }

    pub(super) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub(super) fn script(&self, script: Vec<Act>) {
        self.seen().script = script;
    }

    /// Every message that was streamed whole.
    pub(super) fn streams(&self) -> Vec<Vec<u8>> {
        self.seen().streams.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen().connections
    }

    /// Ends all connections.
    pub(super) async fn close_all(&self) {
        self.ends.send_modify(|ends| *ends += 1);
        // Until the other side has noticed.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>, ends: watch::Sender<u32>) {
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock().unwrap().connections += 1;
        let (seen, mut ended) = (Arc::clone(&seen), ends.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = ended.changed() => {}
                _ = session(stream, &seen) => {}
            }
        });
    }
}

async fn session(mut stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    for number in 1.. {
        let mut command = read_command(&mut stream).await?;
        match command.as_str() {
            "zPING" => return stream.write_all(b"PONG\0").await,
            "zVERSION" => return stream.write_all(b"ClamAV 1.4.6/fake\0").await,
            "zIDSESSION" => command = read_command(&mut stream).await?,
            _ => {}
        }
        assert_eq!(command, "zINSTREAM");
        let act = {
            let script = &mut seen.lock().unwrap().script;
            if script.len() > 1 { script.remove(0) } else { script[0].clone() }
        };
        if matches!(act, Act::Close) {
            return Ok(());
        }
        let limit = match act {
            Act::CloseAfter(limit) | Act::CleanAfter(limit) => limit,
            _ => usize::MAX,
        };
        let Some(message) = read_stream(&mut stream, limit).await? else {
            if matches!(act, Act::CleanAfter(_)) {
                stream.write_all(format!("{number}: stream: OK\0").as_bytes()).await?;
            }
            return Ok(());
        };
        seen.lock().unwrap().streams.push(message);
        match act {
            Act::Say(text) => stream.write_all(format!("{number}: {text}\0").as_bytes()).await?,
            Act::Slow(time, text) => {
                tokio::time::sleep(time).await;
                stream.write_all(format!("{number}: {text}\0").as_bytes()).await?;
            }
            Act::Raw(bytes) => return stream.write_all(&bytes).await,
            Act::Hang => std::future::pending().await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

async fn read_command(stream: &mut TcpStream) -> io::Result<String> {
    let mut command = Vec::new();
    loop {
        match stream.read_u8().await? {
            0 => return Ok(String::from_utf8(command).unwrap()),
            byte => command.push(byte),
        }
    }
}

/// The chunks put together; none once they are more than the limit.
async fn read_stream(stream: &mut TcpStream, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    loop {
        let length = stream.read_u32().await?;
        if length == 0 {
            return Ok(Some(message));
        }
        let begin = message.len();
        message.resize(begin + length as usize, 0);
        stream.read_exact(&mut message[begin..]).await?;
        if message.len() > limit {
            return Ok(None);
        }
    }
}

/// A spool whose disk is broken.
pub(super) struct BrokenSpool;

impl Spool for BrokenSpool {
    fn threshold(&self) -> u64 {
        10
    }
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Self))
    }
}

impl SpoolFile for BrokenSpool {
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is broken"))
    }
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

/// Says in its reason which facts there are about viruses.
struct Facts;

/// Nothing to set.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct NoSettings {}

impl Service for Facts {
    const NAME: &'static str = "facts";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoSettings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn handle(&self, _settings: &NoSettings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let fact = |name: &str| delivery.fact(name).map(ToString::to_string).unwrap_or_default();
        let (status, level, name) = (fact("virus.status"), fact("virus.level"), fact("virus.name"));
        delivery.reason(format!("status={status} level={level} name={name}"));
        Ok(Next::Continue)
    }
}

/// A world in which a service reads the facts.
pub(super) fn world_with_facts(url: &str) -> World {
    let world =
        World::new(&[Descriptor::of::<Antivirus>(), Descriptor::of::<Facts>(), Descriptor::of::<Mailbox>()]);
    world.account(super::ANN);
    for service in ["antivirus", "facts", "mailbox"] {
        world.set("system", &format!("{service}.enabled"), true);
    }
    world.set("system", "antivirus.servers", vec![url]);
    world
}
