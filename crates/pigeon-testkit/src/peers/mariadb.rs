//! `MariaDB` 10.11: a directory for many nodes, alone or with replicas.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;

use super::certificate::{self, AUTHORITY, CERTIFICATE, KEY, PeerTls};
use super::port::Port;
use super::server::{Server, answer, feed};
use super::{PATIENCE, PeerFault, pristine, text_of};

const SERVER: &str = "/usr/sbin/mariadbd";
const CLIENT: &str = "/usr/bin/mariadb";
/// The user with all rights to [`DATABASE`] and to nothing else.
const USER: &str = "pigeon";
/// The password of every user but root, who comes over the Unix socket without.
const PASSWORD: &str = "secret";
const DATABASE: &str = "pigeon";
/// The user that replicas log in as.
const REPLICATOR: &str = "replicator";
/// Decides, in a file of its own, whether the server is a replica.
const ROLE: &str = "role.cnf";
/// The first byte of the greeting, after its header: the version of the protocol.
const PROTOCOL: u8 = 10;

/// How a `MariaDB` is set up.
#[derive(Debug, Clone, Default)]
pub struct MariaDbOptions {
    /// TLS on the TCP port; none by default.
    pub tls: Option<PeerTls>,
    /// Lines put at the end of the server's section of my.cnf, where they win.
    pub settings: Vec<String>,
}

/// A running `MariaDB` with the empty database `pigeon` and the user `pigeon` with the password `secret`.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    port: Port,
    options: MariaDbOptions,
}

impl MariaDb {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &MariaDbOptions) -> Result<Self, PeerFault> {
        Self::start_as(options, "")
    }

    /// A replica that follows this server by global transaction ids; it is read-only until [`Self::promote`].
    ///
    /// # Errors
    ///
    /// Fails if the replica does not start.
    pub fn replica(&self) -> Result<Self, PeerFault> {
        self.replica_through(self.port())
    }

    /// The same, reaching this server through another port of 127.0.0.1, that of a [`super::Link`].
    ///
    /// # Errors
    ///
    /// Fails if the replica does not start.
    pub fn replica_through(&self, port: u16) -> Result<Self, PeerFault> {
        let replica = Self::start_as(&self.options, "read_only=ON\n")?;
        let tls = match self.authority() {
            Some(path) => {
                format!(", MASTER_SSL=1, MASTER_SSL_CA='{}', MASTER_SSL_VERIFY_SERVER_CERT=1", path.display())
            }
            None => String::new(),
        };
        replica.sql_as_root(&format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='{REPLICATOR}', \
             MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1{tls}; START SLAVE;"
        ))?;
        Ok(replica)
    }

    fn start_as(options: &MariaDbOptions, role: &str) -> Result<Self, PeerFault> {
        let server = Server::prepare("mariadb", SERVER)?;
        let port = Port::free()?;
        for directory in ["socket", "tmp"] {
            server.make_directory(directory, 0o755)?;
        }
        let mut tls = String::new();
        if let Some(offered) = &options.tls {
            certificate::write(&server, offered)?;
            let required = if offered.is_required { "require_secure_transport=ON\n" } else { "" };
            tls = format!(
                "ssl-ca=@DIR@/{AUTHORITY}\nssl-cert=@DIR@/{CERTIFICATE}\nssl-key=@DIR@/{KEY}\n{required}"
            );
        }
        let settings = include_str!("../../peers/mariadb/my.cnf")
            .replace("@PORT@", &port.number().to_string())
            .replace("@TLS@", &tls)
            .replace("@SETTINGS@", &options.settings.join("\n"));
        server.write("my.cnf", &settings)?;
        server.write(ROLE, &format!("[mariadbd]\n{role}"))?;

        let version = server.version(SERVER)?;
        let recipe = [version.as_str(), include_str!("../../peers/mariadb/initial.sql")];
        let pristine = pristine::directory("mariadb", &recipe, initialise)?;
        pristine::copy(&pristine, &server.path().join("data"))?;
        let mariadb = Self { server, port, options: options.clone() };
        mariadb.launch()?;
        Ok(mariadb)
    }

    fn launch(&self) -> Result<(), PeerFault> {
        let settings = format!("--defaults-file={}", self.server.file("my.cnf"));
        self.server.start(&[SERVER, &settings])?;
        self.server.wait_until_ready(|| self.greets().is_ok_and(|byte| byte == PROTOCOL))
    }

    /// The protocol's version in the greeting. A server that was only just about to listen does not greet yet, and
    /// one that is asked to end before it greets never ends.
    fn greets(&self) -> std::io::Result<u8> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting)?;
        let [.., protocol] = greeting;
        Ok(protocol)
    }

    /// The port of 127.0.0.1 on which it takes connections; the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.path().join("socket/mariadb.sock")
    }

    /// `mysql://…` of the database over TCP; with TLS, the client is told to verify the certificate.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// The same through another port of 127.0.0.1, that of a [`super::Link`].
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        let url = format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}");
        match self.authority() {
            Some(path) => format!("{url}?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", path.display()),
            None => url,
        }
    }

    /// `mysql://…` of the database over the Unix socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("mysql://{USER}:{PASSWORD}@localhost/{DATABASE}?socket={}", self.socket().display())
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

    /// A client program of the same packages, such as `mariadb` or `mariadb-dump`, ready for its arguments; settings
    /// of the machine do not count.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut client = self.server.client(&format!("/usr/bin/{name}"));
        client.arg("--no-defaults");
        client
    }

    /// Runs SQL as the user of the database; answers the rows, one a line, with tabs between the columns.
    /// It waits as long as the server lets it.
    ///
    /// # Errors
    ///
    /// Fails at the first statement that does, with the server's complaint.
    pub fn sql(&self, text: &str) -> anyhow::Result<String> {
        self.sql_as(USER, text)
    }

    /// The same as the user root, who may do everything.
    ///
    /// # Errors
    ///
    /// Fails at the first statement that does, with the server's complaint.
    pub fn sql_as_root(&self, text: &str) -> anyhow::Result<String> {
        self.sql_as("root", text)
    }

    fn sql_as(&self, user: &str, text: &str) -> anyhow::Result<String> {
        let mut client = self.server.client(CLIENT);
        client.args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        client.arg("--socket").arg(self.socket()).args(["--user", user, DATABASE]);
        if user != "root" {
            client.env("MYSQL_PWD", PASSWORD);
        }
        answer(&feed(client, text)?).with_context(|| format!("mariadb: {text}"))
    }

    /// Ends it in order: open transactions are rolled back, connections closed.
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// Kills it at once, as a crash would; what was committed is there after [`Self::restart`].
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Stops it where it stands: connections stay open or are taken, and nothing answers.
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
            self.stop()?;
        }
        self.launch()
    }

    /// Makes a replica a primary, which takes writes; it stays one after [`Self::restart`].
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.server.write(ROLE, "[mariadbd]\n")?;
        self.sql_as_root("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF;").map(drop)
    }
}

/// Makes a data directory with the users and the database, and moves it to `target`.
fn initialise(target: &Path) -> Result<(), PeerFault> {
    let server = Server::prepare("mariadb", SERVER)?;
    let statements = server.write("initial.sql", include_str!("../../peers/mariadb/initial.sql"))?;
    let (data, statements) = (server.file("data"), format!("--extra-file={}", statements.display()));
    let (data_option, root) = (format!("--datadir={data}"), "--auth-root-authentication-method=normal");
    let install = ["mariadb-install-db", "--no-defaults", "--basedir=/usr", &data_option, root, &statements];
    let lean = [
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=4M",
        "--innodb-flush-method=nosync",
    ];
    server.run(&[&install[..], &lean].concat(), "")?;
    pristine::copy(Path::new(&data), target)?;
    Ok(())
}
