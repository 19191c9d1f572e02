//! Dialogs in files: what a client says, and what the server must answer.
//!
//! ```text
//! # comment
//! @ host 192.0.2.1:2525 | plaintext | tls | failures 2 | errors 3 | login 100 | idle 100 | command 100
//! C: a line, sent with CR LF          (several C and R in a row are sent in one write)
//! R: octets, sent as they stand       (\r \n \t \0 \\ \xNN are understood in both)
//! *: the same octets many times: `*: 1000 x`
//! S: a line of the answer, * is anything
//! W: wait so many milliseconds
//! L: log in as ann@example.org
//! X: the server has hung up
//! ```

use std::sync::Arc;
use std::time::Duration;

use pigeon_frontends::managesieve::{Peer, serve_stream};
use pigeon_frontends::stop::Stopping;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::desk::{limits, server};
use super::sockets::certificate;
use crate::it::dialog_script::{is_like, unescape};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// `\0ann@example.org\0secret`
const LOGIN: &str = "AUTHENTICATE \"PLAIN\" \"AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\"";

/// Plays a dialog against a session; says at which line it went another way.
pub(crate) async fn play(script: &str) -> Result<(), String> {
    let (mut limits, mut peer, mut is_plaintext) = (limits(), Peer(None), false);
    let mut files = None;
    for line in script.lines().filter_map(|line| line.strip_prefix("@ ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let time = || Duration::from_millis(value.parse().unwrap());
        match key {
            "host" => peer = Peer(Some(value.parse().unwrap())),
            "plaintext" => is_plaintext = true,
            "tls" => files = Some(certificate()),
            "failures" => limits.failures = value.parse().unwrap(),
            "errors" => limits.errors = value.parse().unwrap(),
            "login" => limits.login_time = time(),
            "idle" => limits.idle_time = time(),
            "command" => limits.command_time = time(),
            _ => panic!("unknown directive: {line}"),
        }
    }
    let mut server = server(limits);
    if is_plaintext {
        server = server.allowing_plaintext();
    }
    if let Some(files) = &files {
        server = server.with_certificate(Arc::clone(&files.certificate));
    }
    let (client, stream) = tokio::io::duplex(1 << 20);
    let task = tokio::spawn(serve_stream(Arc::new(server), stream, peer, Stopping::never()));
    let mut player = Player { client, read: Vec::new(), unsent: Vec::new() };
    for (number, line) in script.lines().enumerate() {
        player.line(line).await.map_err(|why| format!("line {}: {line}\n  {why}", number + 1))?;
    }
    player.send().await;
    player.client.shutdown().await.unwrap();
    let rest = player.until_closed().await.map_err(|why| format!("at the end: {why}"))?;
    if !rest.is_empty() {
        return Err(format!("at the end: unexpected {:?}", String::from_utf8_lossy(&rest)));
    }
    timeout(PATIENCE, task).await.map_err(|_| "the session does not end")?.map_err(|error| error.to_string())
}

struct Player {
    client: DuplexStream,
    read: Vec<u8>,
    unsent: Vec<u8>,
}

impl Player {
    async fn line(&mut self, line: &str) -> Result<(), String> {
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
            "*:" => {
                let (count, octets) = text.split_once(' ').unwrap();
                self.unsent.extend(unescape(octets).repeat(count.parse().unwrap()));
                Ok(())
            }
            "S:" => {
                self.send().await;
                let got = self.answer().await?;
                if is_like(text, &got) { Ok(()) } else { Err(format!("the server said: {got}")) }
            }
            "W:" => {
                self.send().await;
                tokio::time::sleep(Duration::from_millis(text.parse().unwrap())).await;
                Ok(())
            }
            "L:" => {
                self.unsent.extend_from_slice(format!("{LOGIN}\r\n").as_bytes());
                self.send().await;
                let got = self.answer().await?;
                if got.starts_with("OK") { Ok(()) } else { Err(format!("the server said: {got}")) }
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
        // A server that has hung up is seen by the answer that is missing.
        self.client.write_all(&std::mem::take(&mut self.unsent)).await.unwrap_or_default();
    }

    async fn answer(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let read = timeout(PATIENCE, self.client.read_buf(&mut self.read)).await;
            match read.map_err(|_| "the server says nothing")? {
                Ok(0) | Err(_) => {
                    return Err(format!("the server has hung up, after {}", self.read.escape_ascii()));
                }
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
