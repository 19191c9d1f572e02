//! The directory tree under the mail root. No path leaves it, and no symbolic link is followed in it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fsync, mkdirat, open, openat, openat2,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::problem::Problem;
use super::{MaildirOptions, Owner};

/// Longest mailbox path in octets, and its deepest nesting.
const MAX_PATH: (usize, usize) = (1024, 16);
/// How often `openat2` is asked again when something in the path was renamed meanwhile.
const MAX_RACES: usize = 16;

pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The mail root and what is made below it.
pub(super) struct Tree {
    fd: OwnedFd,
    path: PathBuf,
    owner: Option<Owner>,
    directory_mode: Mode,
    file_mode: Mode,
    has_openat2: AtomicBool,
    /// What the process makes is the owner's anyway: the server became the mail user.
    is_owner: AtomicBool,
}

impl Tree {
    pub(super) fn open(path: PathBuf, options: &MaildirOptions) -> Result<Self, Problem> {
        // The root itself may be a symbolic link: the administrator names it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(&path, flags, Mode::empty())
            .map_err(|errno| Problem::new(format_args!("opening the mail root {}", path.display()), errno))?;
        Ok(Self {
            fd,
            path,
            owner: options.owner.filter(|_| geteuid().is_root()),
            directory_mode: Mode::from_raw_mode(options.directory_mode),
            file_mode: Mode::from_raw_mode(options.file_mode),
            has_openat2: AtomicBool::new(true),
            is_owner: AtomicBool::new(false),
        })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// For texts.
    pub(super) fn show(&self, place: &str) -> String {
        Path::join(&self.path, place).display().to_string()
    }

    /// Opens the directory at `place`, a path that [`check_place`] has seen.
    pub(super) fn open_dir(&self, place: &str) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RACES {
            if !self.has_openat2.load(Ordering::Relaxed) {
                break;
            }
            match openat2(&self.fd, place, DIRECTORY, Mode::empty(), resolve) {
                // Kernels before 5.6, and sandboxes that do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => self.has_openat2.store(false, Ordering::Relaxed),
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        self.open_step_by_step(place)
    }

    fn open_step_by_step(&self, place: &str) -> Result<OwnedFd, Errno> {
        let mut reached: Option<OwnedFd> = None;
        for part in place.split('/') {
            let from = reached.as_ref().unwrap_or(&self.fd);
            reached = Some(openat(from, part, DIRECTORY, Mode::empty())?);
        }
        reached.ok_or(Errno::NOENT)
    }

    /// Opens the directory at `place` and makes what is missing on the way, so that it survives a loss of power.
    pub(super) fn make_dir_all(&self, place: &str) -> Result<OwnedFd, Problem> {
        let mut reached: Option<OwnedFd> = None;
        for part in place.split('/') {
            let from = reached.as_ref().unwrap_or(&self.fd);
            let next = self.make_dir(from, part);
            // Also when it was there: whoever made it may not have come to this yet.
            let next = next.and_then(|next| fsync(from).map(|()| next));
            reached = Some(next.map_err(|errno| self.refused("making", place, errno))?);
        }
        reached.ok_or_else(|| Problem::text("the mailbox has no path"))
    }

    /// Makes a directory in another, or opens the one that is there. Does not sync.
    pub(super) fn make_dir(&self, parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
        let is_new = match mkdirat(&parent, name, self.directory_mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(errno),
        };
        let fd = openat(&parent, name, DIRECTORY, Mode::empty())?;
        if is_new {
            self.give(&fd, self.directory_mode)?;
        }
        Ok(fd)
    }

    /// Makes a file that must not exist, for writing.
    pub(super) fn make_file(&self, parent: impl AsFd, name: &str) -> Result<File, Errno> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&parent, name, flags, self.file_mode)?;
        if let Err(errno) = self.give(&fd, self.file_mode) {
            discard(&parent, name);
            return Err(errno);
        }
        Ok(fd.into())
    }

    /// Sets the owner where one is configured, and the bits of the mode that the umask may have taken.
    fn give(&self, fd: &OwnedFd, mode: Mode) -> Result<(), Errno> {
        if let Some(owner) = self.owner.filter(|owner| !self.is_owner(*owner)) {
            fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        }
        if mode.intersects(Mode::RWXG | Mode::RWXO) {
            fchmod(fd, mode)?;
        }
        Ok(())
    }

    /// Whether the process is the owner already. Once it is, it stays so: nobody but root changes its user.
    fn is_owner(&self, owner: Owner) -> bool {
        if !self.is_owner.load(Ordering::Relaxed) {
            let is_owner = geteuid().as_raw() == owner.uid && getegid().as_raw() == owner.gid;
            self.is_owner.store(is_owner, Ordering::Relaxed);
        }
        self.is_owner.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self, step: &str, place: &str, errno: Errno) -> Problem {
        Problem::new(format_args!("{step} {}", self.show(place)), errno)
    }
}

/// Deletes a file that is of no use. Where even that fails, it is swept out of `tmp/` later.
pub(super) fn discard(dir: impl AsFd, name: &str) {
    if let Err(errno) = unlinkat(dir, name, AtFlags::empty()) {
        tracing::debug!(file = name, error = %errno, "could not delete a file that is of no use");
    }
}

/// Whether a mailbox path is one below the root: relative, with no empty part, `.` or `..`.
pub(super) fn check_place(place: &str) -> Result<(), Problem> {
    let (max_octets, max_depth) = MAX_PATH;
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains('\0');
    if place.len() > max_octets || place.split('/').count() > max_depth || !place.split('/').all(is_part) {
        return Err(Problem::text(format!("{place:?} is no path below the mail root")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_below_the_root() {
        for place in ["example.org/ann", "a", "a/b/c", "..a/b..", "a b"] {
            assert!(check_place(place).is_ok(), "{place}");
        }
        let long = "a/".repeat(20) + "a";
        let wide = "a".repeat(256);
        for place in ["", "/", "/etc", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\0b", &long, &wide] {
            assert!(check_place(place).is_err(), "{place:?}");
        }
    }

    #[test]
    fn the_way_without_openat2_follows_no_link_either() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("a/link")).unwrap();
        let tree = Tree::open(root.path().to_owned(), &MaildirOptions::default()).unwrap();
        for has_openat2 in [true, false] {
            tree.has_openat2.store(has_openat2, Ordering::Relaxed);
            assert!(tree.open_dir("a/b").is_ok());
            assert_eq!(tree.open_dir("a/c").unwrap_err(), Errno::NOENT);
            assert!(matches!(tree.open_dir("a/link").unwrap_err(), Errno::LOOP | Errno::NOTDIR));
            assert!(matches!(tree.open_dir("a/link/ssl").unwrap_err(), Errno::LOOP | Errno::NOTDIR));
        }
    }
}
