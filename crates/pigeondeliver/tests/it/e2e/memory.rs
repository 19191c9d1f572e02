//! Memory does not grow with the message: the peak of the real process with 100 MiB beside that with 1 MiB.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::node::{Node, NodeOptions, PATIENCE};

const ANN: &str = "ann@example.org";
/// How much more 100 MiB may take than 1 MiB.
pub(super) const ALLOWANCE_KIB: u64 = 8 * 1024;

/// A message of so many MiB in lines of 76 octets, line ends included.
pub(super) fn message(mebibytes: usize, line_end: &str) -> Vec<u8> {
    let line = format!("{}{line_end}", "Q29v".repeat(19));
    let mut message = format!("Subject: large{line_end}{line_end}").into_bytes();
    message.extend(line.as_bytes().iter().cycle().take(mebibytes * 1024 * 1024 / line.len() * line.len()));
    message
}

/// The most memory that a process ever had resident, in KiB; none if it has ended.
pub(super) fn peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn check(small: u64, large: u64) {
    println!("peak {small} KiB with 1 MiB, {large} KiB with 100 MiB");
    assert!(large < small + ALLOWANCE_KIB, "{large} KiB with 100 MiB, {small} KiB with 1 MiB");
}

#[test]
fn the_server_takes_100_mebibytes_in_the_memory_of_one() {
    let options =
        NodeOptions { lmtp: vec!["max_message_size = 209715200".to_owned()], ..NodeOptions::default() };
    let mut node = Node::with(&options, &[ANN]);
    node.start();
    let process = node.process_id();
    let peak_after = |mebibytes| {
        let message = message(mebibytes, "\r\n");
        let submission = node.lmtp().send("sam@example.com", &[ANN], &message).unwrap();
        assert!(submission.is_accepted(), "{submission:?}\n{}", node.log());
        let stored = node.inbox(ANN).iter().map(|stored| stored.body().len()).max().unwrap();
        let lines = message.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(stored, message.len() - lines - "Subject: large\n\n".len());
        peak_kib(process).unwrap()
    };
    // The second small one finds everything warmed up.
    peak_after(1);
    check(peak_after(1), peak_after(100));
}

/// The peak of one `pigeon deliver`, looked at all the time until it ends.
fn peak_of_command(node: &Node, message: &[u8]) -> u64 {
    let mut child = node
        .command()
        .args(["deliver", "-f", "sam@example.com", "-d", ANN])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(message).unwrap();
    let mut peak = peak_kib(child.id()).unwrap();
    drop(stdin);
    let end = std::time::Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && std::time::Instant::now() < end {
        peak = peak.max(peak_kib(child.id()).unwrap_or_default());
        std::thread::sleep(Duration::from_micros(200));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    peak
}

#[test]
fn the_command_takes_100_mebibytes_in_the_memory_of_one() {
    let node = Node::new(&[ANN]);
    let (small, large) = (message(1, "\n"), message(100, "\n"));
    check(peak_of_command(&node, &small), peak_of_command(&node, &large));
    assert!(node.inbox(ANN).iter().any(|stored| stored.bytes.ends_with(&large[large.len() - 1024 * 1024..])));
}
