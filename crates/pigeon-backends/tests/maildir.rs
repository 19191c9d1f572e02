//! The Maildir store on real file systems: the contract of all stores, and what only a Maildir can get wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

#[path = "maildir/disk.rs"]
mod disk;
#[path = "maildir/power.rs"]
mod power;
#[path = "maildir/processes.rs"]
mod processes;
#[path = "maildir/readers.rs"]
mod readers;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::{Maildir, MaildirOptions, SyncMode};
use pigeon_backends::spool::DiskSpool;
use pigeon_core::effect::Flags;
use pigeon_core::folder::Folder;
use pigeon_core::message::{Message, MessageWriter};
use pigeon_core::ports::mailstore::{Copy, MailStore, MailboxPath, Quota, StoreError, Usage};
use pigeon_core::ports::spool::{NoSpool, Spool};
use pigeon_testkit::contracts::mailstore::{Subject, copy, mailbox, mailstore_contract};
use proptest::prelude::*;

/// A store in a directory of its own.
struct Yard {
    root: PathBuf,
    store: Maildir,
    _directory: Option<tempfile::TempDir>,
}

impl Yard {
    fn new() -> Self {
        Self::with(Blocking::Inline, SyncMode::Automatic)
    }

    fn with(blocking: Blocking, sync: SyncMode) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut yard = Self::at(directory.path(), blocking, sync);
        yard._directory = Some(directory);
        yard
    }

    fn at(root: &Path, blocking: Blocking, sync: SyncMode) -> Self {
        let options =
            MaildirOptions { hostname: Some("mx.example.org".to_owned()), sync, ..MaildirOptions::default() };
        let store = Maildir::open(root.to_owned(), &options, blocking).unwrap();
        Self { root: root.to_owned(), store, _directory: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join("example.org").join(name)
    }

    async fn keep(&self, copies: Vec<Copy>) -> Vec<Result<String, StoreError>> {
        let results = self.store.store(&hello(), copies).await;
        results.into_iter().map(|result| result.map(|stored| stored.name)).collect()
    }

    async fn keep_one(&self, name: &str, folder: &str) -> String {
        self.keep(vec![copy(&hello(), name, folder, "")]).await.remove(0).unwrap()
    }
}

impl Subject for Yard {
    fn store(&self) -> &dyn MailStore {
        &self.store
    }

    fn read(&self, mailbox: &MailboxPath, folder: &Folder) -> Vec<Vec<u8>> {
        let levels: String = folder.levels().map(|level| format!(".{}", by_hand(level))).collect();
        let place = self.root.join(&mailbox.0).join(levels);
        let files = ["new", "cur"].into_iter().flat_map(|part| list(&place.join(part)));
        files.map(|file| fs::read(file).unwrap()).collect()
    }
}

/// The levels of the contract suite in modified UTF-7, written down independently.
fn by_hand(level: &str) -> &str {
    match level {
        "Entwürfe & mehr" => "Entw&APw-rfe &- mehr",
        "v1.2" => "v1&ICQ-2",
        other => other,
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        list(directory).iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn hello() -> Arc<Message> {
    Arc::new(Message::from_bytes("Subject: hello\n\nworld\n"))
}

#[tokio::test]
async fn the_contract_holds() {
    for (blocking, sync) in [(Blocking::Inline, SyncMode::Each), (Blocking::Pool, SyncMode::Automatic)] {
        let yard = Yard::with(blocking, sync);
        mailstore_contract(&yard).await;
        assert_eq!(names(&yard.root), ["example.org"], "the check leaves nothing behind");
        for name in ["bytes", "busy", "good"] {
            assert_eq!(names(&yard.path(name).join("tmp")), [""; 0], "{name}");
        }
    }
}

#[tokio::test]
async fn a_new_mailbox_is_a_maildir_with_private_modes() {
    let yard = Yard::new();
    let name = yard.keep_one("ann", "INBOX").await;
    assert_eq!(names(&yard.path("ann")), ["cur", "new", "tmp"]);
    assert_eq!(names(&yard.path("ann").join("new")), [name.as_str()]);
    assert!(name.ends_with(".mx.example.org,S=22,W=25"), "{name}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&yard.path("ann")), 0o700);
    assert_eq!(mode(&yard.path("ann").join("new")), 0o700);
    assert_eq!(mode(&yard.path("ann").join("new").join(name)), 0o600);
}

#[tokio::test]
async fn root_gives_mail_to_its_owner() {
    if !disk::is_root("files cannot be given away") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let owner = Some(pigeon_backends::mailstore::maildir::Owner { uid: 12, gid: 34 });
    let options =
        MaildirOptions { owner, file_mode: 0o660, directory_mode: 0o2770, ..MaildirOptions::default() };
    let store = Maildir::open(directory.path().to_owned(), &options, Blocking::Inline).unwrap();
    store.store(&hello(), vec![copy(&hello(), "ann", "a", "")]).await.remove(0).unwrap();
    let place = directory.path().join("example.org/ann/.a");
    for (path, mode) in
        [(place.clone(), 0o2770), (place.join("new"), 0o2770), (list(&place.join("new")).remove(0), 0o660)]
    {
        let stat = fs::metadata(&path).unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (12, 34, mode), "{path:?}");
    }
}

#[tokio::test]
async fn equal_copies_share_one_file() {
    let yard = Yard::new();
    let to = |name: &str, prefix| copy(&hello(), name, "INBOX", prefix);
    let mut copies: Vec<Copy> = (0..20).map(|number| to(&format!("u{number}"), "P: 1\n")).collect();
    copies.push(to("other", "P: 2\n"));
    assert!(yard.keep(copies).await.iter().all(Result::is_ok));
    let links = |name: &str| fs::metadata(&list(&yard.path(name).join("new"))[0]).unwrap().nlink();
    assert_eq!((links("u0"), links("u19"), links("other")), (20, 20, 1));
    assert_eq!(names(&yard.path("u0").join("tmp")), [""; 0]);
}

#[tokio::test]
async fn flags_and_keywords_become_letters() {
    let yard = Yard::new();
    let mut flagged = copy(&hello(), "ann", "INBOX", "");
    let keywords = ["$Label1", "work", "not an atom"].map(str::to_owned).to_vec();
    flagged.store.flags = Flags { is_seen: true, is_flagged: true, keywords, ..Flags::default() };
    let name = yard.keep(vec![flagged.clone()]).await.remove(0).unwrap();
    assert_eq!(names(&yard.path("ann").join("cur")), [format!("{name}:2,FSab")]);
    assert_eq!(names(&yard.path("ann").join("new")), [""; 0]);
    assert_eq!(fs::read_to_string(yard.path("ann").join("dovecot-keywords")).unwrap(), "0 $Label1\n1 work\n");
    fs::remove_dir_all(yard.path("ann").join("cur")).unwrap();
    flagged.store.flags = Flags { keywords: vec!["late".to_owned(), "WORK".to_owned()], ..Flags::default() };
    let name = yard.keep(vec![flagged]).await.remove(0).unwrap();
    assert!(names(&yard.path("ann").join("cur")).contains(&format!("{name}:2,bc")));
    assert_eq!(
        fs::read_to_string(yard.path("ann").join("dovecot-keywords")).unwrap(),
        "0 $Label1\n1 work\n2 late\n"
    );
    assert_eq!(names(&yard.path("ann")), ["cur", "dovecot-keywords", "new", "tmp"], "no lock is left");
}

#[tokio::test]
async fn new_folders_are_subscribed() {
    let yard = Yard::new();
    yard.keep_one("ann", "Archive/2026").await;
    yard.keep_one("ann", "Entwürfe").await;
    yard.keep_one("ann", "Archive/2026").await;
    let read = |name: &str| fs::read_to_string(yard.path("ann").join(name)).unwrap();
    assert_eq!(read("subscriptions"), "V\t2\n\nArchive\t2026\nEntw&APw-rfe\n");
    assert_eq!(read("courierimapsubscribed"), "INBOX.Archive.2026\nINBOX.Entw&APw-rfe\n");
    assert_eq!(read(".Archive.2026/maildirfolder"), "");
    assert_eq!(names(&yard.path("ann").join(".Archive.2026/new")).len(), 2);
}

#[tokio::test]
async fn maildirsize_is_kept_as_maildir_plus_plus_says() {
    let yard = Yard::new();
    let quota = Quota { octets: Some(1000), messages: Some(50) };
    let file = yard.path("ann").join("maildirsize");
    let read = || fs::read_to_string(&file).unwrap();
    yard.keep_one("ann", "INBOX").await;
    assert!(!file.exists(), "no limits, no file");
    let mut limited = copy(&hello(), "ann", "Archive", "");
    limited.quota = Some(quota);
    yard.keep(vec![limited.clone()]).await;
    assert_eq!(read(), "1000S,50C\n44 2\n", "counted when it is missing");
    yard.keep(vec![limited.clone()]).await;
    yard.keep_one("ann", "Trash").await;
    assert_eq!(read(), "1000S,50C\n44 2\n22 1\n", "the trash does not count");
    let used = |octets, messages| Usage { octets, messages };
    let usage = async |quota| yard.store.usage(&mailbox("ann"), quota).await.unwrap();
    assert_eq!(usage(quota).await, used(66, 3));
    fs::write(&file, "1000S,50C\n500 9\n").unwrap();
    assert_eq!(usage(quota).await, used(500, 9), "the file is believed");
    assert_eq!(usage(Quota { messages: None, ..quota }).await, used(66, 3), "other limits: counted anew");
    assert_eq!(read(), "1000S\n66 3\n");
    fs::write(&file, format!("1000S\n{}", "1 1\n".repeat(1500))).unwrap();
    assert_eq!(usage(Quota::default()).await, used(66, 3), "too long: counted anew");
    assert_eq!(read(), "1000S\n66 3\n", "limits that are not given are kept");
    fs::write(&file, "1000S\n950 9\n").unwrap();
    assert_eq!(usage(Quota::default()).await, used(950, 9), "full, but young");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::open(&file).unwrap().set_modified(old).unwrap();
    assert_eq!(usage(Quota::default()).await, used(66, 3), "full and old: counted anew");
    let mut deleted = limited;
    deleted.store.flags.is_deleted = true;
    yard.keep(vec![deleted]).await;
    assert_eq!(read(), "1000S\n66 3\n", "what is flagged as deleted does not count");
}

#[tokio::test]
async fn no_symbolic_link_leads_out() {
    let yard = Yard::new();
    let outside = tempfile::tempdir().unwrap();
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(outside.path().join(part)).unwrap();
    }
    for name in ["mailbox", "new", "tmp", "folder"] {
        yard.keep_one(name, "INBOX").await;
    }
    let replace = |path: PathBuf, target: &Path| {
        fs::remove_dir_all(&path).unwrap();
        symlink(target, path).unwrap();
    };
    replace(yard.path("mailbox"), outside.path());
    replace(yard.path("new").join("new"), &outside.path().join("new"));
    replace(yard.path("tmp").join("tmp"), &outside.path().join("tmp"));
    symlink(outside.path(), yard.path("folder").join(".a")).unwrap();
    // A store that has nothing open yet.
    let yard = Yard { store: Yard::at(&yard.root, Blocking::Inline, SyncMode::Each).store, ..yard };
    let to = [("mailbox", "INBOX"), ("new", "INBOX"), ("tmp", "INBOX"), ("folder", "a")];
    let copies = to.map(|(name, folder)| copy(&hello(), name, folder, "")).to_vec();
    for result in yard.keep(copies).await {
        assert!(matches!(result, Err(StoreError::Unwritable { .. })), "{result:?}");
    }
    assert!(yard.store.purge(&mailbox("mailbox")).await.is_err());
    yard.store.purge(&mailbox("folder")).await.unwrap();
    assert_eq!(names(outside.path()), ["cur", "new", "tmp"]);
    assert_eq!(names(&outside.path().join("new")), [""; 0]);
    assert_eq!(names(&outside.path().join("tmp")), [""; 0]);
}

#[tokio::test]
async fn a_purge_takes_maildirs_only() {
    let yard = Yard::new();
    yard.keep_one("ann", "Archive").await;
    fs::create_dir_all(yard.path("ann").join("sieve/deep/er")).unwrap();
    let domain = MailboxPath("example.org".to_owned());
    let error = yard.store.purge(&domain).await.unwrap_err().to_string();
    assert!(error.contains("no Maildir"), "{error}");
    yard.store.purge(&mailbox("ann")).await.unwrap();
    assert_eq!(names(&yard.root.join("example.org")), [""; 0]);
}

#[tokio::test]
async fn a_mailbox_deleted_or_moved_by_hand_is_made_anew() {
    let yard = Yard::new();
    for name in ["deleted", "moved"] {
        yard.keep_one(name, "a").await;
    }
    fs::remove_dir_all(yard.path("deleted")).unwrap();
    for folder in ["a", "INBOX", "new to it"] {
        yard.keep_one("deleted", folder).await;
        if folder == "INBOX" {
            fs::remove_dir_all(yard.path("deleted")).unwrap();
        }
    }
    yard.keep_one("deleted", "INBOX").await;
    yard.keep_one("deleted", "a").await;
    assert_eq!(names(&yard.path("deleted").join(".a/new")).len(), 1);
    assert_eq!(names(&yard.path("deleted").join("new")).len(), 1);
    fs::rename(yard.path("moved"), yard.path("elsewhere")).unwrap();
    tokio::time::sleep(Duration::from_millis(5100)).await;
    yard.keep_one("moved", "a").await;
    assert_eq!(names(&yard.path("moved").join(".a/new")).len(), 1);
    assert_eq!(names(&yard.path("elsewhere").join(".a/new")).len(), 1);
}

#[tokio::test]
async fn a_mailbox_that_is_only_half_there_is_completed() {
    let yard = Yard::new();
    fs::create_dir_all(yard.path("ann").join("tmp")).unwrap();
    fs::create_dir_all(yard.path("ann").join(".a")).unwrap();
    for folder in ["INBOX", "a"] {
        yard.keep_one("ann", folder).await;
    }
    assert_eq!(
        names(&yard.path("ann")),
        [".a", "courierimapsubscribed", "cur", "new", "subscriptions", "tmp"]
    );
    assert_eq!(names(&yard.path("ann").join(".a")), ["cur", "maildirfolder", "new", "tmp"]);
}

#[tokio::test]
async fn linking_goes_on_when_one_mailbox_was_deleted_by_hand() {
    let yard = Yard::new();
    let copies = || ["a", "b", "c"].map(|name| copy(&hello(), name, "INBOX", "")).to_vec();
    yard.keep(copies()).await;
    for name in ["a", "c"] {
        fs::remove_dir_all(yard.path(name)).unwrap();
    }
    assert!(yard.keep(copies()).await.iter().all(Result::is_ok));
    let counts = ["a", "b", "c"].map(|name| names(&yard.path(name).join("new")).len());
    assert_eq!(counts, [1, 2, 1]);
}

#[tokio::test]
async fn what_a_crash_left_in_tmp_is_swept_by_servers() {
    let yard = Yard::new();
    yard.keep_one("ann", "INBOX").await;
    let (old, young) = (yard.path("ann").join("tmp/old"), yard.path("ann").join("tmp/young"));
    for path in [&old, &young] {
        fs::write(path, "partial").unwrap();
    }
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::open(&old).unwrap().set_modified(past).unwrap();
    Yard::at(&yard.root, Blocking::Inline, SyncMode::Each).keep_one("ann", "INBOX").await;
    assert!(old.exists(), "one delivery and gone: no time for cleaning");
    Yard::at(&yard.root, Blocking::Pool, SyncMode::Each).keep_one("ann", "INBOX").await;
    for _ in 0..200 {
        if !old.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!old.exists() && young.exists());
}

#[test]
fn a_missing_root_is_named() {
    let options = MaildirOptions::default();
    let opened = Maildir::open("/nonexistent/mail".into(), &options, Blocking::Inline);
    let Err(error) = opened else { panic!("opened a root that does not exist") };
    assert!(error.to_string().contains("/nonexistent/mail"), "{error}");
}

fn written(bytes: &[u8], cut: usize, spool: Arc<dyn Spool>) -> Arc<Message> {
    let mut writer = MessageWriter::new(spool, u64::MAX, true);
    bytes.chunks(cut).for_each(|piece| writer.write(piece).unwrap());
    Arc::new(writer.finish())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn head_and_body_are_kept_to_the_byte(
        head in "([A-Z]: [a-z\\r\\n]{0,9}\n){0,3}",
        body in proptest::collection::vec(any::<u8>(), 0..3000),
        cut in 1usize..700,
        threshold in 0u64..2000,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let bytes = [head.as_bytes(), b"\n", &body].concat();
        let spools: [Arc<dyn Spool>; 2] = [Arc::new(NoSpool), Arc::new(DiskSpool::new(directory.path(), threshold))];
        let yard = Yard::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (spool, name) in spools.into_iter().zip(["memory", "spool"]) {
            let message = written(&bytes, cut, spool);
            let results = runtime.block_on(yard.store.store(&message, vec![copy(&message, name, "INBOX", "X: 1\r\n")]));
            let stored = results.into_iter().next().unwrap().unwrap();
            let expect = [b"X: 1\r\n".as_slice(), &bytes].concat();
            let found = fs::read(yard.path(name).join("new").join(&stored.name)).unwrap();
            prop_assert_eq!(&found, &expect);
            let bare = expect.iter().enumerate().filter(|(at, byte)| **byte == b'\n' && (*at == 0 || expect[at - 1] != b'\r'));
            let suffix = format!(",S={},W={}", expect.len(), expect.len() + bare.count());
            prop_assert!(stored.name.ends_with(&suffix), "{} {}", stored.name, suffix);
        }
    }
}
