//! The service manager: readiness, the watchdog, and sockets that it opened for this process.
//!
//! Nothing happens, and nothing fails, where there is no service manager.
//! Source: the manuals `sd_notify(3)`, `sd_listen_fds(3)` and `sd_watchdog_enabled(3)`.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sd_notify::NotifyState;

/// A listening socket that the service manager opened.
#[derive(Debug)]
pub struct InheritedSocket {
    /// `FileDescriptorName=` of the socket unit; by default the unit's own name.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// Says that listeners are open and mail is taken.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Says that the process is shutting down.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Shows one line in `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// Shows the watchdog signs of life for as long as this future is polled; resolves never.
///
/// Run it as a task of the runtime that does the work: when the runtime hangs, the signs stop. Without
/// `WatchdogSec=` it does nothing.
pub async fn keep_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // sd_watchdog_enabled(3): send every half of the limit.
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

/// The sockets that the service manager passed to this process, in its order; none without socket activation.
///
/// They are duplicates, so that no one else's descriptor is ever closed by mistake.
///
/// # Errors
/// When the environment is broken, or the system refuses `pidfd_getfd(2)`, which needs Linux 5.6 and in a
/// unit with `SystemCallFilter=` its name there.
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    sd_notify::listen_fds_with_names()?
        .map(|(descriptor, name)| Ok(InheritedSocket { name, socket: duplicate(descriptor)? }))
        .collect()
}

fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    let explain = |error: rustix::io::Errno| {
        let error = io::Error::from(error);
        io::Error::new(
            error.kind(),
            format!(
                "the socket passed as descriptor {descriptor} cannot be taken by pidfd_getfd(2): {error}"
            ),
        )
    };
    let process = pidfd_open(getpid(), PidfdFlags::empty()).map_err(explain)?;
    pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).map_err(explain)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_are_taken_by_number() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut taken = UnixStream::from(duplicate(far.as_raw_fd()).unwrap());
        drop(far);
        near.write_all(b"x").unwrap();
        let mut byte = [0];
        taken.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        let error = duplicate(9999).unwrap_err().to_string();
        assert!(error.contains("descriptor 9999"), "{error}");
    }
}
