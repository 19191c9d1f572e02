//! The registry of nodes.

use std::time::Duration;

use pigeon_backends::state::Mode;
use pigeon_backends::state::nodes::{Heard, LOST_AFTER, NodeReport, NodeStatus, Nodes as _};

use super::database::{Database, Node, on_both};

on_both!(nodes_register_and_are_seen_by_all, a_name_belongs_to_one_node);

fn report(name: &str, id: &str) -> NodeReport {
    NodeReport {
        name: name.to_owned(),
        id: id.to_owned(),
        version: "1.2.3".to_owned(),
        listeners: vec!["127.0.0.1:24".to_owned()],
        load_average: 0.25,
        ..NodeReport::default()
    }
}

async fn nodes_register_and_are_seen_by_all(database: &Database) {
    let (one, other) = (Node::new(database, "mx1", Mode::Server), Node::new(database, "mx2", Mode::OneShot));
    for (node, name) in [(&one, "mx1"), (&other, "mx2"), (&one, "mx1")] {
        assert_eq!(node.state.heartbeat(&report(name, name)).await.unwrap(), Heard::Registered);
    }
    for node in [&one, &other] {
        let nodes = node.state.nodes().await.unwrap();
        assert_eq!(nodes.iter().map(|node| node.report.name.as_str()).collect::<Vec<_>>(), ["mx1", "mx2"]);
        assert_eq!(nodes[0].report, report("mx1", "mx1"));
        assert!(nodes.iter().all(|node| node.status() == NodeStatus::Running));
        assert!(nodes.iter().all(|node| node.unheard < Duration::from_secs(5)));
    }
    database.sql(&format!("UPDATE state_nodes SET heard = heard - {}", LOST_AFTER.as_micros()));
    let stopped = NodeReport { is_stopped: true, ..report("mx2", "mx2") };
    assert_eq!(other.state.heartbeat(&stopped).await.unwrap(), Heard::Registered);
    let statuses: Vec<_> = one.state.nodes().await.unwrap().iter().map(|node| node.status()).collect();
    assert_eq!(statuses, [NodeStatus::Lost, NodeStatus::Stopped]);
    assert!(one.state.remove_node("mx2").await.unwrap());
    assert!(!one.state.remove_node("mx2").await.unwrap());
    assert_eq!(one.state.nodes().await.unwrap().len(), 1);
}

async fn a_name_belongs_to_one_node(database: &Database) {
    let node = Node::new(database, "mx1", Mode::OneShot);
    let heard = async |id: &str| node.state.heartbeat(&report("mx1", id)).await.unwrap();
    assert_eq!(heard("first").await, Heard::Registered);
    assert!(matches!(heard("second").await, Heard::Taken(since) if since < Duration::from_secs(5)));
    assert_eq!(heard("first").await, Heard::Registered);
    // Lost, it may be replaced; and the one that comes back sees that.
    database.sql(&format!("UPDATE state_nodes SET heard = heard - {}", LOST_AFTER.as_micros()));
    assert_eq!(heard("second").await, Heard::Registered);
    assert!(matches!(heard("first").await, Heard::Taken(_)));
    let stopped = NodeReport { is_stopped: true, ..report("mx1", "second") };
    assert_eq!(node.state.heartbeat(&stopped).await.unwrap(), Heard::Registered);
    assert_eq!(heard("first").await, Heard::Registered);
}
