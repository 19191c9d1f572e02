//! Signals for a server and everything it started, also what went into sessions of its own.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait_until;

/// How long the processes of a killed server may take to be gone.
const REAPING: Duration = Duration::from_secs(5);

/// Stops the process and all below it where they stand (SIGSTOP), until [`go_on`].
pub(crate) fn pause(leader: Pid) {
    send(&[leader], Signal::STOP);
    // The leader forks no more; what it forked just before is found in the next round.
    let mut paused = Vec::new();
    loop {
        let found = below(leader);
        if found.iter().all(|pid| paused.contains(pid)) {
            return;
        }
        send(&found, Signal::STOP);
        paused = found;
    }
}

/// Lets the process and all below it go on (SIGCONT).
pub(crate) fn go_on(leader: Pid) {
    send(&below(leader), Signal::CONT);
    send(&[leader], Signal::CONT);
}

/// Kills the process and all below it (SIGKILL) and waits until those below are gone; the leader is to be reaped by
/// whoever started it.
pub(crate) fn kill(leader: Pid) {
    pause(leader);
    let found = below(leader);
    send(&found, Signal::KILL);
    send(&[leader], Signal::KILL);
    // Whatever is left after that long cannot be ended by us, and the next start of the server would say so.
    wait_until(REAPING, || found.iter().all(|pid| !is_alive(*pid)).then_some(())).unwrap_or_default();
}

fn send(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // An error means that it is gone already.
        kill_process(*pid, signal).unwrap_or_default();
    }
}

/// All processes that descend from this one, without itself.
fn below(leader: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = vec![leader.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// Every process of the machine with its parent.
fn parents() -> HashMap<i32, i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, status(pid)?.1))).collect()
}

/// The state letter and the parent: proc(5), /proc/PID/stat.
fn status(pid: i32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn is_alive(pid: Pid) -> bool {
    // A dead process that its new parent has not reaped yet shows as Z.
    status(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state != "Z" && state != "X")
}
