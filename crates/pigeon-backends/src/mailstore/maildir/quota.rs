//! The `maildirsize` file: how full a mailbox is, kept by everybody who delivers to it.
//!
//! Source: the Maildir++ specification (Courier's README.maildirquota): the first line holds the limits, `NS,NC`
//! (octets, messages); each following one a change, `octets messages`; their sum is the usage. The file is counted
//! anew when it is missing, broken, longer than 5120 octets, or when the mailbox is (nearly) full and the file older
//! than fifteen minutes, since mail programs that delete mail do not always write it. Mail in `Trash` and mail
//! flagged as deleted does not count. It is never synced: after a loss of power it is at worst counted anew.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use pigeon_core::ports::mailstore::{Quota, Usage};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, renameat, statat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::folders::OpenFolder;
use super::name::{self, Names};
use super::tree::{self, DIRECTORY, Tree};

const FILE: &str = "maildirsize";
/// A longer file is counted anew.
const MAX_OCTETS: usize = 5120;
/// An older file is counted anew when the mailbox is nearly full.
const MAX_AGE_SECONDS: i64 = 15 * 60;
/// The folder that does not count.
const TRASH: &str = ".Trash";

/// Reads the usage; counts it when the file does not tell.
pub(super) fn usage(tree: &Tree, mailbox: &OpenFolder, names: &Names, quota: Quota) -> io::Result<Usage> {
    if let Some(usage) = read(&mailbox.dir, quota)? {
        return Ok(usage);
    }
    recount(tree, mailbox, names, quota)
}

/// Writes down how much came in. Counts all where the file is missing and limits hold.
pub(super) fn add(
    tree: &Tree,
    mailbox: &OpenFolder,
    names: &Names,
    (quota, change): (Option<Quota>, Usage),
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match openat(&mailbox.dir, FILE, flags, Mode::empty()) {
        Ok(fd) => File::from(fd).write_all(format!("{} {}\n", change.octets, change.messages).as_bytes()),
        Err(Errno::NOENT) => match quota {
            Some(quota) if quota != Quota::default() => recount(tree, mailbox, names, quota).map(drop),
            _ => Ok(()),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a message in that folder (the name of its directory) with these info letters counts.
pub(super) fn counts(directory: Option<&str>, info: &str) -> bool {
    directory != Some(TRASH) && !name::is_deleted(info)
}

/// What the file says; nothing when it must be counted anew.
fn read(dir: &OwnedFd, quota: Quota) -> io::Result<Option<Usage>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = match openat(dir, FILE, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut buffer = [0; MAX_OCTETS + 1];
    let count = file.read(&mut buffer)?;
    if count > MAX_OCTETS {
        return Ok(None);
    }
    let text = buffer.get(..count).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some((limits, usage)) = text.and_then(parse) else { return Ok(None) };
    if quota != Quota::default() && limits != quota {
        return Ok(None);
    }
    if is_nearly_full(usage, limits) && age_seconds(&file)? > MAX_AGE_SECONDS {
        return Ok(None);
    }
    Ok(Some(usage))
}

fn age_seconds(file: impl AsFd) -> io::Result<i64> {
    Ok(clock_gettime(ClockId::Realtime).tv_sec.saturating_sub(fstat(file)?.st_mtime))
}

/// At nine tenths a message may already be refused, so it is worth to be exact.
fn is_nearly_full(usage: Usage, limits: Quota) -> bool {
    let is_near = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit / 10 * 9);
    is_near(usage.octets, limits.octets) || is_near(usage.messages, limits.messages)
}

/// The limits and the sum; nothing when the text is no `maildirsize` or its sum is below zero.
pub(super) fn parse(text: &str) -> Option<(Quota, Usage)> {
    let (first, rest) = text.split_once('\n')?;
    let limits = parse_limits(first)?;
    let (mut octets, mut messages) = (0_i64, 0_i64);
    for line in rest.lines() {
        let mut fields = line.split_ascii_whitespace();
        octets = octets.checked_add(fields.next()?.parse().ok()?)?;
        messages = messages.checked_add(fields.next()?.parse().ok()?)?;
    }
    Some((limits, Usage { octets: u64::try_from(octets).ok()?, messages: u64::try_from(messages).ok()? }))
}

/// `10000000S,1000C`; zero is no limit.
pub(super) fn parse_limits(line: &str) -> Option<Quota> {
    let mut limits = Quota::default();
    for part in line.split(',').filter(|part| !part.is_empty()) {
        let number = |kind| part.strip_suffix(kind).and_then(|digits: &str| digits.parse::<u64>().ok());
        match (number('S'), number('C')) {
            (Some(octets), _) => limits.octets = (octets > 0).then_some(octets),
            (_, Some(messages)) => limits.messages = (messages > 0).then_some(messages),
            _ => return None,
        }
    }
    Some(limits)
}

pub(super) fn print_limits(quota: Quota) -> String {
    match (quota.octets, quota.messages) {
        (Some(octets), Some(messages)) => format!("{octets}S,{messages}C"),
        (None, Some(messages)) => format!("{messages}C"),
        (octets, None) => format!("{}S", octets.unwrap_or(0)),
    }
}

/// Counts all mail and writes a new file. Limits that are not given are taken over from the old one.
fn recount(tree: &Tree, mailbox: &OpenFolder, names: &Names, quota: Quota) -> io::Result<Usage> {
    let mut usage = Usage::default();
    add_folder(&mailbox.dir, &mut usage)?;
    for entry in Dir::read_from(&mailbox.dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        if !name.starts_with('.') || matches!(name, "." | ".." | TRASH) {
            continue;
        }
        match openat(&mailbox.dir, name, DIRECTORY, Mode::empty()) {
            Ok(folder) => add_folder(&folder, &mut usage)?,
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let limits = if quota == Quota::default() { old_limits(&mailbox.dir) } else { quota };
    let text = format!("{}\n{} {}\n", print_limits(limits), usage.octets, usage.messages);
    // A full disk must not hide the usage: it is known, only not written down.
    if let Err(error) = replace_file(tree, mailbox, &names.next(), &text) {
        tracing::debug!(mailbox = %mailbox.place, %error, "could not write {FILE}");
    }
    Ok(usage)
}

fn replace_file(tree: &Tree, mailbox: &OpenFolder, temporary: &str, text: &str) -> io::Result<()> {
    let mut file = tree.make_file(&mailbox.tmp, temporary)?;
    let written = file.write_all(text.as_bytes());
    let placed = written.and_then(|()| Ok(renameat(&mailbox.tmp, temporary, &mailbox.dir, FILE)?));
    if placed.is_err() {
        tree::discard(&mailbox.tmp, temporary);
    }
    placed
}

fn old_limits(dir: &OwnedFd) -> Quota {
    let text = super::replace::read(dir, FILE).ok().flatten().unwrap_or_default();
    text.lines().next().and_then(parse_limits).unwrap_or_default()
}

fn add_folder(folder: &OwnedFd, usage: &mut Usage) -> io::Result<()> {
    for part in ["new", "cur"] {
        let dir = match openat(folder, part, DIRECTORY, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(errno.into()),
        };
        for entry in Dir::read_from(&dir)? {
            if let Some(octets) = octets_of(&dir, entry?.file_name()) {
                usage.octets += octets;
                usage.messages += 1;
            }
        }
    }
    Ok(())
}

/// The octets of a file that counts, from its name where that tells.
fn octets_of(dir: &OwnedFd, file_name: &CStr) -> Option<u64> {
    let name = file_name.to_string_lossy();
    if name.starts_with('.') || name::is_deleted(&name) {
        return None;
    }
    let of_file = || statat(dir, file_name, AtFlags::SYMLINK_NOFOLLOW).ok();
    name::octets_of(&name).or_else(|| u64::try_from(of_file()?.st_size).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_courier_and_dovecot_are_read() {
        let limits = |octets, messages| Quota { octets, messages };
        let check = |text: &str, expect: Option<(Quota, (u64, u64))>| {
            let expect = expect.map(|(quota, (octets, messages))| (quota, Usage { octets, messages }));
            assert_eq!(parse(text), expect, "{text:?}");
        };
        check("1000S,10C\n200 2\n", Some((limits(Some(1000), Some(10)), (200, 2))));
        check("10C,1000S\n   200    2\n 50 1\n-100 -1\n", Some((limits(Some(1000), Some(10)), (150, 2))));
        check("0S\n", Some((limits(None, None), (0, 0))));
        check("5C\n1 1\n", Some((limits(None, Some(5)), (1, 1))));
        check("\n", Some((limits(None, None), (0, 0))));
        for text in ["", "1000S", "1000X\n", "1000S\nx 1\n", "1000S\n-1 1\n", "1000S\n1\n", "1000S\n1 1\n\n"]
        {
            check(text, None);
        }
    }

    #[test]
    fn limits_are_printed_as_they_are_read() {
        for (octets, messages) in [(None, None), (Some(5), None), (None, Some(6)), (Some(5), Some(6))] {
            let quota = Quota { octets, messages };
            assert_eq!(parse_limits(&print_limits(quota)), Some(quota));
        }
        let limits = Quota { octets: Some(100), messages: None };
        assert!(is_nearly_full(Usage { octets: 90, messages: 0 }, limits));
        assert!(!is_nearly_full(Usage { octets: 89, messages: 1000 }, limits));
    }
}
