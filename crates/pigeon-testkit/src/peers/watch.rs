//! Ends what a test started, also when the test is killed.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A peer that does not end by itself this long after SIGTERM is killed.
const GRACE: Duration = Duration::from_secs(12);

/// A process that leads its own group, and a watcher that ends the group if the test process dies.
#[derive(Debug)]
pub(crate) struct Watched {
    process: Child,
    watcher: Child,
}

impl Watched {
    /// Starts the command; `directory` is what the watcher removes if it has to act.
    pub(crate) fn spawn(command: &mut Command, directory: &Path) -> io::Result<Self> {
        // Postfix ends its children by process group, and so do we.
        let mut process = command.process_group(0).spawn()?;
        let watcher = Command::new("sh")
            .args(["-c", include_str!("../../peers/watch.sh"), "watch.sh"])
            .arg(process.id().to_string())
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watcher {
            Ok(watcher) => Ok(Self { process, watcher }),
            Err(error) => {
                process.kill()?;
                process.wait()?;
                Err(error)
            }
        }
    }

    /// The process id, the same inside the namespace.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// SIGTERM, then SIGKILL to the whole group; reaps.
    fn stop(&mut self) {
        let pid = Pid::from_child(&self.process);
        if self.ended().is_none() {
            // An error means that it is gone already, which is what is wanted.
            kill_process(pid, Signal::TERM).unwrap_or_default();
            let end = Instant::now() + GRACE;
            while self.ended().is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        kill_process_group(pid, Signal::KILL).unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
        self.watcher.kill().unwrap_or_default();
        self.watcher.wait().map(drop).unwrap_or_default();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop();
    }
}
