//! The state machine of an LMTP session: what each command means at which moment.
//!
//! It reads no socket. Commands come in as lines, replies go into a buffer, and what the connection has to do
//! next comes back as a [`Step`].

use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use pigeon_core::address::{Address, ReversePath};
use pigeon_core::agent::Agent;
use pigeon_core::envelope::{Envelope, Named, Origin, Transaction};
use pigeon_core::fault::Reply;
use pigeon_core::message::Message;
use tracing::debug;

use super::client::{ClientAttributes, XCLIENT_OFFER, XFORWARD_OFFER, clean};
use super::command::{self, Command};
use super::data::ChunkDecoder;
use super::intake::Intake;
use super::parameters::{self, BodyType};
use super::reply::{Refusal, Replies};
use super::transaction::{Chunks, OpenTransaction};
use super::{Peer, Reception};

/// RFC 3463 §3.4: X.3.4, the message is too big for the system.
pub(super) const TOO_LARGE: Refusal = Refusal::new(552, (5, 3, 4), "The message is too large");
const NEEDS_LHLO: Refusal = Refusal::new(503, (5, 5, 1), "Say LHLO first");
const NEEDS_MAIL: Refusal = Refusal::new(503, (5, 5, 1), "Say MAIL first");
const IS_OPEN: Refusal = Refusal::new(503, (5, 5, 1), "A transaction is open already");
const NO_RECIPIENTS: Refusal = Refusal::new(503, (5, 5, 1), "No recipient was accepted");
const CHUNKS_BEGUN: Refusal = Refusal::new(503, (5, 5, 1), "The message is coming in by BDAT already");
const NEEDS_BDAT: Refusal = Refusal::new(503, (5, 5, 1), "BODY=BINARYMIME needs BDAT");
const NEEDS_UTF8: Refusal = Refusal::new(553, (5, 6, 7), "A non-ASCII address needs SMTPUTF8");
const NOT_TRUSTED: Refusal = Refusal::new(550, (5, 7, 0), "The command is not for this client");

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the next command.
    Continue,
    /// Read a message to its final dot.
    Data,
    /// Read that many octets of a message.
    Chunk(Chunk),
    /// Send the replies and hang up.
    Close,
}

/// One `BDAT` command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) octets: u64,
    is_last: bool,
    /// Why it is read and thrown away.
    refused: Option<Refusal>,
}

/// A session.
pub(super) struct Session {
    reception: Arc<Reception>,
    peer: Peer,
    helo: Option<String>,
    xclient: ClientAttributes,
    xforward: ClientAttributes,
    open: Option<Box<OpenTransaction>>,
    errors: u32,
}

impl Session {
    pub(super) fn new(reception: Arc<Reception>, peer: Peer) -> Self {
        let (xclient, xforward) = (ClientAttributes::default(), ClientAttributes::default());
        Self { reception, peer, helo: None, xclient, xforward, open: None, errors: 0 }
    }

    pub(super) fn reception(&self) -> &Arc<Reception> {
        &self.reception
    }

    /// Whether the client may take its time: nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.helo.is_some()
    }

    pub(super) fn greet(&self, replies: &mut Replies) {
        replies.plain(&format!("220 {} LMTP", self.reception.hostname));
    }

    /// Says goodbye without having been asked to (RFC 5321 §3.8).
    pub(super) fn leave(&self, replies: &mut Replies, status: (u8, u16, u16), why: &str) {
        debug!("{}: 421 {why}", self.peer);
        replies.say(421, status, &format!("{} {why}", self.reception.hostname));
    }

    /// Obeys one command line, or refuses to.
    pub(super) async fn command(&mut self, line: &[u8], replies: &mut Replies) -> Step {
        debug!("{}: {}", self.peer, line.escape_ascii());
        let obeyed = match command::parse(line) {
            Ok(command) => self.obey(command, replies).await,
            Err(refusal) => Err(refusal),
        };
        obeyed.unwrap_or_else(|refusal| self.refuse(&refusal, replies))
    }

    /// Refuses something that breaks the protocol, and counts it.
    pub(super) fn refuse(&mut self, refusal: &Refusal, replies: &mut Replies) -> Step {
        replies.refuse(refusal);
        self.errors += 1;
        if self.errors < self.reception.limits.errors {
            return Step::Continue;
        }
        self.leave(replies, (4, 7, 0), "Too many errors");
        Step::Close
    }

    async fn obey(&mut self, command: Command<'_>, replies: &mut Replies) -> Result<Step, Refusal> {
        match command {
            Command::Lhlo(name) => self.lhlo(name, replies)?,
            Command::Helo => return Err(Refusal::new(500, (5, 5, 1), "This is LMTP: say LHLO")),
            Command::Mail { path, parameters } => self.mail(path, parameters, replies)?,
            Command::Rcpt { path, parameters } => self.rcpt(path, parameters, replies).await?,
            Command::Data => return self.data(replies),
            Command::Bdat { octets, is_last } => return Ok(self.bdat(octets, is_last)),
            Command::BrokenBdat => {
                self.refuse(&Refusal::new(501, (5, 5, 4), "Syntax: BDAT octets [LAST]"), replies);
                // Message and commands cannot be told apart in what follows.
                self.leave(replies, (4, 5, 4), "The size of the chunk is not known");
                return Ok(Step::Close);
            }
            Command::Rset => {
                self.reset();
                replies.say(250, (2, 0, 0), "Ok");
            }
            Command::Noop => replies.say(250, (2, 0, 0), "Ok"),
            // RFC 5321 §3.5.3: RCPT answers that question.
            Command::Vrfy => replies.say(252, (2, 5, 2), "Try RCPT"),
            Command::Help => replies.say(214, (2, 0, 0), "See RFC 2033"),
            Command::Quit => {
                replies.say(221, (2, 0, 0), "Bye");
                return Ok(Step::Close);
            }
            Command::Xclient(attributes) => self.xclient(attributes, replies)?,
            Command::Xforward(attributes) => self.xforward(attributes, replies)?,
        }
        Ok(Step::Continue)
    }

    fn reset(&mut self) {
        self.open = None;
        self.xforward = ClientAttributes::default();
    }

    fn lhlo(&mut self, name: &str, replies: &mut Replies) -> Result<(), Refusal> {
        let name = name.split(' ').next().filter(|name| !name.is_empty());
        let name = name.ok_or(Refusal::new(501, (5, 5, 4), "Syntax: LHLO name"))?;
        // RFC 5321 §4.1.4: a second one is as good as RSET.
        self.reset();
        self.helo = Some(clean(name));
        let size = self.reception.limits.message_octets;
        replies.plain(&format!("250-{}\r\n250-PIPELINING\r\n250-SIZE {size}", self.reception.hostname));
        if self.peer.is_trusted {
            replies.plain(&format!("250-{XCLIENT_OFFER}\r\n250-{XFORWARD_OFFER}"));
        }
        replies.plain("250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8");
        // RFC 3461 §5.2.2: whoever offers DSN must send the notices of success. Without the offer the MTA sends
        // them ("relayed"); its parameters are accepted all the same.
        replies.plain("250-CHUNKING\r\n250 BINARYMIME");
        Ok(())
    }

    fn mail(&mut self, path: &str, text: &str, replies: &mut Replies) -> Result<(), Refusal> {
        if self.helo.is_none() {
            return Err(NEEDS_LHLO);
        }
        if self.open.is_some() {
            return Err(IS_OPEN);
        }
        let (parameters, body) = parameters::of_mail(text)?;
        // RFC 6531 §3.5: without SMTPUTF8 the address is refused, with a code of its own.
        if !path.is_ascii() && !parameters.is_smtputf8 {
            return Err(NEEDS_UTF8);
        }
        let sender = ReversePath::parse(path)
            .map_err(|_| Refusal::new(501, (5, 1, 7), "The sender is not a mail address"))?;
        if parameters.size.is_some_and(|size| size > self.reception.limits.message_octets) {
            // RFC 1870 §6.1
            replies.refuse(&TOO_LARGE);
            return Ok(());
        }
        let id = self.reception.ids.next(&*self.reception.clock);
        let origin = self.origin(parameters.is_smtputf8);
        let transaction = Transaction { id, sender, origin, parameters };
        self.open = Some(Box::new(OpenTransaction::new(transaction, body)));
        replies.say(250, (2, 1, 0), "Ok");
        Ok(())
    }

    fn origin(&self, is_smtputf8: bool) -> Origin {
        let mut origin = Origin {
            helo: self.helo.clone(),
            peer_address: self.peer.address,
            // RFC 6531 §4.3
            protocol: Some(if is_smtputf8 { "UTF8LMTP" } else { "LMTP" }),
            ..Origin::default()
        };
        self.xclient.apply(&mut origin);
        self.xforward.apply(&mut origin);
        origin
    }

    async fn rcpt(&mut self, path: &str, text: &str, replies: &mut Replies) -> Result<(), Refusal> {
        let open = self.open.as_mut().ok_or(if self.helo.is_some() { NEEDS_MAIL } else { NEEDS_LHLO })?;
        if open.chunks.is_some() {
            return Err(CHUNKS_BEGUN);
        }
        let original = parameters::of_rcpt(text)?;
        if !path.is_ascii() && !open.transaction.parameters.is_smtputf8 {
            return Err(NEEDS_UTF8);
        }
        let address = recipient_address(path, &self.reception.hostname)?;
        if open.accepted() >= self.reception.limits.recipients {
            // RFC 5321 §4.5.3.1.10: the client sends the message again for these.
            replies.say(452, (4, 5, 3), "Too many recipients");
            return Ok(());
        }
        if open.name_again(&address) {
            replies.say(250, (2, 1, 5), "Ok");
            return Ok(());
        }
        match self.reception.deliver.admit(Named { address, original }, &open.transaction).await {
            Ok(recipient) => {
                open.accept(recipient);
                replies.say(250, (2, 1, 5), "Ok");
            }
            Err(reply) => replies.reply(&reply),
        }
        Ok(())
    }

    fn data(&self, replies: &mut Replies) -> Result<Step, Refusal> {
        let open = self.open.as_ref().ok_or(if self.helo.is_some() { NEEDS_MAIL } else { NEEDS_LHLO })?;
        // RFC 3030 §2: DATA and BDAT are not mixed.
        if open.chunks.is_some() {
            return Err(CHUNKS_BEGUN);
        }
        // RFC 3030 §3
        if open.body == BodyType::Binary {
            return Err(NEEDS_BDAT);
        }
        // RFC 2033 §4.2: DATA fails when no RCPT succeeded.
        if open.accepted() == 0 {
            return Err(NO_RECIPIENTS);
        }
        replies.plain("354 End with a dot on a line of its own");
        Ok(Step::Data)
    }

    /// Begins to take a message in that comes by `DATA`.
    pub(super) fn intake(&self) -> Intake {
        Intake::new(&self.reception.spool, self.reception.limits.message_octets, false)
    }

    fn bdat(&mut self, octets: u64, is_last: bool) -> Step {
        let refused = match &self.open {
            _ if self.helo.is_none() => Some(NEEDS_LHLO),
            None => Some(NEEDS_MAIL),
            // RFC 2033 §4.2 says so of DATA.
            Some(open) if open.accepted() == 0 => Some(NO_RECIPIENTS),
            Some(_) => None,
        };
        if refused.is_none() {
            self.begin_chunks();
        }
        Step::Chunk(Chunk { octets, is_last, refused })
    }

    fn begin_chunks(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.chunks.is_none()) else { return };
        let is_binary = open.body == BodyType::Binary;
        let (spool, limit) = (&self.reception.spool, self.reception.limits.message_octets);
        let intake = Intake::new(spool, limit, is_binary);
        open.chunks = Some(Box::new(Chunks { intake, decoder: (!is_binary).then(ChunkDecoder::default) }));
    }

    /// Takes octets of a chunk from the front of the buffer.
    pub(super) async fn take_chunk(&mut self, chunk: &Chunk, buffer: &mut BytesMut, length: usize) {
        let chunks = self.open.as_mut().and_then(|open| open.chunks.as_mut());
        let Some(chunks) = chunks.filter(|chunks| chunk.refused.is_none() && chunks.failure().is_none())
        else {
            buffer.advance(length);
            return;
        };
        let Some(decoder) = &mut chunks.decoder else {
            chunks.intake.take(buffer, length).await;
            return;
        };
        let (before, kept) = decoder.decode(buffer.get_mut(..length).unwrap_or_default());
        chunks.intake.take_octets(before).await;
        chunks.intake.take(buffer, kept).await;
        buffer.advance(length - kept);
    }

    /// Answers a chunk that is in; the message is delivered when it was the last one.
    pub(super) async fn end_chunk(&mut self, chunk: &Chunk, replies: &mut Replies) -> Step {
        if let Some(refusal) = chunk.refused {
            return self.refuse(&refusal, replies);
        }
        let Some(chunks) = self.open.as_mut().and_then(|open| open.chunks.as_mut()) else {
            return self.refuse(&NEEDS_MAIL, replies);
        };
        if !chunk.is_last {
            match chunks.failure() {
                // RFC 3030 §2: the client gives up, with RSET or with its last chunk.
                Some(reply) => replies.reply(reply),
                None => replies.say(250, (2, 0, 0), "Ok"),
            }
            return Step::Continue;
        }
        if let Some(decoder) = &chunks.decoder {
            chunks.intake.take_octets(decoder.finish()).await;
        }
        if let Some(chunks) = self.open.as_mut().and_then(|open| open.chunks.take()) {
            self.finish(chunks.intake, replies).await;
        }
        Step::Continue
    }

    /// Delivers a message that is in, and answers once for each `RCPT` that was accepted, in their order.
    pub(super) async fn finish(&mut self, intake: Intake, replies: &mut Replies) {
        let Some(open) = self.open.take() else { return };
        self.reset();
        self.errors = 0;
        let (envelope, named) = open.into_envelope();
        let outcomes = match intake.finish() {
            Ok(message) => self.deliver(&envelope, message).await,
            Err(reply) => vec![reply; envelope.recipients.len()],
        };
        let unknown = Reply::local_error("Local error in processing, try again later");
        for place in named {
            replies.outcome(outcomes.get(place).unwrap_or(&unknown));
        }
    }

    async fn deliver(&self, envelope: &Envelope, message: Message) -> Vec<Reply> {
        let receipts = self.reception.deliver.deliver(envelope, Arc::new(message)).await;
        receipts.iter().map(|receipt| Agent::reply(receipt)).collect()
    }

    fn xclient(&mut self, attributes: &str, replies: &mut Replies) -> Result<(), Refusal> {
        self.may_speak_for_others()?;
        let mut xclient = self.xclient.clone();
        xclient.take(attributes)?;
        self.xclient = xclient;
        // XCLIENT_README: the session begins anew, as that client's.
        self.reset();
        self.helo = None;
        self.greet(replies);
        Ok(())
    }

    fn xforward(&mut self, attributes: &str, replies: &mut Replies) -> Result<(), Refusal> {
        self.may_speak_for_others()?;
        self.xforward.take(attributes)?;
        replies.say(250, (2, 0, 0), "Ok");
        Ok(())
    }

    fn may_speak_for_others(&self) -> Result<(), Refusal> {
        if !self.peer.is_trusted {
            return Err(NOT_TRUSTED);
        }
        if self.open.is_some() { Err(IS_OPEN) } else { Ok(()) }
    }
}

fn recipient_address(path: &str, hostname: &str) -> Result<Address, Refusal> {
    let parsed = if path.eq_ignore_ascii_case("postmaster") {
        // RFC 5321 §4.1.1.3: the one address without a domain.
        Address::parse(&format!("{path}@{hostname}"))
    } else {
        Address::parse(path)
    };
    parsed.map_err(|_| Refusal::new(501, (5, 1, 3), "The recipient is not a mail address"))
}
