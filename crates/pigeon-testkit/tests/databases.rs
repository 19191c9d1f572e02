//! The real database servers start, answer, follow each other, crash and come back: what the backends' tests stand on.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[path = "databases/link.rs"]
mod link;
#[path = "databases/mariadb.rs"]
mod mariadb;
#[path = "databases/namespaces.rs"]
mod namespaces;
#[path = "databases/postgres.rs"]
mod postgres;
#[path = "databases/slapd.rs"]
mod slapd;

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a new connection to this port gets a byte of an answer to `question` within the time.
fn answers(port: u16, question: &[u8], patience: Duration) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(question)?;
    Ok(matches!(stream.read(&mut [0; 1]), Ok(1)))
}

/// Whether anybody takes connections on this port.
fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The directory of a server goes with it.
fn assert_gone(directory: &Path) {
    assert!(!directory.exists(), "{} is left behind", directory.display());
}

/// What a client program printed, or its complaint.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
