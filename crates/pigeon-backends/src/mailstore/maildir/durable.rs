//! Makes what was written survive a loss of power, in the cheapest way that each file system allows.
//!
//! What was measured and why each way is safe stands in `docs/decisions/002-maildir-durability.md`.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};
use std::time::Instant;

use rustix::fs::{Dev, fstatfs, fsync, major, minor, syncfs};
use rustix::io::Errno;

use super::SyncMode;

/// Fewer directories or files than this are never worth a `syncfs`.
const MIN_SYNCFS: usize = 8;
/// Threads that sync one message's files or directories when there are many.
const THREADS: usize = 4;
/// Fewer than this are synced one after another.
const MIN_THREADS: usize = 4;

/// What a file system promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// One log for all metadata, written in order: `fsync` of a file also makes durable every name that was
    /// given before, wherever it is.
    OrderedLog,
    /// `fsync` of each directory, or `syncfs` for all of them.
    Syncfs,
    /// `fsync` of each directory.
    Fsync,
}

/// What the file system under `file`, on that device, promises.
fn promise_of(file: BorrowedFd<'_>, device: Dev) -> Promise {
    // Source: linux/magic.h, and fs/xfs/xfs_log_format.h for XFS.
    match fstatfs(file).map(|found| found.f_type) {
        Ok(0xEF53) if has_journal(device) => Promise::OrderedLog,
        Ok(0x5846_5342) => Promise::OrderedLog,
        // ext2 to ext4 without journal, btrfs, F2FS.
        Ok(0xEF53 | 0x9123_683E | 0xF2F5_2010) => Promise::Syncfs,
        _ => Promise::Fsync,
    }
}

/// Whether an ext2, ext3 or ext4 has a journal. The kernel names the journal's process, or `<none>`.
fn has_journal(device: Dev) -> bool {
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let Ok(target) = fs::read_link(link) else { return false };
    let Some(name) = target.file_name() else { return false };
    let task = fs::read_to_string(Path::new("/sys/fs/ext4").join(name).join("journal_task"));
    task.is_ok_and(|task| task.trim().parse::<i64>().is_ok())
}

/// A file whose data is to be made durable, before it gets its names.
pub(super) struct Data<'a> {
    pub(super) device: Dev,
    pub(super) file: BorrowedFd<'a>,
}

/// The part of a Maildir in which a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    New,
    Cur,
}

/// A name that was given to a file and is to be made durable.
pub(super) struct Name<'a> {
    pub(super) device: Dev,
    /// The directory in which it stands, and that directory's identity.
    pub(super) directory: BorrowedFd<'a>,
    /// The same for all names in one directory.
    pub(super) place: (&'a str, Part),
    /// The file that it leads to, and whether that has other new names.
    pub(super) file: BorrowedFd<'a>,
    pub(super) is_linked: bool,
}

/// Chooses the way, from what the last syncs took.
pub(super) struct Durability {
    sync: SyncMode,
    promises: Mutex<BTreeMap<Dev, Promise>>,
    fsync_us: AtomicU64,
    syncfs_us: AtomicU64,
}

impl Durability {
    pub(super) fn new(sync: SyncMode) -> Self {
        // Until something was measured: as on a quick disk, where syncfs is worth a try.
        Self { sync, promises: Mutex::default(), fsync_us: AtomicU64::new(200), syncfs_us: AtomicU64::new(0) }
    }

    /// Makes the data of files durable; one result for each, in order.
    pub(super) fn sync_data(&self, files: &[Data<'_>]) -> Vec<Result<(), Errno>> {
        if let [only] = files {
            return vec![self.sync_one(only.file)];
        }
        let mut results = vec![Ok(()); files.len()];
        for (device, members) in by_device(files, |file| file.device) {
            let fds: Vec<BorrowedFd<'_>> =
                members.iter().filter_map(|at| Some(files.get(*at)?.file)).collect();
            let found = match fds.last() {
                Some(last) if self.is_syncfs_worth((*last, device), fds.len()) => {
                    vec![self.sync_whole(*last); fds.len()]
                }
                _ => sync_each(&fds),
            };
            set_all(&mut results, &members, found);
        }
        results
    }

    /// Makes names durable; one result for each, in order.
    pub(super) fn sync_names(&self, names: &[Name<'_>]) -> Vec<Result<(), Errno>> {
        if let [only] = names {
            return vec![fsync(only.directory)];
        }
        let mut results = vec![Ok(()); names.len()];
        for (device, members) in by_device(names, |name| name.device) {
            let part: Vec<&Name<'_>> = members.iter().filter_map(|at| names.get(*at)).collect();
            set_all(&mut results, &members, self.sync_part(device, &part));
        }
        results
    }

    /// The names on one file system.
    fn sync_part(&self, device: Dev, names: &[&Name<'_>]) -> Vec<Result<(), Errno>> {
        let places: BTreeMap<(&str, Part), BorrowedFd<'_>> =
            names.iter().map(|name| (name.place, name.directory)).collect();
        let Some(last) = names.last() else { return Vec::new() };
        if self.sync == SyncMode::Automatic && self.promise(last.file, device) == Promise::OrderedLog {
            return vec![fsync(last.file); names.len()];
        }
        if self.is_syncfs_worth((last.file, device), places.len()) {
            return vec![self.sync_whole(last.file); names.len()];
        }
        let directories: Vec<BorrowedFd<'_>> = places.values().copied().collect();
        let synced: BTreeMap<(&str, Part), Result<(), Errno>> =
            places.keys().copied().zip(sync_each(&directories)).collect();
        // The number of links must not be lost: a file with too few vanishes with the first name that is deleted.
        let linked: BTreeMap<RawFd, BorrowedFd<'_>> = names
            .iter()
            .filter(|name| name.is_linked)
            .map(|name| (name.file.as_raw_fd(), name.file))
            .collect();
        let linked: BTreeMap<RawFd, Result<(), Errno>> =
            linked.into_iter().map(|(number, file)| (number, fsync(file))).collect();
        let of_place = |name: &Name<'_>| synced.get(&name.place).copied().unwrap_or(Ok(()));
        let of_file = |name: &Name<'_>| linked.get(&name.file.as_raw_fd()).copied().unwrap_or(Ok(()));
        names.iter().map(|name| of_place(name).and(of_file(name))).collect()
    }

    /// Asked only when there is a choice: one message for one mailbox needs no knowledge of the file system.
    fn promise(&self, file: BorrowedFd<'_>, device: Dev) -> Promise {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        *promises.entry(device).or_insert_with(|| promise_of(file, device))
    }

    fn is_syncfs_worth(&self, (file, device): (BorrowedFd<'_>, Dev), count: usize) -> bool {
        let is_wanted = self.sync == SyncMode::Automatic && count >= MIN_SYNCFS;
        if !is_wanted || self.promise(file, device) == Promise::Fsync {
            return false;
        }
        let (one, whole) = (self.fsync_us.load(Ordering::Relaxed), self.syncfs_us.load(Ordering::Relaxed));
        if whole <= one.saturating_mul(count as u64) {
            return true;
        }
        // Somebody else writes much to the same disk. Forget it slowly, so that it is tried again.
        self.syncfs_us.store(whole - whole / 16, Ordering::Relaxed);
        false
    }

    fn sync_one(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let begin = Instant::now();
        fsync(file)?;
        let (took, before) = (micros_since(begin), self.fsync_us.load(Ordering::Relaxed));
        self.fsync_us.store((before * 15 + took) / 16, Ordering::Relaxed);
        Ok(())
    }

    /// Everything on the file system of `file`.
    fn sync_whole(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let begin = Instant::now();
        syncfs(file)?;
        // An ext4 without journal writes its metadata after it flushed the disk's cache: flush it once more.
        fsync(file)?;
        self.syncfs_us.store(micros_since(begin), Ordering::Relaxed);
        Ok(())
    }
}

fn sync_each(files: &[BorrowedFd<'_>]) -> Vec<Result<(), Errno>> {
    if files.len() < MIN_THREADS {
        return files.iter().map(fsync).collect();
    }
    // Each fsync alone waits for the disk; several at once share what it writes.
    let share = files.len().div_ceil(THREADS);
    thread::scope(|scope| {
        let sync_part = |part: &[BorrowedFd<'_>]| part.iter().map(fsync).collect::<Vec<_>>();
        let start = |part| Builder::new().spawn_scoped(scope, move || sync_part(part));
        let workers: Vec<_> = files.chunks(share).map(|part| (part, start(part))).collect();
        let results = workers.into_iter().flat_map(|(part, worker)| match worker {
            Ok(worker) => worker.join().unwrap_or_else(|_| vec![Err(Errno::IO); part.len()]),
            // The limit of threads is reached.
            Err(_) => sync_part(part),
        });
        results.collect()
    })
}

/// The positions of the items on each device.
fn by_device<T>(items: &[T], device: impl Fn(&T) -> Dev) -> BTreeMap<Dev, Vec<usize>> {
    let mut parts: BTreeMap<Dev, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        parts.entry(device(item)).or_default().push(at);
    }
    parts
}

fn set_all(results: &mut [Result<(), Errno>], members: &[usize], found: Vec<Result<(), Errno>>) {
    for (at, found) in members.iter().zip(found) {
        if let Some(slot) = results.get_mut(*at) {
            *slot = found;
        }
    }
}

fn micros_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)
}
