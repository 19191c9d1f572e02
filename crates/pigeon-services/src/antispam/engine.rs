//! What every scanner does, and which server is asked: the next one whose breaker is closed.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use pigeon_core::clock::Clock;
use pigeon_core::message::{Body, CHUNK_OCTETS, Message};

use super::settings::ServerAddress;
use crate::breaker::Breaker;

/// A message to judge or to learn, and what is known of it beside its bytes.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) message: Arc<Message>,
    /// The reverse-path; empty is the null sender.
    pub(super) sender: String,
    /// The recipients that the scan is for.
    pub(super) recipients: Vec<String>,
    /// For whom was learned, where that is not everybody: an account's address or a domain.
    pub(super) learner: Option<String>,
    /// The client that first spoke to this site, where it is known.
    pub(super) client: Option<Client>,
    /// The MTA's name for the message.
    pub(super) queue_id: Option<String>,
    /// This host.
    pub(super) hostname: Arc<str>,
}

/// The client that first spoke to this site.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) helo: Option<String>,
    pub(super) name: Option<String>,
}

/// What a scanner found.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Report {
    pub(super) score: f64,
    /// What the scanner wants to be done whatever the score is.
    pub(super) forced: Option<String>,
    /// The rules that fired, those that say most first.
    pub(super) symbols: Vec<String>,
    /// Fields that the scanner wants to be there: name, value, and whether on top.
    pub(super) add: Vec<(String, String, bool)>,
    /// Fields that it wants to be gone.
    pub(super) remove: Vec<String>,
}

/// What a message is an example of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Mail that is wanted.
    Ham,
    /// Mail that is not.
    Spam,
}

impl Class {
    /// `ham` or `spam`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ham => "ham",
            Self::Spam => "spam",
        }
    }
}

/// What came of learning a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The scanner took it in.
    New,
    /// It knew it already as such, or found nothing new in it.
    Known,
}

/// Why a server gave no answer that can be used.
#[derive(Debug)]
pub(super) struct Problem {
    /// What happened.
    pub(super) what: String,
    /// Whether the server is to blame: another message would fare no better.
    pub(super) is_servers: bool,
}

impl Problem {
    pub(super) fn of_server(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_servers: true }
    }

    pub(super) fn of_message(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_servers: false }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

/// A scanner's protocol, spoken with one server.
pub(super) trait Engine: Send + Sync + fmt::Debug {
    /// Has the message judged.
    fn scan<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Report, Problem>>;
    /// Has the message learned.
    fn learn<'a>(&'a self, job: &'a Job, class: Class) -> BoxFuture<'a, Result<Learned, Problem>>;
}

/// The servers that can do the same work.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<(ServerAddress, Breaker, Box<dyn Engine>)>,
    turn: AtomicUsize,
    limit: Duration,
}

/// When a server is left alone, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// All attempts together.
    pub(super) limit: Duration,
    pub(super) failures: u32,
    pub(super) rest: Duration,
}

impl Servers {
    pub(super) fn new(
        addresses: Vec<ServerAddress>,
        patience: Patience,
        clock: &Arc<dyn Clock>,
        engine: impl Fn(&ServerAddress) -> Box<dyn Engine>,
    ) -> Self {
        let with_breaker = |address: ServerAddress| {
            let breaker = Breaker::new(patience.failures, patience.rest, Arc::clone(clock));
            let engine = engine(&address);
            (address, breaker, engine)
        };
        let list = addresses.into_iter().map(with_breaker).collect();
        Self { list, turn: AtomicUsize::new(0), limit: patience.limit }
    }

    pub(super) async fn scan(&self, job: &Job) -> Result<Report, Problem> {
        self.ask(|engine| engine.scan(job)).await
    }

    pub(super) async fn learn(&self, job: &Job, class: Class) -> Result<Learned, Problem> {
        self.ask(|engine| engine.learn(job, class)).await
    }

    /// Asks one server after the other until one answers; each gets its share of the time that is left.
    async fn ask<'a, T>(
        &'a self,
        ask: impl Fn(&'a dyn Engine) -> BoxFuture<'a, Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let end = tokio::time::Instant::now() + self.limit;
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.list.len().max(1);
        let mut said = Vec::new();
        for (tried, (address, breaker, engine)) in
            self.list.iter().cycle().skip(first).take(self.list.len()).enumerate()
        {
            let Some(attempt) = breaker.attempt() else {
                said.push(format!("{address} is left alone after failures"));
                continue;
            };
            let left = u32::try_from(self.list.len() - tried).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(tokio::time::Instant::now()) / left.max(1);
            match tokio::time::timeout(share, ask(&**engine)).await {
                Ok(Ok(answer)) => {
                    attempt.succeeded();
                    return Ok(answer);
                }
                Ok(Err(problem)) if !problem.is_servers => {
                    attempt.succeeded();
                    return Err(Problem::of_message(format!("{address} {problem}")));
                }
                Ok(Err(problem)) => said.push(format!("{address} {problem}")),
                Err(_) => said.push(format!("{address} gave no answer within {:.1} s", share.as_secs_f64())),
            }
        }
        Err(Problem::of_server(said.join("; ")))
    }
}

/// The message in pieces; a spooled body is read where blocking work runs.
pub(super) fn pieces(message: Arc<Message>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    let head = message.head().clone();
    stream::try_unfold((Some(head), 0_usize, 0_u64), move |(head, chunk, offset)| {
        let message = Arc::clone(&message);
        async move {
            if let Some(head) = head {
                return Ok(Some((head, (None, 0, 0))));
            }
            let piece = match message.body() {
                Body::Memory(chunks) => chunks.get(chunk).cloned().unwrap_or_default(),
                Body::Spooled(_) => read(Arc::clone(&message), offset).await?,
            };
            let next = offset + piece.len() as u64;
            // A body in memory may have pieces without octets, but none behind its end.
            let is_over = match message.body() {
                Body::Memory(chunks) => chunk >= chunks.len(),
                Body::Spooled(_) => piece.is_empty(),
            };
            Ok((!is_over).then_some((piece, (None, chunk + 1, next))))
        }
    })
}

async fn read(message: Arc<Message>, offset: u64) -> std::io::Result<Bytes> {
    let work = move || {
        let mut buffer = vec![0; CHUNK_OCTETS];
        let count = message.read_body(offset, &mut buffer)?;
        buffer.truncate(count);
        Ok(Bytes::from(buffer))
    };
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// A value that fits into one line of a protocol: no control characters, not endless.
pub(super) fn line(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(1000).collect()
}
