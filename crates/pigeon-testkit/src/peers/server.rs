//! One database server: its directory, and a process that can be stopped, killed, paused and started again.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::watch::Watched;
use super::{PATIENCE, PeerFault, Peers, has_command, processes, text_of, usable_root, wait_until};

/// `nobody`: who a server runs as when the tests run as root, which `PostgreSQL` and `MariaDB` refuse to be.
const SERVER_USER: u32 = 65_534;
/// The file system in memory that Linux machines usually have.
const MEMORY: &str = "/dev/shm";
/// Bytes that must be free in it; small ones, as in containers, are left alone.
const ENOUGH_MEMORY: u64 = 2 << 30;
/// Where Debian's packages put libraries, for the client programs that are run outside a namespace.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

/// A server's private directory and, while it runs, its process. Dropping it kills the process and removes the files.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    /// Where the packages are unpacked; none if the machine's own installation is used.
    root: Option<PathBuf>,
    // Before the directory: fields are dropped in this order.
    process: Mutex<Option<Watched>>,
    directory: TempDir,
}

impl Server {
    /// Makes the directory, or says why the server cannot be used. Without an unpacked peer of that name, a machine
    /// that has `installed` runs its own.
    pub(crate) fn prepare(name: &'static str, installed: &str) -> Result<Self, PeerFault> {
        let root = root(name, installed)?;
        let directory = tempfile::Builder::new().prefix(&format!("pigeon-{name}-")).tempdir_in(place())?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let server = Self { name, root, process: Mutex::new(None), directory };
        server.own(server.path())?;
        Ok(server)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory, as text for configuration and command lines.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// What the programs are: the stamp of the unpacked packages, or the age of the machine's program.
    pub(crate) fn version(&self, program: &str) -> anyhow::Result<String> {
        match &self.root {
            Some(root) => Ok(text_of(&root.join(super::STAMP))),
            None => Ok(format!("{program} {:?}", fs::metadata(program)?.modified()?)),
        }
    }

    /// Gives a file or directory to the user that the server runs as.
    pub(crate) fn own(&self, path: &Path) -> anyhow::Result<()> {
        if is_root() {
            chown(path, Some(SERVER_USER), Some(SERVER_USER))
                .with_context(|| format!("cannot give {} to the server", path.display()))?;
        }
        Ok(())
    }

    /// Makes a directory of the server's own below its directory.
    pub(crate) fn make_directory(&self, name: &str, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        self.own(&path)?;
        Ok(path)
    }

    /// Writes a file of the server's own; `@DIR@` in the text is the directory itself.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        let text = text.replace("@DIR@", &self.path().to_string_lossy());
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        self.own(&path)?;
        Ok(path)
    }

    /// A client program, which runs outside the server's namespace and also while the server does not; what the
    /// person who runs the tests has set up for such clients does not count.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = match &self.root {
            Some(root) => Command::new(root.join(program.trim_start_matches('/'))),
            None => Command::new(program),
        };
        if let Some(root) = &self.root {
            let libraries = LIBRARIES.map(|name| root.join(name).display().to_string());
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
        }
        command.env("HOME", self.path());
        command
    }

    /// A program that stands at its installed place and runs as the server's user.
    fn inside(&self, command: &[&str]) -> Command {
        let user = SERVER_USER.to_string();
        let as_user = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"];
        let mut words: Vec<&str> = if is_root() { [&as_user, command].concat() } else { command.to_vec() };
        // Shared memory of a killed server goes with its namespace.
        let entering = ["unshare", "--ipc", "--mount", "--propagation", "private"];
        let (root, directory) = (self.root.as_ref().map(|root| root.display().to_string()), self.file(""));
        if let Some(root) = &root {
            let script = ["sh", "-c", include_str!("../../peers/enter.sh"), "enter.sh", root, &directory];
            words = [&entering[..], &script, &words].concat();
        } else if is_root() && has_command("unshare") {
            words = [&entering[..2], &words].concat();
        }
        let mut inside = Command::new(words.first().copied().unwrap_or_default());
        inside
            .args(words.iter().skip(1))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/");
        inside
    }

    /// Runs a program of the packages as the server's user, gives it the input and waits for its end.
    pub(crate) fn run(&self, command: &[&str], input: &str) -> Result<String, PeerFault> {
        let output = feed(self.inside(command), input)?;
        if !output.status.success() && self.root.is_some() && !self.path().join("entered").exists() {
            return Err(self.no_namespace(&String::from_utf8_lossy(&output.stderr)));
        }
        Ok(answer(&output).with_context(|| format!("{command:?}"))?)
    }

    /// Starts the server; its output is added to `output.log`.
    pub(crate) fn start(&self, command: &[&str]) -> anyhow::Result<()> {
        let mut process = self.process();
        ensure!(process.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.path().join("output.log"))?;
        let mut inside = self.inside(command);
        inside.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        *process = Some(Watched::spawn(&mut inside, self.path())?);
        Ok(())
    }

    /// Waits until the server answers its protocol: an open port alone says nothing yet.
    pub(crate) fn wait_until_ready(&self, mut is_ready: impl FnMut() -> bool) -> Result<(), PeerFault> {
        let ended = || self.process().as_mut().and_then(Watched::ended);
        let ready = wait_until(PATIENCE, || if is_ready() { Some(None) } else { ended().map(Some) });
        let (name, output) = (self.name, text_of(&self.path().join("output.log")));
        match ready {
            Some(None) => Ok(()),
            Some(Some(_)) if self.root.is_some() && !self.path().join("entered").exists() => {
                Err(self.no_namespace(&output))
            }
            Some(Some(status)) => Err(anyhow!("{name} ended with {status}:\n{output}").into()),
            None => Err(anyhow!("{name} does not answer:\n{output}").into()),
        }
    }

    fn no_namespace(&self, output: &str) -> PeerFault {
        let reason = format!("{}: no private mount namespace to be had here: {}", self.name, output.trim());
        PeerFault::Unavailable(reason)
    }

    /// The process id of the running server.
    pub(crate) fn process_id(&self) -> anyhow::Result<Pid> {
        let process = self.process();
        let id = process.as_ref().and_then(|process| i32::try_from(process.id()).ok());
        id.and_then(Pid::from_raw).with_context(|| format!("{} does not run", self.name))
    }

    /// Whether it was started and not ended through this type.
    pub(crate) fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Ends it in order, with the signal that this server takes for that.
    pub(crate) fn stop(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.process_id()?;
        processes::go_on(pid);
        kill_process(pid, signal)?;
        let ended =
            wait_until(PATIENCE, || self.process().as_mut().map_or(Some(()), |p| p.ended().map(drop)));
        if ended.is_none() {
            bail!("{} does not end:\n{}", self.name, text_of(&self.path().join("output.log")));
        }
        *self.process() = None;
        Ok(())
    }

    /// Kills it and all its processes at once, as a crash would.
    pub(crate) fn kill(&self) {
        if let Ok(pid) = self.process_id() {
            processes::kill(pid);
        }
        // Dropping it reaps.
        *self.process() = None;
    }

    /// Stops all its processes where they stand: connections stay open, and nothing answers.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.process_id().map(processes::pause)
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.process_id().map(processes::go_on)
    }

    fn process(&self) -> MutexGuard<'_, Option<Watched>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where servers' directories are made: in memory where there is enough, because tens of megabytes for each server would
/// keep the disk busy that other tests measure or wait for.
fn place() -> &'static str {
    let available =
        statvfs(MEMORY).map(|state| state.f_bavail.saturating_mul(state.f_frsize)).unwrap_or_default();
    if available >= ENOUGH_MEMORY { MEMORY } else { "/tmp" }
}

/// Where the programs are: unpacked, or `None` for the machine's own.
fn root(name: &str, installed: &str) -> Result<Option<PathBuf>, PeerFault> {
    let is_installed = Path::new(installed).exists();
    let is_unpacked = Peers::locate().and_then(|peers| peers.root(name)).is_some();
    if is_installed && !(is_unpacked && is_root()) {
        return Ok(None);
    }
    if !has_command("setpriv") {
        return Err(PeerFault::Unavailable(format!("{name}: the command setpriv is missing")));
    }
    usable_root(name).map(Some)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command to its end with this text on its standard input.
pub(crate) fn feed(mut command: Command, input: &str) -> anyhow::Result<Output> {
    let context = || format!("cannot run {}", command.get_program().display());
    let name = context();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context(name)?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let input = input.as_bytes().to_vec();
    // Beside the reading, so that a program with much to say is not waited for by one with much to read. A program
    // that ends early does not read all of it, which its exit status tells better.
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap_or_default());
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow!("writing the input failed"))?;
    Ok(output)
}

/// What a command printed, or its complaint.
pub(crate) fn answer(output: &Output) -> anyhow::Result<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}{}", output.status, complaint.trim(), text.trim());
    Ok(text.trim_end().to_owned())
}
