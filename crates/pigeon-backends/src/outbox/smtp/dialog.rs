//! Commands and replies on a connection.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Refusal;

/// Longest reply line that is read; RFC 5321 §4.5.3.1.5 allows 512 octets.
const MAX_LINE_OCTETS: u64 = 4096;
/// Most lines of a reply.
const MAX_LINES: usize = 100;

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// Three digits.
    pub(super) code: u16,
    /// The lines without their codes.
    pub(super) lines: Vec<String>,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Code and text in one line.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// The refusal in this reply.
    pub(super) fn refusal(&self) -> Refusal {
        if !(500..600).contains(&self.code) {
            return Refusal::Temporary(self.text());
        }
        // RFC 2034 §4: the enhanced code stands first in the text.
        let first = self.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        let is_status = first.starts_with("5.")
            && first.split('.').count() == 3
            && first.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
        let status = if is_status { first } else { "5.0.0" };
        Refusal::Permanent { status: status.to_owned(), text: self.text() }
    }

    pub(super) fn unless_success(&self) -> Result<(), Refusal> {
        if self.is_success() { Ok(()) } else { Err(self.refusal()) }
    }

    /// For the greeting: a refusal there says nothing about the mail, so it is tried again.
    pub(super) fn unless_ready(&self) -> Result<(), Refusal> {
        if self.is_success() { Ok(()) } else { Err(Refusal::Temporary(self.text())) }
    }
}

/// What the server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// Largest message in octets, zero for no limit (RFC 1870 §4).
    pub(super) size: Option<u64>,
    pub(super) has_8bitmime: bool,
    pub(super) has_smtputf8: bool,
    pub(super) has_pipelining: bool,
}

impl Extensions {
    /// From the reply to EHLO (RFC 5321 §4.1.1.1); its first line is a greeting.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "SIZE" => offers.size = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
                "8BITMIME" => offers.has_8bitmime = true,
                "SMTPUTF8" => offers.has_smtputf8 = true,
                "PIPELINING" => offers.has_pipelining = true,
                _ => {}
            }
        }
        offers
    }
}

/// A connection.
pub(super) struct Dialog {
    stream: BufReader<TcpStream>,
}

impl Dialog {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a command and reads its reply.
    pub(super) async fn ask(&mut self, command: &str, patience: Duration) -> Result<Reply, Refusal> {
        self.send(format!("{command}\r\n").as_bytes(), patience).await?;
        self.reply(patience).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8], patience: Duration) -> Result<(), Refusal> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        in_time(patience, sent).await
    }

    /// Reads a reply (RFC 5321 §4.2).
    pub(super) async fn reply(&mut self, patience: Duration) -> Result<Reply, Refusal> {
        let mut lines = Vec::new();
        loop {
            let line = in_time(patience, self.line()).await?;
            let (code, rest) = line.split_at_checked(3).unwrap_or_default();
            let (Ok(code), true) = (code.parse::<u16>(), lines.len() < MAX_LINES) else {
                return Err(Refusal::Temporary(format!("the server said {line:?}")));
            };
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(MAX_LINE_OCTETS).read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

async fn in_time<T>(
    patience: Duration,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Refusal> {
    match timeout(patience, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Refusal::Temporary(format!("the connection broke: {error}"))),
        Err(_) => Err(Refusal::Temporary(format!("no answer for {} s", patience.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_temporary_or_permanent() {
        let check = |code: u16, line: &str, expect: &str| {
            let refusal = Reply { code, lines: vec![line.to_owned()] }.refusal();
            let got = match &refusal {
                Refusal::Temporary(_) => "temporary",
                Refusal::Permanent { status, .. } => status,
            };
            assert_eq!(got, expect, "{code} {line}");
        };
        check(450, "4.2.0 later", "temporary");
        check(421, "bye", "temporary");
        check(334, "what", "temporary");
        check(550, "5.1.1 no such user", "5.1.1");
        check(550, "no such user", "5.0.0");
        check(552, "5.x too big", "5.0.0");
    }
}
