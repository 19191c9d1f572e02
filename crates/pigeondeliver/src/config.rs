//! `pigeondeliver.toml`: how this node starts. Everything about mail itself is in the directory.
//!
//! Read once, here; no environment variable but `PIGEON_CONFIG`, which names the file.

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod managesieve;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use pigeon_backends::directory::ldap::{LdapOptions, Mapping};
use pigeon_backends::sql::SqlUrl;
use pigeon_frontends::listener::ListenAddress;
use pigeon_frontends::lmtp::{LmtpLimits, LmtpListener};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use managesieve::ManageSieve;

/// Where the configuration is looked for when nobody names it.
pub const DEFAULT_PATH: &str = "/etc/pigeondeliver/pigeondeliver.toml";

/// How a node of PigeonDeliver starts.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory's URL: `sqlite:/var/lib/pigeondeliver/directory.sqlite`, `postgres://user:password@host/database`, `mariadb://user:password@host/database` or `ldap://host/ou=mail,dc=example,dc=org`.
    pub directory: String,
    /// Where this node keeps its own files: the spool for large messages, receipts on their way, and its State unless nodes share one.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// The URL of the database in which nodes share their State: `postgres://…` or `mariadb://…`. Unset: the directory's own, if it is such a one; else this node keeps its State in files, for itself alone.
    #[serde(default)]
    pub shared_state: Option<String>,
    /// The name of this node, which no other node of the site has. Unset: the host name.
    #[serde(default)]
    pub node: Option<String>,
    /// The name of this host in trace fields and replies. Unset: the system's host name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The domain of recipients that are named without one (`pigeon deliver ann`). Unset: the host name.
    #[serde(default)]
    pub default_domain: Option<String>,
    /// The mailboxes.
    #[serde(default)]
    pub mail: Mail,
    /// The LMTP listeners, each with its own limits.
    #[serde(default)]
    pub lmtp: Vec<Lmtp>,
    /// The ManageSieve listeners, where people reach their Sieve scripts.
    #[serde(default)]
    pub managesieve: Vec<ManageSieve>,
    /// How redirects and answers leave.
    #[serde(default)]
    pub outbox: Outbox,
    /// The log.
    #[serde(default)]
    pub log: Log,
    /// How a directory in LDAP is reached, besides its URL.
    #[serde(default)]
    pub directory_ldap: LdapOptions,
    /// People who are in the LDAP directory already, in entries of their own form.
    #[serde(default)]
    pub directory_mapping: Option<Mapping>,
}

/// Where mail is kept.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The directory that holds all mailboxes.
    pub root: PathBuf,
    /// The user that owns all mail. Started as root, the server becomes this user. Unset: whoever starts it.
    pub user: Option<String>,
    /// The group that owns all mail. Unset: the user's own.
    pub group: Option<String>,
    /// How copies are made durable before they are acknowledged.
    pub sync: Sync,
    /// How names of folders are written in the mailboxes: as the IMAP server that reads them expects it.
    pub folder_names: FolderNames,
    /// Messages above this many octets leave memory for a spool file while they are delivered.
    pub spool_threshold: u64,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/var/mail/pigeondeliver"),
            user: None,
            group: None,
            sync: Sync::Automatic,
            folder_names: FolderNames::ModifiedUtf7,
            spool_threshold: 1024 * 1024,
        }
    }
}

/// How copies are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// The quickest way that is safe on the file system at hand. A message for many mailboxes may sync the whole file system.
    #[default]
    Automatic,
    /// Each file and each directory by itself: for a disk that other programs write much to.
    Each,
}

/// How names of folders are written in the mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FolderNames {
    /// In modified UTF-7 (RFC 3501 §5.1.3): Dovecot, and Courier before 5.
    #[default]
    ModifiedUtf7,
    /// In UTF-8: Courier 5 and later.
    Utf8,
}

/// One LMTP listener.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lmtp {
    /// `unix:/run/pigeondeliver/lmtp.sock`, `127.0.0.1:24`, or `inherited:NAME` for a socket that systemd opened (`FileDescriptorName=NAME`).
    pub listen: String,
    /// The permissions of a Unix socket, octal.
    #[serde(default = "default_socket_mode")]
    pub mode: String,
    /// The owner of a Unix socket.
    #[serde(default)]
    pub owner: Option<String>,
    /// The group of a Unix socket: mostly that of the MTA.
    #[serde(default)]
    pub group: Option<String>,
    /// Networks whose clients may use XCLIENT and XFORWARD (`127.0.0.1/32`); `local` for those that connect to a Unix socket.
    #[serde(default)]
    pub trusted: Vec<String>,
    /// Largest message in octets.
    #[serde(default = "default_message_size")]
    pub max_message_size: u64,
    /// Most recipients in one transaction.
    #[serde(default = "default_recipients")]
    pub max_recipients: usize,
    /// Most connections at the same time.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// How long a client may be silent between commands, in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
}

/// How redirects and answers leave.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// `smtp://127.0.0.1:25` for the MTA on this host, or `sendmail:/usr/sbin/sendmail`.
    pub submit: String,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { submit: "smtp://127.0.0.1:25".to_owned() }
    }
}

/// The log.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much is logged.
    pub level: LogLevel,
    /// In which form, on standard error.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what somebody must act on.
    Error,
    /// That, and what looks wrong.
    Warn,
    /// That, and one line for each recipient of each message.
    #[default]
    Info,
    /// That, and the protocol.
    Debug,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn default_state() -> PathBuf {
    PathBuf::from("/var/lib/pigeondeliver")
}
fn default_socket_mode() -> String {
    "0660".to_owned()
}
fn default_message_size() -> u64 {
    100 * 1024 * 1024
}
fn default_recipients() -> usize {
    1000
}
fn default_connections() -> usize {
    1000
}
fn default_timeout() -> u64 {
    300
}

impl Lmtp {
    /// A listener with default limits.
    #[must_use]
    pub fn new(listen: &str) -> Self {
        Self {
            listen: listen.to_owned(),
            mode: default_socket_mode(),
            owner: None,
            group: None,
            trusted: Vec::new(),
            max_message_size: default_message_size(),
            max_recipients: default_recipients(),
            max_connections: default_connections(),
            timeout_s: default_timeout(),
        }
    }

    /// The listener as the server opens it.
    ///
    /// # Errors
    /// Which value makes no sense, and what is allowed.
    pub fn listener(&self) -> anyhow::Result<LmtpListener> {
        let mut address: ListenAddress =
            self.listen.parse().map_err(|error| anyhow!("lmtp.listen: {error}"))?;
        if let ListenAddress::Unix(socket) = &mut address {
            socket.mode = u32::from_str_radix(self.mode.trim_start_matches("0o"), 8)
                .with_context(|| format!("lmtp.mode {:?} is not octal: write 0660", self.mode))?;
            socket.owner.clone_from(&self.owner);
            socket.group.clone_from(&self.group);
        }
        let networks = self.trusted.iter().filter(|network| *network != "local");
        let trusted_networks =
            networks.map(|network| network.parse()).collect::<Result<_, _>>().context("lmtp.trusted")?;
        let trusts_local = self.trusted.iter().any(|network| network == "local");
        Ok(LmtpListener { address, trusts_local, trusted_networks })
    }

    /// What its clients may use up.
    #[must_use]
    pub fn limits(&self) -> LmtpLimits {
        LmtpLimits {
            recipients: self.max_recipients,
            message_octets: self.max_message_size,
            connections: self.max_connections,
            idle_time: Duration::from_secs(self.timeout_s),
            command_time: Duration::from_secs(self.timeout_s),
            ..LmtpLimits::default()
        }
    }
}

/// Where the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryUrl {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL or MariaDB server.
    Sql(Box<SqlUrl>),
    /// A tree of entries in an LDAP server.
    Ldap(Box<LdapOptions>),
}

/// Where it is, without a password.
impl fmt::Display for DirectoryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Sql(url) => url.fmt(formatter),
            Self::Ldap(options) => formatter.write_str(options.place()),
        }
    }
}

impl Config {
    /// A configuration with defaults for everything but the places.
    #[must_use]
    pub fn new(directory: &Path, state: &Path, mail_root: &Path) -> Self {
        Self {
            directory: format!("sqlite:{}", directory.display()),
            state: state.to_owned(),
            shared_state: None,
            node: None,
            hostname: None,
            default_domain: None,
            mail: Mail { root: mail_root.to_owned(), ..Mail::default() },
            lmtp: Vec::new(),
            managesieve: Vec::new(),
            outbox: Outbox::default(),
            log: Log::default(),
            directory_ldap: LdapOptions::default(),
            directory_mapping: None,
        }
    }

    /// Where the configuration is: what was named, else `PIGEON_CONFIG`, else the default place.
    #[must_use]
    pub fn path(named: Option<&Path>) -> PathBuf {
        #[expect(clippy::disallowed_methods, reason = "the one environment variable, read in its one place")]
        let from_environment = || std::env::var("PIGEON_CONFIG").ok().map(PathBuf::from);
        named.map(Path::to_owned).or_else(from_environment).unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// What is wrong and in which file, and what to do when there is none.
    pub fn load(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = Self::path(named);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "there is no configuration at {}: make one with `pigeon init`, or name it with --config FILE",
                path.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let config: Self =
            toml::from_str(&text).with_context(|| format!("{} is not right", path.display()))?;
        config.directory_url()?;
        config.shared_state_url()?;
        for listener in &config.lmtp {
            listener.listener()?;
        }
        for listener in &config.managesieve {
            listener.address()?;
        }
        Ok(config)
    }

    /// Where the directory is.
    ///
    /// # Errors
    /// When the URL has a scheme that there is no backend for.
    pub fn directory_url(&self) -> anyhow::Result<DirectoryUrl> {
        self.read_url(&self.directory).context("directory")
    }

    /// What a directory's URL means; one in LDAP is reached as `directory_ldap` says.
    ///
    /// # Errors
    /// When the URL has a scheme that there is no backend for, or is broken.
    pub fn read_url(&self, url: &str) -> anyhow::Result<DirectoryUrl> {
        match url.split_once(':') {
            Some(("sqlite", path)) => {
                Ok(DirectoryUrl::Sqlite(path.strip_prefix("//").unwrap_or(path).into()))
            }
            Some(("postgres" | "postgresql" | "mariadb" | "mysql", _)) => {
                Ok(DirectoryUrl::Sql(Box::new(url.parse().map_err(anyhow::Error::msg)?)))
            }
            Some(("ldap" | "ldaps" | "ldapi", _)) => {
                let mapping = self.directory_mapping.clone();
                let options = LdapOptions { url: url.to_owned(), mapping, ..self.directory_ldap.clone() };
                Ok(DirectoryUrl::Ldap(Box::new(options)))
            }
            // The text itself is not shown: a password may be in it.
            _ => bail!(
                "this is not a URL that is known here: write sqlite:/path/to/directory.sqlite, \
                 postgres://user:password@host/database, mariadb://user:password@host/database or \
                 ldap://host/ou=mail,dc=example,dc=org"
            ),
        }
    }

    /// Where nodes share their State; none where this one keeps it for itself.
    ///
    /// # Errors
    /// When `shared_state` is no URL of a database.
    pub fn shared_state_url(&self) -> anyhow::Result<Option<SqlUrl>> {
        match (&self.shared_state, self.directory_url()?) {
            (Some(url), _) => url.parse().map(Some).map_err(|error| anyhow!("shared_state: {error}")),
            (None, DirectoryUrl::Sql(url)) => Ok(Some(*url)),
            (None, DirectoryUrl::Sqlite(_) | DirectoryUrl::Ldap(_)) => Ok(None),
        }
    }

    /// The name of this node.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.node.clone().unwrap_or_else(|| self.hostname())
    }

    /// The name of this host.
    #[must_use]
    pub fn hostname(&self) -> String {
        let system = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.hostname.clone().unwrap_or_else(system)
    }

    /// The domain of recipients that are named without one.
    #[must_use]
    pub fn default_domain(&self) -> String {
        self.default_domain.clone().unwrap_or_else(|| self.hostname())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_one_line() {
        let config: Config = toml::from_str(r#"directory = "sqlite:/tmp/d.sqlite""#).unwrap();
        assert_eq!(config.directory_url().unwrap(), DirectoryUrl::Sqlite("/tmp/d.sqlite".into()));
        assert_eq!(config.mail.sync, Sync::Automatic);
    }

    #[test]
    fn nodes_share_the_directorys_database_unless_another_one_is_named() {
        let check = |text: &str, expect: Option<&str>| {
            let config: Config = toml::from_str(text).unwrap();
            let url = config.shared_state_url().unwrap().map(|url| url.to_string());
            assert_eq!(url.as_deref(), expect, "{text}");
        };
        check(r#"directory = "sqlite:/d""#, None);
        check(r#"directory = "postgres://u:p@db/mail""#, Some("postgres://u@db:5432/mail"));
        let other = "directory = \"sqlite:/d\"\nshared_state = \"mysql://u:p@db/state\"";
        check(other, Some("mariadb://u@db:3306/state"));
        let config: Config = toml::from_str(r#"directory = "ldab:u:hunter2@h""#).unwrap();
        let error = format!("{:#}", config.shared_state_url().unwrap_err());
        assert!(!error.contains("hunter2") && error.contains("postgres://"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error =
            toml::from_str::<Config>("directory = \"sqlite:/x\"\nmial = 1\n").unwrap_err().to_string();
        assert!(error.contains("mial"), "{error}");
    }

    #[test]
    fn listeners_are_parsed() {
        let mut listener = Lmtp::new("unix:/run/x");
        assert!(
            matches!(listener.listener().unwrap().address, ListenAddress::Unix(socket) if socket.mode == 0o660)
        );
        listener.mode = "rw".into();
        assert!(listener.listener().unwrap_err().to_string().contains("0660"));
        assert!(Lmtp::new("localhost").listener().unwrap_err().to_string().contains("unix:/path"));
        listener = Lmtp::new("127.0.0.1:24");
        listener.trusted = vec!["127.0.0.0/8".into(), "local".into()];
        assert!(listener.listener().unwrap().trusts_local);
        assert!(Config::new(Path::new("/d"), Path::new("/s"), Path::new("/m")).directory_url().is_ok());
    }
}
