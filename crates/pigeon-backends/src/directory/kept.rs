//! Look-ups that processes for one message leave to each other.
//!
//! To open an SQLite file and read its schema costs such a process more than all of its other work. So what an
//! address meant is kept in a file of the State directory, beside the marks that the database's files bore when it
//! was read: size, inode, and the time of the last change, which the system sets at every write. While they bear
//! them still, nothing was written, and the answer holds. Whatever is in doubt is looked up in the database:
//!
//! - files that were written within [`SETTLED`] before the look-up: they may be written again without showing it,
//!   for the system's times are coarse;
//! - everything after a start of the system: a loss of power may undo times without undoing what was written;
//! - what depends on the time (pins that lapse), addresses that nobody has, and aliases that leave their domain.
//!
//! The file holds one record in each slot and a slot for each remainder of an address' hash: it never grows beyond
//! [`SLOTS`] times [`SLOT_OCTETS`], and needs no lock, for a record that two processes mixed fails its check sum.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, AliasPattern, Lookup, Resolution, Scope, Target, TargetKind};
use pigeon_core::ports::directory::{Directory, DirectoryError, Feed};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::sqlite::SqliteDirectory;
use crate::blocking::Blocking;

#[cfg(test)]
mod tests;

/// The file's name in the State directory.
const FILE: &str = "lookups.kept";
/// Changes with what is written in a slot, or with what an address means.
const FORMAT: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));
/// How many records there are at most.
const SLOTS: u64 = 4096;
/// The room for one; what is longer is not kept.
const SLOT_OCTETS: usize = 4096;
/// Check sum and length, before the record itself.
const HEAD_OCTETS: usize = 12;
/// Files that were left alone for so long show every later write: coarse file systems count whole seconds.
const SETTLED: Duration = Duration::from_secs(2);
/// Another one after each start of the system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A directory in an SQLite file, for a process that delivers one message: it is opened only for what is not kept.
pub struct KeptLookups {
    kept: PathBuf,
    database: PathBuf,
    catalogue: Arc<Catalogue>,
    opened: OnceLock<SqliteDirectory>,
}

impl KeptLookups {
    /// Look-ups in the directory at `database`, kept in the directory `state`. Opens nothing yet.
    #[must_use]
    pub fn new(database: &Path, state: &Path, catalogue: Arc<Catalogue>) -> Self {
        let (kept, database) = (state.join(FILE), database.to_owned());
        Self { kept, database, catalogue, opened: OnceLock::new() }
    }

    fn directory(&self) -> Result<&SqliteDirectory, DirectoryError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = SqliteDirectory::open(&self.database, Arc::clone(&self.catalogue), Blocking::Inline)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    fn recall(&self, address: &str, standing: &Standing) -> io::Result<Option<Lookup>> {
        let file = options().read(true).open(&self.kept)?;
        let mut slot = [0; SLOT_OCTETS];
        let count = file.read_at(&mut slot, place_of(address))?;
        let record = slot.get(..count).and_then(unpack);
        let is_right = |record: &Record| record.address == address && record.standing == *standing;
        Ok(record.filter(is_right).map(Record::into_lookup))
    }

    fn keep(&self, record: &Record) -> io::Result<()> {
        let Some(slot) = pack(record) else { return Ok(()) };
        let file: File = options().write(true).create(true).mode(0o600).open(&self.kept)?;
        file.write_all_at(&slot, place_of(&record.address))
    }
}

#[async_trait]
impl Directory for KeptLookups {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        let now = self.catalogue.tools().clock.now();
        let text = address.to_string();
        // Before the database is read: a write that comes between the two shows in the next comparison.
        let standing = Standing::of(&self.database).ok();
        if let Some(standing) = &standing
            && let Ok(Some(kept)) = self.recall(&text, standing)
        {
            return Ok(kept);
        }
        let found = self.directory()?.lookup(address).await?;
        if let Some(standing) = standing.filter(|standing| standing.is_settled(now))
            && let Some(record) = Record::of(text, standing, &found)
            && let Err(error) = self.keep(&record)
        {
            tracing::debug!(%error, "a look-up is not kept");
        }
        Ok(found)
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        self.directory()?.feed(since).await
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default());
    options
}

/// By what one file is told from any other, and from itself after a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
    written: (i64, i64),
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        // SQLite puts its log beside the file that a link leads to.
        let found = fs::symlink_metadata(path)?;
        if !found.is_file() {
            return Err(io::Error::other("not a file"));
        }
        Ok(Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
            written: (found.mtime(), found.mtime_nsec()),
        })
    }

    fn is_older_than(&self, moment: Timestamp) -> bool {
        let is_before = |seconds: i64| seconds.saturating_add(1).saturating_mul(1_000_000) < moment.micros();
        is_before(self.changed.0) && is_before(self.written.0)
    }
}

/// What the system says of a database while nobody writes to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    boot: String,
    database: Mark,
    /// The write-ahead log and the rollback journal, where there is something in them.
    logs: [Option<Mark>; 2],
}

impl Standing {
    fn of(database: &Path) -> io::Result<Self> {
        let log = |suffix: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            match Mark::of(Path::new(&path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                // Readers make an empty one. What leaves a log goes into the database, which shows it.
                Ok(mark) if mark.size == 0 => Ok(None),
                found => found.map(Some),
            }
        };
        let logs = [log("-wal")?, log("-journal")?];
        Ok(Self { boot: fs::read_to_string(BOOT_ID)?, database: Mark::of(database)?, logs })
    }

    fn is_settled(&self, now: Timestamp) -> bool {
        let limit = now.minus(SETTLED);
        self.logs.iter().flatten().chain([&self.database]).all(|mark| mark.is_older_than(limit))
    }
}

/// What is kept of one look-up.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    address: String,
    standing: Standing,
    branches: Vec<Branch>,
    scopes: Vec<Scope>,
    seq: u64,
}

/// One account that gets the mail.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Branch {
    account: Account,
    detail: Option<String>,
    via: Vec<AliasPattern>,
    settings: Vec<Setting>,
    alias_settings: Vec<Setting>,
}

impl Record {
    /// Nothing for what may become wrong without a change, or was wrong to begin with.
    fn of(address: String, standing: Standing, lookup: &Lookup) -> Option<Self> {
        let Lookup::Found(Resolution { branches, broken: None, scopes, seq }) = lookup else { return None };
        let branches = branches.iter().map(Branch::of).collect::<Option<Vec<_>>>()?;
        Some(Self { address, standing, branches, scopes: scopes.clone(), seq: *seq })
    }

    fn into_lookup(self) -> Lookup {
        let branches = self.branches.into_iter().map(|branch| {
            let Branch { account, detail, via, settings, alias_settings } = branch;
            Target { to: TargetKind::Account(account, detail), via, settings, alias_settings }
        });
        let (scopes, seq) = (self.scopes, self.seq);
        Lookup::Found(Resolution { branches: branches.collect(), broken: None, scopes, seq })
    }
}

impl Branch {
    fn of(target: &Target) -> Option<Self> {
        let TargetKind::Account(account, detail) = &target.to else { return None };
        // The settings of another domain on the way are not in the answer, and one of them may lapse.
        let is_at_home = target.via.iter().all(|pattern| pattern.domain == *account.address.domain());
        let mut settings = target.settings.iter().chain(&target.alias_settings);
        if !is_at_home || settings.any(|setting| setting.until.is_some()) {
            return None;
        }
        // No delivery needs the password; it does not leave the directory.
        let account = Account { password: None, ..account.clone() };
        Some(Self {
            account,
            detail: detail.clone(),
            via: target.via.clone(),
            settings: target.settings.clone(),
            alias_settings: target.alias_settings.clone(),
        })
    }
}

/// Where the slot of an address begins.
fn place_of(address: &str) -> u64 {
    hash(address.as_bytes()) % SLOTS * SLOT_OCTETS as u64
}

/// The same in every process of this program; where another version has another one, records are not found.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(FORMAT.as_bytes());
    hasher.write(bytes);
    hasher.finish()
}

/// Nothing when it does not fit.
fn pack(record: &Record) -> Option<Vec<u8>> {
    let text = serde_json::to_vec(record).ok()?;
    let mut slot = Vec::with_capacity(HEAD_OCTETS + text.len());
    slot.extend(hash(&text).to_le_bytes());
    slot.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
    slot.extend(text);
    (slot.len() <= SLOT_OCTETS).then_some(slot)
}

/// Nothing when it is not whole.
fn unpack(slot: &[u8]) -> Option<Record> {
    let (sum, rest) = slot.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let text = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (u64::from_le_bytes(*sum) == hash(text)).then(|| serde_json::from_slice(text).ok())?
}
