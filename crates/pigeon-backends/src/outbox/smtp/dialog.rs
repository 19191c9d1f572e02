//! Commands and replies on a connection.

use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::time::timeout;

use crate::outbox::Refusal;

/// Longest reply line that is read; RFC 5321 §4.5.3.1.5 allows 512 octets.
const MAX_LINE_OCTETS: u64 = 4096;
/// Most lines of a reply.
const MAX_LINES: usize = 100;

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Three digits.
    pub(crate) code: u16,
    /// The lines without their codes.
    pub(crate) lines: Vec<String>,
}

impl Reply {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Code and text in one line.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// The refusal in this reply.
    pub(crate) fn refusal(&self) -> Refusal {
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

    pub(crate) fn unless_success(&self) -> Result<(), Refusal> {
        if self.is_success() { Ok(()) } else { Err(self.refusal()) }
    }

    /// For the greeting: a refusal there says nothing about the mail, so it is tried again.
    pub(crate) fn unless_ready(&self) -> Result<(), Refusal> {
        if self.is_success() { Ok(()) } else { Err(Refusal::Temporary(self.text())) }
    }
}

/// What the server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// Largest message in octets, zero for no limit (RFC 1870 §4).
    pub(crate) size: Option<u64>,
    pub(crate) has_8bitmime: bool,
    pub(crate) has_smtputf8: bool,
    pub(crate) has_pipelining: bool,
    /// The attributes that may be passed on about the client (Postfix's `XFORWARD_README`), in upper case.
    pub(crate) xforward: Vec<String>,
}

impl Extensions {
    /// From the reply to EHLO (RFC 5321 §4.1.1.1); its first line is a greeting.
    pub(crate) fn of(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "SIZE" => offers.size = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
                "8BITMIME" => offers.has_8bitmime = true,
                "SMTPUTF8" => offers.has_smtputf8 = true,
                "PIPELINING" => offers.has_pipelining = true,
                "XFORWARD" => offers.xforward = words.map(str::to_ascii_uppercase).collect(),
                _ => {}
            }
        }
        offers
    }
}

/// Octets both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection.
pub(crate) struct Dialog {
    stream: BufReader<Box<dyn Stream>>,
}

impl Dialog {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends a command and reads its reply.
    pub(crate) async fn ask(&mut self, command: &str, patience: Duration) -> Result<Reply, Refusal> {
        self.send(format!("{command}\r\n").as_bytes(), patience).await?;
        self.reply(patience).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8], patience: Duration) -> Result<(), Refusal> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        in_time(patience, sent).await
    }

    /// Reads a reply (RFC 5321 §4.2).
    pub(crate) async fn reply(&mut self, patience: Duration) -> Result<Reply, Refusal> {
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
