//! Receipts on their way into a database: a file of JSON lines, taken in by processes that stay.
//!
//! Whoever takes the file in renames it first. Locks keep the two sides apart: a writer appends under a shared
//! lock and begins anew when the file was deleted meanwhile; a taker waits with an exclusive one for writers
//! that opened the file before it was renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pigeon_core::receipt::Receipt;
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::words::Packed;

/// The name of the file in the state directory; files being taken in have a suffix.
const FILE: &str = "receipts.spool";

/// Appends receipts, one line each, in one write; false when that would make more than `limit` octets of files.
pub(super) fn append(directory: &Path, batch: &[Arc<Receipt>], limit: Option<u64>) -> io::Result<bool> {
    let mut lines = Vec::with_capacity(1024 * batch.len());
    for receipt in batch {
        serde_json::to_writer(&mut lines, receipt.as_ref())?;
        lines.push(b'\n');
    }
    if let Some(limit) = limit
        && octets(directory)?.saturating_add(lines.len() as u64) > limit
    {
        return Ok(false);
    }
    loop {
        let path = directory.join(FILE);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        flock(&file, FlockOperation::LockShared)?;
        if file.metadata()?.nlink() > 0 {
            file.write_all(&lines)?;
            return Ok(true);
        }
    }
}

fn is_ours(name: &str) -> bool {
    name == FILE || is_renamed(name)
}

fn is_renamed(name: &str) -> bool {
    name.strip_prefix(FILE).is_some_and(|rest| rest.starts_with('.'))
}

/// Octets of all files, those being taken in, too.
pub(super) fn octets(directory: &Path) -> io::Result<u64> {
    // One that is gone meanwhile counts for nothing.
    let sizes = present(directory)?;
    Ok(sizes.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum())
}

/// The files that are there.
pub(super) fn present(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let is_ours = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(is_ours);
    Ok(entries.iter().filter(|entry| is_ours(entry)).map(fs::DirEntry::path).collect())
}

/// The files to take in, oldest first: the one of now, renamed, and those of processes that died while taking them in.
pub(super) fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == FILE {
            let renamed = directory.join(format!("{FILE}.{}", Uuid::now_v7()));
            match fs::rename(entry.path(), &renamed) {
                Ok(()) => paths.push(renamed),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        } else if name.to_str().is_some_and(is_renamed) {
            paths.push(entry.path());
        }
    }
    // Their names tell when they were renamed.
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// A file that this process alone takes in.
pub(super) struct Taken {
    path: PathBuf,
    reader: BufReader<File>,
    line: u32,
    broken: u64,
}

impl Taken {
    /// Opens the file when all writers have done with it; nothing if another process took it in.
    pub(super) fn open(path: PathBuf) -> io::Result<Option<Self>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        flock(&file, FlockOperation::LockExclusive)?;
        let is_there = file.metadata()?.nlink() > 0;
        Ok(is_there.then(|| Self { path, reader: BufReader::new(file), line: 0, broken: 0 }))
    }

    /// Its name, which no other file has or will have.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The next receipts with the numbers of their lines: up to so many, or so many octets and one; none at the end.
    /// Broken lines are left out.
    pub(super) fn next(&mut self, receipts: usize, octets: usize) -> io::Result<Vec<(u32, Packed)>> {
        let (mut batch, mut size, mut line) = (Vec::new(), 0, Vec::new());
        while batch.len() < receipts && size < octets {
            line.clear();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match serde_json::from_slice::<Receipt>(&line).ok().as_ref().and_then(Packed::new) {
                Some(packed) => {
                    batch.push((self.line, packed));
                    size += line.len();
                }
                None => self.broken += 1,
            }
            self.line += 1;
        }
        Ok(batch)
    }

    /// Deletes it, under the lock: a writer that waits for it sees that the file is gone.
    pub(super) fn remove(self) -> io::Result<()> {
        if self.broken > 0 {
            tracing::warn!(
                "{} receipts in {} are broken and were left out",
                self.broken,
                self.path.display()
            );
        }
        fs::remove_file(&self.path)
    }
}
