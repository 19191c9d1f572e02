//! `PostgreSQL`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{PeerTls, Postgres, PostgresAuth, PostgresOptions, or_skip, wait_until};

use super::{PATIENCE, answers, assert_gone, listens, said};

/// `PostgreSQL`: an `SSLRequest`, answered by one byte before anything else is said.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[test]
fn it_starts_soon_and_leaves_nothing() {
    let Some(first) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let started = Instant::now();
    let Some(second) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let (took, directory) = (started.elapsed(), second.directory().to_owned());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_ne!(first.port(), second.port());
    first.psql("CREATE TABLE pigeons (name text); INSERT INTO pigeons VALUES ('Ada'), ('Bo')").unwrap();
    assert_eq!(first.psql("SELECT name, length(name) FROM pigeons ORDER BY 1").unwrap(), "Ada|3\nBo|2");
    assert_eq!(first.psql("SELECT current_user, version() LIKE 'PostgreSQL 15.%'").unwrap(), "pigeon|t");
    let refused = second.psql("SELECT name FROM pigeons").unwrap_err();
    assert!(format!("{refused:#}").contains("does not exist"), "{refused:#}");
    let port = second.port();
    drop(second);
    assert_gone(&directory);
    assert!(!listens(port));
}

/// What psql answers to a query over this URL.
fn psql(postgres: &Postgres, url: &str, query: &str) -> Result<String, String> {
    said(postgres.client("psql").args(["--no-psqlrc", "-w", "-At", "-c", query, url]))
}

#[test]
fn it_asks_for_the_password_or_trusts() {
    let Some(scram) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let query = "SELECT current_user";
    let stranger = |url: &str| url.replace("secret", "wrong");
    for url in [scram.url(), scram.socket_url()] {
        assert_eq!(psql(&scram, &url, query).unwrap(), "pigeon", "{url}");
        let refused = psql(&scram, &stranger(&url), query).unwrap_err();
        assert!(refused.contains("password authentication failed"), "{refused}");
    }
    let options = PostgresOptions { auth: PostgresAuth::Trust, ..PostgresOptions::default() };
    let Some(trusting) = or_skip(Postgres::start(&options)) else { return };
    for url in [trusting.url(), trusting.socket_url()] {
        assert_eq!(psql(&trusting, &stranger(&url), query).unwrap(), "pigeon", "{url}");
    }
}

#[test]
fn it_speaks_tls_that_clients_can_verify() {
    let with = |tls| PostgresOptions { tls: Some(tls), ..PostgresOptions::default() };
    let Some(required) = or_skip(Postgres::start(&with(PeerTls::required()))) else { return };
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(psql(&required, &required.url(), query).unwrap(), "t");
    let plain = required.url().replace("sslmode=verify-full", "sslmode=disable");
    let refused = psql(&required, &plain, query).unwrap_err();
    assert!(refused.contains("no encryption"), "{refused}");

    let elsewhere = PeerTls { names: vec!["other.example.org".to_owned()], ..PeerTls::offered() };
    let Some(offered) = or_skip(Postgres::start(&with(elsewhere))) else { return };
    let plain = offered.url().replace("sslmode=verify-full", "sslmode=disable");
    assert_eq!(psql(&offered, &plain, query).unwrap(), "f");
    let refused = psql(&offered, &offered.url(), query).unwrap_err();
    assert!(refused.contains("other.example.org"), "{refused}");
    let authority = |postgres: &Postgres| postgres.authority().unwrap().display().to_string();
    let foreign = required.url().replace(&authority(&required), &authority(&offered));
    let refused = psql(&required, &foreign, query).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
}

#[test]
fn replicas_follow_and_take_over() {
    let options = PostgresOptions { tls: Some(PeerTls::required()), ..PostgresOptions::default() };
    let Some(primary) = or_skip(Postgres::start(&options)) else { return };
    primary.psql("CREATE TABLE pigeons (name text); INSERT INTO pigeons VALUES ('Ada')").unwrap();
    let replica = primary.replica().unwrap();
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM pigeons";
    let follows = |expect: &str| {
        let seen = wait_until(PATIENCE, || replica.psql(names).ok().filter(|seen| seen == expect));
        assert!(seen.is_some(), "{:?}\n{}", replica.psql(names), replica.log());
    };
    follows("Ada");
    primary.psql("INSERT INTO pigeons VALUES ('Bo')").unwrap();
    follows("Ada Bo");
    let refused = replica.psql("INSERT INTO pigeons VALUES ('Cy')").unwrap_err();
    assert!(format!("{refused:#}").contains("read-only"), "{refused:#}");
    replica.kill();
    primary.psql("INSERT INTO pigeons VALUES ('Cy')").unwrap();
    replica.restart().unwrap();
    follows("Ada Bo Cy");
    primary.kill();
    follows("Ada Bo Cy");
    replica.promote().unwrap();
    replica.psql("INSERT INTO pigeons VALUES ('Di')").unwrap();
    follows("Ada Bo Cy Di");
}

#[test]
fn it_keeps_what_is_committed() {
    let Some(postgres) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    postgres.psql("CREATE TABLE pigeons (number int)").unwrap();
    let ends: [fn(&Postgres); 3] = [|it| it.kill(), |it| it.stop_fast().unwrap(), |_| ()];
    for (number, end) in ends.iter().enumerate() {
        let port = postgres.port();
        postgres.psql(&format!("INSERT INTO pigeons VALUES ({number})")).unwrap();
        end(&postgres);
        assert_eq!(listens(port), number == 2);
        postgres.restart().unwrap();
        assert_eq!(postgres.port(), port);
        let count = postgres.psql("SELECT count(*) FROM pigeons").unwrap();
        assert_eq!(count, (number + 1).to_string());
    }
}

#[test]
fn it_stalls_while_paused() {
    let Some(postgres) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    // A backend that works already must stall too: it is in a session of its own.
    let mut busy = postgres.client("psql");
    busy.args(["-At", "-c", "SELECT pg_sleep(1); SELECT 'awake'", &postgres.url()]);
    let busy = busy.stdout(Stdio::piped()).spawn().unwrap();
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    assert!(
        wait_until(PATIENCE, || (postgres.psql_as_superuser(asleep).unwrap() == "1").then_some(())).is_some()
    );

    postgres.pause().unwrap();
    let paused = Instant::now();
    assert!(!answers(postgres.port(), &SSL_REQUEST, Duration::from_secs(2)).unwrap());
    let mut busy = busy;
    assert!(busy.try_wait().unwrap().is_none(), "a backend went on");
    assert!(paused.elapsed() >= Duration::from_secs(2));
    postgres.resume().unwrap();
    assert!(answers(postgres.port(), &SSL_REQUEST, PATIENCE).unwrap());
    let output = busy.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("awake\n"));
    // Paused when dropped: nothing of it may stay.
    postgres.pause().unwrap();
    let directory = postgres.directory().to_owned();
    drop(postgres);
    assert_gone(&directory);
}

/// How many processes work in this directory or below it; all of a server's do.
fn processes_below(directory: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory)))
        .count()
}

#[test]
fn it_ends_with_a_test_that_is_killed() {
    const FILE: &str = "PIGEON_TEST_DIRECTORY_FILE";
    // This test runs itself once more, as the one that is killed, while its server is paused: the worst case.
    if let Some(file) = std::env::var_os(FILE) {
        let postgres = or_skip(Postgres::start(&PostgresOptions::default()));
        let directory = postgres.as_ref().map(|postgres| postgres.directory().display().to_string());
        postgres.iter().for_each(|postgres| postgres.pause().unwrap());
        let partial = Path::new(&file).with_extension("partial");
        fs::write(&partial, directory.unwrap_or_default()).unwrap();
        fs::rename(partial, file).unwrap();
        std::thread::sleep(PATIENCE);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("directory");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::it_ends_with_a_test_that_is_killed", "--nocapture"])
        .env(FILE, &file)
        .spawn()
        .unwrap();
    let server = wait_until(PATIENCE, || fs::read_to_string(&file).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let server = PathBuf::from(server.unwrap());
    if server.as_os_str().is_empty() {
        return;
    }
    let is_gone = || !server.exists() && processes_below(&server) == 0;
    assert!(wait_until(PATIENCE, || is_gone().then_some(())).is_some(), "{} is left", server.display());
}
