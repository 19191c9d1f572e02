//! Scripts in an SQLite directory, and writers that come at the same time.

use pigeon_core::delivery::Delivery;
use pigeon_core::directory::Subject;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::ports::spool::NoSpool;
use pigeon_core::service::{Descriptor, NoConfig, Service, Stage, Tools};
use pigeon_testkit::memory::TestClock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::*;
use crate::blocking::Blocking;
use crate::directory::sqlite::SqliteDirectory;

/// The settings of the service, as far as they matter here.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    scripts: BTreeMap<String, String>,
    active: String,
    max_scripts: u64,
    max_script_size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { scripts: BTreeMap::new(), active: String::new(), max_scripts: 40, max_script_size: 100 }
    }
}

struct Sieve;

impl Service for Sieve {
    const NAME: &'static str = "sieve";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &Settings, _delivery: &mut Delivery) -> Result<Next, Fault> {
        Ok(Next::Continue)
    }
}

fn compile(source: &str) -> Result<Vec<String>, Vec<String>> {
    match source {
        "panic" => panic!("a bug"),
        "wrong" => Err(vec!["line 1: wrong".to_owned()]),
        "odd" => Ok(vec!["line 1: odd".to_owned()]),
        _ => Ok(Vec::new()),
    }
}

struct Site {
    _folder: TempDir,
    directory: Arc<dyn Administration>,
    scripts: Arc<DirectoryScripts>,
    ann: Address,
    actor: Actor,
}

fn root() -> Actor {
    Actor::System("root".to_owned())
}

fn name(text: &str) -> ScriptName {
    text.parse().unwrap()
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.sqlite");
        SqliteDirectory::create(&path).unwrap();
        let (clock, spool) = (Arc::new(TestClock::default()), Arc::new(NoSpool));
        let tools = Tools { clock, hostname: "mx.example.org".into(), spool };
        let catalogue = Arc::new(Catalogue::new(&[Descriptor::of::<Sieve>()], tools));
        let opened = SqliteDirectory::open(&path, Arc::clone(&catalogue), Blocking::Pool).unwrap();
        let directory: Arc<dyn Administration> = Arc::new(opened);
        let ann: Address = "ann@example.org".parse().unwrap();
        let account = Change::AddAccount { address: ann.clone(), name: String::new(), password: None };
        for change in [Change::AddDomain { name: "example.org".to_owned() }, account] {
            directory.apply(&root(), change).await.unwrap();
        }
        let actor = Actor::Account(directory.account(&ann).await.unwrap().id);
        let scripts = Arc::new(DirectoryScripts::new(Arc::clone(&directory), catalogue, compile));
        Self { _folder: folder, directory, scripts, ann, actor }
    }

    async fn write(&self, place: Place, key: &str, value: impl Into<Value>) {
        self.directory.apply(&root(), set(place, key, value.into())).await.unwrap();
    }

    async fn account(&self, address: &str) -> Actor {
        let address: Address = address.parse().unwrap();
        let change = Change::AddAccount { address: address.clone(), name: String::new(), password: None };
        self.apply(change).await;
        Actor::Account(self.directory.account(&address).await.unwrap().id)
    }

    async fn grant(&self, address: &str, domain: Option<&str>) {
        let domain = domain.map(str::to_owned);
        self.apply(Change::AddGrant { account: address.parse().unwrap(), domain }).await;
    }

    async fn apply(&self, change: Change) {
        self.directory.apply(&root(), change).await.unwrap();
    }

    async fn put(&self, script: &str, source: &str) -> Result<Vec<String>, ScriptsError> {
        self.scripts.put(&self.actor, &self.ann, &name(script), source).await
    }

    async fn activate(&self, script: &str) -> Result<Vec<String>, ScriptsError> {
        let script = (!script.is_empty()).then(|| name(script));
        self.scripts.activate(&self.actor, &self.ann, script.as_ref()).await
    }

    async fn delete(&self, script: &str) -> Result<(), ScriptsError> {
        self.scripts.delete(&self.actor, &self.ann, &name(script)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), ScriptsError> {
        self.scripts.rename(&self.actor, &self.ann, &name(from), &name(to)).await
    }

    /// `a b*`: the active one has a star.
    async fn list(&self) -> String {
        let list = self.scripts.list(&self.actor, &self.ann).await.unwrap();
        let shown =
            list.iter().map(|entry| format!("{}{}", entry.name, if entry.is_active { "*" } else { "" }));
        shown.collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn scripts_come_and_go() {
    let site = Site::new().await;
    assert_eq!(site.list().await, "");
    assert!(site.put("a", "keep;").await.unwrap().is_empty());
    assert_eq!(site.put("b", "odd").await.unwrap(), ["line 1: odd"]);
    assert_eq!(site.scripts.get(&site.actor, &site.ann, &name("a")).await.unwrap(), "keep;");
    assert!(matches!(
        site.scripts.get(&site.actor, &site.ann, &name("c")).await,
        Err(ScriptsError::NotFound(_))
    ));
    assert!(site.activate("a").await.unwrap().iter().any(|note| note.contains("sieve.enabled")));
    site.write(Place::System, "enabled", true).await;
    assert!(site.activate("a").await.unwrap().is_empty());
    assert!(matches!(site.activate("c").await, Err(ScriptsError::NotFound(_))));
    assert_eq!(site.list().await, "a* b");
    assert!(matches!(site.delete("a").await, Err(ScriptsError::Active(_))));
    assert!(matches!(site.delete("c").await, Err(ScriptsError::NotFound(_))));
    assert!(matches!(site.rename("a", "b").await, Err(ScriptsError::Exists(_))));
    assert!(matches!(site.rename("c", "d").await, Err(ScriptsError::NotFound(_))));
    site.rename("a", "main").await.unwrap();
    site.rename("b", "other").await.unwrap();
    assert_eq!(site.list().await, "main* other");
    site.delete("other").await.unwrap();
    site.activate("").await.unwrap();
    site.activate("").await.unwrap();
    assert_eq!(site.list().await, "main");
    site.delete("main").await.unwrap();
    let left = site.directory.settings(&Place::Account(site.ann.clone())).await.unwrap();
    assert!(left.is_empty(), "nothing is said any more: {left:?}");
}

#[tokio::test]
async fn what_is_not_right_is_not_kept() {
    let site = Site::new().await;
    for source in ["wrong", "panic"] {
        assert!(matches!(site.put("a", source).await, Err(ScriptsError::Invalid(_))), "{source}");
        assert!(matches!(
            site.scripts.check(&site.actor, &site.ann, source).await,
            Err(ScriptsError::Invalid(_))
        ));
    }
    assert_eq!(site.scripts.check(&site.actor, &site.ann, "odd").await.unwrap(), ["line 1: odd"]);
    let is_large = |refused| matches!(refused, Err(ScriptsError::Quota(ScriptQuota::Octets(100))));
    assert!(is_large(site.put("a", &"x".repeat(101)).await.map(drop)));
    assert!(is_large(site.scripts.check(&site.actor, &site.ann, &"x".repeat(101)).await.map(drop)));
    assert!(is_large(site.scripts.has_space(&site.actor, &site.ann, &name("a"), 101).await));
    site.write(Place::Domain("example.org".to_owned()), "max_scripts", 1).await;
    site.put("a", "keep;").await.unwrap();
    site.put("a", "stop;").await.unwrap();
    let refused = site.put("b", "keep;").await;
    assert!(matches!(refused, Err(ScriptsError::Quota(ScriptQuota::Scripts(1)))), "{refused:?}");
    assert!(site.scripts.has_space(&site.actor, &site.ann, &name("a"), 100).await.is_ok());
    assert_eq!(site.list().await, "a");
}

#[tokio::test]
async fn rights_and_pins_hold() {
    let site = Site::new().await;
    site.put("a", "keep;").await.unwrap();
    let other = site.account("eve@example.org").await;
    let refused = site.scripts.put(&other, &site.ann, &name("x"), "keep;").await;
    assert!(matches!(refused, Err(ScriptsError::Forbidden(_))), "{refused:?}");
    let pin = Change::SetPin {
        place: Place::Account(site.ann.clone()),
        name: key("scripts"),
        kind: ContentKind::Value,
        pin: Pin::System,
        until: None,
        reason: None,
    };
    site.directory.apply(&root(), pin).await.unwrap();
    let refused = site.put("b", "keep;").await;
    assert!(matches!(&refused, Err(ScriptsError::Forbidden(why)) if why.contains("pinned")), "{refused:?}");
    let nobody = site.scripts.list(&root(), &"nobody@example.org".parse().unwrap()).await;
    assert!(matches!(nobody, Err(ScriptsError::Forbidden(_))), "{nobody:?}");
    site.write(Place::Domain("example.org".to_owned()), "active", "theirs").await;
    site.activate("").await.unwrap();
    let written = site.directory.settings(&Place::Account(site.ann.clone())).await.unwrap();
    assert_eq!(value_at(&written, Layer::Account, "active"), Some(Value::from("")), "off, not unset");
}

/// Names that were written by other ways, letters not composed: clients reach them by any spelling.
#[tokio::test]
async fn names_written_otherwise_are_found() {
    let site = Site::new().await;
    let decomposed = "Bu\u{308}ro";
    site.write(Place::Account(site.ann.clone()), "scripts", serde_json::json!({ decomposed: "keep;" })).await;
    assert_eq!(site.list().await, "Büro");
    assert_eq!(site.scripts.get(&site.actor, &site.ann, &name("Büro")).await.unwrap(), "keep;");
    site.write(Place::System, "max_scripts", 1).await;
    site.put("Büro", "stop;").await.unwrap();
    site.activate("Büro").await.unwrap();
    assert_eq!(site.list().await, "Büro*");
    let written = site.directory.settings(&Place::Account(site.ann.clone())).await.unwrap();
    // The active script is one of the scripts, by the name that stands there.
    assert_eq!(value_at(&written, Layer::Account, "active"), Some(Value::from(decomposed)));
    assert_eq!(
        value_at(&written, Layer::Account, "scripts"),
        Some(serde_json::json!({ decomposed: "stop;" }))
    );
    assert!(matches!(site.delete(decomposed).await, Err(ScriptsError::Active(_))));
    assert!(matches!(site.rename(decomposed, "Büro").await, Err(ScriptsError::Exists(_))));
    site.activate("").await.unwrap();
    site.rename("Büro", "office").await.unwrap();
    assert_eq!(site.list().await, "office");
    site.rename("office", decomposed).await.unwrap();
    site.delete("Büro").await.unwrap();
    assert_eq!(site.list().await, "");
}

/// Everything that is read or written takes the right to: the owner's, or an administrator's.
#[tokio::test]
async fn nobody_reads_what_is_not_theirs() {
    let site = Site::new().await;
    site.put("a", "keep;").await.unwrap();
    site.apply(Change::AddDomain { name: "example.net".to_owned() }).await;
    let (user, other) = (site.account("eve@example.org").await, site.account("admin@example.net").await);
    let (domain, system) = (site.account("admin@example.org").await, site.account("root@example.net").await);
    site.grant("admin@example.net", Some("example.net")).await;
    site.grant("admin@example.org", Some("example.org")).await;
    site.grant("root@example.net", None).await;
    let actors = [(&site.actor, true), (&user, false), (&other, false), (&domain, true), (&system, true)];
    for (actor, expect) in actors.into_iter().chain([(&root(), true)]) {
        let (scripts, ann, a) = (&site.scripts, &site.ann, name("a"));
        let done = [
            scripts.list(actor, ann).await.map(drop),
            scripts.get(actor, ann, &a).await.map(drop),
            scripts.check(actor, ann, "keep;").await.map(drop),
            scripts.has_space(actor, ann, &a, 1).await,
            scripts.max_redirects(actor, ann).await.map(drop),
            scripts.put(actor, ann, &a, "keep;").await.map(drop),
            scripts.activate(actor, ann, None).await.map(drop),
            scripts.rename(actor, ann, &a, &name("b")).await,
            scripts.rename(actor, ann, &name("b"), &a).await,
        ];
        for (place, done) in done.into_iter().enumerate() {
            let is_refused =
                matches!(&done, Err(ScriptsError::Forbidden(why)) if why.contains("another person's"));
            assert!(if expect { done.is_ok() } else { is_refused }, "{actor:?} {place}: {done:?}");
        }
    }
    // The log names who really did it, not whose account it is.
    site.scripts.put(&domain, &site.ann, &name("c"), "keep;").await.unwrap();
    let log = site.directory.changes(0, 1000).await.unwrap();
    assert_eq!(log.last().map(|row| row.actor.as_str()), Some("admin@example.org"));
    // Rights end at once, also of somebody who is at it.
    let suspend = |address: &str| Change::SetStatus {
        subject: Subject::Account(address.parse().unwrap()),
        status: Status::Suspended,
    };
    site.apply(Change::RemoveGrant { account: "root@example.net".parse().unwrap(), domain: None }).await;
    site.apply(suspend("admin@example.org")).await;
    site.apply(suspend("ann@example.org")).await;
    for actor in [&domain, &system, &site.actor] {
        let refused = site.scripts.list(actor, &site.ann).await;
        assert!(matches!(refused, Err(ScriptsError::Forbidden(_))), "{actor:?}: {refused:?}");
    }
}

/// Two mail programs and an administrator: nobody's script is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_lose_nothing_of_each_other() {
    const WRITERS: usize = 4;
    const EACH: usize = 5;
    let site = Arc::new(Site::new().await);
    let writers = (0..WRITERS).map(|writer| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            for count in 0..EACH {
                site.put(&format!("w{writer}-{count}"), "keep;").await.unwrap();
                if count > 0 {
                    site.delete(&format!("w{writer}-{}", count - 1)).await.unwrap();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(site.list().await, "w0-4 w1-4 w2-4 w3-4");
}
