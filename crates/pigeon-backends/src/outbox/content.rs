//! The bytes of outbox entries: files in `outbox/` of the state directory, as they go out but with lines
//! ended by LF.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr_iter;
use pigeon_core::message::{CHUNK_OCTETS, Message};
use pigeon_core::ports::state::OutboxContent;
use pigeon_core::timestamp::Timestamp;
use uuid::{NoContext, Uuid};

/// The directory below the state directory.
const DIRECTORY: &str = "outbox";
/// A file without a row is left over from a crash when it is as old as this.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);

/// A content that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The name of its file.
    pub(crate) file: String,
    /// Octets with lines ended by CRLF.
    pub(crate) octets: u64,
    /// Whether there are octets above 127.
    pub(crate) is_8bit: bool,
}

/// Where that file is.
pub(crate) fn path(state_directory: &Path, file: &str) -> PathBuf {
    state_directory.join(DIRECTORY).join(file)
}

/// Writes contents durably, one result for each, in order; equal ones share a file.
pub(crate) fn write_all(
    state_directory: &Path,
    contents: &[&OutboxContent],
    now: Timestamp,
) -> io::Result<Vec<Content>> {
    let directory = state_directory.join(DIRECTORY);
    match fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
        Ok(()) => File::open(state_directory)?.sync_all()?,
    }
    let mut written: Vec<Content> = Vec::with_capacity(contents.len());
    for (index, content) in contents.iter().enumerate() {
        let twin = contents.iter().take(index).position(|earlier| is_equal(earlier, content));
        let made = match twin.and_then(|twin| written.get(twin)) {
            Some(twin) => twin.clone(),
            None => write(&directory, content, now)?,
        };
        written.push(made);
    }
    File::open(&directory)?.sync_all()?;
    Ok(written)
}

/// Whether two contents are the same octets, as far as that is known without reading them.
pub(crate) fn is_equal(one: &OutboxContent, other: &OutboxContent) -> bool {
    match (one, other) {
        (
            OutboxContent::Message { head, message },
            OutboxContent::Message { head: other_head, message: other_message },
        ) => head == other_head && Arc::ptr_eq(message, other_message),
        (OutboxContent::Own(bytes), OutboxContent::Own(other)) => bytes == other,
        _ => false,
    }
}

/// A new name that tells when it was made.
fn new_name(now: Timestamp) -> String {
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    format!("{}.eml", Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0)))
}

fn write(directory: &Path, content: &OutboxContent, now: Timestamp) -> io::Result<Content> {
    let file = new_name(now);
    let path = directory.join(&file);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut writer = CountingWriter { file: opened, measure: Measure::default() };
    let result = write_content(&mut writer, content).and_then(|()| writer.file.sync_all());
    if let Err(error) = result {
        // Best effort: a leftover is found by its age.
        drop(fs::remove_file(&path));
        return Err(error);
    }
    let Measure { octets, is_8bit, .. } = writer.measure;
    Ok(Content { file, octets, is_8bit })
}

fn write_content(writer: &mut CountingWriter, content: &OutboxContent) -> io::Result<()> {
    match content {
        OutboxContent::Own(bytes) => writer.put(bytes),
        OutboxContent::Message { head, message } => {
            writer.put(&head.prefix)?;
            writer.put(&head.head)?;
            write_body(writer, message)
        }
    }
}

fn write_body(writer: &mut CountingWriter, message: &Message) -> io::Result<()> {
    let capacity = usize::try_from(message.body_size()).unwrap_or(CHUNK_OCTETS).clamp(1, CHUNK_OCTETS);
    let mut buffer = vec![0; capacity];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        writer.put(buffer.get(..count).unwrap_or_default())?;
        offset += count as u64;
    }
}

struct CountingWriter {
    file: File,
    measure: Measure,
}

impl CountingWriter {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.measure.take(bytes);
        self.file.write_all(bytes)
    }
}

/// Learns on the way what the next server wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measure {
    /// Octets with lines ended by CRLF.
    pub(crate) octets: u64,
    /// Whether there are octets above 127.
    pub(crate) is_8bit: bool,
    last: u8,
}

impl Measure {
    /// Takes the next piece of a content.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let is_bare = |at: &usize| at.checked_sub(1).map_or(self.last, |before| byte(bytes, before)) != b'\r';
        let added = memchr_iter(b'\n', bytes).filter(is_bare).count();
        self.octets += (bytes.len() + added) as u64;
        self.is_8bit |= !bytes.is_ascii();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// Deletes a content; one that is gone is no error.
pub(crate) fn remove(state_directory: &Path, file: &str) {
    let path = path(state_directory, file);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} cannot be deleted: {error}", path.display());
        }
        _ => {}
    }
}

/// Files old enough to be left over from a crash, if no row knows them.
pub(crate) fn old_files(state_directory: &Path, now: Timestamp) -> Vec<String> {
    let Ok(entries) = fs::read_dir(state_directory.join(DIRECTORY)) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| made(name).is_some_and(|made| now.since(made) > ORPHAN_AGE)).collect()
}

fn made(name: &str) -> Option<Timestamp> {
    let uuid = Uuid::parse_str(name.strip_suffix(".eml")?).ok()?;
    let (seconds, _) = uuid.get_timestamp()?.to_unix();
    Some(Timestamp::from_seconds(i64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pigeon_core::headers::HeaderEdits;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_467_600);

    fn own(text: &'static str) -> OutboxContent {
        OutboxContent::Own(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn contents_are_written_and_measured() {
        let directory = tempfile::tempdir().unwrap();
        let check = |content: &OutboxContent, text: &str, octets: u64, is_8bit: bool| {
            let written = write_all(directory.path(), &[content], NOW).unwrap();
            assert_eq!(fs::read_to_string(path(directory.path(), &written[0].file)).unwrap(), text);
            assert_eq!((written[0].octets, written[0].is_8bit), (octets, is_8bit), "{text:?}");
        };
        check(&own("A: 1\n\nb\n"), "A: 1\n\nb\n", 11, false);
        check(&own("A: 1\r\n\r\nb\n"), "A: 1\r\n\r\nb\n", 11, false);
        check(&own("A: ü\n\n"), "A: ü\n\n", 9, true);
        let message = Arc::new(Message::from_bytes("A: 1\n\nbody\n"));
        let mut edits = HeaderEdits::default();
        edits.prepend("X", "1");
        let head = edits.render(message.head());
        check(&OutboxContent::Message { head, message }, "X: 1\nA: 1\n\nbody\n", 20, false);
    }

    #[test]
    fn equal_contents_share_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let message = Arc::new(Message::from_bytes("A: 1\n\nbody\n"));
        let head = HeaderEdits::default().render(message.head());
        let redirect = OutboxContent::Message { head, message };
        let written =
            write_all(directory.path(), &[&redirect, &own("A: 2\n\n"), &redirect.clone()], NOW).unwrap();
        assert_eq!(written[0], written[2]);
        assert_ne!(written[0].file, written[1].file);
        assert_eq!(fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count(), 2);
    }

    #[test]
    fn only_old_files_count_as_left_over() {
        let directory = tempfile::tempdir().unwrap();
        let written = write_all(directory.path(), &[&own("A: 1\n\n")], NOW).unwrap();
        fs::write(path(directory.path(), "other"), "").unwrap();
        assert_eq!(old_files(directory.path(), NOW.plus(ORPHAN_AGE)), Vec::<String>::new());
        let later = NOW.plus(ORPHAN_AGE + Duration::from_secs(2));
        assert_eq!(old_files(directory.path(), later), [written[0].file.clone()]);
    }
}
