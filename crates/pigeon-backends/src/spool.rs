//! The spool: nameless files for messages that are too large for memory.
//!
//! A spool file has no name, so that nothing is left behind however the process ends.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use pigeon_core::ports::spool::{Spool, SpoolFile};
use rustix::fs::{AtFlags, Mode, OFlags, open, openat, unlinkat};
use rustix::io::Errno;

/// Messages above this many octets leave memory, unless said otherwise.
pub const DEFAULT_THRESHOLD_OCTETS: u64 = 1024 * 1024;

/// Makes spool files in a directory.
pub struct DiskSpool {
    directory: PathBuf,
    threshold: u64,
    count: AtomicU64,
}

impl DiskSpool {
    /// A spool in `directory`, which is opened when the first file is made; `threshold` in octets.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, threshold: u64) -> Self {
        Self { directory: directory.into(), threshold, count: AtomicU64::new(0) }
    }

    /// Makes a file and takes its name away, where the file system knows no nameless files.
    fn create_unlinked(&self, directory: &OwnedFd) -> io::Result<File> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!(".spool-{}-{count}", std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &*name, flags, Mode::RUSR | Mode::WUSR)?;
        unlinkat(directory, &*name, AtFlags::empty())?;
        Ok(file.into())
    }

    fn create_file(&self, is_named: bool) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if !is_named {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
            match open(&self.directory, flags, Mode::RUSR | Mode::WUSR) {
                // What kernels and file systems without nameless files answer.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {}
                opened => return Ok(opened?.into()),
            }
        }
        self.create_unlinked(&open(&self.directory, flags, Mode::empty())?)
    }
}

impl Spool for DiskSpool {
    fn threshold(&self) -> u64 {
        self.threshold
    }

    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        let file = self.create_file(false).map_err(|error| explain(&self.directory, &error))?;
        Ok(Box::new(DiskSpoolFile { file }))
    }
}

fn explain(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("creating a file in the spool {}: {error}", directory.display()))
}

/// A file without a name in `directory`, for reading and writing.
pub(crate) fn nameless(directory: &Path) -> io::Result<File> {
    DiskSpool::new(directory, 0).create_file(false).map_err(|error| explain(directory, &error))
}

/// One spool file.
struct DiskSpoolFile {
    file: File,
}

impl SpoolFile for DiskSpoolFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spool_files_have_no_name_and_keep_their_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let spool = DiskSpool::new(directory.path(), 5);
        assert_eq!(spool.threshold(), 5);
        for is_named in [false, true] {
            let mut file = DiskSpoolFile { file: spool.create_file(is_named).unwrap() };
            file.append(b"hello ").unwrap();
            file.append(b"world").unwrap();
            let mut buffer = [0; 16];
            assert_eq!(file.read_at(6, &mut buffer).unwrap(), 5);
            assert_eq!(&buffer[..5], b"world");
            assert_eq!(file.read_at(11, &mut buffer).unwrap(), 0);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_missing_spool_directory_is_named() {
        let spool = DiskSpool::new("/nonexistent/spool", DEFAULT_THRESHOLD_OCTETS);
        let Err(error) = spool.create() else { panic!("made a file in a directory that does not exist") };
        assert!(error.to_string().contains("/nonexistent/spool"), "{error}");
    }
}
