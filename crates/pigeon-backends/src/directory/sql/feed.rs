//! What changed since a position of the change log.
//!
//! PostgreSQL tells us when something was committed, so that a feed with nothing new in it costs no question. That is
//! trusted for [`TRUST`] at most: a connection can be dead without our knowing, and a pooler between us and the server
//! may keep the news to itself; then changes are seen that much later, by asking. MariaDB is asked each time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use pigeon_core::ports::directory::Feed;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::failure::Outcome;
use super::super::scopes::{MAX_SCOPES, feed_of};
use super::servers::{Answer, Servers};
use crate::sql::{Listener, SqlUrl};

/// How long an answer is trusted while no news come.
const TRUST: Duration = Duration::from_millis(750);
/// The channel on which the database's triggers tell of changes.
const CHANNEL: &str = "pigeon_changes";
/// How long the listener waits before it connects again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the change log.
#[derive(Debug)]
pub(super) struct Follower {
    /// Where news come from; none where nobody tells us.
    url: Option<SqlUrl>,
    news: Arc<News>,
    listener: OnceLock<Ended>,
    known: Mutex<Option<Known>>,
}

/// What the listener hears.
#[derive(Debug, Default)]
struct News {
    count: AtomicU64,
    is_listening: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    seq: u64,
    asked: Instant,
    news: u64,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Ended(JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Follows a change log; with a URL, listening for news there once the feed is asked for.
    pub(super) fn new(url: Option<SqlUrl>) -> Self {
        Self { url, news: Arc::default(), listener: OnceLock::new(), known: Mutex::default() }
    }

    /// What changed behind `since`.
    pub(super) async fn feed(&self, servers: &Servers, since: u64) -> Outcome<Feed> {
        if let Some(url) = &self.url {
            self.listener
                .get_or_init(|| Ended(tokio::spawn(listen(url.clone(), Arc::downgrade(&self.news)))));
        }
        if let Some(seq) = self.quiet(since) {
            return Ok(Feed { seq, scopes: Vec::new() });
        }
        // Both before the question: what comes while it is on its way is asked for again.
        let (asked, news) = (Instant::now(), self.news.count.load(Ordering::Acquire));
        let answer = ask(servers, since).await?;
        let feed = read(&answer)?;
        servers.saw(feed.seq);
        if answer.is_from_primary {
            let known = Known { seq: feed.seq, asked, news };
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        }
        Ok(feed)
    }

    /// Something was changed here: nobody needs to tell us.
    pub(super) fn stir(&self) {
        self.news.count.fetch_add(1, Ordering::AcqRel);
    }

    /// The position, if nothing can have happened behind `since`.
    fn quiet(&self, since: u64) -> Option<u64> {
        let known = (*self.known.lock().unwrap_or_else(PoisonError::into_inner))?;
        let is_quiet = self.news.is_listening.load(Ordering::Acquire)
            && known.news == self.news.count.load(Ordering::Acquire)
            && known.asked.elapsed() < TRUST
            && known.seq <= since;
        is_quiet.then_some(known.seq)
    }
}

async fn ask(servers: &Servers, since: u64) -> Outcome<Answer> {
    let limit = i64::try_from(MAX_SCOPES + 1).unwrap_or(i64::MAX);
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let sql = "SELECT '' AS scope, seq FROM change_position
               UNION ALL SELECT scope, seq FROM
               (SELECT scope, seq FROM change_scopes WHERE seq > ? ORDER BY seq LIMIT ?) AS touched";
    servers.fetch(sql, &[since.into(), limit.into()]).await
}

fn read(answer: &Answer) -> Outcome<Feed> {
    let (mut position, mut touched) = (0, Vec::new());
    for row in &answer.rows {
        match (row.text(0)?, row.unsigned(1)?) {
            (scope, seq) if scope.is_empty() => position = seq,
            scope => touched.push(scope),
        }
    }
    touched.sort_by_key(|(_, seq)| *seq);
    feed_of(position, touched)
}

/// Counts what is heard, until nobody wants to know any more.
async fn listen(url: SqlUrl, news: Weak<News>) {
    while let Some(heard) = news.upgrade() {
        drop(hear(&url, &heard).await);
        heard.is_listening.store(false, Ordering::Release);
        drop(heard);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens as long as the connection lives.
async fn hear(url: &SqlUrl, news: &News) -> Outcome<()> {
    let mut listener = Listener::open(url, CHANNEL).await?;
    loop {
        // Whatever happened before this moment is asked for once more.
        news.count.fetch_add(1, Ordering::AcqRel);
        news.is_listening.store(true, Ordering::Release);
        listener.heard().await?;
    }
}
