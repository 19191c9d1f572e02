//! Where a database is and how it is reached, in one line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use thiserror::Error;

use super::error::SqlError;

/// Which server speaks at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL 13 or newer.
    Postgres,
    /// MariaDB 10.6 or newer.
    MariaDb,
}

impl Engine {
    const fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MariaDb => 3306,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// A Unix socket: for PostgreSQL the directory that it is in, and the port that it is named after; for MariaDB
    /// the socket itself.
    Socket(PathBuf, u16),
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(formatter, "{host}:{port}"),
            Self::Socket(path, _) => write!(formatter, "{}", path.display()),
        }
    }
}

/// What is demanded of TLS; Unix sockets have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; its certificate is not looked at.
    #[default]
    Prefer,
    /// TLS; the certificate is not looked at.
    Require,
    /// TLS with a certificate that the authority signed, whatever name is in it.
    VerifyCa,
    /// TLS with a certificate for the host's name that the authority signed.
    VerifyFull,
}

impl FromStr for TlsMode {
    type Err = SqlUrlError;

    fn from_str(text: &str) -> Result<Self, SqlUrlError> {
        Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => Self::Disable,
            "prefer" | "preferred" => Self::Prefer,
            "require" | "required" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" | "verify-identity" => Self::VerifyFull,
            _ => {
                return Err(SqlUrlError(format!(
                    "sslmode is {text:?}: write disable, prefer, require, verify-ca or verify-full"
                )));
            }
        })
    }
}

/// Why a text is no URL of a database. Never holds the text itself, for a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the database's URL is wrong: {0}")]
pub struct SqlUrlError(String);

/// Where a database is: `postgres://user:password@host:port/database?option=value&…`, or `mariadb://…`.
///
/// `postgresql://` and `mysql://` mean the same. What has a special meaning in URLs is written `%XX`. A Unix socket
/// stands in the host's place (`%2Frun%2Fpostgresql`) or in the option `host` or `socket`. Options:
/// - `sslmode`: `disable`, `prefer` (the default), `require`, `verify-ca`, `verify-full`;
/// - `sslrootcert`: a file with the certificates of the authorities; without it those of the system are trusted;
/// - `sslcert`, `sslkey`: the client's own certificate and key;
/// - `replica`: host and port of a read-only copy that look-ups may ask, any number of times. User, password,
///   database and TLS are the same as above.
///
/// MariaDB's users log in with a password of the plugin `mysql_native_password`, which is the server's default;
/// `ed25519` and `unix_socket` are not understood here.
///
/// Shown to people (`Display`, `Debug`) it has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlUrl {
    pub(super) engine: Engine,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) host: Host,
    pub(super) replicas: Vec<Host>,
    pub(super) database: String,
    pub(super) tls: Tls,
}

/// How TLS is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tls {
    pub(super) mode: TlsMode,
    pub(super) authority: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl SqlUrl {
    /// Which server it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The read-only copies.
    #[must_use]
    pub fn replicas(&self) -> &[Host] {
        &self.replicas
    }

    /// The same database on another host, without replicas: that of one replica.
    #[must_use]
    pub fn at(&self, host: &Host) -> Self {
        Self { host: host.clone(), replicas: Vec::new(), ..self.clone() }
    }

    /// The same server with another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Whether the files that it names can be read.
    pub(crate) fn check(&self) -> Result<(), SqlError> {
        for path in [&self.tls.authority, &self.tls.certificate, &self.tls.key].into_iter().flatten() {
            if let Err(error) = std::fs::File::open(path) {
                return Err(SqlError::Unusable(format!(
                    "is reached by TLS with {}: {error}",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), SqlUrlError> {
        match key {
            "sslmode" | "ssl-mode" => self.tls.mode = value.parse()?,
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => self.tls.authority = Some(absolute(key, value)?),
            "sslcert" | "ssl-cert" => self.tls.certificate = Some(absolute(key, value)?),
            "sslkey" | "ssl-key" => self.tls.key = Some(absolute(key, value)?),
            "host" | "socket" => self.host = host(value, self.port(), self.engine)?,
            "replica" => {
                let replica = host(value, self.engine.port(), self.engine)?;
                self.replicas.push(replica);
            }
            _ => {
                return Err(SqlUrlError(format!(
                    "the option {key:?} is not known: there are sslmode, sslrootcert, sslcert, sslkey, host, socket \
                     and replica"
                )));
            }
        }
        Ok(())
    }

    fn port(&self) -> u16 {
        match self.host {
            Host::Tcp(_, port) | Host::Socket(_, port) => port,
        }
    }
}

impl fmt::Display for SqlUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}@{}", self.engine.scheme(), self.user, self.host)?;
        match self.host {
            Host::Tcp(..) => write!(formatter, "/{}", self.database),
            Host::Socket(..) => write!(formatter, ":{}", self.database),
        }
    }
}

impl fmt::Debug for SqlUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SqlUrl({self}, replicas {:?}, {:?})", self.replicas, self.tls)
    }
}

impl FromStr for SqlUrl {
    type Err = SqlUrlError;

    fn from_str(text: &str) -> Result<Self, SqlUrlError> {
        let wrong = |what: &str| SqlUrlError(what.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it begins with no scheme"))?;
        let engine = match scheme {
            "postgres" | "postgresql" => Engine::Postgres,
            "mariadb" | "mysql" => Engine::MariaDb,
            _ => return Err(wrong("it begins with neither postgres:// nor mariadb://")),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, database) = rest.split_once('/').ok_or_else(|| wrong("it names no database"))?;
        let (login, server) = server.rsplit_once('@').ok_or_else(|| wrong("it names no user"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (login, None),
        };
        let mut url = Self {
            engine,
            user: decoded(user)?,
            password,
            host: host(&decoded(server)?, engine.port(), engine)?,
            replicas: Vec::new(),
            database: decoded(database)?,
            tls: Tls::default(),
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            url.option(&decoded(key)?, &decoded(value)?)?;
        }
        if url.user.is_empty() {
            return Err(wrong("it names no user"));
        }
        if url.database.is_empty() || url.database.contains('/') {
            return Err(wrong("it names no database"));
        }
        Ok(url)
    }
}

fn host(text: &str, port: u16, engine: Engine) -> Result<Host, SqlUrlError> {
    let wrong = |what: &str| SqlUrlError(format!("{what} in {text:?}"));
    if text.starts_with('/') {
        let (path, port) = match text.rsplit_once(':') {
            Some((path, number)) => (path, number.parse().map_err(|_| wrong("there is no port"))?),
            None => (text, port),
        };
        return Ok(Host::Socket(PathBuf::from(path), port));
    }
    let (name, number) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, behind) = rest.split_once(']').ok_or_else(|| wrong("a bracket is missing"))?;
            (name, behind.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        },
    };
    let port = match number {
        None | Some("") => engine.port(),
        Some(number) => number.parse().map_err(|_| wrong("there is no port"))?,
    };
    let name = if name.is_empty() { "localhost" } else { name };
    if name.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == ',') {
        return Err(wrong("there is no host"));
    }
    Ok(Host::Tcp(name.to_owned(), port))
}

fn absolute(key: &str, value: &str) -> Result<PathBuf, SqlUrlError> {
    if Path::new(value).is_absolute() {
        return Ok(PathBuf::from(value));
    }
    Err(SqlUrlError(format!("{key} is {value:?}, which is no absolute path")))
}

/// Resolves `%XX`.
fn decoded(text: &str) -> Result<String, SqlUrlError> {
    let wrong = || SqlUrlError("a % is not followed by two hexadecimal digits of UTF-8 text".to_owned());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digits = rest.get(..2).ok_or_else(wrong)?;
        octets.extend(HEXLOWER_PERMISSIVE.decode(digits).map_err(|_| wrong())?);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(octets).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Host {
        Host::Tcp(host.to_owned(), port)
    }

    fn parse(text: &str) -> SqlUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = parse("postgres://pigeon:p%40ss%3A%2F@db.example.org:5433/mail");
        assert_eq!(
            (url.engine, url.user.as_str(), url.database.as_str()),
            (Engine::Postgres, "pigeon", "mail")
        );
        assert_eq!((url.password.as_deref(), &url.host), (Some("p@ss:/"), &tcp("db.example.org", 5433)));
        for (text, host) in [
            ("mysql://u@db/d", tcp("db", 3306)),
            ("mariadb://u@[2001:db8::1]:3307/d", tcp("2001:db8::1", 3307)),
            ("postgresql://u@/d", tcp("localhost", 5432)),
            ("postgres://u@%2Frun%2Fpostgresql:5433/d", Host::Socket("/run/postgresql".into(), 5433)),
            ("postgres://u@:5433/d?host=/run/postgresql", Host::Socket("/run/postgresql".into(), 5433)),
            ("mariadb://u@/d?socket=/run/mysqld.sock", Host::Socket("/run/mysqld.sock".into(), 3306)),
        ] {
            assert_eq!(parse(text).host, host, "{text}");
        }
    }

    #[test]
    fn options_are_understood_in_the_words_of_both_engines() {
        let url =
            parse("postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem&replica=r1&replica=r2:5433");
        assert_eq!(
            (url.tls.mode, url.tls.authority.as_deref()),
            (TlsMode::VerifyFull, Some(Path::new("/ca.pem")))
        );
        assert_eq!(url.replicas, [tcp("r1", 5432), tcp("r2", 5433)]);
        assert_eq!(url.at(&url.replicas[1]).to_string(), "postgres://u@r2:5433/d");
        let url = parse("mysql://u@h/d?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem");
        assert_eq!(
            (url.tls.mode, url.tls.authority.as_deref()),
            (TlsMode::VerifyFull, Some(Path::new("/ca.pem")))
        );
        assert_eq!(parse("mysql://u@h/d").tls, Tls::default());
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = parse("postgres://pigeon:hunter2@h/d?replica=r");
        for shown in [url.to_string(), format!("{url:?}"), format!("{:?}", url.at(&url.replicas[0]))] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(url.to_string(), "postgres://pigeon@h:5432/d");
        for text in
            ["hunter2", "ldap://u:hunter2@h/d", "postgres://u:hunter2%zz@h/d", "postgres://u:hunter2@h:x/d"]
        {
            let error = text.parse::<SqlUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, word) in [
            ("db", "no scheme"),
            ("ldap://u@h/d", "neither"),
            ("postgres://u@h", "no database"),
            ("postgres://u@h/", "no database"),
            ("postgres://h/d", "no user"),
            ("postgres://u@h:port/d", "no port"),
            ("postgres://u@[::1/d", "bracket"),
            ("postgres://u@h/d?sslmode=perhaps", "verify-full"),
            ("postgres://u@h/d?sslrootcert=ca.pem", "absolute"),
            ("postgres://u@h/d?sslmod=require", "not known"),
            ("postgres://u@h1,h2/d", "no host"),
        ] {
            let error = text.parse::<SqlUrl>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
