//! The Unix MDA interface: one process for each message, the message on standard input, sysexits codes.
//!
//! A drop-in for the command lines of procmail, maildrop and dovecot-lda; it needs no daemon. Start-up is
//! part of every delivery here, so nothing heavy happens on this path.

mod arguments;
mod exit;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

use std::io::Read;
use std::sync::Arc;

use pigeon_core::address::{Address, DomainName, ReversePath};
use pigeon_core::agent::Agent;
use pigeon_core::clock::Clock;
use pigeon_core::envelope::{Envelope, MailParameters, Named, Origin, Transaction};
use pigeon_core::fault::Reply;
use pigeon_core::message::{CHUNK_OCTETS, Message, MessageWriter, WriteError};
use pigeon_core::ports::spool::Spool;

use crate::id::TransactionIds;

pub use arguments::{Arguments, Dialect, Environment, HELP, UsageError};
pub use exit::{ExitCode, of_reply};

/// Largest message that is taken from standard input, in octets: what the MTA let in is not refused here.
const MAX_MESSAGE_OCTETS: u64 = u64::MAX;
/// What is read at first: most messages are no larger, and memory that is not touched costs nothing.
const FIRST_OCTETS: usize = 16 * 1024;

/// What the MDA needs from the node's configuration.
pub struct Site {
    /// Delivers.
    pub agent: Arc<Agent>,
    /// Keeps large messages.
    pub spool: Arc<dyn Spool>,
    /// Time, for the transaction's id.
    pub clock: Arc<dyn Clock>,
    /// The domain of recipients that are named without one.
    pub default_domain: String,
}

/// How a run ended: the code to exit with, and a line for the MTA's log when that is not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The sysexits code.
    pub code: ExitCode,
    /// What happened, for standard error; empty when all went well.
    pub line: String,
}

impl Ended {
    /// A temporary failure: the MTA keeps the message.
    #[must_use]
    pub fn temporary(line: impl Into<String>) -> Self {
        Self { code: ExitCode::TempFail, line: line.into() }
    }
}

/// Delivers one message from `input`.
pub async fn deliver(site: &Site, arguments: &Arguments, input: &mut (dyn Read + Send)) -> Ended {
    let (message, from_line) = match read_message(site, arguments, input) {
        Ok(read) => read,
        Err(error) => return Ended::temporary(format!("the message cannot be taken in: {error}")),
    };
    let named = match recipients(site, arguments) {
        Ok(named) => named,
        Err(line) => return Ended { code: ExitCode::NoUser, line },
    };
    let said = from_line.or_else(|| return_path(&message));
    let sender = match sender(arguments, said.as_deref()) {
        Ok(sender) => sender,
        Err(line) => return Ended { code: ExitCode::DataErr, line },
    };
    let transaction = Arc::new(Transaction {
        id: TransactionIds::new().next(&*site.clock),
        sender,
        origin: Origin { queue_id: arguments.queue_id.clone(), ..Origin::default() },
        parameters: MailParameters {
            size: Some(message.size()),
            is_smtputf8: true,
            ..MailParameters::default()
        },
    });
    let mut admitted = Vec::new();
    let mut replies = Vec::new();
    for named in named {
        let address = named.address.clone();
        match site.agent.plan(named, &transaction).await {
            Ok(recipient) => admitted.push(recipient),
            Err(reply) => replies.push((address.to_string(), reply)),
        }
    }
    let envelope = Envelope { transaction, recipients: admitted };
    for receipt in site.agent.deliver(&envelope, Arc::new(message)).await {
        replies.push((receipt.recipient.clone(), Agent::reply(&receipt)));
    }
    summarise(&replies)
}

/// One code for all recipients: a temporary failure of one makes the MTA try again, whatever became of the others.
fn summarise(replies: &[(String, Reply)]) -> Ended {
    let failed = || replies.iter().filter(|(_, reply)| reply.code >= 400);
    let worst = failed().find(|(_, reply)| reply.is_temporary()).or_else(|| failed().next());
    match worst {
        None => Ended { code: ExitCode::Ok, line: String::new() },
        Some((address, reply)) => {
            let (class, subject, detail) = reply.status;
            // RFC 3463 codes at the start of the line are taken over by pipe(8).
            let line = format!("{class}.{subject}.{detail} <{address}>: {}", reply.text);
            Ended { code: of_reply(reply), line }
        }
    }
}

fn read_message(
    site: &Site,
    arguments: &Arguments,
    input: &mut (dyn Read + Send),
) -> Result<(Message, Option<String>), WriteError> {
    let mut writer = MessageWriter::new(Arc::clone(&site.spool), MAX_MESSAGE_OCTETS, false);
    let mut buffer = vec![0; FIRST_OCTETS];
    let mut first = Vec::new();
    let mut is_at_start = true;
    let mut from_line = None;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let piece = buffer.get(..count).unwrap_or_default();
        if is_at_start {
            first.extend_from_slice(piece);
            if first.contains(&b'\n') || first.len() >= CHUNK_OCTETS {
                is_at_start = false;
                let rest = cut_from_line(&first, arguments.is_from_line_stripped, &mut from_line);
                writer.write(rest)?;
            }
        } else {
            writer.write(piece)?;
        }
        if count == FIRST_OCTETS {
            buffer.resize(CHUNK_OCTETS, 0);
        }
    }
    if is_at_start {
        let rest = cut_from_line(&first, arguments.is_from_line_stripped, &mut from_line);
        writer.write(rest)?;
    }
    Ok((writer.finish(), from_line))
}

/// Cuts an mbox `From sender date` line (RFC 4155) off the front and remembers its sender.
fn cut_from_line<'a>(bytes: &'a [u8], is_stripped: bool, sender: &mut Option<String>) -> &'a [u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    *sender = String::from_utf8_lossy(line).split(' ').nth(1).map(str::to_owned);
    if is_stripped { rest } else { bytes }
}

fn recipients(site: &Site, arguments: &Arguments) -> Result<Vec<Named>, String> {
    let mut all: Vec<Named> = Vec::new();
    for text in &arguments.recipients {
        let address = parse_recipient(text, &site.default_domain)
            .and_then(|address| with_detail(address, arguments.detail.as_deref()))
            .map_err(|error| format!("5.1.3 <{text}>: {error}"))?;
        if all.iter().all(|named| named.address != address) {
            all.push(Named { address, original: arguments.original_recipient.clone() });
        }
    }
    Ok(all)
}

fn parse_recipient(text: &str, default_domain: &str) -> Result<Address, pigeon_core::address::AddressError> {
    match Address::parse(text) {
        // A bare user name: the MTA's local recipients come without a domain.
        Err(_) if !text.contains('@') => Address::from_parts(text, DomainName::parse(default_domain)?),
        result => result,
    }
}

fn with_detail(
    address: Address,
    detail: Option<&str>,
) -> Result<Address, pigeon_core::address::AddressError> {
    match detail {
        Some(detail) if !detail.is_empty() => address.with_local(&format!("{}+{detail}", address.local())),
        _ => Ok(address),
    }
}

/// The sender in the Return-Path field that an MTA put on top (pipe(8) with `flags=R`); one below a Received field
/// came with the message and says nothing.
fn return_path(message: &Message) -> Option<String> {
    let mut own = message.fields().take_while(|field| !field.name.eq_ignore_ascii_case("Received"));
    own.find(|field| field.name.eq_ignore_ascii_case("Return-Path")).map(|field| field.value())
}

fn sender(arguments: &Arguments, said: Option<&str>) -> Result<ReversePath, String> {
    let text = arguments.sender.as_deref().or(said).unwrap_or_default();
    // pipe(8), local(8) and Sendmail write the null sender so.
    if text.eq_ignore_ascii_case("MAILER-DAEMON") || text == "@" {
        return Ok(ReversePath::Null);
    }
    match ReversePath::parse(text) {
        Ok(sender) => Ok(sender),
        // A local user without a domain, as `From ` lines have it: it cannot be answered, but it is no reason to lose mail.
        Err(_) if !text.contains('@') => Ok(ReversePath::Null),
        Err(error) => Err(format!("5.1.7 the sender {text:?} is not an address: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_lines_are_cut_and_read() {
        let check = |text: &str, is_stripped: bool, rest: &str, sender: Option<&str>| {
            let mut found = None;
            let got = cut_from_line(text.as_bytes(), is_stripped, &mut found);
            assert_eq!((got, found.as_deref()), (rest.as_bytes(), sender), "{text:?}");
        };
        check("From a@example.org Mon\nA: 1\n", true, "A: 1\n", Some("a@example.org"));
        check(
            "From a@example.org Mon\nA: 1\n",
            false,
            "From a@example.org Mon\nA: 1\n",
            Some("a@example.org"),
        );
        check("From: a@example.org\n", true, "From: a@example.org\n", None);
        check("From ", true, "", Some(""));
    }

    #[test]
    fn a_return_path_of_the_mta_names_the_sender() {
        let check = |head: &str, expect: Option<&str>| {
            assert_eq!(return_path(&Message::from_bytes(format!("{head}\n"))).as_deref(), expect, "{head}");
        };
        check(
            "Delivered-To: b@example.org\nReturn-Path: <a@example.org>\nReceived: x\n",
            Some("<a@example.org>"),
        );
        check("Return-Path: <>\nReceived: x\n", Some("<>"));
        check("Received: x\nReturn-Path: <a@example.org>\n", None);
        check("Subject: x\n", None);
    }

    #[test]
    fn recipients_get_a_domain_and_a_detail() {
        let check = |text: &str, detail: Option<&str>, expect: &str| {
            let address = parse_recipient(text, "example.org").and_then(|a| with_detail(a, detail)).unwrap();
            assert_eq!(address.to_string(), expect);
        };
        check("ann", None, "ann@example.org");
        check("ann", Some("lists"), "ann+lists@example.org");
        check("ann@example.net", Some(""), "ann@example.net");
    }

    #[test]
    fn a_temporary_failure_outweighs_all() {
        let reply = |code: u16, status| ("a@example.org".to_owned(), Reply::new(code, status, "x"));
        let check =
            |replies: &[(String, Reply)], expect: ExitCode| assert_eq!(summarise(replies).code, expect);
        check(&[reply(250, (2, 1, 5))], ExitCode::Ok);
        check(&[reply(250, (2, 1, 5)), reply(550, (5, 1, 1))], ExitCode::NoUser);
        check(&[reply(550, (5, 1, 1)), reply(451, (4, 3, 0))], ExitCode::TempFail);
        check(&[reply(552, (5, 2, 2))], ExitCode::CantCreate);
        assert_eq!(summarise(&[reply(550, (5, 1, 1))]).line, "5.1.1 <a@example.org>: x");
    }
}
