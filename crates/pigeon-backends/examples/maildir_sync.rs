//! Measures the ways to make deliveries into Maildirs durable on one file system.
//!
//! `cargo run --release -p pigeon-backends --example maildir_sync -- DIRECTORY [SECONDS]` prints a table: how
//! many names a second become durable with each way, at several numbers of threads, and for one message that
//! goes to fifty mailboxes. The mail store's choice in `docs/decisions/002-maildir-durability.md` rests on it.

#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, openat, renameat, syncfs};

const MAILBOXES: usize = 1000;
const MESSAGE: [u8; 4096] = [b'm'; 4096];
const COPIES: usize = 50;

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
    fn next(&self) -> io::Result<(String, &(OwnedFd, OwnedFd))> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number).unwrap_or_default().wrapping_mul(7919) % MAILBOXES;
        let mailbox = self.mailboxes.get(at).ok_or_else(|| io::Error::other("no mailbox"))?;
        Ok((format!("{number}.{}", std::process::id()), mailbox))
    }

    fn write(&self, tmp: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(openat(tmp, name, flags, Mode::from_raw_mode(0o600))?);
        io::Write::write_all(&mut &file, &MESSAGE)?;
        Ok(file.into())
    }
}

/// One delivery to one mailbox, durable.
fn single(yard: &Yard, way: &str) -> io::Result<()> {
    let (name, (tmp, new)) = yard.next()?;
    let file = yard.write(tmp, &name)?;
    if way != "syncfs alone" {
        fsync(&file)?;
    }
    renameat(tmp, &name, new, &name)?;
    match way {
        "fsync file, fsync new/" => fsync(new)?,
        "fsync file, fsync file" => fsync(&file)?,
        _ => yard.group.wait(&yard.root)?,
    }
    Ok(())
}

/// One delivery to [`COPIES`] mailboxes by hard links, durable.
fn linked(yard: &Yard, way: &str) -> io::Result<()> {
    let (first, (tmp, new)) = yard.next()?;
    let file = yard.write(tmp, &first)?;
    fsync(&file)?;
    let mut places = vec![new];
    for _ in 1..COPIES {
        let (name, (_, place)) = yard.next()?;
        linkat(tmp, &first, place, &name, AtFlags::empty())?;
        places.push(place);
    }
    renameat(tmp, &first, new, &first)?;
    let threads = match way {
        "fsync each new/" => 1,
        "fsync each new/, 4 threads" => 4,
        "fsync each new/, 8 threads" => 8,
        "fsync each new/, 16 threads" => 16,
        "syncfs" => return Ok(syncfs(&yard.root)?),
        "syncfs, shared" => return yard.group.wait(&yard.root),
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

/// Runs `deliver` in so many threads for `span`; prints names a second and milliseconds for one message.
fn measure(
    title: &str,
    (threads, names): (usize, usize),
    span: Duration,
    deliver: impl Fn() -> io::Result<()> + Sync,
) {
    let begin = Instant::now();
    let times: Mutex<Vec<Duration>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Vec::new();
                while begin.elapsed() < span {
                    let start = Instant::now();
                    if let Err(error) = deliver() {
                        return println!("| {title} | failed: {error} |");
                    }
                    own.push(start.elapsed());
                }
                times.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
            });
        }
    });
    let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, Duration::as_secs_f64) * 1000.0;
    let rate = u32::try_from(times.len() * names).map_or(0.0, f64::from) / seconds;
    println!("| {title} | {threads} | {rate:.0} | {:.2} | {:.2} |", at(50), at(99));
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1);
    let span = Duration::from_secs(seconds);
    let path = place.join(format!("maildir-sync.{}", std::process::id()));
    let yard = Yard::open(&path)?;
    println!("| way | threads | names/s | p50 ms | p99 ms |\n|---|---|---|---|---|");
    for way in
        ["fsync file, fsync new/", "fsync file, fsync file", "fsync file, shared syncfs", "syncfs alone"]
    {
        for threads in [1, 10, 50] {
            measure(&format!("1 mailbox: {way}"), (threads, 1), span, || single(&yard, way));
        }
    }
    let ways = [
        "fsync each new/",
        "fsync each new/, 4 threads",
        "fsync each new/, 8 threads",
        "fsync each new/, 16 threads",
        "syncfs",
        "syncfs, shared",
        "fsync the file again",
    ];
    for way in ways {
        for threads in [1, 10] {
            measure(&format!("{COPIES} mailboxes: {way}"), (threads, COPIES), span, || linked(&yard, way));
        }
    }
    drop(yard);
    fs::remove_dir_all(path)
}
