//! A private database server for the demonstration: started from what is installed, gone when it ends.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use pigeon_core::directory::Id;

/// How long a server has to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine that keeps the demonstration's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Engine {
    /// A file; needs no server
    #[default]
    Sqlite,
    /// PostgreSQL
    Postgres,
    /// MariaDB
    Mariadb,
    /// OpenLDAP
    Ldap,
}

impl Engine {
    /// What people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Ldap => "OpenLDAP",
        }
    }

    /// What ends it properly and at once: PostgreSQL waits for its clients when it gets SIGTERM, and MariaDB takes no
    /// notice of SIGINT.
    const fn ending(self) -> Signal {
        match self {
            Self::Postgres => Signal::SIGINT,
            _ => Signal::SIGTERM,
        }
    }
}

/// A running server; it is stopped when this is dropped.
pub(super) struct Server {
    process: Child,
    log: PathBuf,
    /// Which one it is.
    pub(super) engine: Engine,
    /// The program that was started.
    pub(super) program: PathBuf,
    /// Where it listens.
    pub(super) port: u16,
    /// The URL of the directory in it.
    pub(super) url: String,
}

impl Server {
    /// What it said last, where it has ended by itself.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        Some(format!("{} ended with {status}: {}", self.program.display(), self.last_words()))
    }

    /// The end of its log, in one line.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        let asked = kill(pid, self.engine.ending());
        for _ in 0..PATIENCE.as_millis() / 10 {
            if asked.is_err() || !matches!(self.process.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Starts a server of its own below `place`; none for a directory that is a file. It may take a moment until it answers.
///
/// # Errors
/// What is not installed, and how to install it; or what the server's own tools said.
pub(super) fn start(engine: Engine, place: &Path) -> anyhow::Result<Option<Server>> {
    let place = place.join("server");
    let server = match engine {
        Engine::Sqlite => return Ok(None),
        Engine::Postgres => postgres(&Room::make(&place, &["postgres", "nobody"])?),
        Engine::Mariadb => mariadb(&Room::make(&place, &["mysql", "nobody"])?),
        Engine::Ldap => slapd(&Room::make(&place, &["openldap", "nobody"])?),
    };
    server.map(Some)
}

/// Where a server keeps its things, who it runs as, and what it is reached by.
struct Room {
    place: PathBuf,
    /// Servers do not run as root: an account that does nothing else, where this is root.
    user: Option<User>,
    port: u16,
    password: String,
}

impl Room {
    fn make(place: &Path, users: &[&str]) -> anyhow::Result<Self> {
        let mut user = None;
        if nix::unistd::geteuid().is_root() {
            for name in users {
                user = user.or(User::from_name(name)?);
            }
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.context("no port is free on 127.0.0.1")?.port();
        let password = Id::generate().0.replace('-', "");
        let room = Self { place: place.to_owned(), user, port, password };
        room.directory("")?;
        // Whoever the server runs as must get to its files.
        if let Some(above) = place.parent().filter(|_| room.user.is_some()) {
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o711))?;
        }
        Ok(room)
    }

    fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.place.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        self.give(&path, 0o700)?;
        Ok(path)
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.place.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        self.give(&path, 0o600)?;
        Ok(path)
    }

    fn give(&self, path: &Path, mode: u32) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Runs a tool to its end.
    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.stderr(Stdio::piped()).stdout(Stdio::piped()).output();
        let output = output.with_context(|| format!("{name} cannot be started"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&said).trim());
        }
        Ok(())
    }

    /// Starts the server, in a process group of its own: Ctrl-C is the demonstration's, which then ends it.
    fn spawn(&self, engine: Engine, command: &mut Command, url: String) -> anyhow::Result<Server> {
        let log = self.place.join("log");
        let program = PathBuf::from(command.get_program());
        let process = command.process_group(0).stderr(std::fs::File::create(&log)?).spawn();
        let process = process.with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Server { process, log, engine, program, port: self.port, url })
    }
}

fn postgres(room: &Room) -> anyhow::Result<Server> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    let initdb = find("initdb", &folders, "postgresql")?;
    let server = find("postgres", &folders, "postgresql")?;
    let data = room.directory("data")?;
    let secret = room.file("password", &room.password)?;
    let mut command = room.command(&initdb);
    command.arg("-D").arg(&data).arg("--pwfile").arg(&secret);
    room.run(command.args(["-A", "scram-sha-256", "-U", "pigeon", "-E", "UTF8", "--no-instructions"]))?;
    let mut command = room.command(&server);
    command.arg("-D").arg(&data).arg("-k").arg(&room.place);
    command.args(["-h", "127.0.0.1", "-p", &room.port.to_string()]);
    let url = format!("postgres://pigeon:{}@127.0.0.1:{}/postgres", room.password, room.port);
    room.spawn(Engine::Postgres, &mut command, url)
}

fn mariadb(room: &Room) -> anyhow::Result<Server> {
    let server = find("mariadbd", &[], "mariadb-server")?;
    let installer = find("mariadb-install-db", &[], "mariadb-server")?;
    let base = prefix(&server);
    let (data, temporary) = (room.directory("data")?, room.directory("tmp")?);
    let grant = format!(
        "CREATE DATABASE pigeon CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n\
         CREATE USER pigeon@'127.0.0.1' IDENTIFIED BY '{}';\n\
         GRANT ALL ON pigeon.* TO pigeon@'127.0.0.1';\n",
        room.password
    );
    let grant = room.file("grant.sql", &grant)?;
    let options = format!(
        "[mariadbd]\ndatadir={}\ntmpdir={}\nsocket={}\npid-file={}\nport={}\nbind-address=127.0.0.1\n\
         basedir={}\nskip-name-resolve\nskip-log-bin\nperformance_schema=OFF\ninnodb_buffer_pool_size=32M\n",
        data.display(),
        temporary.display(),
        room.place.join("socket").display(),
        room.place.join("pid").display(),
        room.port,
        base.display(),
    );
    let options = room.file("my.cnf", &options)?;
    let defaults = format!("--defaults-file={}", options.display());
    let mut command = room.command(&installer);
    command.arg(&defaults).arg(format!("--basedir={}", base.display()));
    room.run(command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]))?;
    let mut command = room.command(&server);
    command.arg(&defaults).arg(format!("--init-file={}", grant.display()));
    let url = format!("mariadb://pigeon:{}@127.0.0.1:{}/pigeon", room.password, room.port);
    room.spawn(Engine::Mariadb, &mut command, url)
}

fn slapd(room: &Room) -> anyhow::Result<Server> {
    const SCHEMA: &str = include_str!("../../../../../packaging/openldap/pigeondeliver.schema");
    let server = find("slapd", &[], "slapd")?;
    let base = prefix(&server);
    let root = base.parent().unwrap_or(Path::new("/"));
    let stock = existing(root, &["etc/ldap/schema", "etc/openldap/schema"])?;
    let modules = existing(base, &["lib/ldap", "lib64/openldap", "lib/openldap"])?;
    let (data, schema) = (room.directory("data")?, room.file("pigeondeliver.schema", SCHEMA)?);
    let stock = ["core", "cosine", "inetorgperson"]
        .map(|name| format!("include {}\n", stock.join(name).with_extension("schema").display()));
    let options = format!(
        "{}include {}\nmodulepath {}\nmoduleload back_mdb\nmoduleload syncprov\n\
         database mdb\nmaxsize 1073741824\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\n\
         rootpw {}\ndirectory {}\nindex objectClass,entryCSN,entryUUID eq\noverlay syncprov\n",
        stock.concat(),
        schema.display(),
        modules.display(),
        room.password,
        data.display(),
    );
    let options = room.file("slapd.conf", &options)?;
    let mut command = room.command(&server);
    command.arg("-f").arg(&options).args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{}", room.port)]);
    let url = format!(
        "ldap://127.0.0.1:{}/dc=example,dc=org????bindname=cn=admin%2Cdc=example%2Cdc=org,x-bindpw={}",
        room.port, room.password
    );
    room.spawn(Engine::Ldap, &mut command, url)
}

/// A program in one of these folders, in the search path, or where packages put servers.
fn find(name: &str, folders: &[PathBuf], package: &str) -> anyhow::Result<PathBuf> {
    // How programs are found, as a shell does.
    let search = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    let folders = folders.iter().cloned().chain(std::env::split_paths(&search)).chain(usual);
    let mut paths = folders.map(|folder| folder.join(name));
    paths.find(|path| path.is_file()).with_context(|| {
        format!("{name} is not installed: apt-get install {package}, or try another --directory")
    })
}

/// The first of some folders that is there.
fn existing(base: &Path, folders: &[&str]) -> anyhow::Result<PathBuf> {
    let mut paths = folders.iter().map(|folder| base.join(folder));
    paths.find(|path| path.is_dir()).with_context(|| {
        format!(
            "there is none of {} below {}: install all of OpenLDAP's server",
            folders.join(", "),
            base.display()
        )
    })
}

/// The folder that `bin` or `sbin` of a program is in, `/usr` as a rule.
fn prefix(program: &Path) -> &Path {
    program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"))
}
