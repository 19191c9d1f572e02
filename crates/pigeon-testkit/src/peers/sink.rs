//! An SMTP or LMTP server inside the test: it keeps what it gets and fails on demand.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::stream::Stream;
use super::wait_until;

/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// One message that the sink took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkMessage {
    /// The reverse-path without angle brackets; empty for the null sender.
    pub sender: String,
    /// What followed the reverse-path: SIZE, BODY and the like.
    pub parameters: String,
    /// The accepted recipients without angle brackets, in order, repeated ones too.
    pub recipients: Vec<String>,
    /// The message, dots undone, lines ending as they came.
    pub data: Vec<u8>,
}

impl SinkMessage {
    /// The message as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// Where in a transaction the sink fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SinkStage {
    /// The reply to MAIL FROM.
    Sender,
    /// The reply to each RCPT TO.
    Recipient,
    /// The reply to the final dot.
    End,
}

#[derive(Debug, Default)]
struct Script {
    messages: Vec<SinkMessage>,
    failures: BTreeMap<SinkStage, (u32, String)>,
    refused: BTreeMap<String, String>,
    drops: u32,
    connections: Vec<Stream>,
    is_stopped: bool,
}

type Shared = Arc<Mutex<Script>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Script> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(u16),
    Unix(PathBuf),
}

/// A running sink; dropping it closes every connection and ends its threads.
#[derive(Debug)]
pub struct SmtpSink {
    place: Place,
    shared: Shared,
    thread: Option<JoinHandle<()>>,
}

impl SmtpSink {
    /// Starts an SMTP server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Fails if no port can be bound.
    pub fn smtp() -> io::Result<Self> {
        Self::tcp(false)
    }

    /// Starts an LMTP server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Fails if no port can be bound.
    pub fn lmtp_tcp() -> io::Result<Self> {
        Self::tcp(true)
    }

    /// Starts an LMTP server on a Unix socket that every user may connect to.
    ///
    /// # Errors
    ///
    /// Fails if the socket cannot be made.
    pub fn lmtp_unix(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o777))?;
        Self::start(Listener::Unix(listener), Place::Unix(path.to_owned()), true)
    }

    fn tcp(is_lmtp: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        Self::start(Listener::Tcp(listener), Place::Tcp(port), is_lmtp)
    }

    fn start(listener: Listener, place: Place, is_lmtp: bool) -> io::Result<Self> {
        let shared = Shared::default();
        let accepting = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("mail-sink".to_owned())
            .spawn(move || accept(&listener, &accepting, is_lmtp))?;
        Ok(Self { place, shared, thread: Some(thread) })
    }

    /// The TCP port; 0 on a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.place {
            Place::Tcp(port) => port,
            Place::Unix(_) => 0,
        }
    }

    /// What it took so far, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<SinkMessage> {
        lock(&self.shared).messages.clone()
    }

    /// Waits until it took at least `count` messages; returns what it took, be it fewer.
    #[must_use]
    pub fn wait_for(&self, count: usize, patience: Duration) -> Vec<SinkMessage> {
        wait_until(patience, || Some(self.messages()).filter(|messages| messages.len() >= count))
            .unwrap_or_else(|| self.messages())
    }

    /// Answers `reply` (such as `451 4.3.0 try later`) the next `times` times at this stage; nothing is kept then.
    pub fn fail_next(&self, stage: SinkStage, times: u32, reply: &str) {
        lock(&self.shared).failures.insert(stage, (times, reply.to_owned()));
    }

    /// Answers `reply` to every RCPT TO of this address.
    pub fn refuse(&self, recipient: &str, reply: &str) {
        lock(&self.shared).refused.insert(recipient.to_owned(), reply.to_owned());
    }

    /// Keeps the next `times` messages and closes the connection instead of replying to the final dot.
    pub fn drop_next(&self, times: u32) {
        lock(&self.shared).drops = times;
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        {
            let mut script = lock(&self.shared);
            script.is_stopped = true;
            script.connections.iter().for_each(Stream::close);
        }
        // The accepting thread wakes up for one last connection.
        match &self.place {
            Place::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).map(drop).unwrap_or_default(),
            Place::Unix(path) => UnixStream::connect(path).map(drop).unwrap_or_default(),
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

fn accept(listener: &Listener, shared: &Shared, is_lmtp: bool) {
    let mut threads = Vec::new();
    loop {
        let stream = match listener {
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        };
        let Ok(stream) = stream else { break };
        let Ok(copy) = stream.try_clone() else { break };
        {
            let mut script = lock(shared);
            if script.is_stopped {
                break;
            }
            script.connections.push(copy);
        }
        let shared = Arc::clone(shared);
        threads.push(std::thread::spawn(move || {
            // A broken connection is the other side's affair.
            Session::new(&stream, shared, is_lmtp).and_then(Session::run).unwrap_or_default();
            stream.close();
        }));
    }
    for thread in threads {
        thread.join().unwrap_or_default();
    }
}

/// One connection.
struct Session {
    reader: BufReader<Stream>,
    writer: Stream,
    shared: Shared,
    is_lmtp: bool,
    envelope: Option<SinkMessage>,
}

impl Session {
    fn new(stream: &Stream, shared: Shared, is_lmtp: bool) -> io::Result<Self> {
        stream.limit_reads(IDLE)?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { reader, writer: stream.try_clone()?, shared, is_lmtp, envelope: None })
    }

    fn run(mut self) -> io::Result<()> {
        self.say("220 sink.example.net ready")?;
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, argument) = line.split_once([' ', ':']).unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "LHLO" => self.hello()?,
                "MAIL" => self.sender(argument)?,
                "RCPT" => self.recipient(argument)?,
                "DATA" => {
                    if !self.data()? {
                        return Ok(());
                    }
                }
                "RSET" => {
                    self.envelope = None;
                    self.say("250 2.0.0 ok")?;
                }
                "HELO" | "NOOP" => self.say("250 2.0.0 ok")?,
                "QUIT" => return self.say("221 2.0.0 bye"),
                _ => self.say("500 5.5.2 unknown command")?,
            }
        }
    }

    fn hello(&mut self) -> io::Result<()> {
        self.say(
            "250-sink.example.net\r\n250-PIPELINING\r\n250-SIZE 209715200\r\n250-ENHANCEDSTATUSCODES\r\n\
             250-8BITMIME\r\n250 SMTPUTF8",
        )
    }

    fn sender(&mut self, argument: &str) -> io::Result<()> {
        if let Some(reply) = self.failure(SinkStage::Sender) {
            return self.say(&reply);
        }
        let (sender, parameters) = path(argument);
        self.envelope = Some(SinkMessage { sender, parameters, recipients: Vec::new(), data: Vec::new() });
        self.say("250 2.1.0 ok")
    }

    fn recipient(&mut self, argument: &str) -> io::Result<()> {
        let (recipient, _) = path(argument);
        let refused = lock(&self.shared).refused.get(&recipient).cloned();
        if let Some(reply) = refused.or_else(|| self.failure(SinkStage::Recipient)) {
            return self.say(&reply);
        }
        let Some(envelope) = &mut self.envelope else { return self.say("503 5.5.1 MAIL first") };
        envelope.recipients.push(recipient);
        self.say("250 2.1.5 ok")
    }

    /// Returns whether the connection goes on.
    fn data(&mut self) -> io::Result<bool> {
        let Some(mut message) = self.envelope.take().filter(|message| !message.recipients.is_empty()) else {
            self.say("503 5.5.1 RCPT first")?;
            return Ok(true);
        };
        self.say("354 go ahead")?;
        if !self.read_data(&mut message.data)? {
            return Ok(false);
        }
        // RFC 2033 §4.2: LMTP gives one reply for each recipient.
        let replies = if self.is_lmtp { message.recipients.len() } else { 1 };
        let reply = match self.failure(SinkStage::End) {
            Some(reply) => reply,
            None if self.keep(message) => return Ok(false),
            None => "250 2.0.0 taken".to_owned(),
        };
        for _ in 0..replies {
            self.say(&reply)?;
        }
        Ok(true)
    }

    /// Reads up to the final dot; false if the connection ended before.
    fn read_data(&mut self, data: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            if line == b".\r\n" {
                return Ok(true);
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// Keeps the message; true if the connection is to be dropped.
    fn keep(&self, message: SinkMessage) -> bool {
        let mut script = lock(&self.shared);
        script.messages.push(message);
        let is_dropped = script.drops > 0;
        script.drops = script.drops.saturating_sub(1);
        is_dropped
    }

    /// The scripted failure, if one is due at this stage.
    fn failure(&self, stage: SinkStage) -> Option<String> {
        let mut script = lock(&self.shared);
        let (times, reply) = script.failures.get_mut(&stage)?;
        *times = times.checked_sub(1)?;
        Some(reply.clone())
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(format!("{line}\r\n").as_bytes())
    }
}

/// The path of `FROM:<a@b> SIZE=1` without its angle brackets, and what follows it.
fn path(argument: &str) -> (String, String) {
    let after = argument.split_once('<').map_or(argument, |(_, after)| after);
    let (path, parameters) = after.rsplit_once('>').unwrap_or((after, ""));
    (path.to_owned(), parameters.trim().to_owned())
}
