//! Dialogs in files: what a client says, and what the server must answer.
//!
//! ```text
//! # comment
//! @ trusted | stdio | tcp 192.0.2.1:2525 | recipients 2 | errors 3 | octets 100 | line 600 | time 100
//! C: a line, sent with CR LF          (several C and R in a row are sent in one write)
//! R: octets, sent as they stand       (\r \n \t \0 \\ \xNN are understood in both)
//! S: a reply line, * is anything
//! E: the envelope that reached the core, * is anything
//! M: octets of the message that reached the core; several in a row are one message
//! N: how many messages reached the core so far
//! X: the server has hung up
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::post_office::{PostOffice, reception};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who connects, and to what.
pub(crate) struct Setup {
    pub(crate) peer: Peer,
    pub(crate) limits: LmtpLimits,
}

/// Reads the `@` lines of a script.
pub(crate) fn setup(script: &str) -> Setup {
    let mut limits = LmtpLimits::default();
    let (mut is_trusted, mut is_stdio, mut address) = (false, false, None::<SocketAddr>);
    for line in script.lines().filter_map(|line| line.strip_prefix("@ ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "trusted" => is_trusted = true,
            "stdio" => is_stdio = true,
            "tcp" => address = Some(value.parse().unwrap()),
            "recipients" => limits.recipients = value.parse().unwrap(),
            "errors" => limits.errors = value.parse().unwrap(),
            "octets" => limits.message_octets = value.parse().unwrap(),
            "line" => limits.line_octets = value.parse().unwrap(),
            "time" => {
                let time = Duration::from_millis(value.parse().unwrap());
                (limits.command_time, limits.data_time, limits.idle_time) = (time, time, time);
            }
            _ => panic!("unknown directive: {line}"),
        }
    }
    let peer = match address {
        Some(address) => Peer::tcp(address, is_trusted),
        None if is_stdio => Peer::stdio(is_trusted),
        None => Peer::unix(is_trusted),
    };
    Setup { peer, limits }
}

/// Plays a dialog against a session; says at which line it went another way.
pub(crate) async fn play(script: &str) -> Result<(), String> {
    let Setup { peer, limits } = setup(script);
    let office = Arc::new(PostOffice::new());
    let (client, server) = tokio::io::duplex(1 << 20);
    let reception = reception(&office, Arc::new(NoSpool), limits);
    let task = tokio::spawn(serve_stream(reception, server, peer, Stopping::never()));
    let mut player = Player { client, read: Vec::new(), office: &office, unsent: Vec::new() };
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let is_last_of_message = !lines.peek().is_some_and(|(_, next)| next.starts_with("M:"));
        player
            .line(line, is_last_of_message)
            .await
            .map_err(|why| format!("line {}: {line}\n  {why}", number + 1))?;
    }
    player.send().await;
    player.client.shutdown().await.unwrap();
    let rest = player.until_closed().await.map_err(|why| format!("at the end: {why}"))?;
    if !rest.is_empty() {
        return Err(format!("at the end: unexpected {:?}", String::from_utf8_lossy(&rest)));
    }
    timeout(PATIENCE, task)
        .await
        .map_err(|_| "the session does not end".to_owned())?
        .map_err(|error| error.to_string())
}

struct Player<'a> {
    client: DuplexStream,
    read: Vec<u8>,
    office: &'a PostOffice,
    /// Octets of the client, or of an expected message, that are not complete yet.
    unsent: Vec<u8>,
}

impl Player<'_> {
    async fn line(&mut self, line: &str, is_last_of_message: bool) -> Result<(), String> {
        let (kind, text) = line.split_at_checked(2).unwrap_or((line, ""));
        let text = text.strip_prefix(' ').unwrap_or(text);
        match kind {
            "" | "# " | "@ " => Ok(()),
            "C:" => {
                self.unsent.extend(unescape(text));
                self.unsent.extend_from_slice(b"\r\n");
                Ok(())
            }
            "R:" => {
                self.unsent.extend(unescape(text));
                Ok(())
            }
            "S:" => {
                self.send().await;
                let got = self.reply().await?;
                if is_like(text, &got) { Ok(()) } else { Err(format!("the server said: {got}")) }
            }
            "E:" => {
                let seen = self.office.last().ok_or("no message reached the core")?;
                if is_like(text, &seen.envelope) { Ok(()) } else { Err(format!("it was: {}", seen.envelope)) }
            }
            "M:" => {
                self.unsent.extend(unescape(text));
                if !is_last_of_message {
                    return Ok(());
                }
                let expect = std::mem::take(&mut self.unsent);
                let seen = self.office.last().ok_or("no message reached the core")?;
                let shown = seen.octets.escape_ascii();
                if expect == seen.octets { Ok(()) } else { Err(format!("it was: {shown}")) }
            }
            "N:" => {
                let count = self.office.count();
                if text == count.to_string() { Ok(()) } else { Err(format!("it was: {count}")) }
            }
            "X:" => {
                self.send().await;
                let rest = self.until_closed().await?;
                if rest.is_empty() { Ok(()) } else { Err(format!("it said: {}", rest.escape_ascii())) }
            }
            _ => Err("not understood".to_owned()),
        }
    }

    async fn send(&mut self) {
        // A server that has hung up is seen by the reply that is missing.
        self.client.write_all(&std::mem::take(&mut self.unsent)).await.unwrap_or_default();
    }

    async fn reply(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let read = timeout(PATIENCE, self.client.read_buf(&mut self.read)).await;
            match read.map_err(|_| "the server says nothing")? {
                Ok(0) | Err(_) => return Err("the server has hung up".to_owned()),
                Ok(_) => {}
            }
        }
    }

    async fn until_closed(&mut self) -> Result<Vec<u8>, String> {
        let mut rest = std::mem::take(&mut self.read);
        let read = timeout(PATIENCE, self.client.read_to_end(&mut rest)).await;
        read.map_err(|_| "the server does not hang up")?.map_err(|error| error.to_string())?;
        Ok(rest)
    }
}

/// Whether a text matches a pattern in which `*` stands for anything.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| is_like(after, rest))
}

/// Octets of a script line.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("unknown escape {other:?} in {text}"),
        });
    }
    octets
}
