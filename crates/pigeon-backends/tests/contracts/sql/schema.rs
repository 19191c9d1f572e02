//! The schema: made by several at once, and of other versions.

use pigeon_backends::directory::sql::SqlDirectory;
use pigeon_backends::sql::SqlUrl;
use pigeon_core::ports::directory::Administration as _;

use super::{ASKING, Server, add_domain, apply, finds, fresh, open};

pub(crate) async fn eight_may_create_at_once(server: &Server) {
    let name = server.database();
    let tasks = (0..8).map(|_| {
        let url = server.url(&name);
        tokio::spawn(async move { SqlDirectory::create(&url).await })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let directory = open(&server.url(&name), ASKING);
    assert_eq!(apply(&directory, add_domain("example.org")).await, 1);
    let versions = server.shell(&name, "SELECT version, serves FROM schema_versions");
    assert_eq!(versions.split(['|', '\t']).collect::<Vec<_>>(), ["1", "1"]);
}

pub(crate) async fn schemas_of_other_versions_are_told_apart(server: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    apply(&directory, add_domain("example.org")).await;
    // A newer version that only added something serves this one.
    server.edit(&name, "UPDATE schema_versions SET version = 2");
    server.shell(&name, "ALTER TABLE accounts ADD COLUMN added BIGINT");
    let url = server.url(&name);
    SqlDirectory::create(&url).await.unwrap();
    let side_by_side = open(&url, ASKING);
    apply(&side_by_side, super::add_account("ann@example.org")).await;
    assert!(finds(&side_by_side, "ann@example.org").await.unwrap());
    // One that changed something does not.
    server.edit(&name, "UPDATE schema_versions SET serves = 2");
    let error = SqlDirectory::create(&url).await.unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");
    let error = finds(&open(&url, ASKING), "ann@example.org").await.unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");
}

pub(crate) async fn what_is_missing_is_said_with_the_remedy(server: &Server) {
    let empty = server.database();
    let error = finds(&open(&server.url(&empty), ASKING), "ann@example.org").await.unwrap_err().to_string();
    assert!(error.contains("pigeon init"), "{error}");
    let missing = server.url("missing_database");
    let error = SqlDirectory::create(&missing).await.unwrap_err().to_string();
    assert!(error.contains("CREATE DATABASE") && error.contains("missing_database"), "{error}");
    let stranger: SqlUrl = missing.to_string().replace("pigeon@", "stranger:hunter2@").parse().unwrap();
    let error = SqlDirectory::create(&stranger).await.unwrap_err().to_string();
    assert!(error.contains("stranger") && error.contains("CREATE "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    // The statements do what they promise.
    let statements = error.split("run: ").nth(1).unwrap().replace('…', "hunter2");
    match server {
        Server::Postgres(server) => server.psql_as_superuser(&statements.replace("; ", ";\n")).unwrap(),
        Server::MariaDb(server) => server.sql_as_root(&statements).unwrap(),
    };
    SqlDirectory::create(&stranger).await.unwrap();
    assert_eq!(open(&stranger, ASKING).count().await.unwrap(), 0);
}

/// What was made before the refusal is in nobody's way afterwards.
pub(crate) async fn a_server_that_forbids_triggers_is_told_of_with_the_remedy(server: &Server) {
    let Server::MariaDb(mariadb) = server else { panic!("no other engine forbids that") };
    let url = server.url(&server.database());
    let error = SqlDirectory::create(&url).await.unwrap_err().to_string();
    let remedy = error.split("it with ").nth(1).and_then(|text| text.split(" (").next()).unwrap();
    assert!(remedy.starts_with("SET GLOBAL"), "{error}");
    mariadb.sql_as_root(remedy).unwrap();
    // Replicas would run the triggers differently.
    mariadb.sql_as_root("SET GLOBAL binlog_format = 'STATEMENT'").unwrap();
    let error = SqlDirectory::create(&url).await.unwrap_err().to_string();
    assert!(error.contains("set binlog_format to MIXED"), "{error}");
    mariadb.sql_as_root("SET GLOBAL binlog_format = 'MIXED'").unwrap();
    SqlDirectory::create(&url).await.unwrap();
    assert_eq!(apply(&open(&url, ASKING), add_domain("example.org")).await, 1);
}
