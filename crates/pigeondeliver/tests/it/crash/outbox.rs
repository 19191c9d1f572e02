//! A forward and a vacation answer across `kill -9` and the MTA's retries: each leaves exactly once.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Postfix, PostfixOptions, SinkMessage, SmtpSink, Transport, or_skip, wait_until};

use super::load::Random;
use crate::node::{Node, NodeOptions, PATIENCE};

const ANN: &str = "ann@example.org";
const MESSAGES: usize = 20;
/// How long an entry that a dead process was just sending is kept from the next one, and a little more.
const LEASE: Duration = Duration::from_secs(90);

/// A TCP port before the MTA's: closed, it takes connections and says nothing; open, it hands them on.
struct Gate {
    port: u16,
    shared: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    is_open: AtomicBool,
    held: Mutex<Vec<TcpStream>>,
}

impl Gate {
    fn before(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(GateState::default());
        let state = Arc::clone(&shared);
        // Ends with the test's process: it holds nothing but sockets.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.is_open.load(Ordering::Relaxed) {
                    // A broken connection is the client's affair.
                    hand_on(client, target).unwrap_or_default();
                } else {
                    state.held.lock().unwrap().push(client);
                }
            }
        });
        Self { port, shared }
    }

    fn open(&self) {
        self.shared.is_open.store(true, Ordering::Relaxed);
        self.shared.held.lock().unwrap().clear();
    }
}

fn hand_on(client: TcpStream, target: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target))?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            to.shutdown(Shutdown::Both).unwrap_or_default();
        });
    }
    Ok(())
}

/// A node whose mail comes from and leaves through one Postfix, the way out behind a gate.
struct Circle {
    node: Node,
    postfix: Postfix,
    outside: SmtpSink,
    gate: Gate,
    _directory: tempfile::TempDir,
}

impl Circle {
    fn start() -> Option<Self> {
        let outside = SmtpSink::smtp().unwrap();
        let directory = tempfile::Builder::new().prefix("pigeon-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let socket = directory.path().join("lmtp.sock");
        let options = PostfixOptions::new(Transport::LmtpUnix(socket.clone())).with_relay(outside.port());
        let postfix = or_skip(Postfix::start(&options))?;
        let gate = Gate::before(postfix.port());
        let submit = Some(format!("smtp://127.0.0.1:{}", gate.port));
        let node = Node::with(&NodeOptions { submit, ..NodeOptions::default() }, &[ANN]);
        std::os::unix::fs::symlink(node.socket(), socket).unwrap();
        node.set(ANN, &["forward.enabled=yes", "forward.to=ann@example.com"]);
        node.set(ANN, &["vacation.enabled=yes", "vacation.text=Gone fishing."]);
        Some(Self { node, postfix, outside, gate, _directory: directory })
    }

    /// Sends the message of that number, from a sender of its own.
    fn submit(&self, number: usize) {
        let message = format!(
            "From: Sam <{sender}>\r\nTo: {ANN}\r\nSubject: number {number}\r\nMessage-ID: <{number}@example.net>\r\n\r\n{}",
            "a line of the message\r\n".repeat(1 + number * 97 % 3000),
            sender = sender(number),
        );
        let submission = self.postfix.submit_smtp(&sender(number), &[ANN], message.as_bytes()).unwrap();
        assert!(submission.is_accepted(), "{submission:?}");
    }

    fn state(&self, what: &str) -> String {
        format!("{what}\n{}\n{}", self.postfix.maillog(), self.node.log())
    }

    /// Waits until Postfix got rid of everything for ann.
    fn settle(&self) {
        self.postfix.flush().unwrap();
        assert!(self.postfix.wait_for_empty_queue(PATIENCE), "{}", self.state("the queue does not empty"));
    }

    /// How often each message was sent on, and answered.
    fn counts(&self) -> Vec<(usize, usize)> {
        let messages = self.outside.messages();
        let count =
            |is_it: &dyn Fn(&SinkMessage) -> bool| messages.iter().filter(|message| is_it(message)).count();
        (0..MESSAGES)
            .map(|number| {
                let id = format!("Message-ID: <{number}@example.net>\r\n");
                let is_redirect = |message: &SinkMessage| {
                    message.recipients == ["ann@example.com"] && message.text().contains(&id)
                };
                let is_answer = |message: &SinkMessage| message.recipients == [sender(number)];
                (count(&is_redirect), count(&is_answer))
            })
            .collect()
    }

    /// How many copies of each message are in the mailbox.
    fn copies(&self) -> Vec<usize> {
        let inbox = self.node.inbox(ANN);
        (0..MESSAGES)
            .map(|number| {
                let id = format!("Message-ID: <{number}@example.net>\n");
                inbox.iter().filter(|stored| stored.text().contains(&id)).count()
            })
            .collect()
    }
}

fn sender(number: usize) -> String {
    format!("sam-{number}@example.com")
}

/// Waits until there is a file more in a directory than there was; gives up after a second.
fn wait_for_file(directory: &Path, before: usize) {
    let end = Instant::now() + Duration::from_secs(1);
    while entries(directory) <= before && Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).map(Iterator::count).unwrap_or_default()
}

#[test]
fn each_redirect_and_answer_leaves_exactly_once_across_crashes_and_retries() {
    let Some(mut circle) = Circle::start() else { return };
    let mut random = Random::any();
    let maildir = circle.node.maildir(ANN);
    let outbox = circle.node.path().join("state/outbox");
    circle.node.start();
    // The way out is closed, so that no kill can fall between the MTA's "taken" and our note of it: before that moment
    // exactly once is a promise; in it, SMTP knows no better than at least once.
    for number in 0..MESSAGES {
        let (new, tmp, staged) = (maildir.join("new"), maildir.join("tmp"), outbox.clone());
        let watched = [Some(new), Some(tmp), Some(staged), None];
        let watched = watched[number % 4].as_deref().map(|directory| (directory, entries(directory)));
        circle.submit(number);
        match watched {
            // As soon as the entry is staged, the file begun, the copy in place.
            Some((directory, before)) => wait_for_file(directory, before),
            None => std::thread::sleep(Duration::from_millis(random.between(0, 60))),
        }
        circle.node.kill9();
        circle.node.start();
        circle.settle();
    }
    // Committed, and not yet sent: the last process dies with everything still to be sent.
    assert_eq!(circle.counts(), [(0, 0); MESSAGES], "something left through a closed gate");
    circle.node.kill9();
    circle.gate.open();
    circle.node.start();

    let is_complete = || circle.counts().iter().all(|(redirects, answers)| *redirects > 0 && *answers > 0);
    let complete = wait_until(LEASE, || is_complete().then_some(()));
    assert!(complete.is_some(), "{:?}\n{}", circle.counts(), circle.state("not everything left"));
    std::thread::sleep(Duration::from_secs(2));
    circle.settle();
    let copies = circle.copies();
    println!(
        "{} of {MESSAGES} messages are stored again after a kill",
        copies.iter().filter(|count| **count > 1).count()
    );
    assert_eq!(circle.counts(), [(1, 1); MESSAGES], "{}", circle.state("not exactly once"));
    assert!(copies.iter().all(|count| *count >= 1), "{copies:?}\n{}", circle.state("a copy is missing"));
}

#[test]
fn nothing_that_was_to_leave_is_lost_when_the_sending_process_is_killed() {
    let Some(mut circle) = Circle::start() else { return };
    let mut random = Random::any();
    circle.gate.open();
    circle.node.start();
    for number in 0..MESSAGES {
        circle.submit(number);
        std::thread::sleep(Duration::from_millis(random.between(0, 120)));
        circle.node.kill9();
        circle.node.start();
    }
    circle.settle();
    let is_complete = || circle.counts().iter().all(|(redirects, answers)| *redirects > 0 && *answers > 0);
    let complete = wait_until(LEASE, || is_complete().then_some(()));
    assert!(complete.is_some(), "{:?}\n{}", circle.counts(), circle.state("not everything left"));
    circle.settle();
    let again: usize = circle.counts().iter().map(|(redirects, answers)| redirects + answers - 2).sum();
    println!(
        "{again} of {} mails left twice: killed between the MTA's reply and our note of it",
        2 * MESSAGES
    );
    // One kill can repeat no more than what was being sent at that moment.
    assert!(
        circle.counts().iter().all(|(redirects, answers)| *redirects <= 3 && *answers <= 3),
        "{:?}",
        circle.counts()
    );
    assert!(circle.copies().iter().all(|count| *count >= 1), "{:?}", circle.copies());
}
