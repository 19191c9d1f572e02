//! Handing over by SMTP: one connection, one mail.
//!
//! Source: RFC 5321, with SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) and PIPELINING (RFC 2920)
//! where the server offers them.

pub(crate) mod dialog;
pub(crate) mod encode;

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;

use self::dialog::{Dialog, Extensions, Reply};
use self::encode::Encoder;
use super::{Outgoing, Refusal, Submit};

/// Octets read from the file and sent at a time.
const CHUNK_OCTETS: usize = 64 * 1024;
/// How long the server may take to say goodbye; the mail is its own already.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long to wait for the server at each point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the connection.
    pub connect: Duration,
    /// For the greeting and the replies to EHLO, MAIL and RCPT.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each piece of the content to be taken.
    pub block: Duration,
    /// For the reply to the final dot.
    pub finish: Duration,
}

impl Default for Patience {
    /// RFC 5321 §4.5.3.2.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(5 * 60),
            data: Duration::from_secs(2 * 60),
            block: Duration::from_secs(3 * 60),
            finish: Duration::from_secs(10 * 60),
        }
    }
}

/// An SMTP server that takes mail from this host.
#[derive(Debug, Clone)]
pub struct Smtp {
    host: String,
    port: u16,
    hello: String,
    patience: Patience,
}

impl Smtp {
    /// The server at that host and port, greeted with that name.
    #[must_use]
    pub fn new(host: &str, port: u16, hello: &str) -> Self {
        let (host, hello) = (host.to_owned(), hello.to_owned());
        Self { host, port, hello, patience: Patience::default() }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    async fn connect(&self) -> Result<Dialog, Refusal> {
        let server = format!("{}:{}", self.host, self.port);
        let unreachable = |why: &str| Refusal::Temporary(format!("{server} cannot be reached: {why}"));
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        match tokio::time::timeout(self.patience.connect, connect).await {
            Err(_) => Err(unreachable("no answer")),
            Ok(Err(error)) => Err(unreachable(&error.to_string())),
            Ok(Ok(stream)) => Ok(Dialog::new(stream)),
        }
    }

    async fn greet(&self, dialog: &mut Dialog) -> Result<Extensions, Refusal> {
        let patience = self.patience.command;
        dialog.reply(patience).await?.unless_ready()?;
        let reply = dialog.ask(&format!("EHLO {}", self.hello), patience).await?;
        if reply.is_success() {
            return Ok(Extensions::of(&reply));
        }
        // RFC 5321 §3.2: a server without extensions.
        dialog.ask(&format!("HELO {}", self.hello), patience).await?.unless_ready()?;
        Ok(Extensions::default())
    }

    async fn envelope(
        &self,
        dialog: &mut Dialog,
        mail: &Outgoing,
        offers: &Extensions,
    ) -> Result<(), Refusal> {
        let from = mail_command(mail, offers)?;
        let to = format!("RCPT TO:<{}>", mail.recipient);
        let patience = self.patience.command;
        if offers.has_pipelining {
            dialog.send(format!("{from}\r\n{to}\r\n").as_bytes(), patience).await?;
            let reply = dialog.reply(patience).await?;
            // RFC 2920 §3.1: every command has its reply, the first refusal counts.
            let next = dialog.reply(patience).await;
            reply.unless_success()?;
            return next?.unless_success();
        }
        dialog.ask(&from, patience).await?.unless_success()?;
        dialog.ask(&to, patience).await?.unless_success()
    }

    async fn content(&self, dialog: &mut Dialog, file: File) -> Result<Reply, Refusal> {
        let reply = dialog.ask("DATA", self.patience.data).await?;
        if reply.code != 354 {
            return Err(reply.refusal());
        }
        let mut encoder = Encoder::default();
        let mut piece = (file, Vec::with_capacity(CHUNK_OCTETS));
        let mut encoded = Vec::with_capacity(CHUNK_OCTETS + CHUNK_OCTETS / 16);
        loop {
            piece = read_piece(piece).await?;
            encoded.clear();
            if piece.1.is_empty() {
                encoder.finish(&mut encoded);
                dialog.send(&encoded, self.patience.block).await?;
                return dialog.reply(self.patience.finish).await;
            }
            encoder.encode(&piece.1, &mut encoded);
            dialog.send(&encoded, self.patience.block).await?;
        }
    }
}

/// Reads the next piece of the file on a thread that may wait for the disk.
async fn read_piece((file, mut buffer): (File, Vec<u8>)) -> Result<(File, Vec<u8>), Refusal> {
    let unreadable =
        |error: &dyn std::fmt::Display| Refusal::Temporary(format!("the content cannot be read: {error}"));
    let read = tokio::task::spawn_blocking(move || {
        buffer.clear();
        (&file).take(CHUNK_OCTETS as u64).read_to_end(&mut buffer).map(|_| (file, buffer))
    });
    read.await.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
}

fn mail_command(mail: &Outgoing, offers: &Extensions) -> Result<String, Refusal> {
    let mut parameters = String::new();
    if let Some(limit) = offers.size {
        if limit > 0 && mail.octets > limit {
            // RFC 1870 §6.1
            let text = format!("the message has {} octets, the next server takes {limit}", mail.octets);
            return Err(Refusal::Permanent { status: "5.3.4".into(), text });
        }
        parameters = format!(" SIZE={}", mail.octets);
    }
    if mail.is_8bit && offers.has_8bitmime {
        parameters.push_str(" BODY=8BITMIME");
    }
    let needs_utf8 = mail.recipient.needs_utf8()
        || mail.sender.address().is_some_and(pigeon_core::address::Address::needs_utf8);
    if needs_utf8 && !offers.has_smtputf8 {
        // RFC 6531 §3.5, RFC 3463 as updated by RFC 5248: X.6.7
        let text = "the next server takes no addresses outside ASCII".into();
        return Err(Refusal::Permanent { status: "5.6.7".into(), text });
    }
    if needs_utf8 {
        parameters.push_str(" SMTPUTF8");
    }
    Ok(format!("MAIL FROM:<{}>{parameters}", mail.sender))
}

#[async_trait]
impl Submit for Smtp {
    async fn submit(&self, mail: &Outgoing) -> Result<String, Refusal> {
        let file = mail.reader()?;
        let mut dialog = self.connect().await?;
        let offers = self.greet(&mut dialog).await?;
        self.envelope(&mut dialog, mail, &offers).await?;
        let reply = self.content(&mut dialog, file).await?;
        // The mail is the server's from here on: what goes wrong with the goodbye is nobody's business.
        tokio::spawn(async move { drop(dialog.ask("QUIT", GOODBYE).await) });
        reply.unless_success()?;
        Ok(reply.text())
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::address::{Address, ReversePath};

    use super::*;

    #[test]
    fn the_mail_command_uses_what_is_offered() {
        let check = |sender: &str, offers: &str, expect: Result<&str, &str>| {
            let mail = Outgoing {
                sender: ReversePath::parse(sender).unwrap(),
                recipient: Address::parse("user@example.org").unwrap(),
                content: tempfile::tempfile().unwrap(),
                octets: 1000,
                is_8bit: true,
            };
            let reply = Reply { code: 250, lines: offers.lines().map(str::to_owned).collect() };
            let got = mail_command(&mail, &Extensions::of(&reply));
            let got = got.map_err(|refusal| match refusal {
                Refusal::Permanent { status, .. } => status,
                Refusal::Temporary(what) => what,
            });
            assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{sender} {offers}");
        };
        check("a@example.org", "hello", Ok("MAIL FROM:<a@example.org>"));
        check("", "hello\nSIZE\n8bitmime", Ok("MAIL FROM:<> SIZE=1000 BODY=8BITMIME"));
        check("", "hello\nSIZE 1000", Ok("MAIL FROM:<> SIZE=1000"));
        check("", "hello\nSIZE 999", Err("5.3.4"));
        check("ü@example.org", "hello\nSMTPUTF8", Ok("MAIL FROM:<ü@example.org> SMTPUTF8"));
        check("ü@example.org", "hello", Err("5.6.7"));
        check("\"a b\"@example.org", "hello", Ok("MAIL FROM:<\"a b\"@example.org>"));
    }
}
