//! A whole node for one test: a directory of its own, a configuration, and the real binary.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{MailClient, Port, wait_until};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const PIGEON: &str = env!("CARGO_BIN_EXE_pigeon");
/// How long a server may take until it answers or has stopped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long after a change the next mail may still be delivered by the old settings.
pub(crate) const FRESHNESS: Duration = Duration::from_secs(1);
/// User and group `mail`, who own all mail where the tests run as root.
pub(crate) const MAIL_ID: u32 = 8;

/// What a node's configuration says beyond its places.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeOptions {
    /// `outbox.submit`.
    pub(crate) submit: Option<String>,
    /// Lines for both LMTP listeners.
    pub(crate) lmtp: Vec<String>,
    /// The listener's address in the place of the two usual ones.
    pub(crate) listen: Option<String>,
    /// Whether the mail belongs to whoever starts the server, root too.
    pub(crate) is_user_kept: bool,
    /// `directory`, where it is not a file of the node.
    pub(crate) directory: Option<String>,
    /// `node`.
    pub(crate) name: Option<String>,
}

/// A node: its files, and its server while that runs.
#[derive(Debug)]
pub(crate) struct Node {
    // Before the directory: fields are dropped in this order, and the server still writes there.
    server: Option<Server>,
    port: Port,
    directory: TempDir,
}

/// A running `pigeon serve`, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// A message as it lies in a Maildir.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// The message as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// What is behind the header.
    pub(crate) fn body(&self) -> &[u8] {
        body_of(&self.bytes)
    }
}

/// What is behind the first empty line.
pub(crate) fn body_of(message: &[u8]) -> &[u8] {
    let end =
        |mark: &[u8]| message.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    let start = [end(b"\n\n"), end(b"\r\n\r\n")].into_iter().flatten().min().unwrap_or(message.len());
    &message[start..]
}

/// Whether the tests run as root, and mail belongs to the user `mail`.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

impl Node {
    /// A node with the domain `example.org` and these accounts in it.
    pub(crate) fn new(accounts: &[&str]) -> Self {
        Self::with(&NodeOptions::default(), accounts)
    }

    /// The same with a configuration of its own.
    pub(crate) fn with(options: &NodeOptions, accounts: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("pigeon-node-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let node = Self { server: None, port: Port::free().unwrap(), directory };
        for name in ["data", "state", "mail", "run"] {
            let path = node.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            if is_root() {
                chown(&path, Some(MAIL_ID), Some(MAIL_ID)).unwrap();
            }
        }
        fs::write(node.config(), node.configuration(options)).unwrap();
        node.run(&["init", "--domain", "example.org"]);
        for account in accounts {
            node.run(&["account", "add", account]);
        }
        node
    }

    fn configuration(&self, options: &NodeOptions) -> String {
        let at = |name: &str| self.path().join(name).display().to_string();
        let user = if is_root() && !options.is_user_kept { "user = \"mail\"\n" } else { "" };
        let submit = options.submit.clone().unwrap_or_else(|| "smtp://127.0.0.1:9".to_owned());
        let usual = [format!("unix:{}", self.socket().display()), format!("127.0.0.1:{}", self.tcp_port())];
        let listen = options.listen.clone().map_or_else(|| usual.to_vec(), |listen| vec![listen]);
        let listeners: String = listen
            .iter()
            .map(|listen| {
                format!("[[lmtp]]\nlisten = \"{listen}\"\nmode = \"0666\"\n{}\n", options.lmtp.join("\n"))
            })
            .collect();
        let own = || format!("sqlite:{}", at("data/directory.sqlite"));
        let directory = options.directory.clone().unwrap_or_else(own);
        let name = options.name.iter().map(|name| format!("node = \"{name}\"\n")).collect::<String>();
        format!(
            "directory = \"{directory}\"\nstate = \"{}\"\n{name}hostname = \"mx.example.org\"\n\
             default_domain = \"example.org\"\n\n[mail]\nroot = \"{}\"\n{user}\n\
             [outbox]\nsubmit = \"{submit}\"\n\n{listeners}",
            at("state"),
            at("mail"),
        )
    }

    /// The node's own directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("pigeondeliver.toml")
    }

    /// The Unix socket on which it takes LMTP.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("run/lmtp.sock")
    }

    /// The port of 127.0.0.1 on which it takes LMTP.
    pub(crate) fn tcp_port(&self) -> u16 {
        self.port.number()
    }

    /// The binary, knowing this node's configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(PIGEON);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("PIGEON_CONFIG", self.config());
        command
    }

    /// Runs a command of the administration; panics unless it succeeds; returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().unwrap();
        let (printed, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "pigeon {arguments:?}: {}\n{printed}{errors}", output.status);
        printed.into_owned()
    }

    /// The same with `--json`, parsed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{printed}"))
    }

    /// Writes settings (`quota.octets=2K`) of an account.
    pub(crate) fn set(&self, account: &str, assignments: &[&str]) {
        self.run(&[&["settings", "set", "--account", account], assignments].concat());
    }

    /// The binary under another name.
    pub(crate) fn linked(&self, name: &str) -> PathBuf {
        let link = self.path().join(name);
        std::os::unix::fs::symlink(PIGEON, &link).unwrap();
        link
    }

    /// Makes deliveries to this account wait: a file stands where its mailbox would be made.
    pub(crate) fn block(&self, account: &str) -> PathBuf {
        let place = self.maildir(account);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        if is_root() {
            chown(place.parent().unwrap(), Some(MAIL_ID), Some(MAIL_ID)).unwrap();
        }
        fs::write(&place, "in the way\n").unwrap();
        place
    }

    /// Runs `pigeon deliver` with the message on standard input.
    pub(crate) fn deliver(&self, arguments: &[&str], message: &[u8]) -> Output {
        let mut command = self.command();
        command.arg("deliver").args(arguments);
        feed(&mut command, message)
    }

    /// The command `pigeon serve`, its log going to a file.
    pub(crate) fn serve_command(&self) -> Command {
        let mut command = self.command();
        command.arg("serve");
        self.log_into(&mut command);
        command
    }

    /// Sends the output of a command to the server's log.
    pub(crate) fn log_into(&self, command: &mut Command) {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("serve.log")
    }

    /// What the server logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts the server and does not wait.
    pub(crate) fn launch(&mut self) {
        let mut command = self.serve_command();
        self.launch_as(&mut command);
    }

    /// Starts the server in a way of the test's own and does not wait.
    pub(crate) fn launch_as(&mut self, command: &mut Command) {
        assert!(self.server.is_none(), "the server runs already");
        self.server = Some(Server(command.spawn().unwrap()));
    }

    /// Starts the server and waits until it greets.
    pub(crate) fn start(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Waits until the server greets.
    pub(crate) fn wait_until_ready(&mut self) {
        let socket = self.socket();
        let server = &mut self.server.as_mut().expect("not started").0;
        let ready = wait_until(PATIENCE, || match MailClient::lmtp_unix(&socket) {
            Ok(_) => Some(true),
            Err(_) => server.try_wait().unwrap().map(|_| false),
        });
        assert_eq!(ready, Some(true), "the server does not answer:\n{}", self.log());
    }

    /// The server's process id.
    pub(crate) fn process_id(&self) -> u32 {
        self.server.as_ref().expect("not started").0.id()
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let server = &self.server.as_ref().expect("not started").0;
        kill_process(Pid::from_child(server), signal).unwrap();
    }

    /// Ends the server as a crash does.
    pub(crate) fn kill9(&mut self) {
        self.server = None;
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut server = self.server.take().expect("not started");
        wait_until(patience, || server.0.try_wait().unwrap())
    }

    /// SIGTERM; returns how the server ended, and how long that took.
    pub(crate) fn stop(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait(PATIENCE);
        (status.unwrap_or_else(|| panic!("the server does not stop:\n{}", self.log())), began.elapsed())
    }

    /// A connection to the Unix socket.
    pub(crate) fn lmtp(&self) -> MailClient {
        MailClient::lmtp_unix(&self.socket()).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The account's Maildir.
    pub(crate) fn maildir(&self, account: &str) -> PathBuf {
        let shown = self.json(&["account", "show", account]);
        let mailbox = find_text(&shown, "mailbox").unwrap_or_else(|| panic!("no mailbox in {shown}"));
        self.path().join("mail").join(mailbox)
    }

    /// What is in `new/` and `cur/` of an account's INBOX.
    pub(crate) fn inbox(&self, account: &str) -> Vec<Stored> {
        stored_in(&self.maildir(account))
    }

    /// What is in `new/` and `cur/` of a folder, named as on disk (`.Lists.Rust`).
    pub(crate) fn folder(&self, account: &str, folder: &str) -> Vec<Stored> {
        stored_in(&self.maildir(account).join(folder))
    }
}

/// Everything in `new/` and `cur/` of a Maildir folder, by name.
pub(crate) fn stored_in(maildir: &Path) -> Vec<Stored> {
    let mut paths: Vec<PathBuf> = ["new", "cur"]
        .iter()
        .filter_map(|part| fs::read_dir(maildir.join(part)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    // A reader may have moved one from new/ to cur/ meanwhile; none does while our tests look.
    paths.into_iter().map(|path| Stored { bytes: fs::read(&path).unwrap(), path }).collect()
}

/// Runs a command with this on its standard input.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command may end without having read all of it.
    stdin.write_all(input).unwrap_or_default();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The first text with this key, however deep.
fn find_text(value: &Value, key: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| fields.values().find_map(|value| find_text(value, key))),
        Value::Array(values) => values.iter().find_map(|value| find_text(value, key)),
        _ => None,
    }
}
