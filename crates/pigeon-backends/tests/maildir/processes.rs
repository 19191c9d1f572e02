//! Several processes at one mailbox, and processes that are killed.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::SyncMode;
use pigeon_testkit::contracts::mailstore::copy;

use super::{Yard, hello, list, names};

const ROOT: &str = "PIGEON_TEST_MAIL_ROOT";
const TASK: &str = "PIGEON_TEST_MAIL_TASK";

/// This test program, to be started again as [`in_a_child`] with a task.
pub(crate) fn child(program: &Path, root: &Path, task: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "processes::in_a_child", "--ignored", "--nocapture"]);
    command.env(ROOT, root).env(TASK, task).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn spawn(root: &Path, task: &str) -> Child {
    child(&std::env::current_exe().unwrap(), root, task).spawn().unwrap()
}

#[tokio::test]
#[ignore = "started by other tests, as a process of its own"]
async fn in_a_child() {
    let (Some(root), Some(task)) = (std::env::var_os(ROOT), std::env::var_os(TASK)) else { return };
    let yard = Yard::at(&PathBuf::from(root), Blocking::Inline, SyncMode::Automatic);
    if task == "forbidden" {
        for name in ["ann", "open"] {
            match yard.keep(vec![copy(&hello(), name, "INBOX", "")]).await.remove(0) {
                Ok(_) => println!("\n{name}: stored"),
                Err(error) => println!("\n{name}: {error}"),
            }
        }
        return;
    }
    let count = task.to_str().unwrap().split('-').next_back().unwrap().parse::<u32>().unwrap();
    for number in 0..count {
        let copies =
            vec![copy(&hello(), "busy", "INBOX", &format!("N: {number}\n")), copy(&hello(), "two", "a", "")];
        for result in yard.keep(copies).await {
            println!("\nstored {}", result.unwrap());
        }
        std::io::stdout().flush().unwrap();
    }
}

/// The names that a child said were stored.
fn stored(child: &mut Child) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("stored ").map(str::to_owned)).collect()
}

fn assert_all_whole(yard: &Yard) -> HashSet<String> {
    let places = [yard.path("busy").join("new"), yard.path("two").join(".a/new")];
    let files: Vec<PathBuf> = places.iter().flat_map(|place| list(place)).collect();
    for file in &files {
        let (name, octets) = (file.to_string_lossy(), fs::metadata(file).unwrap().len());
        assert!(name.contains(&format!(",S={octets},")), "{name} has {octets} octets");
    }
    places.iter().flat_map(|place| names(place)).collect()
}

#[test]
fn eight_processes_lose_nothing_and_never_take_one_name_twice() {
    let yard = Yard::new();
    let start = |number: u32| spawn(&yard.root, &format!("{number}-25"));
    let mut children: Vec<Child> = (0..8).map(start).collect();
    let reported: Vec<String> = children.iter_mut().flat_map(stored).collect();
    for mut child in children {
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(child.wait().unwrap().success(), "{errors}");
    }
    assert_eq!(reported.len(), 400);
    let distinct: HashSet<String> = reported.into_iter().collect();
    assert_eq!(distinct.len(), 400, "two copies had one name");
    assert_eq!(assert_all_whole(&yard), distinct);
    assert_eq!(fs::read_to_string(yard.path("two").join("courierimapsubscribed")).unwrap(), "INBOX.a\n");
}

#[tokio::test]
async fn eight_threads_lose_nothing_and_never_take_one_name_twice() {
    let yard = Yard::with(Blocking::Pool, SyncMode::Automatic);
    let keeps = (0..8).map(async |_| {
        let mut names = Vec::new();
        for _ in 0..25 {
            names.push(yard.keep_one("busy", "INBOX").await);
        }
        names
    });
    let reported: HashSet<String> =
        futures_util::future::join_all(keeps).await.into_iter().flatten().collect();
    assert_eq!(reported.len(), 200);
    assert_eq!(assert_all_whole(&yard), reported);
}

#[test]
fn a_killed_process_leaves_only_whole_messages() {
    let yard = Yard::new();
    let mut acknowledged = HashSet::new();
    for round in 0..12 {
        let mut child = spawn(&yard.root, &format!("{round}-100000"));
        thread::sleep(Duration::from_millis(40 + 7 * round));
        child.kill().unwrap();
        acknowledged.extend(stored(&mut child));
        child.wait().unwrap();
    }
    assert!(!acknowledged.is_empty(), "the children had no time to store anything");
    let found = assert_all_whole(&yard);
    let lost: Vec<&String> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged, but lost: {lost:?}");
}
