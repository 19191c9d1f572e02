//! `PostgreSQL` 15: a directory for many nodes, alone or with streaming replicas.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;

use super::certificate::{self, AUTHORITY, CERTIFICATE, KEY, PeerTls};
use super::port::Port;
use super::server::{Server, answer, feed};
use super::{PeerFault, pristine, text_of};

/// Where Debian puts the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The role that owns [`DATABASE`]; it is no superuser.
const USER: &str = "pigeon";
/// The password of every role that has one.
const PASSWORD: &str = "secret";
const DATABASE: &str = "pigeon";
/// The role that replicas log in as.
const REPLICATOR: &str = "replicator";
const SUPERUSER: &str = "postgres";

/// How clients show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresAuth {
    /// By password, over SCRAM-SHA-256.
    Scram,
    /// Not at all: everybody is believed.
    Trust,
}

/// How a `PostgreSQL` is set up.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// How clients show who they are, over TCP and the Unix socket.
    pub auth: PostgresAuth,
    /// TLS on the TCP port; none by default.
    pub tls: Option<PeerTls>,
    /// Lines put at the end of postgresql.conf, where they win.
    pub settings: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { auth: PostgresAuth::Scram, tls: None, settings: Vec::new() }
    }
}

/// A running `PostgreSQL` with the empty database `pigeon`, owned by the role `pigeon` with the password `secret`.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    port: Port,
    options: PostgresOptions,
}

impl Postgres {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &PostgresOptions) -> Result<Self, PeerFault> {
        let postgres = Self::prepare(options)?;
        let version = postgres.server.version(&program("postgres"))?;
        let recipe = [version.as_str(), include_str!("../../peers/postgresql/initial.sql")];
        let pristine = pristine::directory("postgresql", &recipe, initialise)?;
        pristine::copy(&pristine, &postgres.data())?;
        postgres.launch()?;
        Ok(postgres)
    }

    /// A hot standby that follows this server by streaming replication; it is read-only until [`Self::promote`].
    ///
    /// # Errors
    ///
    /// Fails if this server does not run or the standby does not start.
    pub fn replica(&self) -> Result<Self, PeerFault> {
        self.replica_through(self.port())
    }

    /// The same, reaching this server through another port of 127.0.0.1, that of a [`super::Link`].
    ///
    /// # Errors
    ///
    /// Fails if this server does not run or the standby does not start.
    pub fn replica_through(&self, port: u16) -> Result<Self, PeerFault> {
        let replica = Self::prepare(&self.options)?;
        let primary = format!("host=127.0.0.1 port={port} user={REPLICATOR} password={PASSWORD}");
        let slot = format!("replica_{}", replica.port());
        let (basebackup, data) = (program("pg_basebackup"), replica.server.file("data"));
        let method = ["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"];
        let slot = ["--create-slot", "--slot", &slot];
        let command = [&[&basebackup, "-D", &data, "-d", &primary][..], &method, &slot].concat();
        replica.server.run(&command, "")?;
        replica.launch()?;
        Ok(replica)
    }

    /// Everything but the data.
    fn prepare(options: &PostgresOptions) -> Result<Self, PeerFault> {
        let server = Server::prepare("postgresql", &program("postgres"))?;
        let port = Port::free()?;
        server.make_directory("socket", 0o755)?;
        let mut tls = String::new();
        if let Some(offered) = &options.tls {
            certificate::write(&server, offered)?;
            tls = format!(
                "ssl = on\nssl_cert_file = '@DIR@/{CERTIFICATE}'\nssl_key_file = '@DIR@/{KEY}'\nssl_ca_file = '@DIR@/{AUTHORITY}'\n"
            );
        }
        let settings = include_str!("../../peers/postgresql/postgresql.conf")
            .replace("@PORT@", &port.number().to_string())
            .replace("@TLS@", &tls)
            .replace("@SETTINGS@", &options.settings.join("\n"));
        server.write("postgresql.conf", &settings)?;
        server.write("pg_hba.conf", &access(options))?;
        Ok(Self { server, port, options: options.clone() })
    }

    fn launch(&self) -> Result<(), PeerFault> {
        let (configuration, access) =
            (self.server.file("postgresql.conf"), format!("hba_file={}", self.server.file("pg_hba.conf")));
        let (postgres, data) = (program("postgres"), self.server.file("data"));
        let configuration = format!("config_file={configuration}");
        self.server.start(&[&postgres, "-D", &data, "-c", &configuration, "-c", &access])?;
        self.server.wait_until_ready(|| self.is_ready())
    }

    /// What `pg_ctl` asks too: the eighth line of postmaster.pid says whether connections are taken.
    fn is_ready(&self) -> bool {
        let text = text_of(&self.data().join("postmaster.pid"));
        let (first, eighth) = (text.lines().next(), text.lines().nth(7));
        let process = self.server.process_id().map(|pid| pid.as_raw_nonzero().to_string());
        eighth.map(str::trim) == Some("ready") && first.map(str::to_owned) == process.ok()
    }

    /// Where the data is.
    fn data(&self) -> PathBuf {
        self.server.path().join("data")
    }

    /// The port of 127.0.0.1 on which it takes connections; the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The directory of its Unix socket `.s.PGSQL.PORT`, which is what libpq and its relatives want to know.
    #[must_use]
    pub fn socket_directory(&self) -> PathBuf {
        self.server.path().join("socket")
    }

    /// `postgres://…` of the database over TCP; with TLS, the client is told to verify the certificate.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// The same through another port of 127.0.0.1, that of a [`super::Link`].
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}");
        match self.authority() {
            Some(path) => format!("{url}?sslmode=verify-full&sslrootcert={}", path.display()),
            None => url,
        }
    }

    /// `postgres://…` of the database over the Unix socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let directory = self.socket_directory().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}:{PASSWORD}@{directory}:{}/{DATABASE}", self.port())
    }

    /// The certificate of the authority that signed the server's, if it has TLS.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.options.tls.as_ref().map(|_| self.server.path().join(AUTHORITY))
    }

    /// Its private directory: settings, data, `output.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.path()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.server.path().join("output.log"))
    }

    /// A client program of the same packages, such as `psql` or `pg_dump`, ready for its arguments.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        self.server.client(&program(name))
    }

    /// Runs SQL as the database's owner; answers the rows, one a line, with `|` between the columns.
    /// Each statement is committed by itself. It waits as long as the server lets it.
    ///
    /// # Errors
    ///
    /// Fails at the first statement that does, with the server's complaint.
    pub fn psql(&self, sql: &str) -> anyhow::Result<String> {
        self.psql_as(USER, sql)
    }

    /// The same as superuser.
    ///
    /// # Errors
    ///
    /// Fails at the first statement that does, with the server's complaint.
    pub fn psql_as_superuser(&self, sql: &str) -> anyhow::Result<String> {
        self.psql_as(SUPERUSER, sql)
    }

    fn psql_as(&self, user: &str, sql: &str) -> anyhow::Result<String> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .arg("--host")
            .arg(self.socket_directory())
            .args(["--port", &self.port().to_string(), "--username", user, "--dbname", DATABASE])
            .env("PGPASSWORD", PASSWORD)
            .env("PGOPTIONS", "-c client_min_messages=warning");
        answer(&feed(psql, sql)?).with_context(|| format!("psql: {sql}"))
    }

    /// Ends it in order: open transactions are rolled back, connections closed (`pg_ctl stop -m fast`).
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop_fast(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::INT)
    }

    /// Kills all its processes at once, as a crash would; what was committed is there after [`Self::restart`].
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Stops all its processes where they stand: connections stay open or are taken, and nothing answers.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.server.pause()
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.resume()
    }

    /// Starts it again on the same port and data, after ending it if it runs.
    ///
    /// # Errors
    ///
    /// Fails if it does not end or does not start.
    pub fn restart(&self) -> Result<(), PeerFault> {
        if self.server.is_running() {
            self.stop_fast()?;
        }
        self.launch()
    }

    /// Makes a replica a primary, and waits until it takes writes.
    ///
    /// # Errors
    ///
    /// Fails if it is no replica or does not run.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.psql_as_superuser("SELECT 1 / pg_promote(true, 30)::int").map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Asked to leave at once, it removes its System V shared memory, which only a namespace would do otherwise. If
        // that fails, it is killed.
        self.server.stop(Signal::QUIT).unwrap_or_default();
    }
}

fn program(name: &str) -> String {
    format!("{PROGRAMS}/{name}")
}

/// Makes a data directory with the roles and the database, and moves it to `target`.
fn initialise(target: &Path) -> Result<(), PeerFault> {
    let server = Server::prepare("postgresql", &program("postgres"))?;
    let (initdb, postgres, data) = (program("initdb"), program("postgres"), server.file("data"));
    let encoding = ["--encoding=UTF8", "--locale=C.UTF-8"];
    let size = ["--wal-segsize=1", "--no-sync", "--no-instructions"];
    server
        .run(&[&[&initdb, "-D", &data, "-U", SUPERUSER, "-A", "trust"][..], &encoding, &size].concat(), "")?;
    // In this mode a statement ends with its line.
    let statements = include_str!("../../peers/postgresql/initial.sql");
    server.run(&[&postgres, "--single", "-F", "-D", &data, SUPERUSER], statements)?;
    pristine::copy(&server.path().join("data"), target)?;
    Ok(())
}

/// The text of `pg_hba.conf`: the first line that matches a connection holds.
fn access(options: &PostgresOptions) -> String {
    let method = match options.auth {
        PostgresAuth::Scram => "scram-sha-256",
        PostgresAuth::Trust => "trust",
    };
    let kind = if options.tls.as_ref().is_some_and(|tls| tls.is_required) { "hostssl" } else { "host" };
    format!(
        "local all {SUPERUSER} trust\n\
         local all all {method}\n\
         {kind} replication {REPLICATOR} 127.0.0.1/32 {method}\n\
         {kind} all all 127.0.0.1/32 {method}\n"
    )
}
