//! A small HTTP server for tests: it answers as it is told and keeps what it was asked.

#![expect(clippy::expect_used, reason = "a test whose server cannot be made fails at that spot")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct HookAnswer {
    /// The status; zero closes the connection without a word.
    pub status: u16,
    /// Header lines besides the usual ones, each ended by CRLF.
    pub fields: String,
    /// The body.
    pub body: String,
    /// How long it waits first.
    pub delay: Duration,
}

impl HookAnswer {
    /// An answer with that status and body, at once.
    #[must_use]
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), ..Self::default() }
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// The request line and the header, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl HookRequest {
    /// The value of a header field, whatever its case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.head.lines().find(is_it)?.split_once(": ").map(|(_, value)| value)
    }
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<HookAnswer>,
    requests: Vec<HookRequest>,
}

/// The server; it listens until the process ends.
#[derive(Debug, Clone)]
pub struct HookServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl HookServer {
    /// Starts on a free port of 127.0.0.1; the last of `answers` is given again and again.
    #[must_use]
    pub fn start(answers: Vec<HookAnswer>) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), answers)
    }

    /// The same at an address.
    #[must_use]
    pub fn start_on(address: SocketAddr, answers: Vec<HookAnswer>) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        let script = Arc::new(Mutex::new(Script { answers: answers.into(), requests: Vec::new() }));
        let server = Self { address, script };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let server = shared.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it was asked.
    #[must_use]
    pub fn requests(&self) -> Vec<HookRequest> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// Reads one request, answers it, and closes. A client that goes away is its own affair.
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let mut request = HookRequest { head, body: String::new() };
        let length = request.field("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        request.body = String::from_utf8_lossy(&body).into_owned();
        let answer = {
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            script.requests.push(request);
            let last = script.answers.len() <= 1;
            let answer = if last { script.answers.front().cloned() } else { script.answers.pop_front() };
            answer.unwrap_or_else(|| HookAnswer::new(204, ""))
        };
        std::thread::sleep(answer.delay);
        if answer.status > 0 {
            let head = format!(
                "HTTP/1.1 {} Answer\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n",
                answer.status,
                answer.body.len(),
                answer.fields
            );
            stream.write_all(format!("{head}{}", answer.body).as_bytes()).unwrap_or_default();
        }
    }
}
