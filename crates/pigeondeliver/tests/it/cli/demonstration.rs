//! `pigeon try` with the directory on servers that it starts by itself.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pigeon_testkit::peers::{PeerFault, or_skip, tools};
use tempfile::TempDir;

use super::PIGEON;

/// A server: what the option calls it, what people do, the unpacked peer, and where the machine has its own.
type Known = (&'static str, &'static str, &'static str, &'static str);

const POSTGRES: Known = ("postgres", "PostgreSQL", "postgresql", "/usr/lib/postgresql");
const MARIADB: Known = ("mariadb", "MariaDB", "mariadb", "/usr/sbin/mariadbd");
const LDAP: Known = ("ldap", "OpenLDAP", "slapd", "/usr/sbin/slapd");

/// A directory for everything temporary, open for whoever the server runs as.
fn room() -> TempDir {
    let room = tempfile::tempdir().unwrap();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
    room
}

/// `pigeon try` on a machine that has the server; none, loudly, where it is to be had in no way.
fn on_server((option, _, peer, installed): Known, room: &TempDir, layers: &TempDir) -> Option<Command> {
    let mut command = if Path::new(installed).exists() {
        Command::new(PIGEON)
    } else {
        let mut command = or_skip(tools::installed(peer, layers.path()))?;
        command.arg(PIGEON);
        command
    };
    command.args(["try", "--directory", option]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", room.path());
    Some(command)
}

/// Whether the command found the packages at their places; where the machine does not allow that, it is told.
fn has_entered(known: Known, layers: &TempDir) -> bool {
    let is_in_place = Path::new(known.3).exists() || layers.path().join("entered").exists();
    let fault = || PeerFault::Unavailable(format!("{}: no private mount namespace to be had here", known.2));
    or_skip(if is_in_place { Ok(()) } else { Err(fault()) }).is_some()
}

fn demonstrates(known: Known) {
    let (room, layers) = (room(), tempfile::tempdir().unwrap());
    let Some(mut command) = on_server(known, &room, &layers) else { return };
    let output = command.output().unwrap();
    if !has_entered(known, &layers) {
        return;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let name = known.1;
    for expect in [
        &format!("Starting {name}"),
        "runs at 127.0.0.1:",
        "552 5.2.2",
        &format!("{name} is stopped"),
        "Every outcome was the expected one.",
    ] {
        assert!(said.contains(expect), "{expect} is missing: {said}");
    }
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0, "something is left behind");
}

#[test]
fn it_runs_on_postgresql() {
    demonstrates(POSTGRES);
}

#[test]
fn it_runs_on_mariadb() {
    demonstrates(MARIADB);
}

#[test]
fn it_runs_on_openldap() {
    demonstrates(LDAP);
}

#[test]
fn whoever_interrupts_it_leaves_nothing_running() {
    let (room, layers) = (room(), tempfile::tempdir().unwrap());
    let Some(mut command) = on_server(POSTGRES, &room, &layers) else { return };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| line.ok().filter(|line| line.contains(" runs at ")));
    if !has_entered(POSTGRES, &layers) {
        child.wait().unwrap();
        return;
    }
    let said = said.expect("it says where the server is");
    let port: u16 = said.rsplit(':').next().unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    // What is still written must find a reader.
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "the server still runs");
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0, "something is left behind");
}

#[test]
fn what_is_missing_or_cannot_be_is_said() {
    let room = room();
    let check = |arguments: &[&str], expect: &str| {
        let mut command = Command::new(PIGEON);
        let command = command.arg("try").args(arguments).env_clear().env("TMPDIR", room.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expect), "{said}");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0, "{arguments:?} left something behind");
    };
    let kept = room.path().join("kept").display().to_string();
    check(&["--directory", "postgres", "--keep", &kept], "a demonstration on PostgreSQL cannot be kept");
    for (option, package, (.., installed)) in
        [("mariadb", "apt-get install mariadb-server", MARIADB), ("ldap", "apt-get install slapd", LDAP)]
    {
        if !Path::new(installed).exists() {
            check(&["--directory", option], package);
        }
    }
}
