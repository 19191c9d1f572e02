//! rspamd: scores mail, and learns in files of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use super::PeerFault;
use super::port::Port;
use super::server::Server;

/// What its controller asks for.
const PASSWORD: &str = "teacher-of-the-scanner";

/// How often it is started until its processes have not stood in each other's way.
const LAUNCHES: u32 = 8;

/// A running rspamd with a handful of rules, without network.
///
/// `TEST-SPAM` in the subject is worth 8 points, `TEST-FORCED` is refused without a score, GTUBE is worth 15; what was
/// learned is worth 9 points or takes 3 away, from the third message of each kind on. It asks for `X-Rspamd-Test` to be
/// set and `X-Old` to be taken out.
#[derive(Debug)]
pub struct Rspamd {
    server: Server,
    scanner: Port,
    controller: Port,
}

impl Rspamd {
    /// Starts it and waits until it answers; everybody learns together.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start() -> Result<Self, PeerFault> {
        Self::start_with(false)
    }

    /// The same where everybody learns alone.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start_per_user() -> Result<Self, PeerFault> {
        Self::start_with(true)
    }

    fn start_with(is_per_user: bool) -> Result<Self, PeerFault> {
        let server = Server::prepare("rspamd", "/usr/bin/rspamd")?;
        let (scanner, controller) = (Port::free()?, Port::free()?);
        let text = include_str!("../../peers/rspamd/rspamd.conf")
            .replace("@PORT@", &scanner.number().to_string())
            .replace("@CONTROLLER_PORT@", &controller.number().to_string())
            .replace("@PASSWORD@", PASSWORD)
            .replace("@PER_USER@", if is_per_user { "true" } else { "false" });
        server.write("rspamd.conf", &text)?;
        server.write("rules.lua", include_str!("../../peers/rspamd/rules.lua"))?;
        server.write("setup.sh", include_str!("../../peers/rspamd/setup.sh"))?;
        server.write("tld.dat", "com\nnet\norg\n")?;
        let rspamd = Self { server, scanner, controller };
        rspamd.launch()?;
        Ok(rspamd)
    }

    fn launch(&self) -> Result<(), PeerFault> {
        for _ in 0..LAUNCHES {
            let before = self.log().len();
            // Insecure: it stays the user that it is started as.
            self.server.start(&["/usr/bin/rspamd", "-f", "-i", "-c", &self.server.file("rspamd.conf")])?;
            self.server.wait_until_ready(|| {
                [&self.scanner, &self.controller].into_iter().all(|port| is_answering(port.number()))
            })?;
            // Its processes make the same database; the one that comes second does without, and learns nothing.
            if !self.log().get(before..).unwrap_or_default().contains("database is locked") {
                return Ok(());
            }
            self.stop()?;
        }
        Err(anyhow::anyhow!("rspamd cannot make its database:\n{}", self.log()).into())
    }

    fn log(&self) -> String {
        super::text_of(&self.server.path().join("output.log"))
    }

    /// The port of 127.0.0.1 on which it scans.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.scanner.number()
    }

    /// The Unix socket on which it scans.
    #[must_use]
    pub fn socket(&self) -> String {
        self.server.file("normal.sock")
    }

    /// The port of 127.0.0.1 on which it learns.
    #[must_use]
    pub fn controller_port(&self) -> u16 {
        self.controller.number()
    }

    /// What it asks for before it learns.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// How many messages it has judged, by its log.
    #[must_use]
    pub fn scans(&self) -> usize {
        self.log().matches("rspamd_task_write_log").count()
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

    /// Starts it again on the same ports and data, after [`Self::stop`].
    ///
    /// # Errors
    ///
    /// Fails if it does not start.
    pub fn restart(&self) -> Result<(), PeerFault> {
        self.launch()
    }
}

fn is_answering(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.") && answer.contains("pong"))
}
