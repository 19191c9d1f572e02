//! Changes by other processes: they hold for the next mail, and nobody ever waits for a lock in vain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::Submission;

use crate::crash::load::{Load, count_copies, reconcile};
use crate::node::{FRESHNESS, Node, PATIENCE};

const ANN: &str = "ann@example.org";
fn send(node: &Node, recipient: &str) -> Submission {
    node.lmtp().send("sam@example.com", &[recipient], b"Subject: x\r\n\r\nx\r\n").unwrap()
}

#[test]
fn what_another_process_changed_holds_for_the_next_mail() {
    let mut node = Node::new(&[ANN]);
    node.start();
    assert!(send(&node, ANN).is_accepted());
    assert_eq!(node.inbox(ANN).len(), 1);

    let wait = || std::thread::sleep(FRESHNESS);
    // A setting at each layer, and a pin.
    node.run(&["settings", "set", "--system", "mailbox.folder=System"]);
    wait();
    assert!(send(&node, ANN).is_accepted());
    assert_eq!(node.folder(ANN, ".System").len(), 1, "{}", node.log());
    node.set(ANN, &["mailbox.folder=Own"]);
    wait();
    assert!(send(&node, ANN).is_accepted());
    assert_eq!(node.folder(ANN, ".Own").len(), 1, "{}", node.log());
    node.run(&["settings", "set", "--domain", "example.org", "mailbox.folder=Domain", "--pin"]);
    wait();
    assert!(send(&node, ANN).is_accepted());
    assert_eq!(node.folder(ANN, ".Domain").len(), 1, "{}", node.log());

    // Accounts come and go.
    assert_eq!(send(&node, "new@example.org").recipients[0].code, 550);
    node.run(&["account", "add", "new@example.org"]);
    wait();
    assert!(send(&node, "new@example.org").is_accepted(), "{}", node.log());
    node.run(&["account", "remove", "new@example.org"]);
    wait();
    assert_eq!(send(&node, "new@example.org").recipients[0].code, 550, "{}", node.log());
    node.run(&["alias", "add", "team@example.org", ANN]);
    wait();
    assert!(send(&node, "team@example.org").is_accepted(), "{}", node.log());
    assert_eq!(node.folder(ANN, ".Domain").len(), 2, "{}", node.log());
}

#[test]
fn renaming_under_load_loses_no_mail() {
    let mut node = Node::new(&[ANN, "bob@example.org"]);
    node.start();
    let accounts = [ANN.to_owned(), "bob@example.org".to_owned()];
    let maildirs = accounts.each_ref().map(|account| node.maildir(account));
    // Both names of each account are known throughout, so that no client is ever refused.
    node.run(&["domain", "alias", "add", "example.org", "example.com"]);
    std::thread::sleep(FRESHNESS);
    let names = ["ann@example.com".to_owned(), "bob@example.com".to_owned()];
    let load = Load::start(&node.socket(), &names, 4, 16 * 1024);
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        node.run(&["account", "edit", ANN, "--name", "Ann"]);
        node.set("bob@example.org", &["mailbox.folder=INBOX"]);
        node.run(&["domain", "rename", "example.org", "example.net"]);
        node.run(&["domain", "rename", "example.net", "example.org"]);
    }
    let ledger = load.finish();
    let after = accounts.each_ref().map(|account| node.maildir(account));
    assert_eq!(after, maildirs, "a mailbox moved");
    let copies = count_copies(&node, &accounts)
        .into_iter()
        .map(|((id, account), count)| ((id, account.replace("example.org", "example.com")), count))
        .collect();
    assert!(ledger.len() > 50, "{}", ledger.len());
    assert!(ledger.values().all(|fate| fate.is_acknowledged), "{}", node.log());
    reconcile(&ledger, &copies);
}

#[test]
fn commands_and_deliveries_do_not_lock_each_other_out() {
    let accounts: Vec<String> = (0..4).map(|number| format!("u{number}@example.org")).collect();
    let mut node = Node::new(&accounts.iter().map(String::as_str).collect::<Vec<_>>());
    node.start();
    let load = Load::start(&node.socket(), &accounts, 6, 16 * 1024);
    let is_over = AtomicBool::new(false);
    let node = &node;
    let writes: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = accounts
            .iter()
            .enumerate()
            .map(|(number, account)| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut writes = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        node.set(account, &[&format!("quota.messages={}", 100_000 + writes)]);
                        node.run(&["account", "add", &format!("w{number}-{writes}@example.org")]);
                        node.json(&["receipts", account]);
                        writes += 2;
                    }
                    writes
                })
            })
            .collect();
        // Deliveries by processes of their own write to the same State.
        let deliveries = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let output =
                    node.deliver(&["-f", "sam@example.com", "-d", "w0-0@example.org"], b"Subject: x\n\nx\n");
                let is_known = output.status.code() != Some(67);
                assert!(output.status.success() || !is_known, "{output:?}");
            }
        });
        std::thread::sleep(Duration::from_secs(6));
        is_over.store(true, Ordering::Relaxed);
        deliveries.join().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    let ledger = load.finish();
    println!("{writes} writes of other processes beside {} deliveries", ledger.len());
    assert!(writes > 20 && ledger.len() > 100, "{writes} writes, {} deliveries", ledger.len());
    let deferred: u32 = ledger.values().map(|fate| fate.deferred).sum();
    assert_eq!(deferred, 0, "{}", node.log());
    assert!(!node.log().contains("locked"), "{}", node.log());
    reconcile(&ledger, &count_copies(node, &accounts));
}

/// A directory that cannot be read says nothing about anybody: mail waits, it is not refused.
#[test]
fn without_its_directory_mail_waits() {
    let mut node = Node::new(&[ANN]);
    let (data, away) = (node.path().join("data"), node.path().join("away"));
    std::fs::rename(&data, &away).unwrap();
    for recipient in [ANN, "nobody@example.org"] {
        let output = node.deliver(&["-d", recipient], b"Subject: x\n\nx\n");
        assert_eq!(output.status.code(), Some(75), "{output:?}");
    }
    // A server does not even start, and says which file it misses.
    node.launch();
    let status = node.wait(PATIENCE).expect("the server runs on nothing");
    assert!(!status.success());
    assert!(node.log().contains("directory.sqlite"), "{}", node.log());

    std::fs::rename(&away, &data).unwrap();
    let output = node.deliver(&["-d", ANN], b"Subject: x\n\nx\n");
    assert!(output.status.success(), "{output:?}");
    let output = node.deliver(&["-d", "nobody@example.org"], b"Subject: x\n\nx\n");
    assert_eq!(output.status.code(), Some(67), "{output:?}");
}
