//! `PostfixAdmin`'s tables in real databases: what is read there is what stands in the list of rows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at that spot")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pigeon_backends::directory::foreign::postfixadmin::database::{self, Source};
use pigeon_backends::directory::foreign::postfixadmin::{self, Options, Row, Tables};
use pigeon_testkit::peers::mariadb::{MariaDb, MariaDbOptions};
use pigeon_testkit::peers::or_skip;
use pigeon_testkit::peers::postgres::{Postgres, PostgresOptions};

/// A table, its columns, its rows.
struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/import/postfixadmin").join(name);
    fs::read_to_string(path).unwrap()
}

fn listed() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in data("tables.txt").lines().filter(|line| !line.starts_with('#')) {
        let cells = |line: &str| -> Vec<String> {
            line.split('|').map(|cell| cell.trim().replace("\\n", "\n").replace("\\r", "\r")).collect()
        };
        match line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            Some((name, columns)) => {
                tables.push(Table { name: name.to_owned(), columns: cells(columns), rows: Vec::new() });
            }
            None => tables.last_mut().unwrap().rows.push(cells(line)),
        }
    }
    tables
}

/// How an engine writes things.
struct Dialect {
    quote: char,
    bool_type: &'static str,
    yes: &'static str,
    no: &'static str,
    time: &'static str,
    /// Whether `\` escapes in texts.
    escapes: bool,
}

const POSTGRES: Dialect = Dialect {
    quote: '"',
    bool_type: "boolean",
    yes: "true",
    no: "false",
    time: "timestamp with time zone DEFAULT '2000-01-01 00:00:00'",
    escapes: false,
};
const MARIADB: Dialect = Dialect {
    quote: '`',
    bool_type: "tinyint(1)",
    yes: "1",
    no: "0",
    time: "datetime NOT NULL DEFAULT '2000-01-01 00:00:00'",
    escapes: true,
};

impl Dialect {
    /// Everything that makes the database.
    fn sql(&self) -> String {
        let mut sql = data("schema.sql").replace('"', &self.quote.to_string());
        for (key, value) in
            [("@BOOL@", self.bool_type), ("@YES@", self.yes), ("@NO@", self.no), ("@TIME@", self.time)]
        {
            sql = sql.replace(key, value);
        }
        let quoted = |name: &str| format!("{0}{name}{0}", self.quote);
        for Table { name, columns, rows } in listed() {
            let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| self.text(cell)).collect();
                let (names, cells) = (names.join(", "), cells.join(", "));
                writeln!(sql, "INSERT INTO {} ({names}) VALUES ({cells});", quoted(&name)).unwrap();
            }
        }
        sql
    }

    fn text(&self, text: &str) -> String {
        let text = text.replace('\'', "''");
        let text = if self.escapes { text.replace('\\', "\\\\") } else { text };
        format!("'{text}'")
    }
}

/// What is made of tables, in an order that does not depend on that of the rows.
fn shown(tables: &Tables) -> Vec<String> {
    let options = Options { scheme: None, mail_base: Path::new("/var/vmail") };
    let foreign = postfixadmin::read(tables, &options);
    let mut lines: Vec<String> = foreign.left.iter().map(ToString::to_string).collect();
    lines.extend(foreign.domains.iter().map(|domain| format!("{domain:?}")));
    lines.extend(foreign.accounts.iter().map(|account| format!("{account:?}")));
    lines.extend(foreign.aliases.iter().map(|alias| format!("{alias:?}")));
    lines.sort();
    lines
}

fn expected() -> Vec<String> {
    let mut tables = Tables::default();
    for Table { name, columns, rows } in listed() {
        let of = match &*name {
            "domain" => &mut tables.domains,
            "mailbox" => &mut tables.mailboxes,
            "alias" => &mut tables.aliases,
            "alias_domain" => &mut tables.alias_domains,
            "vacation" => &mut tables.vacations,
            "vacation_notification" => &mut tables.notifications,
            "domain_admins" => &mut tables.admins,
            "fetchmail" => &mut tables.fetchmail,
            other => panic!("{other}"),
        };
        of.extend(rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect::<Row>()));
    }
    let lines = shown(&tables);
    assert!(lines.len() > 30, "{lines:#?}");
    lines
}

async fn read(url: &str, password: Option<&str>, prefix: &str) -> Result<Tables, String> {
    let source = Source { url, password, prefix };
    database::read(&source).await.map_err(|error| {
        let because = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {because}")
    })
}

/// What the server says does not matter, what is said about it does.
async fn check_refusals(url: &str, wrong: &str) {
    for (url, prefix, expect) in [
        (url, "other_", "there is no table other_domain"),
        (url, "x;", "letters, digits and _"),
        (wrong, "", "cannot be opened"),
        ("x", "", "postgres://USER@HOST/DATABASE"),
    ] {
        let error = read(url, Some("secret"), prefix).await.unwrap_err();
        assert!(error.contains(expect) && !error.contains("pigeon:"), "{error}");
    }
}

#[tokio::test]
async fn postgresql_is_read() {
    let Some(server) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    server.psql(&POSTGRES.sql()).unwrap();
    let tables = read(&server.url(), None, "").await.unwrap();
    assert_eq!(shown(&tables), expected());
    let socket = read(&server.socket_url(), Some("secret"), "").await.unwrap();
    assert_eq!(shown(&socket), expected());
    check_refusals(&server.url(), "postgres://pigeon:wrong@127.0.0.1:1/pigeon").await;
    // A database without what is optional, with a prefix.
    server.psql("DROP TABLE vacation, vacation_notification, fetchmail, domain_admins").unwrap();
    server.psql("ALTER TABLE domain RENAME TO p_domain; ALTER TABLE mailbox RENAME TO p_mailbox; ALTER TABLE alias RENAME TO p_alias").unwrap();
    let tables = read(&server.url(), None, "p_").await.unwrap();
    assert_eq!((tables.mailboxes.len(), tables.alias_domains.len(), tables.vacations.len()), (6, 0, 0));
}

#[tokio::test]
async fn mariadb_is_read() {
    let Some(server) = or_skip(MariaDb::start(&MariaDbOptions::default())) else { return };
    server.sql(&MARIADB.sql()).unwrap();
    let tables = read(&server.url(), None, "").await.unwrap();
    assert_eq!(shown(&tables), expected());
    let renamed = server.url().replace("mysql://", "mariadb://");
    assert_eq!(shown(&read(&renamed, Some("secret"), "").await.unwrap()), expected());
    check_refusals(&server.url(), "mysql://pigeon:wrong@127.0.0.1:1/pigeon").await;
    // Tables of older installations are in Latin-1.
    server.sql("ALTER TABLE mailbox CONVERT TO CHARACTER SET latin1").unwrap();
    assert_eq!(shown(&read(&server.url(), None, "").await.unwrap()), expected());
}
