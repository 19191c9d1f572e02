//! Open folders: the directories of a Maildir, kept open from one delivery to the next.
//!
//! A delivery to a folder that is open needs no path look-up and no `stat`. What keeps this right: a directory
//! that was deleted answers with `ENOENT`, upon which the caller forgets the folder and opens it anew; one that
//! was *moved* would still take mail, so the path is looked up again after [`TRUST`].

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pigeon_core::folder::Folder;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, UnitWeighter};
use rustix::fs::{AtFlags, Dev, Mode, StatxFlags, fstat, fsync, openat, statat, statx};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::FolderNames;
use super::folder_name;
use super::problem::Problem;
use super::subscriptions;
use super::tree::{DIRECTORY, Tree, check_place};

/// How long an open folder is used without looking whether its path still leads to it.
const TRUST: Duration = Duration::from_secs(5);
/// A Maildir younger than this many seconds may have been made by a process that has not yet synced its name.
const FRESH_SECONDS: i64 = 120;
/// At most one folder in this time is swept, so that sweeping costs nothing that can be felt.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Descriptors for each open folder.
const DESCRIPTORS: u64 = 3;

/// A folder's directories, open.
pub(super) struct OpenFolder {
    /// Where it is below the root, for texts and for looking again.
    pub(super) place: String,
    /// The Maildir itself.
    pub(super) dir: OwnedFd,
    /// Where files are written.
    pub(super) tmp: OwnedFd,
    /// Where new mail appears.
    pub(super) new: OwnedFd,
    /// The device it lies on.
    pub(super) device: Dev,
    inode: u64,
    checked_ms: AtomicU64,
}

/// The open folders, at most so many.
pub(super) struct Folders {
    /// How folder names are written.
    pub(super) names: FolderNames,
    cache: Cache<String, Arc<OpenFolder>>,
    start: Instant,
    unswept: Mutex<Unswept>,
}

/// A folder whose `tmp/` may hold files that a crash left behind, and when the last one was noted.
#[derive(Default)]
struct Unswept {
    folder: Option<Arc<OpenFolder>>,
    noted: Option<Instant>,
}

fn cache<V: Clone>(capacity: usize) -> Cache<String, V> {
    // The number of shards is given, so that the system is not asked for its processors at every start.
    let shards = if capacity < 1000 { 1 } else { 16 };
    let options = OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .shards(shards)
        .build();
    match options {
        Ok(options) => Cache::with_options(options, UnitWeighter, <_>::default(), <_>::default()),
        Err(_) => Cache::new(capacity),
    }
}

impl Folders {
    /// Keeps at most `capacity` folders open, and no more than half of the process's descriptors.
    pub(super) fn new(capacity: usize, names: FolderNames) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(descriptors / 2 / DESCRIPTORS).unwrap_or(usize::MAX);
        Self {
            names,
            cache: cache(capacity.min(room).max(1)),
            start: Instant::now(),
            unswept: Mutex::default(),
        }
    }

    /// The mailbox itself, which is the INBOX.
    pub(super) fn mailbox(
        &self,
        tree: &Tree,
        mailbox: &str,
        is_made: bool,
    ) -> Result<Arc<OpenFolder>, Problem> {
        if let Some(known) = self.known(tree, mailbox) {
            return Ok(known);
        }
        check_place(mailbox)?;
        let opened = tree.open_dir(mailbox).map_err(|errno| tree.refused("opening", mailbox, errno));
        match opened.and_then(|dir| self.open(tree, mailbox, dir)) {
            // Also when a part of it is there: whoever made that may not have synced it.
            Err(problem) if problem.is(Errno::NOENT) && is_made => {
                let dir = tree.make_dir_all(mailbox)?;
                self.make(tree, mailbox, dir).map(|opened| self.keep(opened))
            }
            opened => opened.map(|opened| self.keep(opened)),
        }
    }

    /// The folder to deliver to, made when it is missing.
    pub(super) fn folder(
        &self,
        tree: &Tree,
        mailbox: &str,
        folder: &Folder,
    ) -> Result<Arc<OpenFolder>, Problem> {
        let Some(name) = folder_name::directory(folder, self.names) else {
            return self.mailbox(tree, mailbox, true);
        };
        let place = format!("{mailbox}/{name}");
        if let Some(known) = self.known(tree, &place) {
            return Ok(known);
        }
        let inbox = self.mailbox(tree, mailbox, true)?;
        let opened = openat(&inbox.dir, &*name, DIRECTORY, Mode::empty());
        let opened = opened.map_err(|errno| tree.refused("opening", &place, errno));
        match opened.and_then(|dir| self.open(tree, &place, dir)) {
            Err(problem) if problem.is(Errno::NOENT) => {
                self.make_folder(tree, &inbox, folder, &place).map(|opened| self.keep(opened))
            }
            opened => opened.map(|opened| self.keep(opened)),
        }
    }

    fn make_folder(
        &self,
        tree: &Tree,
        inbox: &OpenFolder,
        folder: &Folder,
        place: &str,
    ) -> Result<OpenFolder, Problem> {
        let name = place.rsplit('/').next().unwrap_or(place);
        let refused = |errno| tree.refused("making", place, errno);
        let dir = tree.make_dir(&inbox.dir, name).map_err(refused)?;
        // Maildir++: an empty file of this name tells a delivery agent that the Maildir is a folder of another.
        match tree.make_file(&dir, "maildirfolder") {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(refused(errno)),
        }
        fsync(&inbox.dir).map_err(refused)?;
        let opened = self.make(tree, place, dir)?;
        subscriptions::add(tree, inbox, &folder_name::levels(folder, self.names));
        Ok(opened)
    }

    /// Forgets a folder whose directories turned out to be gone.
    pub(super) fn forget(&self, place: &str) {
        self.cache.remove(place);
    }

    /// Forgets a mailbox and its folders.
    pub(super) fn forget_all(&self, mailbox: &str) {
        let is_below = |place: &str| place.strip_prefix(mailbox).is_some_and(|rest| rest.starts_with('/'));
        self.cache.retain(|place, _| place != mailbox && !is_below(place));
    }

    fn known(&self, tree: &Tree, place: &str) -> Option<Arc<OpenFolder>> {
        let known = self.cache.get(place)?;
        let now = self.elapsed_ms();
        let age = now.saturating_sub(known.checked_ms.load(Ordering::Relaxed));
        if u128::from(age) < TRUST.as_millis() {
            return Some(known);
        }
        let is_same = statat(tree.fd(), place, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| found.st_ino == known.inode && found.st_dev == known.device);
        if !is_same {
            self.forget(place);
            return None;
        }
        known.checked_ms.store(now, Ordering::Relaxed);
        Some(known)
    }

    fn keep(&self, opened: OpenFolder) -> Arc<OpenFolder> {
        let opened = Arc::new(opened);
        self.cache.insert(opened.place.clone(), Arc::clone(&opened));
        let mut unswept = self.unswept.lock().unwrap_or_else(PoisonError::into_inner);
        if unswept.noted.is_none_or(|noted| noted.elapsed() > SWEEP_PAUSE) {
            *unswept = Unswept { folder: Some(Arc::clone(&opened)), noted: Some(Instant::now()) };
        }
        opened
    }

    /// A folder that was opened lately and whose `tmp/` is to be swept; now and then one.
    pub(super) fn take_unswept(&self) -> Option<Arc<OpenFolder>> {
        self.unswept.lock().unwrap_or_else(PoisonError::into_inner).folder.take()
    }

    /// Opens the parts of a Maildir that is whole.
    fn open(&self, tree: &Tree, place: &str, dir: OwnedFd) -> Result<OpenFolder, Problem> {
        let part = |name| openat(&dir, name, DIRECTORY, Mode::empty());
        let parts = part("tmp").and_then(|tmp| Ok((tmp, part("new")?)));
        let synced = parts.and_then(|parts| sync_if_fresh(&dir, &parts.1).map(|()| parts));
        let refused = |errno| tree.refused("opening", place, errno);
        synced.and_then(|parts| self.opened(place, dir, parts)).map_err(refused)
    }

    /// Makes the parts of a Maildir that are missing. The order is what makes them safe to use: `new/` appears
    /// when everything around it is durable.
    fn make(&self, tree: &Tree, place: &str, dir: OwnedFd) -> Result<OpenFolder, Problem> {
        let make = || {
            let tmp = tree.make_dir(&dir, "tmp")?;
            tree.make_dir(&dir, "cur")?;
            fsync(&dir)?;
            let new = tree.make_dir(&dir, "new")?;
            fsync(&dir).map(|()| (tmp, new))
        };
        let parts = make();
        let refused = |errno| tree.refused("making", place, errno);
        parts.and_then(|parts| self.opened(place, dir, parts)).map_err(refused)
    }

    fn opened(&self, place: &str, dir: OwnedFd, parts: (OwnedFd, OwnedFd)) -> Result<OpenFolder, Errno> {
        let (stat, (tmp, new)) = (fstat(&dir)?, parts);
        let (place, checked_ms) = (place.to_owned(), AtomicU64::new(self.elapsed_ms()));
        Ok(OpenFolder { place, dir, tmp, new, device: stat.st_dev, inode: stat.st_ino, checked_ms })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Syncs the Maildir's entries when `new/`, which is made last, is young or keeps its age to itself.
fn sync_if_fresh(dir: &OwnedFd, new: &OwnedFd) -> Result<(), Errno> {
    let stat = statx(new, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME)?;
    let is_known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let age = clock_gettime(ClockId::Realtime).tv_sec.saturating_sub(stat.stx_btime.tv_sec);
    if is_known && age > FRESH_SECONDS { Ok(()) } else { fsync(dir) }
}
