//! Files of other systems.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Largest file that is read, in octets.
const MAX_OCTETS: u64 = 256 * 1024 * 1024;

/// Reads a file: a regular one, for a pipe in somebody's home would never end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.len() > MAX_OCTETS {
        return Err(io::Error::other(format!("it has more than {MAX_OCTETS} octets")));
    }
    let mut octets = Vec::new();
    File::open(path)?.take(MAX_OCTETS).read_to_end(&mut octets)?;
    Ok(octets)
}
