//! NSD, a name server that answers for all names there are from records of the test's own.

use std::net::UdpSocket;
use std::time::Duration;

use rustix::process::Signal;

use super::PeerFault;
use super::port::Port;
use super::server::Server;

const SERVER: &str = "/usr/sbin/nsd";
/// A query for the start of authority of the root (RFC 1035 §4.1): id 1, one question.
const QUERY: [u8; 17] = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
/// The longest text in one string of a TXT record (RFC 1035 §3.3).
const MAX_STRING_OCTETS: usize = 255;

/// A running name server on a port of 127.0.0.1, over UDP and TCP.
#[derive(Debug)]
pub struct Nsd {
    server: Server,
    port: Port,
}

impl Nsd {
    /// Starts it with these records, lines of a zone file (RFC 1035 §5) with full names: `example.org. A 192.0.2.1`.
    /// What they do not name does not exist.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(records: &[String]) -> Result<Self, PeerFault> {
        let server = Server::prepare("nsd", SERVER)?;
        let port = Port::free()?;
        let zone = format!(
            "$TTL 60\n. SOA ns.example. admin.example. 1 60 60 60 60\n. NS ns.example.\nns.example. A 127.0.0.1\n{}\n",
            records.join("\n")
        );
        server.write("root.zone", &zone)?;
        let settings = include_str!("../../peers/nsd/nsd.conf").replace("@PORT@", &port.number().to_string());
        server.write("nsd.conf", &settings)?;
        let nsd = Self { server, port };
        nsd.server.start(&[SERVER, "-d", "-c", &nsd.server.file("nsd.conf")])?;
        nsd.server.wait_until_ready(|| nsd.is_answering())?;
        Ok(nsd)
    }

    /// Its port of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Whether it answers a query.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        let ask = || {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            socket.send_to(&QUERY, ("127.0.0.1", self.port()))?;
            let mut answer = [0; 512];
            // Its code in the low bits of the fourth octet: 0 is no error.
            socket.recv(&mut answer).map(|length| length > 12 && answer[3] & 15 == 0)
        };
        ask().unwrap_or_default()
    }

    /// Stops it where it stands: queries arrive, and nothing answers.
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

    /// Ends it: its port is closed.
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }
}

/// The line of a TXT record, its text cut into strings as long as one may be.
#[must_use]
pub fn txt_record(name: &str, text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let strings: Vec<String> = letters
        .chunks(MAX_STRING_OCTETS)
        .map(|piece| format!("\"{}\"", piece.iter().collect::<String>().replace('"', "\\\"")))
        .collect();
    format!("{name} TXT {}", strings.join(" "))
}
