//! Schemas on real servers: a history is followed by programs of several versions at once.

use std::time::Duration;

use pigeon_testkit::peers::{MariaDb, MariaDbOptions, Postgres, PostgresOptions, or_skip};

use super::*;
use crate::sql::{Limits, Pool};

const ONE: Migration = Migration {
    postgres: "CREATE TABLE sample (x BIGINT);",
    mariadb: "CREATE TABLE IF NOT EXISTS sample (x BIGINT);",
    serves: 1,
};
const TWO: Migration = Migration {
    postgres: "ALTER TABLE sample ADD COLUMN y BIGINT; INSERT INTO sample VALUES (1, 2);",
    mariadb: "ALTER TABLE sample ADD COLUMN y BIGINT; INSERT INTO sample VALUES (1, 2);",
    serves: 1,
};
const BROKEN: Migration = Migration {
    postgres: "CREATE TABLE more (x BIGINT); CREATE TABEL more;",
    mariadb: "CREATE TABLE IF NOT EXISTS more (x BIGINT); CREATE TABEL more;",
    serves: 1,
};
const MENDED: Migration = Migration {
    postgres: "CREATE TABLE more (x BIGINT);",
    mariadb: "CREATE TABLE IF NOT EXISTS more (x BIGINT);",
    serves: 2,
};

const fn schema(migrations: &'static [Migration]) -> Schema {
    Schema { name: "sample", migrations, may_migrate: true }
}

fn pool(url: &SqlUrl, schema: Schema) -> std::sync::Arc<Pool> {
    let (connect, statement) = (Duration::from_secs(5), Duration::from_secs(5));
    Pool::new(url.clone(), schema, Limits { connections: 2, connect, statement })
}

/// A schema's life, from nothing to a version that older programs cannot use.
async fn migrate_forward(url: &SqlUrl) {
    const V1: Schema = schema(&[ONE]);
    const V2: Schema = schema(&[ONE, TWO]);
    let count = "SELECT count(*) FROM sample";
    let unset = pool(url, V1).fetch(count, &[]).await.unwrap_err().to_string();
    assert!(unset.contains("pigeon init"), "{unset}");
    create(url, &V1).await.unwrap();
    let old = pool(url, V1);
    assert_eq!(old.fetch(count, &[]).await.unwrap()[0].integer(0).unwrap(), 0);
    // What may not migrate waits for somebody who may.
    let waits =
        pool(url, Schema { may_migrate: false, ..V2 }).fetch(count, &[]).await.unwrap_err().to_string();
    assert!(waits.contains("older version"), "{waits}");
    // Eight nodes of the new version come at once, and one of them migrates.
    let nodes: Vec<_> = (0..8)
        .map(|_| {
            let new = pool(url, V2);
            tokio::spawn(async move { new.fetch("SELECT y FROM sample", &[]).await })
        })
        .collect();
    for node in nodes {
        let rows = node.await.unwrap().unwrap();
        assert_eq!(rows.iter().map(|row| row.integer(0).unwrap()).collect::<Vec<_>>(), [2]);
    }
    // Those of the old version go on, on connections old and new.
    assert_eq!(old.fetch(count, &[]).await.unwrap().len(), 1);
    assert_eq!(pool(url, V1).fetch(count, &[]).await.unwrap().len(), 1);
    // A step that fails is not counted, and a mended one is taken.
    assert!(create(url, &schema(&[ONE, TWO, BROKEN])).await.is_err());
    assert_eq!(pool(url, V2).fetch(count, &[]).await.unwrap().len(), 1);
    create(url, &schema(&[ONE, TWO, MENDED])).await.unwrap();
    let refused = pool(url, V1).fetch(count, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("schema 3, this one knows 1"), "{refused}");
    assert_eq!(pool(url, V2).fetch(count, &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_go_forward_on_postgresql() {
    let Some(server) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    migrate_forward(&server.url().parse().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_go_forward_on_mariadb() {
    let Some(server) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    migrate_forward(&server.url().parse().unwrap()).await;
}
