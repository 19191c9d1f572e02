//! Ordinary ends and starts: SIGTERM under load, what systemd is told, and sockets that it hands over.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use pigeon_testkit::peers::wait_until;

use super::load::{Load, count_copies, reconcile};
use crate::node::{Node, NodeOptions, PATIENCE, PIGEON};

/// A stop is an administrator waiting.
const STOP_BOUND: Duration = Duration::from_secs(15);

#[test]
fn a_stop_under_load_finishes_what_it_acknowledges() {
    let accounts: Vec<String> = (0..4).map(|number| format!("u{number}@example.org")).collect();
    let mut node = Node::new(&accounts.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..3 {
        node.start();
        let load = Load::start(&node.socket(), &accounts, 6, 100 * 1024);
        assert!(
            wait_until(PATIENCE, || (load.acknowledged() > 40).then_some(())).is_some(),
            "{}",
            node.log()
        );
        // A client that says nothing does not hold the server up.
        let mut silent = node.lmtp();
        silent.hello().unwrap();

        let (status, duration) = node.stop();
        assert!(status.success(), "{status}\n{}", node.log());
        assert!(duration < STOP_BOUND, "{duration:?}");
        let goodbye = silent.reply().unwrap_or_else(|error| panic!("no goodbye: {error}\n{}", node.log()));
        assert_eq!(goodbye.code, 421, "{goodbye}");
        let closings = load.closings();
        let ledger = load.abandon();
        println!("stopped in {duration:?}, {closings} connections closed with 421");
        // Those under way were answered, one way or the other: nothing was dropped without a word.
        let unanswered: u32 = ledger.values().map(|fate| fate.unanswered).sum();
        assert!(closings > 0 || unanswered == 0, "{unanswered} messages without a reply, and no 421");
        reconcile(&ledger, &count_copies(&node, &accounts));
        for account in &accounts {
            for stored in node.inbox(account) {
                std::fs::remove_file(stored.path).unwrap();
            }
        }
    }
}

#[test]
fn the_service_manager_is_told() {
    let mut node = Node::new(&["ann@example.org"]);
    let path = node.path().join("run/notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = node.serve_command();
    node.launch_as(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000"));

    let mut next = || {
        let mut buffer = [0; 1024];
        let count = manager.recv(&mut buffer).expect("nothing from the server");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let mut wait_for = |word: &str| {
        let found =
            std::iter::repeat_with(&mut next).take(50).find(|text| text.lines().any(|line| line == word));
        assert!(found.is_some(), "the service manager never heard {word}");
    };
    wait_for("READY=1");
    // Ready means that mail is taken.
    let submission =
        node.lmtp().send("sam@example.com", &["ann@example.org"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert!(submission.is_accepted(), "{submission:?}");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    node.signal(rustix::process::Signal::TERM);
    wait_for("STOPPING=1");
    assert!(node.wait(STOP_BOUND).expect("did not stop").success());
}

#[test]
fn a_socket_that_the_service_manager_opened_is_used() {
    let options = NodeOptions { listen: Some("inherited:mail".to_owned()), ..NodeOptions::default() };
    let mut node = Node::with(&options, &["ann@example.org"]);
    let listener = UnixListener::bind(node.socket()).unwrap();
    // sd_listen_fds(3): the sockets begin at descriptor 3, and LISTEN_PID is the process itself.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=mail exec \"$0\" serve";
    let mut command = Command::new("sh");
    command.args(["-c", script, PIGEON]).env("PIGEON_CONFIG", node.config());
    node.log_into(&mut command);
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    node.launch_as(&mut command);
    drop(command);

    node.wait_until_ready();
    let submission =
        node.lmtp().send("sam@example.com", &["ann@example.org"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert!(submission.is_accepted(), "{submission:?}\n{}", node.log());
    assert_eq!(node.inbox("ann@example.org").len(), 1);
    let (status, _) = node.stop();
    assert!(status.success(), "{status}\n{}", node.log());
    // The socket is the service manager's: it is still there for the next start.
    assert!(node.socket().exists());
    drop(listener);
}
