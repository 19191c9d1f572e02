//! Loss of power: what a disk holds at the moment of an acknowledgement is mounted elsewhere and looked at.
//!
//! The copy is made of the image file under a loop device: it has what the file system wrote so far, and nothing
//! of what is only in memory. (It cannot show what a disk's own cache would lose.)

use std::fs;
use std::path::Path;
use std::process::Command;

use pigeon_backends::blocking::Blocking;
use pigeon_backends::mailstore::maildir::SyncMode;
use pigeon_testkit::contracts::mailstore::copy;

use super::disk::{Mounted, is_root};
use super::{Yard, hello, list};

/// How a file system is made and, after a loss of power, repaired.
struct Kind {
    make: &'static [&'static str],
    repair: Option<&'static [&'static str]>,
    mount: &'static str,
    octets: u64,
}

const MIB: u64 = 1024 * 1024;
const ROUNDS: usize = 3;

const KINDS: [Kind; 4] = [
    Kind { make: &["mkfs.ext4", "-q", "-F"], repair: None, mount: "ext4", octets: 64 * MIB },
    Kind {
        make: &["mkfs.ext4", "-q", "-F", "-O", "^has_journal"],
        repair: Some(&["e2fsck", "-fy"]),
        mount: "ext4",
        octets: 64 * MIB,
    },
    Kind { make: &["mkfs.xfs", "-q", "-f"], repair: None, mount: "xfs", octets: 320 * MIB },
    Kind { make: &["mkfs.btrfs", "-q", "-f"], repair: None, mount: "btrfs", octets: 256 * MIB },
];

fn run(command: &[&str], path: &Path) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    Command::new(program)
        .args(arguments)
        .arg(path)
        .output()
        .is_ok_and(|output| output.status.code() < Some(4))
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    if !is_root("no file system can be made and mounted") {
        return;
    }
    for kind in &KINDS {
        for sync in [SyncMode::Automatic, SyncMode::Each] {
            check(kind, sync).await;
        }
    }
}

async fn check(kind: &Kind, sync: SyncMode) {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::File::create(&image).unwrap().set_len(kind.octets).unwrap();
    if !run(kind.make, &image) {
        eprintln!("SKIPPED: {:?} is not possible here", kind.make);
        return;
    }
    let options = ["-t", kind.mount, "-o", "loop"];
    let Some(disk) = Mounted::new(&[&options[..], &[&image.to_string_lossy()]].concat()) else { return };
    let yard = Yard::at(disk.path(), Blocking::Inline, sync);
    for round in 0..ROUNDS {
        let to = |name: &str, folder: &str| copy(&hello(), name, folder, &format!("N: {round}\n"));
        // One mailbox; some by links; many by links; many with bytes of their own; folders.
        yard.keep_one(&format!("one{round}"), "INBOX").await;
        let shared =
            |count: u32, group: &str| (0..count).map(|at| to(&format!("{group}{at}"), "INBOX")).collect();
        let own = |at: u32| copy(&hello(), &format!("own{at}"), "a/b", &format!("N: {round} {at}\n"));
        for copies in [shared(3, "few"), shared(30, "many"), (0..20).map(own).collect()] {
            assert!(yard.keep(copies).await.iter().all(Result::is_ok));
        }
    }
    fs::write(disk.path().join("unsynced"), "x").unwrap();
    let kept = directory.path().join("copy");
    fs::copy(&image, &kept).unwrap();
    // Not side by side: XFS and btrfs know a file system by its identity, which both have.
    drop(yard);
    drop(disk);
    look(kind, &kept);
}

/// Mounts what was on the disk and counts.
fn look(kind: &Kind, image: &Path) {
    if let Some(repair) = kind.repair {
        assert!(run(repair, image), "{repair:?}");
    }
    let disk = Mounted::new(&["-t", kind.mount, "-o", "loop", &image.to_string_lossy()]);
    let (disk, what) = (disk.unwrap(), format!("{:?}", kind.make));
    assert!(!disk.path().join("unsynced").exists(), "{what}: this test could not fail");
    let place = |name: String| disk.path().join("example.org").join(name);
    let count = |path: &Path| {
        let files = list(path);
        for file in &files {
            let octets = fs::read(file).unwrap().len();
            assert!(file.to_string_lossy().contains(&format!(",S={octets},")), "{what}: {file:?}");
        }
        files.len()
    };
    for round in 0..ROUNDS {
        assert_eq!(count(&place(format!("one{round}/new"))), 1, "{what}");
    }
    for (group, size) in [("few", 3), ("many", 30)] {
        for at in 0..size {
            assert_eq!(count(&place(format!("{group}{at}/new"))), ROUNDS, "{what}: {group}{at}");
        }
    }
    for at in 0..20 {
        assert_eq!(count(&place(format!("own{at}/.a.b/new"))), ROUNDS, "{what}: own{at}");
    }
}
