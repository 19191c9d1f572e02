//! A minimal blocking IMAP client (RFC 3501, quotas of RFC 2087): enough to see a mailbox as a reader does.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};

use super::PATIENCE;

/// One piece of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A bare word: number, flag, keyword, `NIL`.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// A parenthesised list.
    List(Vec<Value>),
}

impl Value {
    /// The atom or string as text; empty for a list.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Atom(text) => text.clone(),
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::List(_) => String::new(),
        }
    }

    fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            Self::Atom(_) | Self::Text(_) => &[],
        }
    }

    fn texts(&self) -> Vec<String> {
        self.list().iter().map(Self::text).collect()
    }
}

/// A folder in the answer to LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The name as on the wire, in modified UTF-7.
    pub name: String,
    /// Attributes such as `\HasNoChildren`.
    pub attributes: Vec<String>,
}

/// A message in the answer to FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedMessage {
    /// Flags, sorted; without `\Recent`, which says only who looked first.
    pub flags: Vec<String>,
    /// The unique identifier.
    pub uid: u32,
    /// The whole message, lines ending in CRLF.
    pub body: Vec<u8>,
}

/// One resource of a quota root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The root's name.
    pub root: String,
    /// `STORAGE` (in units of 1024 octets) or `MESSAGE`.
    pub resource: String,
    /// What is used.
    pub usage: u64,
    /// What is allowed.
    pub limit: u64,
}

/// A connection to an IMAP server.
#[derive(Debug)]
pub struct ImapClient {
    reader: BufReader<TcpStream>,
    count: u32,
    greeting: String,
}

impl ImapClient {
    /// Connects to this port of 127.0.0.1 and reads the greeting.
    ///
    /// # Errors
    ///
    /// Fails if nothing listens or the greeting is not `* OK`.
    pub fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { reader: BufReader::new(stream), count: 0, greeting: String::new() };
        client.greeting = String::from_utf8_lossy(&client.response()?).into_owned();
        ensure!(client.greeting.starts_with("* OK"), "not an IMAP greeting: {}", client.greeting);
        Ok(client)
    }

    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses.
    pub fn login(port: u16, name: &str, password: &str) -> anyhow::Result<Self> {
        let mut client = Self::connect(port)?;
        client.command(&format!("LOGIN {} {}", quoted(name), quoted(password)))?;
        Ok(client)
    }

    /// Sends one command without its tag; returns the untagged responses, each split into values.
    ///
    /// # Errors
    ///
    /// Fails if the answer is not OK; the error shows it.
    pub fn command(&mut self, command: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        self.count += 1;
        let tag = format!("a{} ", self.count);
        self.reader.get_mut().write_all(format!("{tag}{command}\r\n").as_bytes())?;
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(rest) = response.strip_prefix(b"* ") {
                untagged.push(Parser { rest }.values());
            } else if let Some(rest) = response.strip_prefix(tag.as_bytes()) {
                ensure!(rest.starts_with(b"OK"), "{command}: {}", String::from_utf8_lossy(rest));
                return Ok(untagged);
            } else {
                bail!("{command}: unexpected {}", String::from_utf8_lossy(&response));
            }
        }
    }

    /// Opens a folder; returns the number of its messages.
    ///
    /// # Errors
    ///
    /// Fails if there is no such folder.
    pub fn select(&mut self, folder: &str) -> anyhow::Result<u32> {
        let responses = self.command(&format!("SELECT {}", quoted(folder)))?;
        responses
            .iter()
            .find_map(|values| match values.as_slice() {
                [number, Value::Atom(word)] if word == "EXISTS" => number.text().parse().ok(),
                _ => None,
            })
            .context("SELECT without EXISTS")
    }

    /// All folders, sorted by name.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses.
    pub fn list(&mut self) -> anyhow::Result<Vec<Folder>> {
        self.folders("LIST")
    }

    /// The subscribed folders, sorted by name.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses.
    pub fn subscriptions(&mut self) -> anyhow::Result<Vec<Folder>> {
        self.folders("LSUB")
    }

    fn folders(&mut self, verb: &str) -> anyhow::Result<Vec<Folder>> {
        let responses = self.command(&format!("{verb} \"\" \"*\""))?;
        let mut folders: Vec<Folder> = responses
            .iter()
            .filter_map(|values| match values.as_slice() {
                [word, attributes, _, name] if word.text() == verb => {
                    Some(Folder { name: name.text(), attributes: attributes.texts() })
                }
                _ => None,
            })
            .collect();
        folders.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(folders)
    }

    /// Every message of the open folder, in order, without setting `\Seen`.
    ///
    /// # Errors
    ///
    /// Fails if no folder is open.
    pub fn fetch_all(&mut self) -> anyhow::Result<Vec<FetchedMessage>> {
        let responses = self.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")?;
        let mut messages = Vec::new();
        for values in &responses {
            let [_, Value::Atom(word), Value::List(items)] = values.as_slice() else { continue };
            if word == "FETCH" {
                messages.push(fetched(items)?);
            }
        }
        Ok(messages)
    }

    /// The quotas that hold for a folder, all resources of all roots.
    ///
    /// # Errors
    ///
    /// Fails if the server has no quotas.
    pub fn quotas(&mut self, folder: &str) -> anyhow::Result<Vec<Quota>> {
        let responses = self.command(&format!("GETQUOTAROOT {}", quoted(folder)))?;
        let mut quotas = Vec::new();
        for values in &responses {
            let [word, root, Value::List(resources)] = values.as_slice() else { continue };
            if word.text() != "QUOTA" {
                continue;
            }
            for triple in resources.chunks(3) {
                let [resource, usage, limit] = triple else { bail!("not a quota: {values:?}") };
                let (usage, limit) = (usage.text().parse()?, limit.text().parse()?);
                quotas.push(Quota { root: root.text(), resource: resource.text(), usage, limit });
            }
        }
        Ok(quotas)
    }

    /// One response with its literals (RFC 3501 §4.3).
    fn response(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            let length = self.reader.read_until(b'\n', &mut response)?;
            ensure!(length > 0, "connection closed");
            let line = response.get(start..).unwrap_or_default();
            let Some(size) = literal_size(line) else { break };
            (&mut self.reader).take(size).read_to_end(&mut response)?;
        }
        Ok(response)
    }
}

/// The number in `{…}` at the end of a line.
fn literal_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, size) = text.trim_end().strip_suffix('}')?.rsplit_once('{')?;
    size.parse().ok()
}

fn fetched(items: &[Value]) -> anyhow::Result<FetchedMessage> {
    let mut message = FetchedMessage { flags: Vec::new(), uid: 0, body: Vec::new() };
    for pair in items.chunks(2) {
        let [name, value] = pair else { bail!("not pairs: {items:?}") };
        match (name.text().as_str(), value) {
            ("UID", value) => message.uid = value.text().parse()?,
            ("FLAGS", value) => message.flags = value.texts(),
            ("BODY[]", Value::Text(body)) => message.body.clone_from(body),
            _ => {}
        }
    }
    message.flags.retain(|flag| flag != "\\Recent");
    message.flags.sort();
    Ok(message)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Splits a response into values.
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    /// All values up to the closing parenthesis or the end.
    fn values(&mut self) -> Vec<Value> {
        let mut values = Vec::new();
        while let Some((&byte, after)) = self.rest.split_first() {
            match byte {
                b' ' | b'\r' | b'\n' => self.rest = after,
                b')' => {
                    self.rest = after;
                    break;
                }
                b'(' => {
                    self.rest = after;
                    values.push(Value::List(self.values()));
                }
                b'"' => {
                    self.rest = after;
                    values.push(self.quoted());
                }
                b'{' => values.push(self.literal()),
                _ => values.push(self.atom()),
            }
        }
        values
    }

    fn quoted(&mut self) -> Value {
        let mut text = Vec::new();
        while let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            match (byte, after.split_first()) {
                (b'"', _) => break,
                (b'\\', Some((&escaped, after))) => {
                    text.push(escaped);
                    self.rest = after;
                }
                _ => text.push(byte),
            }
        }
        Value::Text(text)
    }

    fn literal(&mut self) -> Value {
        let end = self.rest.iter().position(|&byte| byte == b'\n').map_or(self.rest.len(), |index| index + 1);
        let (line, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        let size = literal_size(line).and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
        let (text, after) = after.split_at_checked(size).unwrap_or((after, &[]));
        self.rest = after;
        Value::Text(text.to_vec())
    }

    fn atom(&mut self) -> Value {
        let end = self
            .rest
            .iter()
            .position(|byte| matches!(byte, b' ' | b'(' | b')' | b'\r' | b'\n'))
            .unwrap_or(self.rest.len());
        let (atom, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = after;
        Value::Atom(String::from_utf8_lossy(atom).into_owned())
    }
}
