//! How many round trips look-ups take.

use pigeon_core::directory::Lookup;
use pigeon_core::ports::directory::Directory as _;

use super::{ASKING, Server, add_account, add_alias, add_domain, apply, finds, fresh, parse};

/// How many statements a server says that it was sent in a database so far.
fn asked_of(server: &Server, name: &str) -> u64 {
    match server {
        Server::Postgres(server) => {
            let mark = format!("pigeon@{name} LOG:  execute ");
            server.log().lines().filter(|line| line.contains(&mark)).count().try_into().unwrap()
        }
        Server::MariaDb(server) => {
            let status = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
                          WHERE VARIABLE_NAME = 'COM_STMT_EXECUTE'";
            server.sql_as_root(status).unwrap().parse().unwrap()
        }
    }
}

pub(crate) async fn a_cold_recipient_is_one_statement(server: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    apply(&directory, add_domain("example.org")).await;
    apply(&directory, add_domain("example.net")).await;
    apply(&directory, add_account("ann@example.org")).await;
    apply(&directory, add_account("bob@example.net")).await;
    apply(&directory, add_alias("one@example.org", &["ann@example.org", "bob@example.net", "x@example.com"]))
        .await;
    apply(&directory, add_alias("two@example.net", &["one@example.org", "ann@example.org"])).await;
    apply(&directory, add_alias("three@example.org", &["two@example.net"])).await;
    apply(&directory, add_alias("sales-*@example.org", &["three@example.org"])).await;
    apply(&directory, add_alias("tagged@example.org", &["ann+tag@example.org"])).await;
    if let Server::Postgres(server) = server {
        server.psql_as_superuser(&format!("ALTER DATABASE {name} SET log_statement = 'all'")).unwrap();
    }
    let directory = super::open(directory.url(), ASKING);
    // The first question makes the connection and has the statement prepared.
    finds(&directory, "nobody@example.com").await.unwrap();
    for (text, most) in [
        ("ann@example.org", 1),
        ("Ann+some-thing@example.org", 1),
        ("nobody@example.org", 1),
        ("x@example.com", 1),
        ("one@example.org", 1),
        ("three@example.org", 1),
        ("sales-7@example.org", 2),
        ("tagged@example.org", 2),
    ] {
        let (before, counted) = (directory.statements(), asked_of(server, &name));
        directory.lookup(&parse(text)).await.unwrap();
        let statements = directory.statements() - before;
        assert!((1..=most).contains(&statements), "{text} took {statements} statements");
        if let Server::Postgres(_) = server {
            // MariaDB counts for all databases, and other tests use them at the same time.
            assert_eq!(asked_of(server, &name) - counted, statements, "{text}: the server counts otherwise");
        }
    }
}

/// Whatever has to be fetched in further rounds comes out as if everything had been there.
pub(crate) async fn answers_are_the_same_however_they_are_fetched(server: &Server) {
    let (name, directory) = fresh(server, ASKING).await;
    apply(&directory, add_domain("bücher.example")).await;
    apply(&directory, add_account("\"a b\"@bücher.example")).await;
    apply(&directory, add_account("jürgen@bücher.example")).await;
    let deep: Vec<String> = (0..10).map(|count| format!("deep{count}@bücher.example")).collect();
    for pair in deep.windows(2) {
        apply(&directory, add_alias(&pair[0], &[&pair[1]])).await;
    }
    apply(&directory, add_alias(&deep[9], &["\"a b\"@BÜCHER.example", "JÜRGEN+x@xn--bcher-kva.example"]))
        .await;
    let Lookup::Found(found) = directory.lookup(&parse(&deep[0])).await.unwrap() else { panic!("nobody") };
    assert_eq!((found.broken.as_deref(), found.branches.len()), (None, 2), "{found:?}");
    assert!(found.branches.iter().all(|branch| branch.via.len() == 10), "{found:?}");
    // Targets that are nonsense cost no other target, in whichever round they come.
    let targets =
        format!(r#"["no address", "{}@x", "@", "", "jürgen@xn--bcher-kva.example"]"#, "y".repeat(700));
    server.edit(&name, &format!("UPDATE aliases SET targets = '{targets}' WHERE local = 'deep3'"));
    let Lookup::Found(found) = directory.lookup(&parse(&deep[0])).await.unwrap() else { panic!("nobody") };
    assert!(found.broken.is_some() && found.branches.len() == 1, "{found:?}");
    // A ring is followed once.
    server.edit(
        &name,
        r#"UPDATE aliases SET targets = '["deep0@xn--bcher-kva.example"]' WHERE local = 'deep3'"#,
    );
    let Lookup::Found(found) = directory.lookup(&parse(&deep[0])).await.unwrap() else { panic!("nobody") };
    assert!(found.broken.unwrap().contains("leads back to itself"));
}
