//! Real programs over real messages: well-behaved ones, and all others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_core::directory::{Change, Place};
use pigeon_core::envelope::{Envelope, MailParameters, Named, Origin, Transaction};
use pigeon_core::message::{Message, MessageWriter};
use pigeon_core::receipt::Receipt;
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeondeliver::config::Config;
use pigeondeliver::wiring::{self, Mode, Site};
use serde_json::{Value, json};

const MAIL: &str = "From: eve@example.net\nSubject: hi\n\nhello\n";

struct World {
    site: Site,
    root: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // Programs run as nobody where the tests run as root: the way to their files must be open.
        std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = |name: &str| root.path().join(name);
        let mut config = Config::new(&path("directory.sqlite"), &path("state"), &path("mail"));
        config.hostname = Some("mx.example.org".into());
        wiring::create(&config).await.unwrap();
        // Tests share nothing but the binary: the helper is that one, not the test itself.
        std::fs::create_dir(path("scratch")).unwrap();
        let helper = path("pigeon");
        std::fs::copy(env!("CARGO_BIN_EXE_pigeon"), &helper).unwrap();
        let site = Site::open(config, Mode::Server).unwrap();
        let world = Self { site, root };
        world.apply(Change::AddDomain { name: "example.org".into() }).await;
        for address in ["ann@example.org", "bob@example.org"] {
            let address = address.parse().unwrap();
            world.apply(Change::AddAccount { address, name: String::new(), password: None }).await;
        }
        world.set("system", "mailbox.enabled", json!(true)).await;
        world.set("system", "command.enabled", json!(true)).await;
        world.set("system", "command.helper", json!(helper)).await;
        world.set("system", "command.scratch", json!(world.root.path().join("scratch"))).await;
        world
    }

    async fn apply(&self, change: Change) {
        self.site.directory.apply(&Actor::System("test".into()), change).await.unwrap();
        self.site.agent.planner().forget();
    }

    async fn set(&self, place: &str, name: &str, value: Value) {
        let place = match place {
            "system" => Place::System,
            address => Place::Account(address.parse().unwrap()),
        };
        let (name, content) = (name.parse().unwrap(), Content::Value(value));
        self.apply(Change::Set { place, name, content, pin: Pin::None, until: None, reason: None }).await;
    }

    /// Makes a script of the shell the one program there is, and sets it for ann.
    async fn script(&self, text: &str, more: Value) {
        let file = self.file("program", &format!("#!/bin/sh\n{text}\n"));
        let mut program = json!({ "path": file });
        program.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.set("system", "command.programs", json!({ "it": program })).await;
        self.set("ann@example.org", "command.run", json!(["it"])).await;
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.root.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn deliver(&self, recipients: &[&str], message: Message) -> Vec<Arc<Receipt>> {
        let transaction = Arc::new(Transaction {
            id: "mail-1".into(),
            sender: pigeon_core::address::ReversePath::parse("eve@example.net").unwrap(),
            origin: Origin { protocol: Some("LMTP"), ..Origin::default() },
            parameters: MailParameters::default(),
        });
        let mut admitted = Vec::new();
        for recipient in recipients {
            let named = Named { address: recipient.parse().unwrap(), original: None };
            admitted.push(self.site.agent.admit(named, &transaction).await.unwrap());
        }
        self.site.agent.deliver(&Envelope { transaction, recipients: admitted }, Arc::new(message)).await
    }

    async fn mail(&self, text: &str) -> Arc<Receipt> {
        self.deliver(&["ann@example.org"], Message::from_bytes(text.to_owned())).await.remove(0)
    }

    fn mails(&self, account: &str) -> Vec<String> {
        let new = self.root.path().join("mail/example.org").join(account).join("new");
        let Ok(entries) = std::fs::read_dir(new) else { return Vec::new() };
        entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    /// Nothing is left of a run: no directory, no process.
    fn assert_clean(&self, mark: &str) {
        let left = std::fs::read_dir(self.root.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "directories are left");
        let began = Instant::now();
        let root = self.root.path().display().to_string();
        let mark = if mark.is_empty() { &root } else { mark };
        while !processes_with(mark).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?} are left", processes_with(mark));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Living processes with that text in their command line.
fn processes_with(mark: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    };
    entries.filter(is_it).collect()
}

fn reason(receipt: &Receipt) -> String {
    let steps = &receipt.branches[0].steps;
    steps.iter().find(|step| step.service == "command").map(|step| step.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn exit_codes_decide_and_failures_wait() {
    let world = World::new().await;
    for (script, word, why) in [
        ("exit 0", "delivered", "it ended with 0"),
        ("cat >/dev/null; exit 99", "discarded", "it ended with 99; it discards it"),
        ("echo 'not this one' >&2; exit 77", "rejected", "it ended with 77: not this one"),
        ("exit 75", "deferred", "it ended with 75"),
        ("exit 3", "deferred", "it ended with exit code 3"),
        ("kill -SEGV $$", "deferred", "it was ended by signal 11"),
        ("exec /nothing/there", "deferred", "it ended with exit code 127"),
    ] {
        world.script(script, json!({})).await;
        let receipt = world.mail(MAIL).await;
        assert_eq!(receipt.outcome.word(), word, "{script}: {receipt:#?}");
        assert!(reason(&receipt).contains(why), "{script}: {}", reason(&receipt));
        assert!(!receipt.outcome.text().contains("not this one"), "the sender is told no more than needed");
    }
    world.set("ann@example.org", "command.on_fault", json!("skip")).await;
    assert_eq!(world.mail(MAIL).await.outcome.word(), "delivered");
    world.assert_clean("");
}

#[tokio::test]
async fn the_message_is_replaced_for_one_recipient_alone() {
    let world = World::new().await;
    world.script("sed 's/hello/good bye/'", json!({ "output": "message" })).await;
    let receipts = world.deliver(&["ann@example.org", "bob@example.org"], Message::from_bytes(MAIL)).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome.word() == "delivered"), "{receipts:#?}");
    assert!(world.mails("ann")[0].ends_with("Subject: hi\n\ngood bye\n"), "{:?}", world.mails("ann"));
    assert!(world.mails("bob")[0].ends_with("Subject: hi\n\nhello\n"));
}

#[tokio::test]
async fn output_that_is_no_message_replaces_none() {
    let world = World::new().await;
    let check = async |script: &str, more: Value, word: &str, why: &str| {
        world.script(script, more).await;
        let receipt = world.mail(MAIL).await;
        assert_eq!(receipt.outcome.word(), word, "{script}: {receipt:#?}");
        assert!(reason(&receipt).contains(why), "{script}: {}", reason(&receipt));
    };
    check("true", json!({ "output": "message" }), "deferred", "it printed nothing").await;
    let allowed = json!({ "output": "message", "empty_is_unchanged": true });
    check("true", allowed, "delivered", "it ended with 0").await;
    check("echo Traceback", json!({ "output": "message" }), "deferred", "begins with no header field").await;
    check("echo", json!({ "output": "message" }), "deferred", "begins with no header field").await;
    check("printf 'X-A: 1\\r\\nX-B: 2\\r\\n'", json!({ "output": "header" }), "delivered", "added 2").await;
    assert!(
        world.mails("ann").iter().any(|mail| mail.contains("X-A: 1\nX-B: 2\n")),
        "{:?}",
        world.mails("ann")
    );
    let limit = json!({ "output": "message", "output_limit": "1M" });
    check("yes 'X: 1'", limit, "deferred", "it printed more than 1048576 octets").await;
    check("yes >&2 & sleep 1", json!({}), "delivered", "it ended with 0: y").await;
    world.assert_clean("");
}

#[tokio::test]
async fn programs_end_in_time_with_all_that_they_started() {
    let world = World::new().await;
    let mark = "86399.25";
    for (script, word) in [
        // It hangs; it leaves something running that holds its output; it tries to leave its group.
        (format!("sleep {mark}"), "deferred"),
        (format!("sleep {mark} & exit 0"), "delivered"),
        (format!("setsid sleep {mark} & sleep 0.2; exit 0"), "delivered"),
        (format!("(sleep {mark} &) ; sleep {mark}"), "deferred"),
    ] {
        world.script(&script, json!({ "seconds": 2 })).await;
        let began = Instant::now();
        let receipt = world.mail(MAIL).await;
        assert_eq!(receipt.outcome.word(), word, "{script}: {receipt:#?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{script}");
        world.assert_clean(mark);
    }
    world.set("ann@example.org", "command.timeout_ms", json!(500)).await;
    world.script(&format!("sleep {mark}"), json!({})).await;
    assert!(reason(&*world.mail(MAIL).await).contains("command took longer than 500 ms"));
    world.assert_clean(mark);
}

#[tokio::test]
async fn resources_are_limited() {
    let world = World::new().await;
    let check = async |script: &str, more: Value, word: &str| {
        world.script(script, more).await;
        let receipt = world.mail(MAIL).await;
        assert_eq!(receipt.outcome.word(), word, "{script}: {receipt:#?}");
        world.assert_clean("");
    };
    let bomb = "forkbomb() { forkbomb | forkbomb & }; forkbomb; sleep 1; exit 0";
    check(bomb, json!({ "seconds": 10, "processes": 10 }), "delivered").await;
    check("head -c 2M /dev/zero >file || exit 77", json!({ "file_size": "1M" }), "rejected").await;
    check("while :; do :; done", json!({ "cpu_seconds": 1 }), "deferred").await;
    if !has_python() {
        return;
    }
    check("python3 -c 'x = bytearray(300 << 20)' || exit 77", json!({ "memory": "200M" }), "rejected").await;
    let files = "python3 -c 'x = [open(\"/dev/null\") for _ in range(40)]' || exit 77";
    check(files, json!({ "open_files": 20 }), "rejected").await;
}

#[tokio::test]
async fn programs_see_neither_mail_nor_network() {
    let world = World::new().await;
    let mail = world.root.path().join("mail");
    let check = async |script: &str, more: Value, expect: &str| {
        world.script(script, more).await;
        let receipt = world.mail(MAIL).await;
        assert!(reason(&receipt).contains(expect), "{script}: {receipt:#?}");
    };
    check("id -u >&2", json!({}), if nix::unistd::geteuid().is_root() { "65534" } else { "it ended" }).await;
    check("ls /proc/self/status /dev/null >&2; env | sort | tr '\\n' ' ' >&2", json!({}), "it ended").await;
    check("echo x >file && cat file >&2 && pwd >/dev/null", json!({}), "it ended with 0: x").await;
    check(
        "env >/dev/null; echo $PIGEON_SENDER $PIGEON_DOMAIN $HOME >&2",
        json!({}),
        "eve@example.net example.org /",
    )
    .await;
    if !has_python() {
        return;
    }
    let socket = "python3 -c 'import socket; socket.socket()' 2>/dev/null; echo $? >&2";
    check(socket, json!({ "network": true }), "ended with 0: 0").await;
    if is_there("seccomp", Path::new("/proc/sys/kernel/seccomp")) {
        check(socket, json!({}), "ended with 0: 1").await;
        check("unshare -U true 2>/dev/null; echo $? >&2", json!({}), "ended with 0: 1").await;
    }
    if !is_landlock_there(&world).await {
        println!("SKIPPED: the kernel has no Landlock, what programs may read was not tested");
        return;
    }
    world.file("secret", "secret");
    let secret = world.root.path().join("secret");
    check(&format!("cat {} >&2", secret.display()), json!({}), "ermission denied").await;
    let readable = json!({ "readable": [&secret] });
    check(&format!("cat {} >&2", secret.display()), readable, "ended with 0: secret").await;
    check(&format!("ls {} >&2", mail.display()), json!({}), "ermission denied").await;
    check("touch /tmp/pigeon-test-escape", json!({}), "ermission denied").await;
    world.set("system", "command.confinement", json!("required")).await;
    check("exit 0", json!({}), "ended with 0").await;
}

fn has_python() -> bool {
    let is_there = Path::new("/usr/bin/python3").exists();
    if !is_there {
        println!(
            "SKIPPED: there is no /usr/bin/python3 (install python3): programs in Python were not tested"
        );
    }
    is_there
}

fn is_there(what: &str, path: &Path) -> bool {
    if !path.exists() {
        println!("SKIPPED: the kernel has no {what}");
    }
    path.exists()
}

/// Asks a program that takes nothing less.
async fn is_landlock_there(world: &World) -> bool {
    world.set("system", "command.confinement", json!("required")).await;
    world.script("exit 0", json!({})).await;
    let receipt = world.mail(MAIL).await;
    world.set("system", "command.confinement", json!("best_effort")).await;
    assert!(receipt.outcome.is_success() || reason(&receipt).contains("Landlock"), "{receipt:#?}");
    receipt.outcome.is_success()
}

#[tokio::test]
async fn large_messages_go_through_spool_and_pipes() {
    let world = World::new().await;
    world.script("cat", json!({ "output": "message" })).await;
    let mut writer = MessageWriter::new(Arc::clone(&world.site.spool), u64::MAX, false);
    writer.write(b"Subject: large\n\n").unwrap();
    let line = [b"0123456789".repeat(7), b"\n".to_vec()].concat();
    for _ in 0..200_000 {
        writer.write(&line).unwrap();
    }
    let message = writer.finish();
    let size = message.size();
    let receipt = world.deliver(&["ann@example.org"], message).await.remove(0);
    assert_eq!(receipt.outcome.word(), "delivered", "{receipt:#?}");
    let stored = world.mails("ann").remove(0);
    assert_eq!(stored.len() as u64 - stored.find("Subject: large").unwrap() as u64, size);
    // One that does not read it is none that fails.
    world.script("exit 0", json!({})).await;
    let again = "x".repeat(3 << 20);
    assert_eq!(world.mail(&format!("Subject: x\n\n{again}\n")).await.outcome.word(), "delivered");
}

#[tokio::test]
async fn names_that_are_not_there_and_broken_setups_wait() {
    let world = World::new().await;
    world.script("exit 0", json!({})).await;
    world.set("ann@example.org", "command.run", json!(["other"])).await;
    let receipt = world.mail(MAIL).await;
    assert_eq!(receipt.outcome.word(), "deferred");
    assert!(reason(&receipt).contains("there is no program \"other\" in command.programs: it"));
    let gone = json!({ "it": { "path": "/nothing/there" } });
    world.set("system", "command.programs", gone).await;
    world.set("ann@example.org", "command.run", json!(["it"])).await;
    let receipt = world.mail(MAIL).await;
    assert!(reason(&receipt).contains("/nothing/there cannot be started"), "{receipt:#?}");
    world.assert_clean("");
}

/// The process of one delivery becomes its own helper, whatever its own file is called.
#[test]
fn single_deliveries_run_programs_too() {
    let node = crate::node::Node::new(&["ann@example.org"]);
    let programs =
        json!({ "it": { "path": "/bin/sh", "arguments": ["-c", "echo X-Ran: yes"], "output": "header" } });
    let programs = format!("command.programs={programs}");
    node.run(&["settings", "set", "--system", "command.enabled=true", "command.run=[\"it\"]", &programs]);
    let output = node.deliver(&["-f", "eve@example.net", "-d", "ann@example.org"], MAIL.as_bytes());
    assert!(output.status.success(), "{output:?}");
    assert!(node.inbox("ann@example.org")[0].text().contains("X-Ran: yes\n"));
}

/// What the administrator's page shows does what it says.
#[tokio::test]
async fn the_example_of_the_documentation_works() {
    if !has_python() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin/command.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |kind: &str| {
        let from = page.split_once(&format!("```{kind}\n")).unwrap().1;
        from.split_once("```").unwrap().0.to_owned()
    };
    let world = World::new().await;
    let file = world.file("mark.py", &block("python"));
    let named = block("json").replace("/usr/local/lib/pigeon/mark.py", file.to_str().unwrap());
    world.set("system", "command.programs", serde_json::from_str(&named).unwrap()).await;
    world.set("ann@example.org", "command.run", json!(["mark"])).await;
    let receipt = world.mail(MAIL).await;
    assert_eq!(receipt.outcome.word(), "delivered", "{receipt:#?}");
    assert!(
        world.mails("ann")[0].contains("\nX-Outside: not from example.org\n"),
        "{:?}",
        world.mails("ann")
    );
    let receipt = world.mail(&format!("X-Refuse-Me: yes\n{MAIL}")).await;
    assert_eq!(receipt.outcome.word(), "rejected", "{receipt:#?}");
    assert!(reason(&receipt).contains("this one is not wanted"), "{receipt:#?}");
}
