//! One LMTP connection to another node.

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::address::Address;
use pigeon_core::clock::{Clock, with_limit};
use pigeon_core::fault::Reply;
use pigeon_core::message::{CHUNK_OCTETS, Message};
use pigeon_core::ports::handover::{Handed, Parcel};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};

use super::places::Place;
use crate::outbox::Refusal;
use crate::outbox::smtp::dialog::{self, Dialog, Extensions};
use crate::outbox::smtp::encode::Encoder;

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// For the reply to a command; the other node may have to ask its directory.
const COMMAND: Duration = Duration::from_secs(20);
/// For a piece of the content to be taken.
const BLOCK: Duration = Duration::from_secs(30);
/// For the replies behind the final dot: the other node walks and stores.
const FINISH: Duration = Duration::from_secs(120);
/// For the whole hand-over: the MTA that waits for this node gives up after ten minutes (RFC 5321 §4.5.3.2.6).
const WHOLE: Duration = Duration::from_secs(480);

/// Why nothing was handed over.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// The node cannot be reached, or went away.
    #[error("{0}")]
    Unreachable(String),
    /// A connection that was kept is not there any more.
    #[error("the connection is gone")]
    Stale,
    /// The node takes nothing of the message.
    #[error("it said {0}")]
    Refused(Reply),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Unreachable(refusal.to_string())
    }
}

/// A connection that was greeted.
pub(super) struct Connection {
    dialog: Dialog,
    offers: Extensions,
    is_fresh: bool,
}

/// Connects to the first of these places that answers.
pub(super) async fn connect(places: &[Place], hello: &str) -> Result<Connection, Trouble> {
    let mut trouble = Trouble::Unreachable("it has no address".to_owned());
    for place in places {
        match greet(place, hello).await {
            Ok(connection) => return Ok(connection),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

async fn greet(place: &Place, hello: &str) -> Result<Connection, Trouble> {
    let dial = async {
        Ok::<_, std::io::Error>(match place {
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Dialog::new(stream)
            }
            Place::Unix(path) => Dialog::new(UnixStream::connect(path).await?),
        })
    };
    let unreachable = |why: &dyn std::fmt::Display| Trouble::Unreachable(format!("{place:?}: {why}"));
    let mut dialog = match tokio::time::timeout(CONNECT, dial).await {
        Err(_) => return Err(unreachable(&"no answer")),
        Ok(Err(error)) => return Err(unreachable(&error)),
        Ok(Ok(dialog)) => dialog,
    };
    dialog.reply(COMMAND).await?.unless_ready()?;
    let reply = dialog.ask(&format!("LHLO {hello}"), COMMAND).await?;
    reply.unless_ready()?;
    let offers = Extensions::of(&reply);
    if !offers.xforward.iter().any(|attribute| attribute == "NODE") {
        return Err(unreachable(
            &"it does not trust this node: name this node's address in its lmtp.trusted",
        ));
    }
    Ok(Connection { dialog, offers, is_fresh: true })
}

impl Connection {
    /// Hands one message over; one answer for each recipient.
    pub(super) async fn deliver(
        &mut self,
        here: &str,
        parcel: &Parcel<'_>,
        clock: &dyn Clock,
    ) -> Result<Vec<Result<String, Reply>>, Trouble> {
        let whole = self.transaction(here, parcel);
        let answers = with_limit(clock, WHOLE, whole).await;
        answers.unwrap_or_else(|_| Err(Trouble::Unreachable("the hand-over took too long".to_owned())))
    }

    async fn transaction(
        &mut self,
        here: &str,
        parcel: &Parcel<'_>,
    ) -> Result<Vec<Result<String, Reply>>, Trouble> {
        // A trusted peer's first word on the message; a connection that died while it waited dies here.
        let is_fresh = std::mem::replace(&mut self.is_fresh, false);
        let forward = self.dialog.ask(&xforward(here, parcel), COMMAND).await;
        match forward {
            Ok(reply) => reply.unless_ready()?,
            Err(_) if !is_fresh => return Err(Trouble::Stale),
            Err(refusal) => return Err(refusal.into()),
        }
        let mut commands = mail(parcel, &self.offers);
        for handed in parcel.recipients {
            commands.push_str(&rcpt(handed));
        }
        self.dialog.send(commands.as_bytes(), COMMAND).await?;
        // RFC 2920 §3.1: every command has its reply.
        let mail = self.dialog.reply(COMMAND).await?;
        let mut answers = Vec::with_capacity(parcel.recipients.len());
        for _ in parcel.recipients {
            let reply = self.dialog.reply(COMMAND).await?;
            answers.push(if reply.is_success() { Ok(String::new()) } else { Err(refusal_of(&reply)) });
        }
        if !mail.is_success() {
            self.dialog.ask("RSET", COMMAND).await?;
            return Err(Trouble::Refused(refusal_of(&mail)));
        }
        if answers.iter().all(Result::is_err) {
            self.dialog.ask("RSET", COMMAND).await?;
            return Ok(answers);
        }
        self.content(parcel).await?;
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            let reply = self.dialog.reply(FINISH).await?;
            *answer = if reply.is_success() { Ok(reply.text()) } else { Err(refusal_of(&reply)) };
        }
        Ok(answers)
    }

    async fn content(&mut self, parcel: &Parcel<'_>) -> Result<(), Trouble> {
        let message = parcel.message;
        let head = [parcel.head.prefix.as_ref(), parcel.head.head.as_ref()].concat();
        if message.is_binary() {
            return self.binary(message, head).await;
        }
        let reply = self.dialog.ask("DATA", COMMAND).await?;
        if reply.code != 354 {
            return Err(Trouble::Refused(refusal_of(&reply)));
        }
        let mut encoder = Encoder::default();
        let mut encoded = Vec::with_capacity(head.len() + CHUNK_OCTETS);
        encoder.encode(&head, &mut encoded);
        let mut body = Body::of(message);
        while let Some(piece) = body.next().await? {
            encoder.encode(&piece, &mut encoded);
            if encoded.len() >= CHUNK_OCTETS {
                self.dialog.send(&encoded, BLOCK).await?;
                encoded.clear();
            }
        }
        encoder.finish(&mut encoded);
        Ok(self.dialog.send(&encoded, BLOCK).await?)
    }

    /// A message whose octets are no lines goes as one chunk (RFC 3030 §2).
    async fn binary(&mut self, message: &Arc<Message>, head: Vec<u8>) -> Result<(), Trouble> {
        let octets = head.len() as u64 + message.body_size();
        self.dialog.send(format!("BDAT {octets} LAST\r\n").as_bytes(), BLOCK).await?;
        self.dialog.send(&head, BLOCK).await?;
        let mut body = Body::of(message);
        while let Some(piece) = body.next().await? {
            self.dialog.send(&piece, BLOCK).await?;
        }
        Ok(())
    }
}

/// A message's body in pieces; reading one may wait for the disk.
struct Body {
    message: Arc<Message>,
    offset: u64,
}

impl Body {
    fn of(message: &Arc<Message>) -> Self {
        Self { message: Arc::clone(message), offset: 0 }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        let rest = self.message.body_size().saturating_sub(self.offset);
        let room = usize::try_from(rest).unwrap_or(CHUNK_OCTETS).min(CHUNK_OCTETS);
        if room == 0 {
            return Ok(None);
        }
        let (message, offset) = (Arc::clone(&self.message), self.offset);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; room];
            let count = message.read_body(offset, &mut piece)?;
            piece.truncate(count);
            Ok::<_, std::io::Error>(piece)
        });
        let unreadable = |error: &dyn std::fmt::Display| {
            Trouble::Unreachable(format!("the message cannot be read: {error}"))
        };
        let piece = read.await.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
        self.offset += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

fn xforward(here: &str, parcel: &Parcel<'_>) -> String {
    let origin = &parcel.transaction.origin;
    let mut line = format!("XFORWARD NODE={} IDENT={}", xtext(here), xtext(&parcel.transaction.id));
    let address = origin.client_address.map(|address| match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("IPV6:{address}"),
    });
    let others = [("NAME", origin.client_name.clone()), ("ADDR", address), ("HELO", origin.helo.clone())];
    for (key, value) in others {
        if let Some(value) = value {
            line.extend([" ", key, "=", &xtext(&value)]);
        }
    }
    line
}

fn mail(parcel: &Parcel<'_>, offers: &Extensions) -> String {
    let transaction = parcel.transaction;
    let mut line = format!("MAIL FROM:<{}>", transaction.sender);
    if offers.size.is_some() {
        line.extend([" SIZE=", &parcel.message.size().to_string()]);
    }
    line.push_str(if parcel.message.is_binary() { " BODY=BINARYMIME" } else { " BODY=8BITMIME" });
    let sender_needs = transaction.sender.address().is_some_and(Address::needs_utf8);
    let needs_utf8 = sender_needs || parcel.recipients.iter().any(|handed| handed.address.needs_utf8());
    if transaction.parameters.is_smtputf8 || needs_utf8 {
        line.push_str(" SMTPUTF8");
    }
    if let Some(id) = &transaction.parameters.envelope_id {
        line.extend([" ENVID=", &xtext(id)]);
    }
    if let Some(ret) = &transaction.parameters.ret {
        line.extend([" RET=", ret]);
    }
    line.push_str("\r\n");
    line
}

fn rcpt(handed: &Handed) -> String {
    let original = handed.original.as_ref().map(|original| format!(" ORCPT=rfc822;{}", xtext(original)));
    format!("RCPT TO:<{}>{}\r\n", handed.address, original.unwrap_or_default())
}

/// RFC 3461 §4: what is no plain letter is `+` and two hexadecimal digits.
fn xtext(text: &str) -> String {
    let is_plain = |octet: u8| matches!(octet, b'!'..=b'~') && !matches!(octet, b'+' | b'=');
    let encode = |octet: u8| {
        if is_plain(octet) { char::from(octet).to_string() } else { format!("+{octet:02X}") }
    };
    text.bytes().map(encode).collect()
}

/// The other node's refusal, for the MTA: with its enhanced status code, where there is one (RFC 2034 §4).
fn refusal_of(reply: &dialog::Reply) -> Reply {
    let text = reply.lines.join(" ");
    let class = if (500..600).contains(&reply.code) { 5 } else { 4 };
    let code = if (400..600).contains(&reply.code) { reply.code } else { 451 };
    let (first, rest) = text.split_once(' ').unwrap_or((text.as_str(), ""));
    let mut parts = first.split('.').map(str::parse::<u16>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(found)), Some(Ok(subject)), Some(Ok(detail)), None) if found == u16::from(class) => {
            Reply::new(code, (class, subject, detail), rest)
        }
        _ => Reply::new(code, (class, 0, 0), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_status() {
        let check = |code: u16, line: &str, expect: &str| {
            let reply = dialog::Reply { code, lines: vec![line.to_owned()] };
            assert_eq!(refusal_of(&reply).to_string(), expect);
        };
        check(552, "5.2.2 over quota", "552 5.2.2 over quota");
        check(451, "4.3.0 later", "451 4.3.0 later");
        check(550, "no", "550 5.0.0 no");
        check(550, "4.0.0 odd", "550 5.0.0 4.0.0 odd");
        check(354, "what", "451 4.0.0 what");
    }

    #[test]
    fn text_is_encoded_for_parameters() {
        assert_eq!(xtext("a+b=c é"), "a+2Bb+3Dc+20+C3+A9");
    }
}
