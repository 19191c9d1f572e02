//! Servers that are gone, stall, lag behind, or are not who they should be.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pigeon_backends::directory::sql::{SqlDirectory, SqlOptions};
use pigeon_backends::sql::SqlUrl;
use pigeon_core::ports::directory::{Administration as _, Directory as _, DirectoryError};

use super::{ASKING, IMPATIENT, Server, add_account, apply, finds, fresh, open, root, with_ann};

fn is_unknown(answer: &Result<bool, DirectoryError>) -> bool {
    matches!(answer, Err(DirectoryError::Unavailable { .. }))
}

pub(crate) async fn a_server_that_comes_back_is_used_again(server: &Server) {
    let (name, directory) = fresh(server, SqlOptions { is_listening: true, ..IMPATIENT }).await;
    with_ann(&directory).await;
    directory.feed(0).await.unwrap();
    // Connections that died while nobody used them cost no answer.
    server.kill();
    server.restart();
    assert!(finds(&directory, "ann@example.org").await.unwrap());
    apply(&directory, add_account("bob@example.org")).await;
    server.kill();
    let down = finds(&directory, "ann@example.org").await;
    assert!(is_unknown(&down), "{down:?}");
    let shown = down.unwrap_err().to_string();
    assert!(shown.contains(&server.port().to_string()) && !shown.contains("secret"), "{shown}");
    // A server that is down is not asked by everybody.
    let start = Instant::now();
    for _ in 0..200 {
        assert!(is_unknown(&finds(&directory, "ann@example.org").await));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?} for 200 answers", start.elapsed());
    assert!(directory.apply(&root(), add_account("eve@example.org")).await.is_err());
    // A node may start meanwhile.
    let started = open(&server.url(&name), IMPATIENT);
    assert!(is_unknown(&finds(&started, "ann@example.org").await));
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.restart();
    let start = Instant::now();
    while is_unknown(&finds(&directory, "ann@example.org").await)
        || is_unknown(&finds(&started, "ann@example.org").await)
        || directory
            .apply(&root(), add_account("eve@example.org"))
            .await
            .is_err_and(|error| matches!(error, DirectoryError::Unavailable { .. }))
    {
        assert!(start.elapsed() < Duration::from_secs(5), "the server is not used again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(finds(&directory, "eve@example.org").await.unwrap());
    // News are heard again, too.
    let since = directory.feed(0).await.unwrap().seq;
    apply(&started, add_account("new@example.org")).await;
    let start = Instant::now();
    while directory.feed(since).await.unwrap().seq == since {
        assert!(start.elapsed() < Duration::from_secs(1), "the change is not told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn a_server_that_stalls_holds_nobody_up(server: &Server) {
    let (_, directory) = fresh(server, IMPATIENT).await;
    with_ann(&directory).await;
    finds(&directory, "ann@example.org").await.unwrap();
    server.pause();
    let start = Instant::now();
    // More at once than there are connections.
    let answers = join_all((0..40).map(|_| finds(&directory, "ann@example.org"))).await;
    assert!(answers.iter().all(is_unknown), "{answers:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?} until all were answered", start.elapsed());
    let start = Instant::now();
    assert!(is_unknown(&finds(&directory, "ann@example.org").await));
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?} for one more", start.elapsed());
    assert!(directory.feed(0).await.is_err());
    server.resume();
    let start = Instant::now();
    while is_unknown(&finds(&directory, "ann@example.org").await) {
        assert!(start.elapsed() < Duration::from_secs(5), "the server is not used again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn replicas_answer_lookups(server: &Server) {
    let (name, writer) = fresh(server, ASKING).await;
    with_ann(&writer).await;
    let replica = server.replica();
    let url: SqlUrl = with_replica(server, &replica, &name);
    let directory = open(&url, IMPATIENT);
    wait_for_replica(&replica, &name).await;
    // Look-ups leave the primary alone: it is not even running.
    server.pause();
    assert!(finds(&directory, "ann@example.org").await.unwrap());
    server.resume();
    // What was changed here is seen here, whether the replica has it or not.
    replica.pause();
    apply(&directory, add_account("bob@example.org")).await;
    assert!(finds(&directory, "bob@example.org").await.unwrap(), "a replica that stalls hides a change");
    replica.resume();
    for count in 0..20 {
        let text = format!("u{count}@example.org");
        apply(&directory, add_account(&text)).await;
        assert!(finds(&directory, &text).await.unwrap(), "{text} is not there after it was added");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Without the primary everything that was replicated is still known; changes wait for it.
    server.kill();
    let start = Instant::now();
    while is_unknown(&finds(&directory, "u19@example.org").await) {
        assert!(start.elapsed() < Duration::from_secs(5), "the replica is not asked");
    }
    assert!(finds(&directory, "u19@example.org").await.unwrap());
    assert!(!finds(&directory, "nobody@example.org").await.unwrap());
    assert_eq!(directory.feed(0).await.unwrap().seq, 23);
    assert!(directory.account(&super::parse("ann@example.org")).await.is_ok());
    let changed = directory.apply(&root(), add_account("eve@example.org")).await;
    assert!(matches!(changed, Err(DirectoryError::Unavailable { .. })), "{changed:?}");
}

fn with_replica(server: &Server, replica: &Server, name: &str) -> SqlUrl {
    let url = match server {
        Server::Postgres(server) => server.url(),
        Server::MariaDb(server) => server.url(),
    };
    format!("{url}?replica=127.0.0.1:{}", replica.port()).parse::<SqlUrl>().unwrap().with_database(name)
}

async fn wait_for_replica(replica: &Server, name: &str) {
    let directory = open(&replica.url(name), IMPATIENT);
    let start = Instant::now();
    while !matches!(finds(&directory, "ann@example.org").await, Ok(true)) {
        assert!(start.elapsed() < Duration::from_secs(15), "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn tls_is_verified(server: &Server, other: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    with_ann(&directory).await;
    assert!(finds(&directory, "ann@example.org").await.unwrap());
    let (right, wrong) = (authority(server), authority(other));
    let check = |options: &str| {
        let url = format!("{}?{options}", server.url(&name).to_string().replace("pigeon@", "pigeon:secret@"));
        let url: SqlUrl = url.parse().unwrap();
        async move {
            let opened = SqlDirectory::create(&url).await;
            opened.map_err(|error| error.to_string())
        }
    };
    for mode in ["verify-full", "verify-ca"] {
        check(&format!("sslmode={mode}&sslrootcert={right}")).await.unwrap();
        let error = check(&format!("sslmode={mode}&sslrootcert={wrong}")).await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
        // The system's authorities did not sign it.
        let error = check(&format!("sslmode={mode}")).await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
        let error = check(&format!("sslmode={mode}&sslrootcert=/missing.pem")).await.unwrap_err();
        assert!(error.contains("/missing.pem"), "{error}");
    }
    check("sslmode=require").await.unwrap();
    // The server refuses whoever comes without.
    check("sslmode=disable").await.unwrap_err();
}

fn authority(server: &Server) -> String {
    let path = match server {
        Server::Postgres(server) => server.authority(),
        Server::MariaDb(server) => server.authority(),
    };
    path.unwrap().display().to_string()
}
