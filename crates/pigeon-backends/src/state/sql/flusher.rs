//! Receipts on their way: from the queue into a file of the node, from there into the database.
//!
//! Two threads, because they wait for different things: the first for the disk only, so that the queue is emptied
//! whatever the database does; the second for the database.

use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pigeon_core::receipt::Receipt;
use tokio::sync::watch;

use super::schema::SCHEMA;
use super::{limits, receipts};
use crate::sql::{Pool, SqlUrl};
use crate::state::counters::Counters;
use crate::state::queue::Queue;
use crate::state::spool;

/// How often files that other processes left are looked for, and how long a database that failed is left alone.
const IDLE: Duration = Duration::from_secs(1);
/// How long the last receipts of a process may take into the database; what is left waits for the next start.
const LAST: Duration = Duration::from_secs(5);

/// Puts receipts into the node's file; what there is no room for is lost and counted.
pub(super) fn spool_batch(directory: &Path, batch: &[Arc<Receipt>], limit: u64, counters: &Counters) -> bool {
    match spool::append(directory, batch, Some(limit)) {
        Ok(true) => true,
        Ok(false) => {
            if counters.lose(batch.len()) == 0 {
                tracing::error!(
                    "{limit} octets of receipts wait in {} for the database: later ones are lost",
                    directory.display()
                );
            }
            false
        }
        Err(error) => {
            counters.lose(batch.len());
            tracing::error!("{} receipts are lost in {}: {error}", batch.len(), directory.display());
            false
        }
    }
}

/// Empties the queue into the node's file until there is no more to come.
pub(super) fn spool_batches(
    queue: &Queue,
    directory: &Path,
    limit: u64,
    (news, counters): (&News, &Counters),
) {
    loop {
        let (batch, is_closing) = queue.next_batch();
        if !batch.is_empty() {
            // Counted first: the other thread may take them in at once.
            news.add(batch.len());
            if spool_batch(directory, &batch, limit, counters) {
                news.call();
            } else {
                news.taken(batch.len());
            }
            queue.mark_kept(batch.len());
        } else if is_closing {
            return;
        }
    }
}

/// Tells the second thread that there is something in the file.
#[derive(Clone, Default)]
pub(super) struct News(Arc<Inside>);

#[derive(Default)]
struct Inside {
    order: Mutex<Order>,
    given: Condvar,
    /// Receipts of this process, and of those before it, that are not in the database.
    waiting: AtomicU64,
}

#[derive(Default)]
struct Order {
    is_new: bool,
    is_closing: bool,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, count: usize) {
        self.0.waiting.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn call(&self) {
        self.lock().is_new = true;
        self.0.given.notify_one();
    }

    fn taken(&self, count: usize) {
        let count = count as u64;
        // Those of other processes were not counted: there are never fewer than none.
        let before = self.0.waiting.fetch_sub(count, Ordering::Relaxed);
        if before < count {
            self.0.waiting.fetch_add(count - before, Ordering::Relaxed);
        }
    }

    /// Waits for news, or a moment; whether the process ends.
    fn wait(&self, at_most: Duration) -> bool {
        let is_idle = |order: &mut Order| !order.is_new && !order.is_closing;
        let waited = self.0.given.wait_timeout_while(self.lock(), at_most, is_idle);
        let mut order = waited.unwrap_or_else(PoisonError::into_inner).0;
        order.is_new = false;
        order.is_closing
    }

    /// Waits a moment, whatever the news is, unless the process ends.
    fn rest(&self, span: Duration) {
        let is_open = |order: &mut Order| !order.is_closing;
        drop(self.0.given.wait_timeout_while(self.lock(), span, is_open));
    }
}

/// The thread that brings the file into the database.
pub(super) struct Flusher {
    news: News,
    /// How many rounds it has done.
    rounds: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    pub(super) fn start(directory: PathBuf, url: SqlUrl) -> io::Result<Self> {
        // A runtime of its own: the deliveries' one is not held up by a database that is slow to take receipts.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let news = News::default();
        // Before there can be new ones.
        news.0.waiting.fetch_add(left_over(&directory), Ordering::Relaxed);
        let (round, rounds) = watch::channel(0);
        let flushing = Flushing {
            directory,
            // And connections of its own.
            pool: Pool::new(url, SCHEMA, limits(1)),
            news: news.clone(),
            round,
        };
        let thread = std::thread::Builder::new()
            .name("receipts-flush".into())
            .spawn(move || flushing.run(&runtime))?;
        Ok(Self { news, rounds, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn news(&self) -> News {
        self.news.clone()
    }

    /// Receipts in the file, as far as this process knows.
    pub(super) fn waiting(&self) -> u64 {
        self.news.0.waiting.load(Ordering::Relaxed)
    }

    /// Waits until what is in the file now is in the database, or could not be brought there.
    pub(super) async fn flushed(&self, patience: Duration) {
        let mut rounds = self.rounds.clone();
        // The round under way may have begun too early: the one behind it has not.
        let goal = *rounds.borrow_and_update() + 2;
        self.news.call();
        let ended = async {
            while *rounds.borrow_and_update() < goal {
                self.news.call();
                if rounds.changed().await.is_err() {
                    break;
                }
            }
        };
        // Whoever waits longer reads what is there.
        drop(tokio::time::timeout(patience, ended).await);
    }

    /// Brings the rest into the database, if that is quickly done, and ends the thread.
    pub(super) fn close(&self) {
        self.news.lock().is_closing = true;
        self.news.0.given.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that brings receipts into the database died");
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.close();
    }
}

struct Flushing {
    directory: PathBuf,
    pool: Arc<Pool>,
    news: News,
    round: watch::Sender<u64>,
}

impl Flushing {
    fn run(&self, runtime: &tokio::runtime::Runtime) {
        let mut is_down = false;
        loop {
            let is_closing = self.news.wait(IDLE);
            let patience = if is_closing { LAST } else { Duration::from_secs(3600) };
            let taken = |count| self.news.taken(count);
            let flush = receipts::take_in(&self.pool, &self.directory, &taken);
            let flushed = runtime.block_on(async { tokio::time::timeout(patience, flush).await });
            self.round.send_modify(|round| *round += 1);
            match flushed {
                Ok(Err(error)) if !is_down => {
                    is_down = true;
                    let directory = self.directory.display();
                    tracing::warn!("receipts wait in {directory} for {}: {error}", self.pool.url());
                }
                Ok(Ok(())) if is_down => {
                    is_down = false;
                    tracing::info!("{} takes receipts again", self.pool.url());
                }
                _ => {}
            }
            if is_closing {
                return;
            }
            if is_down {
                self.news.rest(IDLE);
            }
        }
    }
}

/// Receipts in the files that are there at the start.
fn left_over(directory: &Path) -> u64 {
    let Ok(paths) = spool::present(directory) else { return 0 };
    let lines = |path: &PathBuf| {
        std::fs::File::open(path).map_or(0, |file| io::BufReader::new(file).split(b'\n').count() as u64)
    };
    paths.iter().map(lines).sum()
}
