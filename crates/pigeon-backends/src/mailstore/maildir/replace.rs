//! Small files beside the mail that IMAP servers share with us: read whole, replaced whole.
//!
//! The lock is Dovecot's dot-lock: `NAME.lock` made exclusively, filled with the new content, then renamed over
//! `NAME`. It is used for rare events only (a new keyword, a new folder).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::tree::{self, Tree};

/// Largest such file that is read, in octets.
pub(super) const MAX_OCTETS: u64 = 256 * 1024;
/// Tries to get the lock, and the wait between them.
const TRIES: (u32, Duration) = (20, Duration::from_millis(25));
/// A lock of this age, in seconds, was left behind by a process that died.
const STALE_SECONDS: i64 = 120;

/// Reads a file whole; nothing when it does not exist.
pub(super) fn read(dir: &OwnedFd, name: &str) -> io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut text = String::new();
    File::from(fd).take(MAX_OCTETS).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Replaces a file by what `change` makes of it, under its lock; `change` returns nothing to leave it.
pub(super) fn update<T>(
    tree: &Tree,
    dir: &OwnedFd,
    name: &str,
    change: impl FnOnce(Option<String>) -> (Option<String>, T),
) -> io::Result<T> {
    let lock = format!("{name}.lock");
    let mut file = acquire(tree, dir, &lock)?;
    let done = read(dir, name).and_then(|text| {
        let (text, result) = change(text);
        let Some(text) = text else {
            unlinkat(dir, &*lock, AtFlags::empty())?;
            return Ok(result);
        };
        file.write_all(text.as_bytes())?;
        renameat(dir, &*lock, dir, name)?;
        Ok(result)
    });
    if done.is_err() {
        tree::discard(dir, &lock);
    }
    done
}

fn acquire(tree: &Tree, dir: &OwnedFd, lock: &str) -> io::Result<File> {
    let (tries, wait) = TRIES;
    for _ in 0..tries {
        match tree.make_file(dir, lock) {
            Err(Errno::EXIST) => break_if_stale(dir, lock),
            made => return Ok(made?),
        }
        thread::sleep(wait);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{lock} is held by another process")))
}

fn break_if_stale(dir: &OwnedFd, lock: &str) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    let is_stale = statat(dir, lock, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| now.saturating_sub(stat.st_mtime) > STALE_SECONDS);
    if is_stale {
        tree::discard(dir, lock);
    }
}
