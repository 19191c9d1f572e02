//! The receipts of processes that deliver one message and exit: a file of JSON lines, taken in by those who stay.
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
use pigeon_core::timestamp::Timestamp;
use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::receipts::{self, Packed};

/// The name of the file in the state directory; files being taken in have a suffix.
const FILE: &str = "receipts.spool";

/// Appends receipts, one line each, in one write.
pub(super) fn append(directory: &Path, batch: &[Arc<Receipt>]) -> io::Result<()> {
    let mut lines = Vec::with_capacity(1024 * batch.len());
    for receipt in batch {
        serde_json::to_writer(&mut lines, receipt.as_ref())?;
        lines.push(b'\n');
    }
    loop {
        let path = directory.join(FILE);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        flock(&file, FlockOperation::LockShared)?;
        if file.metadata()?.nlink() > 0 {
            return file.write_all(&lines);
        }
    }
}

/// Takes in what other processes left, if anything; returns the number of receipts.
pub(super) fn take_in(directory: &Path, connection: &mut Connection, now: Timestamp) -> io::Result<usize> {
    let mut count = 0;
    for path in waiting(directory)? {
        count += take_file(&path, connection, now)?;
    }
    Ok(count)
}

/// The files to take in: the one of now, renamed, and those of processes that died while taking them in.
fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
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
        } else if name.to_str().is_some_and(|name| name.starts_with("receipts.spool.")) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn take_file(path: &Path, connection: &mut Connection, now: Timestamp) -> io::Result<usize> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Another process took it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    flock(&file, FlockOperation::LockExclusive)?;
    if file.metadata()?.nlink() == 0 {
        return Ok(0);
    }
    let (batch, broken) = read_lines(&file)?;
    if broken > 0 {
        tracing::warn!("{broken} receipts in {} are broken and are left out", path.display());
    }
    let inserted = receipts::insert_file(connection, &receipts::file_name(path), &batch, now);
    inserted.map_err(|error| io::Error::other(error.to_string()))?;
    // Under the lock: a writer that waits for it sees that the file is gone.
    fs::remove_file(path)?;
    Ok(batch.len())
}

fn read_lines(file: &File) -> io::Result<(Vec<Packed>, usize)> {
    let (mut batch, mut broken) = (Vec::new(), 0);
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        match serde_json::from_slice::<Receipt>(&line).ok().as_ref().and_then(Packed::new) {
            Some(packed) => batch.push(packed),
            None => broken += 1,
        }
    }
    Ok((batch, broken))
}
