//! spamd of `SpamAssassin`: scores mail, and learns in files of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use super::PeerFault;
use super::port::Port;
use super::server::Server;

/// A running spamd with a handful of rules, without network.
///
/// `TEST-SPAM` in the subject and `TEST-SPAM-AT-THE-END` anywhere are worth 8 points each, GTUBE 1000; what was learned is worth 9 points or takes 3 away, from
/// the third message of each kind on.
#[derive(Debug)]
pub struct Spamd {
    server: Server,
    port: Port,
}

impl Spamd {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start() -> Result<Self, PeerFault> {
        let server = Server::prepare("spamassassin", "/usr/sbin/spamd")?;
        let port = Port::free()?;
        for directory in ["site", "rules", "bayes"] {
            server.make_directory(directory, 0o755)?;
        }
        server.write("site/init.pre", include_str!("../../peers/spamassassin/init.pre"))?;
        server.write("rules/rules.cf", include_str!("../../peers/spamassassin/rules.cf"))?;
        let spamd = Self { server, port };
        spamd.launch()?;
        Ok(spamd)
    }

    fn launch(&self) -> Result<(), PeerFault> {
        let (port, number) = (self.port.number(), self.port.number().to_string());
        let file = |name: &str| self.server.file(name);
        let site = format!("--siteconfigpath={}", file("site"));
        let socket = format!("--socketpath={}", file("spamd.sock"));
        let (rules, pid) = (file("rules"), file("spamd.pid"));
        let limits = ["-L", "-x", "-m", "2", "--min-children=1", "--allow-tell", "-s", "stderr"];
        let places =
            ["-C", &rules, "-r", &pid, "-i", "127.0.0.1", "-p", &number, &site, &socket, "--socketmode=0666"];
        let command: Vec<&str> = ["/usr/sbin/spamd"].into_iter().chain(limits).chain(places).collect();
        self.server.start(&command)?;
        self.server.wait_until_ready(|| is_answering(port))
    }

    /// The port of 127.0.0.1 on which it scans and learns.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The Unix socket on which it does the same.
    #[must_use]
    pub fn socket(&self) -> String {
        self.server.file("spamd.sock")
    }

    /// How many messages it has judged, by its log.
    #[must_use]
    pub fn scans(&self) -> usize {
        super::text_of(&self.server.path().join("output.log")).matches("spamd: result:").count()
    }

    /// Ends it in order.
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
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
        stream.write_all(b"PING SPAMC/1.5\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.contains("PONG"))
}
