//! `MariaDB`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{MariaDb, MariaDbOptions, PeerTls, or_skip, wait_until};

use super::{PATIENCE, answers, assert_gone, listens, said};

/// What the client answers to a query over TCP, with these arguments too.
fn query(mariadb: &MariaDb, password: &str, arguments: &[&str], text: &str) -> Result<String, String> {
    let mut client = mariadb.client("mariadb");
    client.args(["--batch", "--skip-column-names", "--host=127.0.0.1", "--user=pigeon", "--execute", text]);
    client.args(["--port", &mariadb.port().to_string()]).args(arguments).arg("pigeon");
    said(client.env("MYSQL_PWD", password))
}

#[test]
fn it_starts_soon_and_leaves_nothing() {
    let Some(first) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    let started = Instant::now();
    let Some(second) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    let (took, directory) = (started.elapsed(), second.directory().to_owned());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_ne!(first.port(), second.port());
    first.sql("CREATE TABLE pigeons (name text); INSERT INTO pigeons VALUES ('Ada'), ('Zoë')").unwrap();
    assert_eq!(
        first.sql("SELECT name, char_length(name) FROM pigeons ORDER BY 1").unwrap(),
        "Ada\t3\nZoë\t3"
    );
    assert_eq!(first.sql("SELECT user(), version() LIKE '10.11.%'").unwrap(), "pigeon@localhost\t1");
    let refused = second.sql("SELECT name FROM pigeons").unwrap_err();
    assert!(format!("{refused:#}").contains("doesn't exist"), "{refused:#}");
    let port = second.port();
    drop(second);
    assert_gone(&directory);
    assert!(!listens(port));
}

#[test]
fn it_asks_for_the_password() {
    let Some(mariadb) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    assert_eq!(query(&mariadb, "secret", &[], "SELECT user()").unwrap(), "pigeon@127.0.0.1");
    let refused = query(&mariadb, "wrong", &[], "SELECT user()").unwrap_err();
    assert!(refused.contains("Access denied"), "{refused}");
    let refused = mariadb.sql("CREATE DATABASE other").unwrap_err();
    assert!(format!("{refused:#}").contains("Access denied"), "{refused:#}");
}

#[test]
fn it_speaks_tls_that_clients_can_verify() {
    let with = |tls| MariaDbOptions { tls: Some(tls), ..MariaDbOptions::default() };
    let Some(required) = or_skip(MariaDb::start(&with(PeerTls::required()))) else { return };
    let elsewhere = PeerTls { names: vec!["other.example.org".to_owned()], ..PeerTls::offered() };
    let Some(offered) = or_skip(MariaDb::start(&with(elsewhere))) else { return };
    let authority = |mariadb: &MariaDb| format!("--ssl-ca={}", mariadb.authority().unwrap().display());
    let cipher = "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'";
    let verified = |mariadb, ca: &str| query(mariadb, "secret", &["--ssl-verify-server-cert", ca], cipher);
    let plain = |mariadb| query(mariadb, "secret", &["--skip-ssl"], cipher);

    assert_eq!(verified(&required, &authority(&required)).unwrap(), "1");
    let refused = plain(&required).unwrap_err();
    // The same words as for a wrong password.
    assert!(refused.contains("Access denied"), "{refused}");
    let refused = verified(&required, &authority(&offered)).unwrap_err();
    assert!(refused.contains("TLS/SSL error"), "{refused}");
    assert_eq!(plain(&offered).unwrap(), "0");
    let refused = verified(&offered, &authority(&offered)).unwrap_err();
    assert!(refused.contains("TLS/SSL error"), "{refused}");
}

#[test]
fn replicas_follow_and_take_over() {
    let options = MariaDbOptions { tls: Some(PeerTls::required()), ..MariaDbOptions::default() };
    let Some(primary) = or_skip(MariaDb::start(&options)) else { return };
    primary.sql("CREATE TABLE pigeons (name text); INSERT INTO pigeons VALUES ('Ada')").unwrap();
    let replica = primary.replica().unwrap();
    let names = "SELECT group_concat(name ORDER BY name SEPARATOR ' ') FROM pigeons";
    let follows = |expect: &str| {
        let seen = wait_until(PATIENCE, || replica.sql(names).ok().filter(|seen| seen == expect));
        assert!(seen.is_some(), "{:?}\n{}", replica.sql(names), replica.log());
    };
    follows("Ada");
    primary.sql("INSERT INTO pigeons VALUES ('Bo')").unwrap();
    follows("Ada Bo");
    let refused = replica.sql("INSERT INTO pigeons VALUES ('Cy')").unwrap_err();
    assert!(format!("{refused:#}").contains("read-only"), "{refused:#}");
    replica.kill();
    primary.sql("INSERT INTO pigeons VALUES ('Cy')").unwrap();
    replica.restart().unwrap();
    follows("Ada Bo Cy");
    primary.kill();
    follows("Ada Bo Cy");
    replica.promote().unwrap();
    replica.restart().unwrap();
    replica.sql("INSERT INTO pigeons VALUES ('Di')").unwrap();
    follows("Ada Bo Cy Di");
}

#[test]
fn it_keeps_what_is_committed() {
    let Some(mariadb) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    mariadb.sql("CREATE TABLE pigeons (number int)").unwrap();
    let ends: [fn(&MariaDb); 3] = [|it| it.kill(), |it| it.stop().unwrap(), |_| ()];
    for (number, end) in ends.iter().enumerate() {
        let port = mariadb.port();
        mariadb.sql(&format!("INSERT INTO pigeons VALUES ({number})")).unwrap();
        end(&mariadb);
        assert_eq!(listens(port), number == 2);
        mariadb.restart().unwrap();
        assert_eq!(mariadb.port(), port);
        assert_eq!(mariadb.sql("SELECT count(*) FROM pigeons").unwrap(), (number + 1).to_string());
    }
}

#[test]
fn it_stalls_while_paused() {
    let Some(mariadb) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    let mut busy = mariadb.client("mariadb");
    busy.arg("--socket").arg(mariadb.socket()).args([
        "--user=root",
        "-N",
        "-B",
        "-e",
        "SELECT sleep(1), 'awake'",
    ]);
    let mut busy = busy.stdout(Stdio::piped()).spawn().unwrap();
    let asleep = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    assert!(wait_until(PATIENCE, || (mariadb.sql_as_root(asleep).unwrap() == "1").then_some(())).is_some());

    mariadb.pause().unwrap();
    // The server speaks first.
    assert!(!answers(mariadb.port(), b"", Duration::from_secs(2)).unwrap());
    assert!(busy.try_wait().unwrap().is_none(), "a connection went on");
    mariadb.resume().unwrap();
    assert!(answers(mariadb.port(), b"", PATIENCE).unwrap());
    let output = busy.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("awake\n"));
    mariadb.pause().unwrap();
    let directory = mariadb.directory().to_owned();
    drop(mariadb);
    assert_gone(&directory);
}
