//! Fetches the real mail programs and database servers that tests run against.
//!
//! Nothing is installed: the Debian packages are downloaded with apt and unpacked, one directory for each peer, so
//! mail servers that exclude each other stand side by side and the machine's own configuration stays as it is.
//! A peer that cannot be had is reported and left out; its tests then say `SKIPPED`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::workspace::{say, target};

/// The peers and their packages: the list that the test harness describes too.
const PACKAGES: &str = include_str!("../../crates/pigeon-testkit/peers/packages.txt");
/// Written last into a peer's directory; its first line is the package list it was made from.
const STAMP: &str = ".pigeon-peer";
/// Directories that Debian 12 has merged into `/usr`; packages may still name them at the top.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// Makes every peer ready in the cache directory and says plainly what it does.
///
/// A second run finds the stamps and does nothing. Needs root and apt: without them, and for each package that the
/// archive does not have, the peer is reported as missing.
///
/// # Errors
///
/// Fails only if the cache directory cannot be written.
pub(crate) fn prepare() -> anyhow::Result<()> {
    if !is_root() {
        return say("peers: MISSING, their tests will be skipped: private mount namespaces need root");
    }
    let cache = directory();
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Unpacked programs keep their set-user-id bits: nobody but the owner may reach them.
    Command::new("chmod").arg("0700").arg(&cache).status().context("cannot run chmod")?;
    let lock = File::create(cache.join(".lock")).context("cannot create the lock file")?;
    lock.lock().context("cannot lock the cache directory")?;

    let mut archive = Archive::new();
    for (name, packages) in peers() {
        let root = cache.join(name);
        if is_ready(&root, packages) {
            say(&format!("peer {name}: ready in {}", root.display()))?;
            continue;
        }
        say(&format!("peer {name}: fetching the Debian packages {packages}, to unpack (not install) them"))?;
        match archive.provide(&root, packages) {
            Ok(count) => say(&format!("peer {name}: unpacked {count} packages into {}", root.display()))?,
            Err(error) => say(&format!("peer {name}: MISSING, its tests will be skipped: {error:#}"))?,
        }
    }
    Ok(())
}

/// Whether this process runs as root: its entry in /proc belongs to its effective user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Where the peers are unpacked: `$PIGEON_PEERS`, or `peers` in cargo's target directory.
fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("PIGEON_PEERS") {
        return PathBuf::from(directory);
    }
    target().join("peers")
}

/// The peers of the list, each with its packages.
fn peers() -> impl Iterator<Item = (&'static str, &'static str)> {
    PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, packages)| (name.trim(), packages.trim()))
}

/// Whether the peer was unpacked from exactly these packages.
fn is_ready(root: &Path, packages: &str) -> bool {
    fs::read_to_string(root.join(STAMP)).is_ok_and(|stamp| stamp.lines().next() == Some(packages))
}

/// The Debian archive as apt reaches it.
struct Archive {
    is_updated: bool,
}

impl Archive {
    fn new() -> Self {
        Self { is_updated: false }
    }

    /// Downloads and unpacks one peer; returns how many packages it took.
    fn provide(&mut self, root: &Path, packages: &str) -> anyhow::Result<usize> {
        let debs = root.with_extension("debs");
        let partial = root.with_extension("partial");
        for directory in [&debs, &partial] {
            remove(directory)?;
        }
        fs::create_dir_all(debs.join("partial"))?;
        self.download(&debs, packages)?;
        let files = unpack(&debs, &partial)?;
        fs::write(partial.join(STAMP), format!("{packages}\n{}\n", files.join("\n")))?;
        remove(root)?;
        fs::rename(&partial, root)?;
        remove(&debs)?;
        Ok(files.len())
    }

    /// Downloads the packages and what they need that the machine lacks; refreshes apt's lists once if that fails.
    fn download(&mut self, debs: &Path, packages: &str) -> anyhow::Result<()> {
        let Err(first) = download(debs, packages) else { return Ok(()) };
        if self.is_updated {
            return Err(first);
        }
        self.is_updated = true;
        say("apt's package lists are missing or old: running apt-get update")?;
        run(Command::new("apt-get").arg("update"))?;
        download(debs, packages)
    }
}

fn download(debs: &Path, packages: &str) -> anyhow::Result<()> {
    // A package that is installed already must be fetched all the same: hence --reinstall.
    // Nothing is changed on the machine, so dpkg's lock is not needed.
    run(Command::new("apt-get")
        .args(["install", "--reinstall", "--download-only", "--no-install-recommends", "--yes"])
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", debs.display()))
        .args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"])
        .args(packages.split_whitespace()))
}

/// Unpacks every package below `root`; returns the packages' file names.
fn unpack(debs: &Path, root: &Path) -> anyhow::Result<Vec<String>> {
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    for name in ["etc", "var"] {
        fs::create_dir_all(root.join(name))?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(debs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack_one(&path, root).with_context(|| format!("cannot unpack {}", path.display()))?;
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    ensure!(!names.is_empty(), "apt-get fetched nothing");
    names.sort();
    Ok(names)
}

/// Like `dpkg --extract`, but keeps the links of the merged `/usr`, which that would replace by directories.
fn unpack_one(deb: &Path, root: &Path) -> anyhow::Result<()> {
    let mut dpkg = Command::new("dpkg").arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn()?;
    let files = dpkg.stdout.take().context("dpkg has no output")?;
    let tar = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--keep-directory-symlink", "--directory"])
        .arg(root)
        .stdin(files)
        .status();
    let dpkg = dpkg.wait()?;
    ensure!(tar?.success() && dpkg.success(), "dpkg or tar failed");
    Ok(())
}

/// Runs a command; the error carries the end of what it printed.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("E:")).collect();
    bail!("{}: {} {}", command.get_program().display(), output.status, lines.join(" "));
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    if directory.symlink_metadata().is_ok() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
