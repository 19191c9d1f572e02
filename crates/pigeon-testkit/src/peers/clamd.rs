//! `ClamAV`'s clamd with a database of a few signatures of its own: it starts at once, and needs no download.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::port::Port;
use super::server::Server;
use super::{PATIENCE, PeerFault, text_of, wait_until};

const SERVER: &str = "/usr/sbin/clamd";

/// The EICAR test string, which every virus scanner takes for a virus (www.eicar.org): in two parts, so that this very
/// file is taken for none.
#[must_use]
pub fn eicar() -> String {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

/// How a clamd is set up.
#[derive(Debug, Clone)]
pub struct ClamdOptions {
    /// Names of viruses (without a colon), each with the text that gives it away. clamd puts `.UNOFFICIAL` behind the
    /// names.
    pub signatures: Vec<(String, String)>,
    /// `StreamMaxLength`: what is larger is not scanned.
    pub stream_max_length: String,
    /// Further lines of clamd.conf.
    pub settings: Vec<String>,
}

impl Default for ClamdOptions {
    /// One signature, `Eicar-Test`, and streams of 50 MiB.
    fn default() -> Self {
        Self {
            signatures: vec![("Eicar-Test".to_owned(), eicar())],
            stream_max_length: "50M".to_owned(),
            settings: Vec::new(),
        }
    }
}

/// A running clamd, on a Unix socket and on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Clamd {
    server: Server,
    port: Port,
}

impl Clamd {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &ClamdOptions) -> Result<Self, PeerFault> {
        let server = Server::prepare("clamd", SERVER)?;
        let port = Port::free()?;
        for directory in ["db", "tmp", "socket"] {
            server.make_directory(directory, 0o755)?;
        }
        // Name, any kind of file, any place in it, the bytes.
        let line = |(name, text): &(String, String)| {
            let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("{name}:0:*:{bytes}\n")
        };
        server.write("db/test.ndb", &options.signatures.iter().map(line).collect::<String>())?;
        let settings = include_str!("../../peers/clamd/clamd.conf")
            .replace("@PORT@", &port.number().to_string())
            .replace("@STREAM_MAX_LENGTH@", &options.stream_max_length)
            .replace("@SETTINGS@", &options.settings.join("\n"));
        server.write("clamd.conf", &settings)?;
        let clamd = Self { server, port };
        clamd.launch()?;
        Ok(clamd)
    }

    fn launch(&self) -> Result<(), PeerFault> {
        self.server.start(&[SERVER, "-c", &self.server.file("clamd.conf")])?;
        self.server.wait_until_ready(|| self.answer(b"zPING\0").is_ok_and(|answer| answer == "PONG"))
    }

    /// What it answers to a command over its Unix socket, up to the zero byte.
    ///
    /// # Errors
    ///
    /// Fails if it does not answer.
    pub fn answer(&self, command: &[u8]) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(command)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned())
    }

    /// Its Unix socket, which everybody may use.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.path().join("socket/clamd.ctl")
    }

    /// Its port of 127.0.0.1; the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its private directory: clamd.conf, the database, `clamd.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.path()
    }

    /// Its log so far: a line for each scan.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.server.path().join("clamd.log"))
    }

    /// How many streams it has scanned so far. It logs each after it has answered: so many are waited for.
    #[must_use]
    pub fn scans(&self, expected: usize) -> usize {
        let is_scan = |line: &&str| line.ends_with(" OK") || line.ends_with(" FOUND");
        let count = || self.log().lines().filter(is_scan).count();
        wait_until(PATIENCE, || Some(count()).filter(|count| *count >= expected)).unwrap_or_else(count)
    }

    /// The process id of the running server.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn process_id(&self) -> anyhow::Result<u32> {
        Ok(self.server.process_id()?.as_raw_nonzero().get().unsigned_abs())
    }

    /// Ends it in order.
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// Stops it where it stands: connections stay open or are taken, and nothing answers.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.server.pause()
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.resume()
    }

    /// Starts it again on the same socket and port, after ending it if it runs.
    ///
    /// # Errors
    ///
    /// Fails if it does not end or does not start.
    pub fn restart(&self) -> Result<(), PeerFault> {
        if self.server.is_running() {
            self.stop()?;
        }
        self.launch()
    }
}
