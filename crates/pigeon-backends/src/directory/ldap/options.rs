//! How the server is reached, and as whom.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pigeon_core::ports::directory::DirectoryError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mapping::Mapping;

/// How an OpenLDAP server is reached, and as whom.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LdapOptions {
    /// The server that takes changes, and the entry below which everything is: `ldap://HOST:PORT/BASE`,
    /// `ldaps://HOST:PORT/BASE` or `ldapi://%2Frun%2Fslapd%2Fldapi/BASE`. BASE is a distinguished name, like
    /// `ou=mail,dc=example,dc=org`; blanks and other odd characters in it are written `%XX`. Behind it may stand whom to
    /// bind as, where no setting says so: `????bindname=DN,x-bindpw=PASSWORD` with commas as `%2C`.
    #[serde(skip)]
    pub url: String,
    /// Replicas of that server (syncrepl consumers) that look-ups ask first, in this order: URLs without a BASE.
    /// When one is lost the next is asked, and the server itself after the last.
    pub replicas: Vec<String>,
    /// The distinguished name to bind as. Unset: over `ldapi` the system user (SASL EXTERNAL), otherwise nobody.
    pub bind_dn: Option<String>,
    /// The password for `bind_dn`. Better is a file: `password_file`.
    pub password: Option<String>,
    /// A file that holds the password for `bind_dn`, in its first line. It is read at every connection.
    pub password_file: Option<PathBuf>,
    /// Whether connections of `ldap://` are encrypted with `StartTLS` before anything is said.
    pub start_tls: bool,
    /// A file with the certificates (PEM) of the authorities that the server's certificate may be signed by.
    /// Unset: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a server may take to connect, and to answer each question, in milliseconds.
    pub timeout_ms: u64,
    /// How many rows of the change log are kept; older ones are deleted as new ones come.
    pub keep_changes: u64,
    /// Accounts that an existing directory has.
    #[serde(skip)]
    pub mapping: Option<Mapping>,
}

impl Default for LdapOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            replicas: Vec::new(),
            bind_dn: None,
            password: None,
            password_file: None,
            start_tls: false,
            ca_file: None,
            timeout_ms: 3000,
            keep_changes: 10_000,
            mapping: None,
        }
    }
}

impl fmt::Debug for LdapOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LdapOptions({} as {:?})", shown(&self.url), self.bind_dn)
    }
}

impl LdapOptions {
    /// Where the directory is, for people: the URL without what may be a password.
    #[must_use]
    pub fn place(&self) -> &str {
        shown(&self.url)
    }

    /// How long a server may take for each answer.
    pub(super) const fn patience(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The password, from wherever it is.
    pub(super) fn password(&self) -> Result<String, String> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone().unwrap_or_default()) };
        let text = fs::read_to_string(path)
            .map_err(|error| format!("the password file {} cannot be read: {error}", path.display()))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// A URL without what may be a password.
fn shown(url: &str) -> &str {
    url.split_once('?').map_or(url, |(shown, _)| shown)
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Host, port, and how it is encrypted.
    Tcp(String, u16, Encryption),
    /// A Unix socket.
    Unix(PathBuf),
}

/// How a TCP connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    StartTls,
    FromTheStart,
}

/// What a URL says (RFC 4516).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) target: Target,
    pub(super) base: String,
    /// The extensions `bindname` and `x-bindpw`.
    pub(super) bind_dn: Option<String>,
    pub(super) password: Option<String>,
}

impl Location {
    /// Reads a URL; `start_tls` is for those of `ldap://`.
    pub(super) fn parse(url: &str, start_tls: bool) -> Result<Self, DirectoryError> {
        let bad = |why: &str| {
            DirectoryError::Invalid(format!(
                "{:?} is not the URL of an LDAP directory ({why}): write ldap://HOST/BASE, ldaps://HOST/BASE or \
                 ldapi://%2Fpath%2Fto%2Fsocket/BASE",
                shown(url)
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no ://"))?;
        let (rest, more) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(bad("the bind DN and the password do not stand before the host"));
        }
        let base = unescape(base).ok_or_else(|| bad("BASE has a % without two digits"))?;
        let (bind_dn, password) = extensions(more).map_err(|why| bad(&why))?;
        let (encryption, port) = match scheme {
            "ldap" if start_tls => (Encryption::StartTls, 389),
            "ldap" => (Encryption::None, 389),
            "ldaps" => (Encryption::FromTheStart, 636),
            "ldapi" => {
                let path = unescape(authority).filter(|path| path.starts_with('/'));
                let path = path.ok_or_else(|| bad("the path of the socket begins with %2F"))?;
                return Ok(Self { target: Target::Unix(path.into()), base, bind_dn, password });
            }
            _ => return Err(bad("the scheme is another")),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => {
                (host, digits.parse().map_err(|_| bad("the port is no number"))?)
            }
            _ => (authority, port),
        };
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        Ok(Self { target: Target::Tcp(host.to_owned(), port, encryption), base, bind_dn, password })
    }
}

/// `attributes?scope?filter?extensions`: whom to bind as, and the password. The first three are empty.
fn extensions(text: &str) -> Result<(Option<String>, Option<String>), String> {
    let mut parts = text.splitn(4, '?');
    let extensions = parts.by_ref().nth(3).unwrap_or_default();
    if text.trim_start_matches('?').len() > extensions.len() {
        return Err("attributes, scope and filter are not for a directory".to_owned());
    }
    let (mut bind_dn, mut password) = (None, None);
    for extension in extensions.split(',').filter(|extension| !extension.is_empty()) {
        let (name, value) = extension.trim_start_matches('!').split_once('=').unwrap_or((extension, ""));
        let value = unescape(value).ok_or("an extension has a % without two digits")?;
        match name.to_ascii_lowercase().as_str() {
            "bindname" => bind_dn = Some(value),
            "x-bindpw" => password = Some(value),
            other => return Err(format!("the extension {other:?} is not known")),
        }
    }
    Ok((bind_dn, password))
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port, Encryption::FromTheStart) => write!(formatter, "ldaps://{host}:{port}"),
            Self::Tcp(host, port, _) => write!(formatter, "ldap://{host}:{port}"),
            Self::Unix(path) => {
                let path = path.display().to_string().replace('%', "%25").replace('/', "%2F");
                write!(formatter, "ldapi://{path}")
            }
        }
    }
}

/// Takes `%XX` back (RFC 3986 §2.1).
fn unescape(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        octets.push(high * 16 + low);
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let check = |url: &str, start_tls: bool, expect: &str| {
            let location = Location::parse(url, start_tls).unwrap();
            assert_eq!(format!("{} {:?}", location.target, location.base), expect, "{url}");
        };
        check(
            "ldap://localhost/ou=mail,dc=example,dc=org",
            false,
            "ldap://localhost:389 \"ou=mail,dc=example,dc=org\"",
        );
        check(
            "ldaps://ldap.example.org:1636/o=My%20Mail",
            false,
            "ldaps://ldap.example.org:1636 \"o=My Mail\"",
        );
        check("ldap://[2001:db8::1]:1389/o=x", true, "ldap://[2001:db8::1]:1389 \"o=x\"");
        check("ldap://[2001:db8::1]/o=x", true, "ldap://[2001:db8::1]:389 \"o=x\"");
        check("ldapi://%2Frun%2Fldapi/o=x", false, "ldapi://%2Frun%2Fldapi \"o=x\"");
        let target = Location::parse("ldap://h/o=x", true).unwrap().target;
        assert_eq!(target, Target::Tcp("h".to_owned(), 389, Encryption::StartTls));
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        for (url, word) in [
            ("localhost/o=x", "no ://"),
            ("http://localhost/o=x", "scheme"),
            ("ldap:///o=x", "no host"),
            ("ldap://h:port/o=x", "port"),
            ("ldapi://socket/o=x", "socket begins"),
            ("ldap://cn=admin:secret@h/o=x", "before the host"),
            ("ldap://h/o=x?cn", "attributes"),
            ("ldap://h/o=x????x-odd=1", "x-odd"),
            ("ldap://h/o=x????bindname=%4", "two digits"),
            ("ldap://h/o=%4", "two digits"),
        ] {
            let error = Location::parse(url, false).map(drop).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn passwords_are_read_and_not_shown() {
        let url = "ldap://h/dc=example,dc=org????bindname=cn=admin%2Cdc=example%2Cdc=org,x-bindpw=hunter2%3F";
        let location = Location::parse(url, false).unwrap();
        assert_eq!(location.bind_dn.as_deref(), Some("cn=admin,dc=example,dc=org"));
        assert_eq!(
            (location.password.as_deref(), location.base.as_str()),
            (Some("hunter2?"), "dc=example,dc=org")
        );
        let (url, password) = (url.to_owned(), Some("hunter2".to_owned()));
        let options = LdapOptions { url, password, ..LdapOptions::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
        let broken = Location::parse("ldp://h/o=x????x-bindpw=hunter2", false).map(drop).unwrap_err();
        assert!(!broken.to_string().contains("hunter2"), "{broken}");
    }
}
