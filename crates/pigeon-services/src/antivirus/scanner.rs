//! The site's clamd servers: tried in turn, with kept connections, time-outs and rests.
//!
//! Sessions pay: a scan of 4 KiB took 164 instead of 362 µs over TCP, and 14 instead of 65 µs of our own processor time;
//! over a Unix socket 209 instead of 251 µs, and 13 instead of 25 µs (`examples/scan_cost.rs`, two cores, medians).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pigeon_core::clock::{Clock, with_limit};
use pigeon_core::message::Message;
use tokio::sync::Semaphore;

use super::Config;
use super::address::ServerAddress;
use super::reply::Reply;
use super::session::{Broken, Session};
use crate::breaker::Breaker;
use crate::octets::Octets;

/// How long a connection is kept without work: clamd ends sessions itself after 30 s (`IdleTimeout`, `ReadTimeout`).
const MAX_IDLE: Duration = Duration::from_secs(20);

/// Messages up to this many octets are not too large for any clamd: one that drops them has another reason.
const NEVER_TOO_LARGE: u64 = 1 << 20;

/// What became of scanning one message: the same for all its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was found; by which server.
    Clean(Arc<str>),
    /// This was found; by which server.
    Infected(String, Arc<str>),
    /// Not all of it was looked at, for this reason.
    TooLarge(String),
    /// No server looked at it, for these reasons.
    Unavailable(String),
}

/// All servers.
pub(super) struct Scanner {
    servers: Vec<Server>,
    /// None: everything.
    max_octets: Option<u64>,
}

impl Scanner {
    pub(super) fn new(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let server = |address: &ServerAddress| Server::new(address, config, clock);
        Self { servers: config.servers.iter().map(server).collect(), max_octets: config.max_octets.limit() }
    }

    /// Has the message scanned by the first server that can.
    pub(super) async fn scan(&self, message: &Arc<Message>) -> Verdict {
        if let Some(limit) = self.max_octets.filter(|limit| message.size() > *limit) {
            let (size, limit) = (Octets(message.size()), Octets(limit));
            return Verdict::TooLarge(format!("it has {size}, and antivirus.max_octets is {limit}"));
        }
        let mut troubles = Vec::new();
        for server in &self.servers {
            let name = || Arc::clone(&server.name);
            match server.scan(message).await {
                Ok(Reply::Clean) => return Verdict::Clean(name()),
                Ok(Reply::Infected(virus)) => return Verdict::Infected(virus, name()),
                Ok(Reply::TooLarge(why)) => return Verdict::TooLarge(format!("{why} ({})", server.name)),
                Ok(Reply::Failed(said)) => troubles.push(format!("clamd at {} says {said:?}", server.name)),
                Err(trouble) => troubles.push(trouble),
            }
        }
        if troubles.is_empty() {
            troubles.push("antivirus.servers names no server".to_owned());
        }
        Verdict::Unavailable(troubles.join("; "))
    }

    /// What each server says of itself.
    ///
    /// The error tells of all servers, too, where one of them does not answer.
    pub(super) async fn probe(&self) -> Result<String, String> {
        let mut said = Vec::new();
        let mut is_well = !self.servers.is_empty();
        for server in &self.servers {
            let answer = server.probe().await;
            is_well &= answer.is_ok();
            said.push(answer.unwrap_or_else(|trouble| trouble));
        }
        if said.is_empty() {
            said.push("antivirus.servers names no server".to_owned());
        }
        if is_well { Ok(said.join("; ")) } else { Err(said.join("; ")) }
    }
}

/// A session that waits for the next message.
struct Idle {
    session: Session,
    /// On the clock's own scale.
    since: Duration,
}

/// One clamd.
struct Server {
    address: ServerAddress,
    name: Arc<str>,
    connect_limit: Duration,
    answer_limit: Duration,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    connections: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Why it failed when it last did.
    last_trouble: Mutex<String>,
}

impl Server {
    fn new(address: &ServerAddress, config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let rest = Duration::from_secs(config.rest_s.into());
        Self {
            address: address.clone(),
            name: address.to_string().into(),
            connect_limit: Duration::from_millis(config.connect_timeout_ms),
            answer_limit: Duration::from_millis(config.answer_timeout_ms),
            clock: Arc::clone(clock),
            breaker: Breaker::new(config.failures, rest, Arc::clone(clock)),
            connections: Semaphore::new(config.connections.into()),
            idle: Mutex::default(),
            last_trouble: Mutex::default(),
        }
    }

    /// One scan; the error says what went wrong, where, and what to look at.
    async fn scan(&self, message: &Arc<Message>) -> Result<Reply, String> {
        let Ok(_permit) = with_limit(&*self.clock, self.answer_limit, self.connections.acquire()).await
        else {
            return Err(format!(
                "all connections to clamd at {} were busy for {} ms: see antivirus.connections, and MaxThreads of clamd",
                self.name,
                self.answer_limit.as_millis()
            ));
        };
        let Some(attempt) = self.breaker.attempt() else {
            // What went wrong names the server.
            return Err(format!(
                "{} (several times in a row, so it is left alone for a while)",
                self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner)
            ));
        };
        let scan = with_limit(&*self.clock, self.answer_limit, self.scan_now(message)).await;
        match scan {
            Ok(Ok(reply)) => {
                attempt.succeeded();
                Ok(reply)
            }
            Ok(Err(Trouble::Spool(error))) => {
                // That is not clamd's failure.
                attempt.succeeded();
                Err(format!("the spooled message cannot be read: {error}"))
            }
            Ok(Err(Trouble::Server(what))) => Err(self.failed(what)),
            Err(_) => Err(self.failed(format!(
                "clamd at {} gave no answer within {} ms: is it overloaded? See antivirus.answer_timeout_ms",
                self.name,
                self.answer_limit.as_millis()
            ))),
        }
    }

    fn failed(&self, what: String) -> String {
        self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&what);
        what
    }

    async fn scan_now(&self, message: &Arc<Message>) -> Result<Reply, Trouble> {
        if let Some(mut session) = self.take_idle().await {
            match session.scan(message).await {
                // clamd may have ended the session just then, and so the others: a new one tells.
                Err(Broken::Sending(_) | Broken::Waiting(_)) => {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                done => return self.finish(session, done),
            }
        }
        let mut session = self.connect().await?;
        match session.scan(message).await {
            Err(Broken::Sending(_) | Broken::Waiting(_)) => {}
            done => return self.finish(session, done),
        }
        // Once more: it may have been restarted meanwhile.
        let mut session = self.connect().await?;
        match session.scan(message).await {
            Err(broken)
                if broken.is_cut_short() && message.size() > NEVER_TOO_LARGE && self.answers().await =>
            {
                let why = "clamd drops it while it is sent: see StreamMaxLength of clamd";
                Ok(Reply::TooLarge(why.to_owned()))
            }
            done => self.finish(session, done),
        }
    }

    /// Keeps the session if it can go on.
    fn finish(&self, session: Session, done: Result<Reply, Broken>) -> Result<Reply, Trouble> {
        match done {
            Ok(reply) => {
                if matches!(reply, Reply::Clean | Reply::Infected(_)) {
                    let since = self.clock.elapsed();
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(Idle { session, since });
                }
                Ok(reply)
            }
            Err(Broken::Spool(error)) => Err(Trouble::Spool(error)),
            Err(Broken::Sending(error) | Broken::Waiting(error)) => Err(Trouble::Server(format!(
                "clamd at {} ended the connection without an answer ({error}): its log may say why",
                self.name
            ))),
            Err(Broken::Garbage(text)) => Err(Trouble::Server(format!(
                "{} answers {text:?}, which is no answer of clamd: is it clamd that listens there?",
                self.name
            ))),
        }
    }

    /// The session that was used last, if it is still open.
    async fn take_idle(&self) -> Option<Session> {
        loop {
            let mut idle = {
                let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let now = self.clock.elapsed();
                all.retain(|idle| now.saturating_sub(idle.since) < MAX_IDLE);
                all.pop()?
            };
            if idle.session.is_open().await {
                return Some(idle.session);
            }
        }
    }

    async fn connect(&self) -> Result<Session, Trouble> {
        let connected = with_limit(&*self.clock, self.connect_limit, Session::connect(&self.address)).await;
        let error = match connected {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {} ms", self.connect_limit.as_millis()),
            ),
        };
        Err(Trouble::Server(format!(
            "clamd at {} cannot be reached: {error}: {}",
            self.name,
            self.advice(&error)
        )))
    }

    /// What to do about a connection that cannot be made.
    fn advice(&self, error: &io::Error) -> &'static str {
        match (&self.address, error.kind()) {
            (_, io::ErrorKind::PermissionDenied) => {
                "let the mail user in (LocalSocketMode, LocalSocketGroup in clamd.conf)"
            }
            (ServerAddress::Unix(_), io::ErrorKind::NotFound) => {
                "is it running, and is that LocalSocket in clamd.conf?"
            }
            (ServerAddress::Unix(_), _) => "is it running?",
            (ServerAddress::Tcp(_), _) => "is it running, with TCPSocket and TCPAddr in clamd.conf?",
        }
    }

    /// Whether clamd is alive, whatever it thinks of a message.
    async fn answers(&self) -> bool {
        match self.connect().await {
            Ok(session) => session.ask("PING").await.is_ok_and(|answer| answer == "PONG"),
            Err(_) => false,
        }
    }

    /// `unix:/run/clamav/clamd.ctl: ClamAV 1.4.6/27500/…`
    async fn probe(&self) -> Result<String, String> {
        let ask = async {
            let session = self.connect().await.map_err(|trouble| trouble.to_string())?;
            let said = session.ask("VERSION").await;
            said.map_err(|broken| format!("clamd at {} does not say what it is: {broken:?}", self.name))
        };
        match with_limit(&*self.clock, self.answer_limit, ask).await {
            Ok(Ok(version)) if version.starts_with("ClamAV") => Ok(format!("{}: {version}", self.name)),
            Ok(Ok(said)) => Err(format!("{} answers {said:?}: is it clamd that listens there?", self.name)),
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(format!(
                "clamd at {} gave no answer within {} ms",
                self.name,
                self.answer_limit.as_millis()
            )),
        }
    }
}

/// Why a server gave no answer.
#[derive(Debug)]
enum Trouble {
    /// In a sentence.
    Server(String),
    /// The message itself cannot be read.
    Spool(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(what) => formatter.write_str(what),
            Self::Spool(error) => write!(formatter, "the spooled message cannot be read: {error}"),
        }
    }
}
