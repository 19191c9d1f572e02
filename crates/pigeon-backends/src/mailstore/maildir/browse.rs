//! Looks through a mailbox from outside: which messages came or were moved since a moment, and what they hold.
//!
//! Moving, delivering and flagging a message renames or links its file, which changes the time of its inode (POSIX:
//! `st_ctime`; Linux's file systems mark it at each rename). So a look that begins at the one before reads few files.
//! Nothing is changed and nothing locked: what a mail reader renames in this very moment shows up in the next look.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pigeon_core::folder::Folder;
use pigeon_core::timestamp::Timestamp;
use rustix::fs::{Mode, OFlags, open};

use super::{FolderNames, folder_name, name};

/// Where messages are.
const PARTS: [&str; 2] = ["new", "cur"];

/// A message where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lying {
    /// The folder.
    pub folder: Folder,
    /// The file.
    pub path: PathBuf,
}

/// The messages that came, were moved or were flagged at `since` or later; all of them where that is none.
///
/// Messages flagged as deleted, and folders of names that are none, are left out. A mailbox that does not exist yet
/// has none.
///
/// # Errors
/// What cannot be read.
pub fn browse(mailbox: &Path, names: FolderNames, since: Option<Timestamp>) -> io::Result<Vec<Lying>> {
    let mut found = Vec::new();
    browse_folder(mailbox, &Folder::inbox(), since, &mut found)?;
    let Some(entries) = gone_is_none(fs::read_dir(mailbox))? else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let folder = file_name.to_str().and_then(|name| folder_name::folder(name, names));
        if let Some(folder) = folder.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            browse_folder(&entry.path(), &folder, since, &mut found)?;
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn browse_folder(
    directory: &Path,
    folder: &Folder,
    since: Option<Timestamp>,
    found: &mut Vec<Lying>,
) -> io::Result<()> {
    for part in PARTS {
        let Some(entries) = gone_is_none(fs::read_dir(directory.join(part)))? else { continue };
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            if file_name.starts_with('.') || name::is_deleted(&file_name) {
                continue;
            }
            let Some(metadata) = gone_is_none(entry.metadata())? else { continue };
            if metadata.is_file() && since.is_none_or(|since| changed(&metadata) >= since.micros()) {
                found.push(Lying { folder: folder.clone(), path: entry.path() });
            }
        }
    }
    Ok(())
}

/// When the file was last renamed, linked or changed, in microseconds since 1970.
fn changed(metadata: &fs::Metadata) -> i64 {
    metadata.ctime().saturating_mul(1_000_000).saturating_add(metadata.ctime_nsec() / 1000)
}

impl Lying {
    /// Opens it for reading; nothing where it is gone, or was renamed meanwhile.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn open(&self) -> io::Result<Option<File>> {
        // Mailboxes may be writable by others than who looks through them: no link leads out of them.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        gone_is_none(open(&self.path, flags, Mode::empty()).map(File::from).map_err(io::Error::from))
    }
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Timestamp::from_micros(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
    }

    fn names(found: &[Lying]) -> Vec<String> {
        let shown = |lying: &Lying| {
            format!("{} {}", lying.folder, lying.path.file_name().unwrap_or_default().to_string_lossy())
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn what_was_moved_is_seen_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let mailbox = root.path();
        for folder in ["", ".Junk", ".Entw&APw-rfe", ".bad&", "nofolder"] {
            for part in ["new", "cur", "tmp"] {
                fs::create_dir_all(mailbox.join(folder).join(part)).unwrap();
            }
        }
        let write = |place: &str| fs::write(mailbox.join(place), "Subject: x\n\n").unwrap();
        for place in
            ["cur/1.a:2,S", "cur/2.a:2,ST", "new/3.a", "cur/.hidden", ".bad&/cur/4.a", "nofolder/cur/5.a"]
        {
            write(place);
        }
        write(".Entw&APw-rfe/new/6.a");
        std::os::unix::fs::symlink("/etc/hostname", mailbox.join("new/7.a")).unwrap();
        let all = browse(mailbox, FolderNames::ModifiedUtf7, None).unwrap();
        assert_eq!(names(&all), ["Entwürfe 6.a", "INBOX 1.a:2,S", "INBOX 3.a"]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let since = now();
        assert!(browse(mailbox, FolderNames::ModifiedUtf7, Some(since)).unwrap().is_empty());
        fs::rename(mailbox.join("cur/1.a:2,S"), mailbox.join(".Junk/cur/1.a:2,S")).unwrap();
        let moved = browse(mailbox, FolderNames::ModifiedUtf7, Some(since)).unwrap();
        assert_eq!(names(&moved), ["Junk 1.a:2,S"]);
        assert!(moved[0].open().unwrap().is_some());
        fs::remove_file(&moved[0].path).unwrap();
        assert!(moved[0].open().unwrap().is_none());
        let missing = root.path().join("missing");
        assert!(browse(&missing, FolderNames::ModifiedUtf7, None).unwrap().is_empty());
    }
}
