//! Ports that two tests never share.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Below the range from which the kernel takes ports for outgoing connections (32768 by default).
const RANGE: Range<u16> = 10_000..32_000;

/// A free TCP port of 127.0.0.1, kept from other tests until dropped.
///
/// A peer binds its port some time after it was chosen. So that no other test chooses the same one meanwhile, also in
/// another process, a file lock stands for the port.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Finds one.
    ///
    /// # Errors
    ///
    /// Fails if the lock files cannot be made or no port is free.
    pub fn free() -> io::Result<Self> {
        let locks = locks();
        fs::create_dir_all(&locks)?;
        let span = u64::from(RANGE.end - RANGE.start);
        let start = RandomState::new().hash_one(std::process::id()) % span;
        for step in 0..span {
            let offset = u16::try_from((start + step) % span).unwrap_or_default();
            if let Some(port) = Self::try_take(&locks, RANGE.start + offset)? {
                return Ok(port);
            }
        }
        Err(io::Error::other("no free port"))
    }

    fn try_take(locks: &Path, number: u16) -> io::Result<Option<Self>> {
        let lock = File::create(locks.join(number.to_string()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let is_free = TcpListener::bind(("127.0.0.1", number)).is_ok();
        Ok(is_free.then_some(Self { number, _lock: lock }))
    }

    /// The port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Where the tests of one user meet, one file for each port.
fn locks() -> PathBuf {
    PathBuf::from(format!("/tmp/pigeon-test-ports-{}", rustix::process::geteuid().as_raw()))
}
