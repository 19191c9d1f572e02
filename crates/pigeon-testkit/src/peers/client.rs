//! A small blocking SMTP and LMTP client that shows every reply.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::PATIENCE;
use super::stream::Stream;

/// One reply of a mail server (RFC 5321 §4.2), all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line, without the digits.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx: try again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: never.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The lines, joined by newlines.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text())
    }
}

/// Every reply to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// To MAIL FROM.
    pub sender: Reply,
    /// To each RCPT TO, in order; empty if the sender was refused.
    pub recipients: Vec<Reply>,
    /// To DATA; none if no recipient was accepted.
    pub data: Option<Reply>,
    /// After the final dot: one over SMTP; over LMTP one for each accepted recipient, in order (RFC 2033 §4.2).
    pub outcomes: Vec<Reply>,
}

impl Submission {
    /// Whether every recipient was accepted and every final reply is positive.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.recipients.iter().all(Reply::is_positive)
            && !self.outcomes.is_empty()
            && self.outcomes.iter().all(Reply::is_positive)
    }
}

/// A connection to an SMTP or LMTP server.
pub struct MailClient {
    reader: Box<dyn BufRead + Send>,
    writer: Box<dyn Write + Send>,
    is_lmtp: bool,
    is_introduced: bool,
    greeting: Reply,
}

impl fmt::Debug for MailClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MailClient").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}

impl MailClient {
    /// Connects to an SMTP server on this port of 127.0.0.1 and reads its greeting.
    ///
    /// # Errors
    ///
    /// Fails if nothing listens or no greeting comes.
    pub fn smtp(port: u16) -> anyhow::Result<Self> {
        Self::connected(Stream::Tcp(TcpStream::connect(("127.0.0.1", port))?), false)
    }

    /// Connects to an LMTP server on this port of 127.0.0.1 and reads its greeting.
    ///
    /// # Errors
    ///
    /// Fails if nothing listens or no greeting comes.
    pub fn lmtp_tcp(port: u16) -> anyhow::Result<Self> {
        Self::connected(Stream::Tcp(TcpStream::connect(("127.0.0.1", port))?), true)
    }

    /// Connects to an LMTP server on a Unix socket and reads its greeting.
    ///
    /// # Errors
    ///
    /// Fails if nothing listens or no greeting comes.
    pub fn lmtp_unix(path: &Path) -> anyhow::Result<Self> {
        Self::connected(Stream::Unix(UnixStream::connect(path)?), true)
    }

    /// Speaks LMTP over two pipes, such as a child's standard output and input, and reads the greeting.
    ///
    /// # Errors
    ///
    /// Fails if no greeting comes.
    pub fn lmtp_over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> anyhow::Result<Self> {
        Self::open(Box::new(reader), Box::new(writer), true)
    }

    fn connected(stream: Stream, is_lmtp: bool) -> anyhow::Result<Self> {
        stream.limit_reads(PATIENCE)?;
        let writer = stream.try_clone()?;
        Self::open(Box::new(stream), Box::new(writer), is_lmtp)
    }

    fn open(
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
        is_lmtp: bool,
    ) -> anyhow::Result<Self> {
        let reader = Box::new(BufReader::new(reader));
        let greeting = Reply { code: 0, lines: Vec::new() };
        let mut client = Self { reader, writer, is_lmtp, is_introduced: false, greeting };
        client.greeting = client.reply()?;
        Ok(client)
    }

    /// The server's first reply.
    #[must_use]
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// Says EHLO or LHLO; the reply's lines name the extensions.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks.
    pub fn hello(&mut self) -> anyhow::Result<Reply> {
        self.is_introduced = true;
        self.command(if self.is_lmtp { "LHLO client.example.net" } else { "EHLO client.example.net" })
    }

    /// Sends one line and reads one reply.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks.
    pub fn command(&mut self, line: &str) -> anyhow::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply().with_context(|| format!("no reply to {line}"))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()?;
        Ok(())
    }

    /// Reads one reply.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks or what comes is no reply.
    pub fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            self.reader.read_until(b'\n', &mut line)?;
            let line = String::from_utf8(line)?;
            let text =
                line.strip_suffix("\r\n").with_context(|| format!("connection closed after {line:?}"))?;
            let Some((digits, rest)) = text.split_at_checked(3) else { bail!("not a reply: {text:?}") };
            let code: u16 = digits.parse().with_context(|| format!("not a reply: {text:?}"))?;
            if let Some(more) = rest.strip_prefix('-') {
                lines.push(more.to_owned());
            } else {
                lines.push(rest.strip_prefix(' ').unwrap_or(rest).to_owned());
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Sends one message, whatever the replies are; says hello first if that was not done.
    ///
    /// `sender` and `recipients` stand without angle brackets; a recipient may be followed by parameters as in
    /// `alice@example.org> NOTIFY=NEVER`. Lines of `data` end in CRLF; dots are doubled here.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks.
    pub fn send(&mut self, sender: &str, recipients: &[&str], data: &[u8]) -> anyhow::Result<Submission> {
        if !self.is_introduced {
            let hello = self.hello()?;
            ensure!(hello.is_positive(), "hello refused: {hello}");
        }
        let (sender, replies) = self.envelope(sender, recipients)?;
        let mut submission = Submission { sender, recipients: replies, data: None, outcomes: Vec::new() };
        let accepted = submission.recipients.iter().filter(|reply| reply.is_positive()).count();
        if accepted == 0 {
            self.command("RSET")?;
            return Ok(submission);
        }
        let ready = self.command("DATA")?;
        if ready.code == 354 {
            self.write(&stuffed(data))?;
            // RFC 2033 §4.2: LMTP gives one reply for each accepted recipient.
            for _ in 0..if self.is_lmtp { accepted } else { 1 } {
                submission.outcomes.push(self.reply()?);
            }
        }
        submission.data = Some(ready);
        Ok(submission)
    }

    /// Says QUIT and reads the reply.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks.
    pub fn quit(mut self) -> anyhow::Result<Reply> {
        self.command("QUIT")
    }

    fn envelope(&mut self, sender: &str, recipients: &[&str]) -> anyhow::Result<(Reply, Vec<Reply>)> {
        let is_utf8 = !sender.is_ascii() || recipients.iter().any(|recipient| !recipient.is_ascii());
        // RFC 6531 §3.4
        let parameters = if is_utf8 { " SMTPUTF8" } else { "" };
        let answer = self.command(&format!("MAIL FROM:<{sender}>{parameters}"))?;
        let mut replies = Vec::new();
        if answer.is_positive() {
            for recipient in recipients {
                let path =
                    if recipient.contains("> ") { format!("<{recipient}") } else { format!("<{recipient}>") };
                replies.push(self.command(&format!("RCPT TO:{path}"))?);
            }
        }
        Ok((answer, replies))
    }
}

/// Sends one message to the SMTP server on this port of 127.0.0.1 and says QUIT.
pub(crate) fn submit(
    port: u16,
    sender: &str,
    recipients: &[&str],
    data: &[u8],
) -> anyhow::Result<Submission> {
    let mut client = MailClient::smtp(port)?;
    let submission = client.send(sender, recipients, data)?;
    client.quit()?;
    Ok(submission)
}

/// The data with dots doubled at the start of lines (RFC 5321 §4.5.2) and the final dot.
fn stuffed(data: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(data.len() + 5);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            result.push(b'.');
        }
        result.extend_from_slice(line);
    }
    if !data.is_empty() && !data.ends_with(b"\r\n") {
        result.extend_from_slice(b"\r\n");
    }
    result.extend_from_slice(b".\r\n");
    result
}
