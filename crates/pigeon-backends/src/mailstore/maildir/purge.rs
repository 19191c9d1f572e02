//! Deletes: a whole mailbox, and files that a crash left in `tmp/`. No symbolic link is followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, fsync, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::folders::OpenFolder;
use super::problem::Problem;
use super::tree::{DIRECTORY, Tree, check_place};

/// Deepest nesting of directories that is deleted.
const MAX_DEPTH: usize = 32;
/// How often a directory is emptied again when something new appeared in it meanwhile.
const MAX_ROUNDS: usize = 4;
/// The parts that make a directory a Maildir, deleted last, so that a purge that was cut short can be repeated.
const PARTS: [&str; 3] = ["tmp", "cur", "new"];
/// A file in `tmp/` of this age, in seconds, was left behind (maildir.html: 36 hours).
const STALE_SECONDS: i64 = 36 * 3600;
/// Files looked at in one `tmp/`.
const MAX_STALE: usize = 10_000;

/// Deletes the mailbox at `place`. One that does not exist is no error; a directory that is no Maildir is.
pub(super) fn purge(tree: &Tree, place: &str) -> Result<(), Problem> {
    check_place(place)?;
    let refused = |errno| tree.refused("deleting", place, errno);
    let mailbox = match tree.open_dir(place) {
        Ok(mailbox) => mailbox,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(refused(errno)),
    };
    let is_part = |name: &&str| openat(&mailbox, *name, DIRECTORY, Mode::empty()).is_ok();
    if !PARTS.iter().any(is_part) && !is_empty(&mailbox).map_err(refused)? {
        return Err(Problem::text(format!("{} is no Maildir, so it is left alone", tree.show(place))));
    }
    clear(&mailbox, &PARTS, MAX_DEPTH).map_err(refused)?;
    clear(&mailbox, &[], MAX_DEPTH).map_err(refused)?;
    let (parent, name) = match place.rsplit_once('/') {
        Some((parent, name)) => (Some(tree.open_dir(parent).map_err(refused)?), name),
        None => (None, place),
    };
    let parent = parent.as_ref().unwrap_or(tree.fd());
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => fsync(parent).map_err(refused),
        Err(errno) => Err(refused(errno)),
    }
}

fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(dir)? {
        if !is_self(entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_self(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Deletes all in a directory but the names in `kept`.
fn clear(dir: &OwnedFd, kept: &[&str], depth: usize) -> Result<(), Errno> {
    let deeper = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    for _ in 0..MAX_ROUNDS {
        let mut is_clear = true;
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_self(name) || kept.iter().any(|kept| kept.as_bytes() == name.to_bytes()) {
                continue;
            }
            is_clear = false;
            remove(dir, name, deeper)?;
        }
        if is_clear {
            break;
        }
    }
    Ok(())
}

fn remove(dir: &OwnedFd, name: &CStr, depth: usize) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR, POSIX EPERM, for a directory.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let below = match openat(dir, name, DIRECTORY, Mode::empty()) {
        // A file, then, that may not be deleted.
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(Errno::PERM),
        below => below?,
    };
    clear(&below, &[], depth)?;
    match unlinkat(dir, name, AtFlags::REMOVEDIR) {
        // Something new appeared: the caller's next round takes it.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Deletes what was left behind in `tmp/`; problems are of no consequence.
pub(super) fn sweep(folder: &OpenFolder) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    let Ok(entries) = Dir::read_from(folder.tmp.as_fd()) else { return };
    for entry in entries.flatten().take(MAX_STALE) {
        let name = entry.file_name();
        let is_stale = !name.to_bytes().starts_with(b".")
            && statat(&folder.tmp, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| now.saturating_sub(stat.st_mtime) > STALE_SECONDS);
        if is_stale && unlinkat(&folder.tmp, name, AtFlags::empty()).is_ok() {
            tracing::info!(folder = %folder.place, file = %name.to_string_lossy(), "deleted a file left behind in tmp/");
        }
    }
}
