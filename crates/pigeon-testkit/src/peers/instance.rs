//! One running peer: its directory, its files, its process in a mount namespace of its own.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, anyhow, ensure};
use tempfile::TempDir;

use super::client::MailClient;
use super::watch::Watched;
use super::{PATIENCE, PeerFault, Transport, text_of, usable_root, wait_until};

/// What goes in place of `@KEY@` in a template.
pub(crate) type Values<'a> = [(&'a str, &'a str)];

/// A peer's private directory and, once started, its process. Dropping it ends the process, then removes the files.
#[derive(Debug)]
pub(crate) struct Instance {
    name: &'static str,
    root: PathBuf,
    // Before the directory: fields are dropped in this order, and the peer still writes there.
    process: Option<Watched>,
    directory: TempDir,
}

impl Instance {
    /// Makes the directory, or says why the peer cannot be used.
    pub(crate) fn prepare(name: &'static str) -> Result<Self, PeerFault> {
        let root = usable_root(name)?;
        // Not below $TMPDIR: the namespace covers /var, /usr and /etc.
        let directory = tempfile::Builder::new().prefix(&format!("pigeon-{name}-")).tempdir_in("/tmp")?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        Ok(Self { name, root, process: None, directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file into the directory; `@DIR@` in the template is the directory itself.
    pub(crate) fn render(&self, file: &str, template: &str, values: &Values<'_>) -> anyhow::Result<()> {
        let directory = self.path().to_string_lossy();
        let mut text = template.replace("@DIR@", &directory);
        for (key, value) in values {
            text = text.replace(&format!("@{key}@"), value);
        }
        fs::write(self.path().join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// Starts the command in a namespace of its own; its output goes to `output.log`.
    pub(crate) fn start(&mut self, command: &[&str]) -> anyhow::Result<()> {
        let log = File::create(self.path().join("output.log"))?;
        let watched = Watched::spawn(
            Command::new("unshare")
                .args(["--mount", "--propagation", "private"])
                .args(["sh", "-c", include_str!("../../peers/enter.sh"), "enter.sh"])
                .arg(&self.root)
                .arg(self.directory.path())
                .args(command)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("LC_ALL", "C")
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
            self.directory.path(),
        )?;
        self.process = Some(watched);
        Ok(())
    }

    /// Waits until a connection gets the peer's greeting: an open port alone says nothing yet.
    pub(crate) fn wait_for_greeting<T>(
        &mut self,
        mut greet: impl FnMut() -> anyhow::Result<T>,
    ) -> Result<T, PeerFault> {
        let mut last = None;
        let greeted = wait_until(PATIENCE, || match greet() {
            Ok(greeted) => Some(Ok(greeted)),
            Err(error) => {
                last = Some(error);
                let status = self.process.as_mut().and_then(Watched::ended)?;
                Some(Err(status))
            }
        });
        let (name, output) = (self.name, self.output());
        match greeted {
            Some(Ok(greeted)) => Ok(greeted),
            Some(Err(_)) if !self.path().join("entered").exists() => {
                let reason = format!("{name}: no private mount namespace to be had here: {}", output.trim());
                Err(PeerFault::Unavailable(reason))
            }
            Some(Err(status)) => Err(anyhow!("{name} ended with {status}:\n{output}").into()),
            None => Err(anyhow!("{name} does not answer ({last:?}):\n{output}").into()),
        }
    }

    /// Waits for the SMTP greeting on a port.
    pub(crate) fn wait_for_smtp(&mut self, port: u16) -> Result<(), PeerFault> {
        self.wait_for_greeting(|| {
            let client = MailClient::smtp(port)?;
            ensure!(client.greeting().code == 220, "{:?}", client.greeting());
            client.quit().map(drop)
        })
    }

    /// The process id, for `nsenter`.
    pub(crate) fn process_id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().map(Watched::id).context("the peer is not started")
    }

    /// Runs a command in the peer's namespace.
    pub(crate) fn run_inside(&self, command: &[&str]) -> anyhow::Result<Output> {
        let process = self.process_id()?.to_string();
        Command::new("nsenter")
            .args(["--target", &process, "--mount"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {command:?}"))
    }

    /// Makes a script that runs a program of the namespace from outside, with the arguments it is given.
    pub(crate) fn command_from_outside(&self, file: &str, program: &str) -> anyhow::Result<PathBuf> {
        let process = self.process_id()?;
        let path = self.path().join(file);
        fs::write(&path, format!("#!/bin/sh\nexec nsenter --target {process} --mount {program} \"$@\"\n"))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// What the peer printed.
    pub(crate) fn output(&self) -> String {
        text_of(&self.path().join("output.log"))
    }

    /// The fault for a transport that this mail server does not have.
    pub(crate) fn unsupported(&self, transport: &Transport) -> anyhow::Error {
        anyhow!("{} has no transport {transport:?}", self.name)
    }
}
