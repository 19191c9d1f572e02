//! Where large messages live while they are delivered.

use std::io;
use std::os::fd::BorrowedFd;

/// Makes spool files.
pub trait Spool: Send + Sync {
    /// Messages above this many octets leave memory.
    fn threshold(&self) -> u64;
    /// A new, empty file that vanishes when it is dropped or the process ends.
    ///
    /// # Errors
    /// When the spool directory is full or not writable.
    fn create(&self) -> io::Result<Box<dyn SpoolFile>>;
}

/// A file that is written once, then read at will.
pub trait SpoolFile: Send + Sync {
    /// Writes at the end.
    ///
    /// # Errors
    /// When the disk is full or broken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Reads from `offset`; zero at the end.
    ///
    /// # Errors
    /// When the disk is broken.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The open file, so that a store can have the kernel copy it.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// Keeps everything in memory: for tests and dry runs.
#[derive(Debug, Clone, Copy)]
pub struct NoSpool;

impl Spool for NoSpool {
    fn threshold(&self) -> u64 {
        u64::MAX
    }
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Err(io::Error::other("there is no spool"))
    }
}
