//! The log on standard error: lines for people or JSON, written behind the deliveries in batches.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::SystemClock;
use crate::config::{Log, LogFormat, LogLevel};
use pigeon_core::clock::Clock as _;

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(5);
/// Past this many waiting octets whoever logs waits for the writer: the log never takes all memory.
const MAX_WAITING_OCTETS: usize = 4 * 1024 * 1024;

/// Starts the log; the guard writes what is left when it is dropped.
#[must_use]
pub fn start(log: &Log) -> Guard {
    let buffer = Buffer::default();
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let format = tracing_subscriber::fmt().with_max_level(level).with_writer(buffer.clone()).with_timer(Utc);
    match log.format {
        LogFormat::Text => format.with_ansi(false).with_target(false).init(),
        LogFormat::Json => format.json().flatten_event(true).init(),
    }
    let writer = buffer.clone();
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run());
    if thread.is_err() {
        // No thread: whoever logs writes, slower but complete.
        buffer.0.state.lock().unwrap_or_else(PoisonError::into_inner).is_direct = true;
    }
    Guard(buffer)
}

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", SystemClock::default().now())
    }
}

/// Writes what is left of the log when it is dropped.
pub struct Guard(Buffer);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush_now();
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_direct: bool,
}

impl Buffer {
    fn run(&self) {
        loop {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            while state.waiting.is_empty() {
                state = self.0.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            std::thread::sleep(GATHER);
            self.flush_now();
        }
    }

    fn flush_now(&self) {
        // The lock is kept while writing, so that lines stay in order.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nobody to tell when standard error is closed.
        drop(io::stderr().write_all(&state.waiting));
        state.waiting.clear();
        self.0.room.notify_all();
    }
}

impl Write for &Buffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting.len() > MAX_WAITING_OCTETS {
            state = self.0.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_direct {
            return io::stderr().write_all(line).map(|()| line.len());
        }
        if state.waiting.is_empty() {
            self.0.wake.notify_one();
        }
        state.waiting.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = &'a Self;
    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}
