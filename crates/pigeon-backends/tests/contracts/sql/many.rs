//! Many nodes, command lines and people with an SQL shell on one database.

use std::time::{Duration, Instant};

use pigeon_backends::directory::sql::SqlOptions;
use pigeon_core::directory::{Change, Scope, Subject};
use pigeon_core::ports::directory::{Administration as _, Directory as _, DirectoryError, Page};

use super::{
    ASKING, IMPATIENT, Server, add_account, add_domain, apply, finds, fresh, open, parse, root, with_ann,
};

/// How a server's node follows.
const FOLLOWING: SqlOptions = SqlOptions { is_listening: true, ..ASKING };

/// Asks as a node does until it is told of something behind `since`; returns how long that took.
async fn told(directory: &pigeon_backends::directory::sql::SqlDirectory, since: u64) -> (Duration, u64) {
    let start = Instant::now();
    loop {
        let feed = directory.feed(since).await.unwrap();
        if feed.seq > since {
            return (start.elapsed(), feed.seq);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "nothing is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn changes_hold_on_every_node_within_a_second(server: &Server) {
    let (name, node) = fresh(server, FOLLOWING).await;
    with_ann(&node).await;
    let (command_line, mut seq) = (open(node.url(), ASKING), 2);
    // PostgreSQL tells; without being told a listening node asks less often.
    let limit = Duration::from_millis(if matches!(server, Server::Postgres(_)) { 500 } else { 1000 });
    // The listener comes up with the first question.
    assert_eq!(node.feed(0).await.unwrap().seq, seq);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for round in 0..3 {
        apply(&command_line, add_account(&format!("by-command-{round}@example.org"))).await;
        let (took, position) = told(&node, seq).await;
        assert!(took < limit && position == seq + 1, "{took:?}, {position}");
        server.edit(&name, &format!("UPDATE accounts SET name = 'round {round}' WHERE local = 'ann'"));
        let (took, position) = told(&node, seq + 1).await;
        assert!(took < limit && position == seq + 2, "{took:?}, {position}");
        seq = position;
    }
    // What one changes oneself is known at once.
    apply(&node, add_account("own@example.org")).await;
    assert_eq!(node.feed(seq).await.unwrap().seq, seq + 1);
    if let Server::Postgres(_) = server {
        node.feed(seq + 1).await.unwrap();
        let before = node.statements();
        for _ in 0..30 {
            node.feed(seq + 1).await.unwrap();
        }
        assert!(node.statements() - before <= 1, "a quiet feed asks the server");
    }
}

/// Nobody's change is lost, refused or overtaken because of somebody else's.
pub(crate) async fn plain_edits_and_changes_go_on_side_by_side(server: &Server) {
    const ROUNDS: u64 = 25;
    let (name, directory) = fresh(server, ASKING).await;
    with_ann(&directory).await;
    apply(&directory, add_account("bob@example.org")).await;
    let nodes: Vec<_> = (0..2).map(|_| open(directory.url(), ASKING)).collect();
    let follower = open(directory.url(), ASKING);
    let changing = async {
        for round in 0..ROUNDS {
            for node in &nodes {
                let change = |local: &str| Change::EditAccount {
                    address: parse(&format!("{local}@example.org")),
                    name: Some(format!("round {round}")),
                    password: None,
                };
                node.apply(&root(), change("ann")).await.unwrap();
                node.apply(&root(), change("bob")).await.unwrap();
            }
        }
    };
    let editing = async {
        for round in 0..ROUNDS {
            // Rows in the other order than the changes above.
            let edit =
                |local: &str| format!("UPDATE accounts SET name = 'edit {round}' WHERE local = '{local}'");
            let both = format!("BEGIN; {}; {}; COMMIT;", edit("bob"), edit("ann"));
            tokio::task::block_in_place(|| {
                // MariaDB may choose the edit as the one that gives way.
                while let Err(error) = server.try_shell(&name, &both) {
                    let is_deadlock = matches!(server, Server::MariaDb(_)) && error.contains("1213");
                    assert!(is_deadlock, "{error}");
                }
            });
        }
    };
    let expected = 3 + ROUNDS * 4 + ROUNDS * 2;
    let following = async {
        // Each position comes with what it touched: none is filled in later behind a reader's back.
        let (mut since, mut seen) = (3, 0);
        while since < expected {
            let feed = follower.feed(since).await.unwrap();
            let log = follower.changes(since, 10_000).await.unwrap();
            let of_feed = log.iter().filter(|row| row.seq <= feed.seq).count() as u64;
            assert_eq!(of_feed, feed.seq - since, "positions are missing between {since} and {}", feed.seq);
            seen += of_feed;
            since = feed.seq;
            tokio::task::yield_now().await;
        }
        seen
    };
    let all = async { tokio::join!(changing, editing, following) };
    let (_, _, seen) = tokio::time::timeout(Duration::from_secs(120), all).await.unwrap();
    assert_eq!(seen, expected - 3);
}

/// Foreign keys, triggers and the feed agree on what goes with a row.
pub(crate) async fn plain_edits_take_along_what_belongs_to_a_row(server: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    with_ann(&directory).await;
    apply(&directory, super::add_alias("team@example.org", &["ann@example.org"])).await;
    let setting = |layer: &str, owner: &str| {
        let sql = format!(
            "INSERT INTO settings (layer, owner, service, \"key\", kind, content)
             SELECT '{layer}', id, 'trace', 'max_hops', 'value', '{{\"value\":9}}' FROM {owner}"
        );
        match server {
            Server::Postgres(_) => sql,
            Server::MariaDb(_) => sql.replace('"', "`").replace("{`value`:9}", "{\"value\":9}"),
        }
    };
    server.edit(&name, &setting("account", "accounts"));
    server.edit(&name, &setting("domain", "domains"));
    for bad in [
        "UPDATE settings SET content = 'no JSON'",
        "UPDATE aliases SET targets = '{}'",
        "UPDATE aliases SET status = 'gone'",
        "UPDATE domain_names SET name = 'Example.ORG'",
    ] {
        assert!(server.try_shell(&name, bad).is_err(), "{bad}: it was taken");
    }
    let since = directory.feed(0).await.unwrap().seq;
    let domain = directory.account(&parse("ann@example.org")).await.unwrap().domain;
    server.edit(&name, "DELETE FROM domains");
    assert_eq!(directory.count().await.unwrap(), 0, "something is left behind");
    let feed = directory.feed(since).await.unwrap();
    for scope in [Scope::Domain(domain), Scope::DomainName("example.org".to_owned())] {
        assert!(feed.scopes.iter().any(|(touched, _)| *touched == scope), "{scope:?} is missing: {feed:?}");
    }
    let log = directory.changes(since, 100).await.unwrap();
    assert!(log.iter().all(|row| row.actor == "sql" && row.before.is_some()), "{log:?}");
    // The mailbox is never given out again.
    with_ann(&directory).await;
    let again = directory.account(&parse("ann@example.org")).await.unwrap();
    assert_ne!(again.mailbox.0, "example.org/ann");
}

/// Whoever shortens the log, or empties a table, hides no change from nodes that know a later position.
pub(crate) async fn positions_never_begin_anew(server: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    with_ann(&directory).await;
    server.shell(&name, "DELETE FROM change_log");
    assert_eq!(directory.feed(2).await.unwrap().seq, 2);
    assert_eq!(apply(&directory, add_account("bob@example.org")).await, 3);
    server.edit(&name, "UPDATE accounts SET name = 'Bob' WHERE local = 'bob'");
    assert_eq!(directory.feed(3).await.unwrap().seq, 4);
    if let Server::Postgres(_) = server {
        server.shell(&name, "TRUNCATE settings");
        assert_eq!(directory.feed(4).await.unwrap().scopes, [(Scope::System, 5)]);
    }
}

pub(crate) async fn an_edit_that_is_never_committed_stops_changes_only(server: &Server) {
    let (name, directory) = fresh(server, IMPATIENT).await;
    with_ann(&directory).await;
    let (edit, sleep) = match server {
        Server::Postgres(_) => ("UPDATE accounts SET name = 'x'", "SELECT pg_sleep(4)"),
        Server::MariaDb(_) => ("UPDATE accounts SET name = 'x'", "SELECT SLEEP(4)"),
    };
    let script = format!("BEGIN; {edit}; {sleep}; ROLLBACK;");
    std::thread::scope(|scope| {
        scope.spawn(|| server.shell(&name, &script));
        let work = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(finds(&directory, "ann@example.org").await.unwrap());
            assert_eq!(directory.feed(0).await.unwrap().seq, 2);
            let error = directory.apply(&root(), add_domain("example.net")).await.unwrap_err();
            assert!(matches!(error, DirectoryError::Unavailable { .. }), "{error:?}");
            assert!(error.to_string().contains("left open"), "{error}");
            assert!(finds(&directory, "ann@example.org").await.unwrap());
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
    });
    apply(&directory, add_domain("example.net")).await;
    let page = Page { after: None, limit: 10, with_removed: false };
    assert_eq!(directory.domains(&page).await.unwrap().len(), 2);
}

pub(crate) async fn what_the_database_cannot_keep_is_refused(server: &Server) {
    let (_, directory) = fresh(server, ASKING).await;
    with_ann(&directory).await;
    let edit = |name: String| Change::EditAccount {
        address: parse("ann@example.org"),
        name: Some(name),
        password: None,
    };
    // A name of 200 KB, and one with an octet that is none in PostgreSQL's text.
    let too_long = directory.apply(&root(), edit("x".repeat(200_000))).await;
    let no_text = directory.apply(&root(), edit("a\0b".to_owned())).await;
    for refused in [too_long, no_text].into_iter().filter_map(Result::err) {
        assert!(matches!(refused, DirectoryError::Invalid(_)), "{refused:?}");
    }
    // Nothing of it remains, and the connection is good for more.
    apply(&directory, edit("Ann".to_owned())).await;
    assert_eq!(directory.account(&parse("ann@example.org")).await.unwrap().name, "Ann");
    let rename =
        Change::Rename { subject: Subject::Domain("example.org".to_owned()), to: "example.net".to_owned() };
    apply(&directory, rename).await;
    assert!(finds(&directory, "ann@example.net").await.unwrap());
}
