//! Where a clamd listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The address of a clamd: `unix:/run/clamav/clamd.ctl` or `tcp://scanner.example.org:3310`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host's name or address (IPv6 in brackets) with a port.
    Tcp(String),
}

impl FromStr for ServerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        if let Some(path) = path.or_else(|| text.starts_with('/').then_some(text)) {
            let is_path = path.starts_with('/') && path.len() > 1 && path.len() < 108;
            return if is_path { Ok(Self::Unix(path.into())) } else { Err(unreadable(text)) };
        }
        let place = text.strip_prefix("tcp:").map_or(text, |rest| rest.trim_start_matches("//"));
        let (host, port) = place.rsplit_once(':').ok_or_else(|| unreadable(text))?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
        let is_host = is_bracketed || !(host.is_empty() || host.contains([':', '/', '[', ']', ' ']));
        match port.parse::<u16>() {
            Ok(port) if port > 0 && is_host => Ok(Self::Tcp(format!("{host}:{port}"))),
            _ => Err(unreadable(text)),
        }
    }
}

fn unreadable(text: &str) -> String {
    format!(
        "{text:?} is no address of clamd: write unix:/run/clamav/clamd.ctl or tcp://scanner.example.org:3310"
    )
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp(place) => write!(formatter, "tcp://{place}"),
        }
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}

impl JsonSchema for ServerAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "server-address" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_in_one_form() {
        let check = |text: &str, expect: &str| {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), expect, "{text}");
            assert_eq!(expect.parse(), Ok(address), "{text}");
        };
        check("unix:/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl");
        check(" /run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl");
        check("unix:///run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl");
        check("tcp://scanner.example.org:3310", "tcp://scanner.example.org:3310");
        check("tcp:127.0.0.1:3310", "tcp://127.0.0.1:3310");
        check("[::1]:3310", "tcp://[::1]:3310");
        let long = format!("unix:/{}", "x".repeat(108));
        for text in
            ["", "clamd", "unix:run/x", "unix:/", &long, "host:0", "::1:3310", "tcp://:3310", "tcp://a/b:1"]
        {
            let error = text.parse::<ServerAddress>().unwrap_err();
            assert!(error.contains("write unix:/run/clamav/clamd.ctl"), "{text}: {error}");
        }
    }
}
