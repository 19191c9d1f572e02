//! Kept look-ups hold as long as nothing was written, and not a moment longer.

use pigeon_core::directory::{Change, Place};
use pigeon_core::ports::directory::Administration as _;
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeon_testkit::contracts::directory::catalogue;
use pigeon_testkit::memory::TestClock;
use tempfile::TempDir;

use super::*;

const ANN: &str = "ann@example.org";

/// A directory on disk and the time, which is far enough ahead of the files' times unless a test says otherwise.
struct Node {
    folder: TempDir,
    clock: Arc<TestClock>,
}

impl Node {
    async fn new() -> Self {
        let node = Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(TestClock::default()) };
        SqliteDirectory::create(&node.database()).unwrap();
        node.change(Change::AddDomain { name: "example.org".to_owned() }).await;
        node.change(Change::AddDomain { name: "example.net".to_owned() }).await;
        for address in [ANN, "bob@example.org", "carla@example.net"] {
            let password = Some("{PLAIN}secret".to_owned());
            let address = address.parse().unwrap();
            node.change(Change::AddAccount { address, name: String::new(), password }).await;
        }
        node.pass(60);
        node
    }

    /// Sets the clock so many seconds behind the last write.
    fn pass(&self, seconds: i64) {
        let marks = Standing::of(&self.database()).unwrap();
        let last = marks.logs.iter().flatten().chain([&marks.database]).map(|mark| mark.changed.0).max();
        self.clock.set(Timestamp::from_micros((last.unwrap() + seconds) * 1_000_000));
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("directory.sqlite")
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    async fn change(&self, change: Change) {
        let catalogue = catalogue(Arc::clone(&self.clock));
        let directory = SqliteDirectory::open(&self.database(), catalogue, Blocking::Inline).unwrap();
        directory.apply(&Actor::System("root".to_owned()), change).await.unwrap();
    }

    async fn set_keep(&self, place: Place, until: Option<Timestamp>) {
        let (pin, reason) = (if until.is_some() { Pin::System } else { Pin::None }, None);
        let content = Content::Value(serde_json::json!("-"));
        let name = "address.separators".parse().unwrap();
        self.change(Change::Set { place, name, content, pin, until, reason }).await;
    }

    async fn alias(&self, pattern: &str, target: &str) {
        let targets = vec![target.parse().unwrap()];
        self.change(Change::AddAlias { pattern: pattern.parse().unwrap(), targets }).await;
    }

    /// Looks an address up as a new process; also whether the database was asked.
    async fn look_up(&self, address: &str) -> (Lookup, bool) {
        let state = self.folder.path();
        let lookups = KeptLookups::new(&self.database(), state, catalogue(Arc::clone(&self.clock)));
        let found = lookups.lookup(&address.parse().unwrap()).await.unwrap();
        (found, lookups.opened.get().is_some())
    }

    /// Whether the database is asked when the address is looked up once more.
    async fn is_asked_again(&self, address: &str) -> bool {
        self.look_up(address).await;
        self.look_up(address).await.1
    }
}

#[tokio::test]
async fn what_is_kept_says_the_same_and_holds_no_password() {
    let node = Node::new().await;
    node.alias("sales@example.org", ANN).await;
    node.pass(60);
    for address in [ANN, "Ann+lists@EXAMPLE.org", "sales@example.org"] {
        let (first, was_asked) = node.look_up(address).await;
        assert!(was_asked, "{address}");
        let (second, was_asked) = node.look_up(address).await;
        assert!(!was_asked, "{address}");
        let without_password =
            |lookup: Lookup| format!("{lookup:?}").replace("Some(\"{PLAIN}secret\")", "None");
        assert_eq!(without_password(first), format!("{second:?}"));
    }
    let bytes = fs::read(node.kept()).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"secret"));
    assert_eq!(fs::metadata(node.kept()).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn after_a_change_the_database_is_asked() {
    let node = Node::new().await;
    assert!(!node.is_asked_again(ANN).await);
    node.set_keep(Place::Account(ANN.parse().unwrap()), None).await;
    let (Lookup::Found(found), true) = node.look_up(ANN).await else { panic!("an old answer") };
    assert_eq!(found.branches[0].settings.len(), 1);
    node.pass(60);
    assert!(!node.is_asked_again(ANN).await);
    // By hand, by another program, without a word to us.
    let connection = rusqlite::Connection::open(node.database()).unwrap();
    connection.execute("UPDATE accounts SET status = 'removed' WHERE local = 'ann'", []).unwrap();
    assert!(matches!(node.look_up(ANN).await, (Lookup::None(_), true)));
}

#[tokio::test]
async fn while_a_change_is_under_way_nothing_wrong_is_kept() {
    let node = Node::new().await;
    let mut connection = rusqlite::Connection::open(node.database()).unwrap();
    let transaction = connection.transaction().unwrap();
    transaction.execute("UPDATE accounts SET status = 'removed' WHERE local = 'ann'", []).unwrap();
    for _ in 0..2 {
        assert!(matches!(node.look_up(ANN).await, (Lookup::Found(_), _)));
    }
    transaction.commit().unwrap();
    assert!(matches!(node.look_up(ANN).await, (Lookup::None(_), true)));
}

#[tokio::test]
async fn what_was_just_written_is_not_kept() {
    let node = Node::new().await;
    for (seconds, is_asked) in [(-60, true), (0, true), (2, true), (3, true), (4, false)] {
        node.pass(seconds);
        assert_eq!(node.is_asked_again(ANN).await, is_asked, "{seconds} s after the last write");
    }
}

#[tokio::test]
async fn what_depends_on_more_is_not_kept() {
    let node = Node::new().await;
    node.alias("far@example.org", "someone@example.com").await;
    node.alias("over@example.org", "carla@example.net").await;
    node.alias("broken@example.org", "nobody@example.org").await;
    let until = Some(Timestamp::from_micros(i64::MAX / 2));
    node.set_keep(Place::Account("bob@example.org".parse().unwrap()), until).await;
    node.pass(60);
    let addresses =
        ["far@example.org", "over@example.org", "broken@example.org", "bob@example.org", "none@example.org"];
    for address in addresses {
        assert!(node.is_asked_again(address).await, "{address}");
    }
    assert!(!node.is_asked_again(ANN).await);
}

#[tokio::test]
async fn a_record_that_is_not_whole_or_not_right_is_not_used() {
    let node = Node::new().await;
    assert!(!node.is_asked_again(ANN).await);
    let (whole, at) = (fs::read(node.kept()).unwrap(), usize::try_from(place_of(ANN)).unwrap());
    let broken = [at, at + 8, at + HEAD_OCTETS, whole.len() - 1].map(|octet| {
        let mut bytes = whole.clone();
        bytes[octet] ^= 1;
        bytes
    });
    let cut = whole[..whole.len() - 1].to_vec();
    for bytes in broken.into_iter().chain([cut, Vec::new()]) {
        fs::write(node.kept(), bytes).unwrap();
        assert!(node.look_up(ANN).await.1);
        assert!(!node.look_up(ANN).await.1, "it is not kept anew");
    }
    // Whole, but of before the last start of the system, or of another address with the same slot.
    let mut record = unpack(&whole[at..]).unwrap();
    let change: [fn(&mut Record); 2] =
        [|record| record.standing.boot.push('x'), |record| record.address = "bob@example.org".to_owned()];
    for change in change {
        change(&mut record);
        let file = options().write(true).open(node.kept()).unwrap();
        file.write_all_at(&pack(&record).unwrap(), place_of(ANN)).unwrap();
        assert!(node.look_up(ANN).await.1);
        record = unpack(&whole[at..]).unwrap();
    }
}

#[tokio::test]
async fn deliveries_do_without_the_file() {
    let node = Node::new().await;
    fs::create_dir(node.kept()).unwrap();
    assert!(node.is_asked_again(ANN).await);
    fs::remove_dir(node.kept()).unwrap();
    std::os::unix::fs::symlink("elsewhere", node.kept()).unwrap();
    assert!(node.is_asked_again(ANN).await);
    assert!(!node.folder.path().join("elsewhere").exists());
    fs::remove_file(node.kept()).unwrap();
    assert!(!node.is_asked_again(ANN).await);
    fs::remove_file(node.database()).unwrap();
    let lookups = KeptLookups::new(&node.database(), node.folder.path(), catalogue(Arc::clone(&node.clock)));
    assert!(lookups.lookup(&ANN.parse().unwrap()).await.is_err());
}
