//! Measures the ways to make deliveries into Maildirs durable on one file system.
//!
//! `cargo run --release -p pigeon-backends --example maildir_sync -- DIRECTORY [SECONDS [PART]]` prints a table: how
//! many names a second become durable with each way, at several numbers of threads, and for one message that
//! goes to fifty mailboxes; then the same for the mail store itself. Each figure is the median of three runs.
//! With PART only ways whose name contains it are measured. The store's choice in `docs/decisions/002-maildir-durability.md` rests on it. Needs `ulimit -n 8192`.

#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::{Maildir, MaildirOptions, SyncMode};
use pigeon_core::effect::{Flags, Store};
use pigeon_core::folder::Folder;
use pigeon_core::headers::RenderedHead;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{Copy, MailStore as _, MailboxPath};
use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, openat, renameat, syncfs};

const MAILBOXES: usize = 1000;
const MESSAGE: &[u8; 4096] = &[b'm'; 4096];
const COPIES: usize = 50;

const NEW: &str = "fsync file, fsync new/";
const NO_FSYNC: &str = "shared syncfs alone";
const FOUR: &str = "fsync each new/, 4 threads";
const EIGHT: &str = "fsync each new/, 8 threads";
const SIXTEEN: &str = "fsync each new/, 16 threads";
const SYNCFS: &str = "syncfs, fsync the file";
const SHARED: &str = "shared syncfs, fsync the file";

/// The Maildirs to write into, and a counter that makes names unique.
struct Yard {
    root: File,
    mailboxes: Vec<(OwnedFd, OwnedFd)>,
    next: AtomicU64,
    group: Group,
}

/// Lets everybody who waits share one `syncfs`.
#[derive(Default)]
struct Group {
    state: Mutex<(u64, u64, bool)>,
    changed: Condvar,
}

impl Group {
    /// Returns when a `syncfs` that began after this call has ended.
    fn wait(&self, root: &File) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let need = state.0 + 1;
        while state.1 < need {
            if state.2 {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            *state = (state.0 + 1, state.1, true);
            let mine = state.0;
            drop(state);
            syncfs(root)?;
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = (state.0, mine, false);
            self.changed.notify_all();
        }
        Ok(())
    }
}

impl Yard {
    fn open(path: &Path) -> io::Result<Self> {
        let mut mailboxes = Vec::new();
        for number in 0..MAILBOXES {
            let place = path.join(number.to_string());
            fs::create_dir_all(place.join("tmp"))?;
            fs::create_dir_all(place.join("new"))?;
            mailboxes.push((File::open(place.join("tmp"))?.into(), File::open(place.join("new"))?.into()));
        }
        let root = File::open(path)?;
        syncfs(&root)?;
        Ok(Self { root, mailboxes, next: AtomicU64::new(0), group: Group::default() })
    }

    /// A new file's number with the mailbox it goes to.
    fn next(&self) -> io::Result<(u64, &(OwnedFd, OwnedFd))> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number).unwrap_or_default().wrapping_mul(7919) % MAILBOXES;
        let mailbox = self.mailboxes.get(at).ok_or_else(|| io::Error::other("no mailbox"))?;
        Ok((number, mailbox))
    }

    fn write(&self, tmp: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(openat(tmp, name, flags, Mode::from_raw_mode(0o600))?);
        io::Write::write_all(&mut &file, MESSAGE)?;
        Ok(file.into())
    }
}

/// One delivery to one mailbox, durable.
fn single(yard: &Yard, way: &str) -> io::Result<()> {
    let (number, (tmp, new)) = yard.next()?;
    let name = number.to_string();
    let file = yard.write(tmp, &name)?;
    if way != NO_FSYNC {
        fsync(&file)?;
    }
    renameat(tmp, &name, new, &name)?;
    match way {
        NEW => fsync(new)?,
        "fsync file, fsync file" => fsync(&file)?,
        _ => yard.group.wait(&yard.root)?,
    }
    Ok(())
}

/// One delivery to [`COPIES`] mailboxes by hard links, durable.
fn linked(yard: &Yard, way: &str) -> io::Result<()> {
    let (number, (tmp, new)) = yard.next()?;
    let first = number.to_string();
    let file = yard.write(tmp, &first)?;
    fsync(&file)?;
    let mut places = vec![new];
    for _ in 1..COPIES {
        let (number, (_, place)) = yard.next()?;
        linkat(tmp, &first, place, number.to_string(), AtFlags::empty())?;
        places.push(place);
    }
    renameat(tmp, &first, new, &first)?;
    let threads = match way {
        "fsync each new/" => 1,
        FOUR => 4,
        EIGHT => 8,
        SIXTEEN => 16,
        SYNCFS => return Ok(syncfs(&yard.root).and_then(|()| fsync(&file))?),
        SHARED => return yard.group.wait(&yard.root).and_then(|()| Ok(fsync(&file)?)),
        _ => return Ok(fsync(&file)?),
    };
    fsync(&file)?;
    sync_all(&places, threads)
}

fn sync_all(places: &[&OwnedFd], threads: usize) -> io::Result<()> {
    let share = places.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = places
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().try_for_each(|place| fsync(place.as_fd()))))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result.map_err(io::Error::from),
            Err(_) => Err(io::Error::other("a thread failed")),
        })
    })
}

/// One message to so many mailboxes through the mail store.
fn stored(store: &Maildir, yard: &Yard, copies: usize) -> io::Result<()> {
    let message = Arc::new(Message::from_bytes(MESSAGE.as_slice()));
    let head =
        RenderedHead { prefix: Bytes::from_static(b"Return-Path: <>\n"), head: message.head().clone() };
    let copy = |_| {
        let at = yard.next()?.0;
        let mailbox = MailboxPath(format!("store/{}", at.rem_euclid(MAILBOXES as u64)));
        let store = Store { folder: Folder::inbox(), flags: Flags::default(), content: None };
        Ok(Copy { mailbox, store, head: head.clone(), quota: None })
    };
    let copies = (0..copies).map(copy).collect::<io::Result<Vec<Copy>>>()?;
    // Nothing in it waits for anything but the disk.
    let results = store.store(&message, copies).now_or_never().unwrap_or_default();
    results.into_iter().try_for_each(|result| result.map(drop).map_err(io::Error::other))
}

/// Lets `deliver` run in so many threads for `span`; the times of all calls, and the seconds it took.
fn run(
    threads: usize,
    span: Duration,
    deliver: &(impl Fn() -> io::Result<()> + Sync),
) -> io::Result<(Vec<Duration>, f64)> {
    let begin = Instant::now();
    let work = || {
        let mut times = Vec::new();
        while begin.elapsed() < span {
            let start = Instant::now();
            deliver()?;
            times.push(start.elapsed());
        }
        Ok(times)
    };
    let times = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("panic"))));
        joined.collect::<io::Result<Vec<_>>>()
    })?;
    Ok((times.concat(), begin.elapsed().as_secs_f64()))
}

/// What to measure.
struct Plan {
    span: Duration,
    part: String,
}

/// Prints names a second, and milliseconds for one message: the median of three runs.
fn measure(
    title: &str,
    (threads, names): (usize, usize),
    plan: &Plan,
    deliver: impl Fn() -> io::Result<()> + Sync,
) {
    if !title.contains(&plan.part) {
        return;
    }
    let mut rows = Vec::new();
    for _ in 0..3 {
        match run(threads, plan.span, &deliver) {
            Ok((mut times, seconds)) => {
                times.sort_unstable();
                let at = |part: usize| {
                    times.get(times.len() * part / 100).map_or(0.0, Duration::as_secs_f64) * 1000.0
                };
                let rate = u32::try_from(times.len() * names).map_or(0.0, f64::from) / seconds;
                rows.push((rate, at(50), at(99)));
            }
            Err(error) => return println!("| {title} | {threads} | failed: {error} |"),
        }
    }
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    if let Some((rate, half, most)) = rows.get(1) {
        println!("| {title} | {threads} | {rate:.0} | {half:.2} | {most:.2} |");
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1);
    let part = arguments.next().map_or_else(String::new, |part| part.to_string_lossy().into_owned());
    let plan = Plan { span: Duration::from_secs(seconds), part };
    let path = place.join(format!("maildir-sync.{}", std::process::id()));
    let yard = Yard::open(&path)?;
    println!("| way | threads | names/s | p50 ms | p99 ms |\n|---|---|---|---|---|");
    for way in [NEW, "fsync file, fsync file", "fsync file, shared syncfs", NO_FSYNC] {
        for threads in [1, 10, 50] {
            measure(&format!("1 mailbox: {way}"), (threads, 1), &plan, || single(&yard, way));
        }
    }
    for way in ["fsync each new/", FOUR, EIGHT, SIXTEEN, SYNCFS, SHARED, "fsync the file again"] {
        for threads in [1, 10] {
            measure(&format!("{COPIES} mailboxes: {way}"), (threads, COPIES), &plan, || linked(&yard, way));
        }
    }
    for sync in [SyncMode::Automatic, SyncMode::Each] {
        let options = MaildirOptions { sync, ..MaildirOptions::default() };
        let store = Maildir::open(path.clone(), &options, Blocking::Inline).map_err(io::Error::other)?;
        for copies in [1, COPIES]
            .into_iter()
            .filter(|_| "the store".contains(&plan.part) || plan.part.contains("store"))
        {
            for _ in 0..MAILBOXES * 2 / copies {
                stored(&store, &yard, copies)?;
            }
            for threads in [1, 10, 50] {
                let title = format!("{copies} mailbox: the store, {sync:?}");
                measure(&title, (threads, copies), &plan, || stored(&store, &yard, copies));
            }
        }
    }
    drop(yard);
    fs::remove_dir_all(path)
}
