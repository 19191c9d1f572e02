//! Deliveries by command keep what they looked up; what people change still holds for the very next message.

use std::time::Duration;

use crate::node::Node;

const ANN: &str = "ann@example.org";
const MESSAGE: &[u8] = b"From: sam@example.com\nSubject: x\n\nx\n";
/// So long after a change look-ups are kept.
const SETTLED: Duration = Duration::from_secs(4);

fn deliver(node: &Node, recipient: &str) -> Option<i32> {
    node.deliver(&["-f", "sam@example.com", recipient], MESSAGE).status.code()
}

/// Delivers twice, so that the second process finds what the first one kept.
fn is_kept_and_used(node: &Node) -> bool {
    std::thread::sleep(SETTLED);
    let kept = node.path().join("state/lookups.kept");
    std::fs::remove_file(&kept).unwrap_or_default();
    assert_eq!((deliver(node, ANN), deliver(node, ANN)), (Some(0), Some(0)));
    std::fs::read(kept).is_ok_and(|bytes| bytes.windows(ANN.len()).any(|part| part == ANN.as_bytes()))
}

#[test]
fn changes_hold_for_the_next_message() {
    let mut node = Node::new(&[ANN, "bob@example.org"]);
    // Beside a server that has the directory open, and without one.
    for has_server in [false, true] {
        if has_server {
            node.start();
        }
        let folder = format!("Kept{has_server}");
        assert!(is_kept_and_used(&node));
        let before = node.inbox(ANN).len();
        node.set(ANN, &[&format!("mailbox.folder={folder}")]);
        assert_eq!(deliver(&node, ANN), Some(0));
        assert_eq!((node.inbox(ANN).len(), node.folder(ANN, &format!(".{folder}")).len()), (before, 1));

        assert!(is_kept_and_used(&node));
        node.run(&["account", "suspend", ANN]);
        assert_eq!(deliver(&node, ANN), Some(75), "suspended: the mail waits");
        node.run(&["account", "resume", ANN]);
        node.run(&["settings", "unset", "--account", ANN, "mailbox.folder"]);
        assert!(is_kept_and_used(&node));
        node.run(&["account", "remove", ANN]);
        assert_eq!(deliver(&node, ANN), Some(67), "removed: nobody has the address");
        node.run(&["account", "restore", ANN]);
    }
}
