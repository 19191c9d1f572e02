//! Starts a program in its own process group, feeds it the message and takes what it prints.
//!
//! Whatever happens, nothing of it is left: the group is killed when the program has ended, when its time is up, and
//! when the delivery is given up; the sandbox keeps processes from leaving the group.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::message::{Body, CHUNK_OCTETS, Message, MessageWriter, WriteError};
use pigeon_core::ports::spool::Spool;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::program::{Output, PLACEHOLDERS, Program};
use super::sandbox::{Cage, FAILED, HELPER, MARK};
use super::{Config, Confinement};

/// What is kept of what a program says on its standard error.
const SAID_OCTETS: usize = 4096;
/// What programs find at all.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

static RUNS: AtomicU64 = AtomicU64::new(0);
static IS_WARNED: AtomicBool = AtomicBool::new(false);

/// How a program ended.
pub(super) struct Ran {
    /// Its exit code, where no signal ended it.
    pub(super) code: Option<u8>,
    /// The signal.
    pub(super) signal: i32,
    /// What it printed, where that is wanted.
    pub(super) output: Option<Message>,
    /// What it said on its standard error, as far as that is kept.
    pub(super) said: String,
}

/// A process group that does not outlive this value.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // An error is what is hoped for: nothing of it is left.
            if kill_process_group(pid, Signal::KILL).is_ok() {
                tracing::debug!("killed what a program left running");
            }
        }
    }
}

/// A directory that does not outlive this value.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("pigeon-command-{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let scratch = Self(path);
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&scratch.0, Some(user), Some(group))?;
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("the directory {} of a program cannot be deleted: {error}", self.0.display());
        }
    }
}

/// Runs a program over the message of a delivery.
pub(super) async fn run(
    config: &Config,
    spool: &Arc<dyn Spool>,
    (name, program): (&str, &Program),
    delivery: &mut Delivery,
) -> Result<Ran, Fault> {
    let failed = |what: &str, error: io::Error| Fault::temporary(format!("{name}: {what}: {error}"));
    let owner = geteuid().is_root().then_some((config.run_as.0, config.run_as.1));
    let scratch = Scratch::make(&config.scratch, owner).map_err(|error| {
        failed(&format!("a directory in {} cannot be made", config.scratch.display()), error)
    })?;
    let cage = cage(config, program, &scratch.0, delivery);
    let mut child = start(config, &cage, owner).map_err(|error| failed("it cannot be started", error))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let limit = Duration::from_secs(u64::from(program.seconds));
    let talk = talk(&mut child, group, spool, (program, delivery));
    let ran = match tokio::time::timeout(limit, talk).await {
        Ok(ran) => ran.map_err(|error| match error {
            WriteError::TooLarge { limit } => {
                Fault::temporary(format!("{name} printed more than {limit} octets"))
            }
            WriteError::Spool(error) => failed("talking to it", error),
        })?,
        Err(_) => return Err(Fault::temporary(format!("{name} took longer than {} s", program.seconds))),
    };
    without_marks(name, ran)
}

/// Takes what the sandbox said out of what the program said.
fn without_marks(name: &str, mut ran: Ran) -> Result<Ran, Fault> {
    let (marked, said): (Vec<&str>, Vec<&str>) = ran.said.lines().partition(|line| line.starts_with(MARK));
    if ran.code == Some(FAILED) && !marked.is_empty() {
        return Err(Fault::temporary(format!("{name}: {}", marked.join("; "))));
    }
    if !marked.is_empty() && !IS_WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!("programs run with less protection than they should: {}", marked.join("; "));
    }
    ran.said = said.join("\n");
    Ok(ran)
}

fn cage(config: &Config, program: &Program, scratch: &Path, delivery: &Delivery) -> Cage {
    let values = values(delivery);
    let fill = |text: &String| {
        let mut filled = text.clone();
        // One after the other would fill in what a value looks like.
        if let Some(at) = PLACEHOLDERS.iter().position(|(placeholder, _)| text.contains(placeholder)) {
            filled = fill_in(text, &values, at);
        }
        filled
    };
    let home = scratch.display().to_string();
    let fixed = [("PATH", PATH), ("HOME", &home), ("TMPDIR", &home), ("LANG", "C.UTF-8")];
    let mut environment: Vec<(String, String)> =
        fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.extend(
        PLACEHOLDERS.iter().zip(&values).map(|((_, name), value)| ((*name).to_owned(), value.clone())),
    );
    environment.extend(program.environment.clone());
    let mut readable = program.readable.clone();
    readable.push(program.path.clone());
    // A script that the administrator names is to be read.
    readable.extend(program.arguments.iter().filter(|argument| argument.starts_with('/')).map(PathBuf::from));
    Cage {
        program: program.path.clone(),
        arguments: program.arguments.iter().map(fill).collect(),
        environment,
        scratch: scratch.to_owned(),
        readable,
        network: program.network,
        is_required: config.confinement == Confinement::Required,
        cpu_seconds: program.cpu_seconds.into(),
        memory: program.memory.0,
        file_size: program.file_size.0,
        processes: program.processes.into(),
        open_files: program.open_files.into(),
    }
}

/// The values of the placeholders, in their order.
fn values(delivery: &Delivery) -> [String; PLACEHOLDERS.len()] {
    [
        delivery.sender().to_string(),
        delivery.recipient().to_string(),
        delivery.account_address().to_string(),
        delivery.account_address().domain().to_string(),
        delivery.detail().unwrap_or_default().to_owned(),
        delivery.transaction().id.clone(),
        delivery.message().size().to_string(),
    ]
}

/// Puts values in the place of placeholders, from the left; what a value contains is not looked at again.
fn fill_in(text: &str, values: &[String], from: usize) -> String {
    let Some((placeholder, _)) = PLACEHOLDERS.get(from) else { return text.to_owned() };
    let value = values.get(from).map_or("", String::as_str);
    text.split(placeholder).map(|part| fill_in(part, values, from + 1)).collect::<Vec<_>>().join(value)
}

fn start(config: &Config, cage: &Cage, owner: Option<(u32, u32)>) -> io::Result<Child> {
    let helper =
        if config.helper.as_os_str().is_empty() { Path::new("/proc/self/exe") } else { &config.helper };
    let mut command = Command::new(helper);
    command
        .arg0(HELPER)
        .arg(serde_json::to_string(cage)?)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.spawn()
}

async fn talk(
    child: &mut Child,
    group: Group,
    spool: &Arc<dyn Spool>,
    (program, delivery): (&Program, &mut Delivery),
) -> Result<Ran, WriteError> {
    let message = Arc::clone(delivery.message());
    let head = delivery.header().render(message.head());
    let head = [head.prefix, head.head];
    let is_binary = message.is_binary();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let writer = MessageWriter::new(Arc::clone(spool), program.output_limit.0, is_binary);
    let is_wanted = program.output != Output::Ignore;
    let ended = async {
        let ended = child.wait().await;
        // What it left running would keep its output open.
        drop(group);
        ended
    };
    let (ended, _, output, said) = tokio::try_join!(
        async { Ok(ended.await?) },
        async { Ok(feed(stdin, head, message).await) },
        async { take(stdout, writer, is_wanted).await },
        async { Ok(listen(stderr).await) }
    )?;
    let code = ended.code().map(|code| u8::try_from(code).unwrap_or(u8::MAX));
    let output = is_wanted.then(|| output.finish());
    Ok(Ran { code, signal: ended.signal().unwrap_or_default(), output, said })
}

/// Writes the message. A program that does not read to the end is none that failed.
async fn feed(stdin: Option<ChildStdin>, head: [Bytes; 2], message: Arc<Message>) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    for part in &head {
        stdin.write_all(part).await?;
    }
    if let Body::Memory(chunks) = message.body() {
        for chunk in chunks {
            stdin.write_all(chunk).await?;
        }
        return stdin.shutdown().await;
    }
    let mut offset = 0;
    loop {
        let shared = Arc::clone(&message);
        let piece = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; CHUNK_OCTETS];
            let count = shared.read_body(offset, &mut piece)?;
            piece.truncate(count);
            Ok::<_, io::Error>(piece)
        });
        let piece = piece.await.map_err(io::Error::other)??;
        if piece.is_empty() {
            return stdin.shutdown().await;
        }
        offset += piece.len() as u64;
        stdin.write_all(&piece).await?;
    }
}

/// Takes what the program prints, with lines ended by LF; what is not wanted is counted and thrown away.
async fn take(
    stdout: Option<impl AsyncRead + Unpin>,
    mut writer: MessageWriter,
    is_wanted: bool,
) -> Result<MessageWriter, WriteError> {
    let Some(mut stdout) = stdout else { return Ok(writer) };
    let mut buffer = vec![0; CHUNK_OCTETS];
    let mut ends_in_cr = false;
    loop {
        let count = stdout.read(&mut buffer).await?;
        if !is_wanted && count > 0 {
            continue;
        }
        let read = buffer.get(..count).unwrap_or_default();
        let piece = with_plain_line_ends(read, &mut ends_in_cr);
        writer = tokio::task::spawn_blocking(move || writer.write(&piece).map(|()| writer))
            .await
            .map_err(io::Error::other)??;
        if count == 0 {
            return Ok(writer);
        }
    }
}

/// CRLF becomes LF, also where a piece ends between the two; a CR alone stays. No bytes: the end.
fn with_plain_line_ends(bytes: &[u8], ends_in_cr: &mut bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len() + 1);
    let mut is_held = std::mem::take(ends_in_cr);
    for byte in bytes {
        if is_held && *byte != b'\n' {
            plain.push(b'\r');
        }
        is_held = *byte == b'\r';
        if !is_held {
            plain.push(*byte);
        }
    }
    if is_held && bytes.is_empty() {
        plain.push(b'\r');
    }
    *ends_in_cr = is_held && !bytes.is_empty();
    plain
}

/// The beginning of what it says; the rest is read and forgotten, so that it can go on.
async fn listen(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut said = Vec::new();
    let Some(mut stderr) = stderr else { return String::new() };
    let mut buffer = vec![0; SAID_OCTETS];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let room = SAID_OCTETS.saturating_sub(said.len()).min(count);
        said.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&said).into_owned();
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once() {
        let values: Vec<String> =
            ["{recipient}", "b@x", "c@x", "x", "d {id}", "7", "9"].iter().map(ToString::to_string).collect();
        let check = |text: &str, expect: &str| assert_eq!(fill_in(text, &values, 0), expect, "{text}");
        check("{sender}", "{recipient}");
        check("{recipient}/{detail}/{id}", "b@x/d {id}/7");
        check("{size}{size}{other}", "99{other}");
        check("plain", "plain");
    }

    #[test]
    fn line_ends_become_plain_wherever_pieces_end() {
        let text = b"a\r\nb\rc\r\r\nd\n\r";
        for cut in 1..text.len() {
            let mut ends_in_cr = false;
            let mut plain = Vec::new();
            for piece in text.chunks(cut).chain([&b""[..]]) {
                plain.extend(with_plain_line_ends(piece, &mut ends_in_cr));
            }
            assert_eq!(plain, b"a\nb\rc\r\nd\n\r", "{cut}");
        }
    }
}
