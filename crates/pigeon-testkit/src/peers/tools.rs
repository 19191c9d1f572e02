//! Programs that make mail traffic, taken from the unpacked packages.

use std::path::Path;
use std::process::Command;

use super::{PeerFault, Peers, usable_root};

/// `smtp-source` of Postfix: many messages over many sessions; `-L` speaks LMTP, to `unix:PATH` too.
///
/// # Errors
///
/// [`PeerFault::Unavailable`] if Postfix is not unpacked.
pub fn smtp_source() -> Result<Command, PeerFault> {
    usable_root("postfix").map(|root| smtp_source_in(&root))
}

pub(crate) fn smtp_source_in(root: &Path) -> Command {
    let mut command = Command::new(root.join("usr/sbin/smtp-source"));
    let libraries = ["usr/lib/postfix", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    let path: Vec<String> = libraries.iter().map(|name| root.join(name).display().to_string()).collect();
    command.env("LD_LIBRARY_PATH", path.join(":"));
    command
}

/// The beginning of a command that finds the packages of a peer at their installed places.
///
/// The program and its arguments follow. It runs as root, in a mount namespace of its own. `directory` belongs to it
/// alone: the file `entered` in it says afterwards that the machine allowed this.
///
/// # Errors
///
/// [`PeerFault::Unavailable`] if it is not unpacked, or this is not root.
pub fn installed(name: &str, directory: &Path) -> Result<Command, PeerFault> {
    let root = usable_root(name)?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", include_str!("../../peers/enter.sh"), "enter.sh"])
        .arg(root)
        .arg(directory);
    Ok(command)
}

/// `swaks`, which speaks SMTP and LMTP step by step; its exit status names the step that failed.
///
/// # Errors
///
/// [`PeerFault::Unavailable`] if it is not unpacked or perl cannot run it.
pub fn swaks() -> Result<Command, PeerFault> {
    let unavailable = |reason: &str| PeerFault::Unavailable(format!("swaks: {reason}"));
    let root = Peers::locate().and_then(|peers| peers.root("swaks"));
    let root = root.ok_or_else(|| unavailable("not unpacked; `cargo xtask peers` fetches it"))?;
    let swaks = || {
        let mut command = Command::new("perl");
        command.env("PERL5LIB", perl_libraries(&root)).arg(root.join("usr/bin/swaks"));
        command
    };
    match swaks().arg("--version").output() {
        Ok(output) if output.status.success() => Ok(swaks()),
        Ok(output) => Err(unavailable(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(unavailable(&format!("perl: {error}"))),
    }
}

/// `sieve-connect`, which speaks ManageSieve over STARTTLS.
///
/// # Errors
///
/// [`PeerFault::Unavailable`] if it is not unpacked or perl cannot run it.
pub fn sieve_connect() -> Result<Command, PeerFault> {
    let unavailable = |reason: &str| PeerFault::Unavailable(format!("sieve-connect: {reason}"));
    let root = Peers::locate().and_then(|peers| peers.root("sieve-connect"));
    let root = root.ok_or_else(|| unavailable("not unpacked; `cargo xtask peers` fetches it"))?;
    let client = || {
        let mut command = Command::new("perl");
        command.env("PERL5LIB", perl_libraries(&root)).arg(root.join("usr/bin/sieve-connect"));
        command
    };
    match client().arg("--version").output() {
        Ok(output) if output.status.success() => Ok(client()),
        Ok(output) => Err(unavailable(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(unavailable(&format!("perl: {error}"))),
    }
}

/// `gsasl` of GNU SASL: the client's side of mechanisms, in base64 on its standard input and output.
///
/// # Errors
///
/// [`PeerFault::Unavailable`] if it is not unpacked or cannot be run.
pub fn gsasl() -> Result<Command, PeerFault> {
    let unavailable = |reason: &str| PeerFault::Unavailable(format!("gsasl: {reason}"));
    let root = Peers::locate().and_then(|peers| peers.root("gsasl"));
    let root = root.ok_or_else(|| unavailable("not unpacked; `cargo xtask peers` fetches it"))?;
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    let path: Vec<String> = libraries.iter().map(|name| root.join(name).display().to_string()).collect();
    let client = || {
        let mut command = Command::new(root.join("usr/bin/gsasl"));
        command.env("LD_LIBRARY_PATH", path.join(":"));
        command
    };
    match client().arg("--version").output() {
        Ok(output) if output.status.success() => Ok(client()),
        Ok(output) => Err(unavailable(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(unavailable(&error.to_string())),
    }
}

/// The module directories of the unpacked packages: a machine may have no more than perl's base package.
fn perl_libraries(root: &Path) -> String {
    let names = [
        "share/perl5",
        "share/perl/5.36",
        "lib/x86_64-linux-gnu/perl5/5.36",
        "lib/aarch64-linux-gnu/perl5/5.36",
        "lib/x86_64-linux-gnu/perl/5.36",
        "lib/aarch64-linux-gnu/perl/5.36",
    ];
    names.map(|name| root.join("usr").join(name).display().to_string()).join(":")
}
