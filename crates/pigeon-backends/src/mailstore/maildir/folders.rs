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
    pub(super) fn new(capacity: usize) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(descriptors / 2 / DESCRIPTORS).unwrap_or(usize::MAX);
        Self { cache: cache(capacity.min(room).max(1)), start: Instant::now(), unswept: Mutex::default() }
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
        let opened = match tree.open_dir(mailbox) {
            Ok(dir) => self.open(tree, mailbox, dir, is_made)?,
            Err(Errno::NOENT) if is_made => self.open(tree, mailbox, tree.make_dir_all(mailbox)?, true)?,
            Err(errno) => return Err(tree.refused("opening", mailbox, errno)),
        };
        Ok(self.keep(opened))
    }

    /// The folder to deliver to, made when it is missing.
    pub(super) fn folder(
        &self,
        tree: &Tree,
        mailbox: &str,
        folder: &Folder,
    ) -> Result<Arc<OpenFolder>, Problem> {
        let Some(name) = folder_name::directory(folder) else {
            return self.mailbox(tree, mailbox, true);
        };
        let place = format!("{mailbox}/{name}");
        if let Some(known) = self.known(tree, &place) {
            return Ok(known);
        }
        let inbox = self.mailbox(tree, mailbox, true)?;
        let opened = match openat(&inbox.dir, &*name, DIRECTORY, Mode::empty()) {
            Ok(dir) => self.open(tree, &place, dir, true)?,
            Err(Errno::NOENT) => self.make_folder(tree, &inbox, folder, &place)?,
            Err(errno) => return Err(tree.refused("opening", &place, errno)),
        };
        Ok(self.keep(opened))
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
        let opened = self.open(tree, place, dir, true)?;
        subscriptions::add(tree, inbox, folder);
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

    /// Opens the parts of a Maildir. The order in which they are made is what makes them safe to use: `new/`
    /// appears when everything around it is durable.
    fn open(&self, tree: &Tree, place: &str, dir: OwnedFd, is_made: bool) -> Result<OpenFolder, Problem> {
        let refused = |errno| tree.refused("opening", place, errno);
        let part = |name| openat(&dir, name, DIRECTORY, Mode::empty());
        let (tmp, new) = match (part("tmp"), part("new")) {
            (Ok(tmp), Ok(new)) => {
                sync_if_fresh(&dir, &new).map_err(refused)?;
                (tmp, new)
            }
            (Err(Errno::NOENT), _) | (_, Err(Errno::NOENT)) if is_made => {
                make_parts(tree, &dir).map_err(refused)?
            }
            (Err(errno), _) | (_, Err(errno)) => return Err(refused(errno)),
        };
        let stat = fstat(&dir).map_err(refused)?;
        let (place, checked_ms) = (place.to_owned(), AtomicU64::new(self.elapsed_ms()));
        Ok(OpenFolder { place, dir, tmp, new, device: stat.st_dev, inode: stat.st_ino, checked_ms })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn make_parts(tree: &Tree, dir: &OwnedFd) -> Result<(OwnedFd, OwnedFd), Errno> {
    let tmp = tree.make_dir(dir, "tmp")?;
    tree.make_dir(dir, "cur")?;
    fsync(dir)?;
    let new = tree.make_dir(dir, "new")?;
    fsync(dir)?;
    Ok((tmp, new))
}

/// Syncs the Maildir's entries when `new/`, which is made last, is young or keeps its age to itself.
fn sync_if_fresh(dir: &OwnedFd, new: &OwnedFd) -> Result<(), Errno> {
    let stat = statx(new, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME)?;
    let is_known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let age = clock_gettime(ClockId::Realtime).tv_sec.saturating_sub(stat.stx_btime.tv_sec);
    if is_known && age > FRESH_SECONDS { Ok(()) } else { fsync(dir) }
}
