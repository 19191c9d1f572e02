//! `[[managesieve]]`: where people reach their Sieve scripts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use pigeon_frontends::listener::ListenAddress;
use pigeon_frontends::managesieve::ManageSieveLimits;
use pigeon_frontends::tls::Certificate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One ManageSieve listener.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManageSieve {
    /// `0.0.0.0:4190`, `[::]:4190`, `unix:/path`, or `inherited:NAME` for a socket that systemd opened (`FileDescriptorName=NAME`).
    pub listen: String,
    /// The file with the certificate and its chain, PEM. It is read again when it changes. Unset: no TLS, and passwords in plain text are taken from this host only.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The file with the certificate's private key, PEM. The mail user must be able to read it, or a new one is used only after the next start.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Whether passwords may come in plain text from other hosts without TLS.
    #[serde(default)]
    pub plaintext: bool,
    /// Largest script in octets that is read at all; `sieve.max_script_size` may allow an account less.
    #[serde(default = "default_script_size")]
    pub max_script_size: u64,
    /// Most connections at the same time.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// Most connections at the same time from one IPv4 address or one IPv6 network of 64 bits.
    #[serde(default = "default_client_connections")]
    pub max_connections_per_client: usize,
    /// How many logins may fail on one connection.
    #[serde(default = "default_failures")]
    pub max_login_failures: u32,
    /// How long the answer to a failed login waits, in milliseconds; doubled by each further one from the same client.
    #[serde(default = "default_failure_delay")]
    pub login_failure_delay_ms: u64,
    /// How long a client may take to log in, in seconds.
    #[serde(default = "default_login_timeout")]
    pub login_timeout_s: u64,
    /// How long a client that has logged in may be silent, in seconds. RFC 5804 asks for half an hour at least.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
}

fn default_script_size() -> u64 {
    ManageSieveLimits::default().script_octets
}
fn default_connections() -> usize {
    ManageSieveLimits::default().connections
}
fn default_client_connections() -> usize {
    ManageSieveLimits::default().connections_per_client
}
fn default_failures() -> u32 {
    ManageSieveLimits::default().failures
}
fn default_failure_delay() -> u64 {
    1000
}
fn default_login_timeout() -> u64 {
    ManageSieveLimits::default().login_time.as_secs()
}
fn default_timeout() -> u64 {
    ManageSieveLimits::default().idle_time.as_secs()
}

impl ManageSieve {
    /// A listener with default limits and without TLS.
    #[must_use]
    pub fn new(listen: &str) -> Self {
        Self {
            listen: listen.to_owned(),
            certificate: None,
            key: None,
            plaintext: false,
            max_script_size: default_script_size(),
            max_connections: default_connections(),
            max_connections_per_client: default_client_connections(),
            max_login_failures: default_failures(),
            login_failure_delay_ms: default_failure_delay(),
            login_timeout_s: default_login_timeout(),
            timeout_s: default_timeout(),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Which value makes no sense, and what is allowed.
    pub fn address(&self) -> anyhow::Result<ListenAddress> {
        if self.certificate.is_some() != self.key.is_some() {
            bail!("managesieve: a certificate needs its key: give both, or none");
        }
        self.listen.parse().map_err(|error| anyhow!("managesieve.listen: {error}"))
    }

    /// The certificate, read; none where there is to be no TLS.
    ///
    /// # Errors
    /// Which file is of no use.
    pub fn open_certificate(&self) -> anyhow::Result<Option<Arc<Certificate>>> {
        let (Some(chain), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        Ok(Some(Arc::new(Certificate::open(chain, key)?)))
    }

    /// What its clients may use up.
    #[must_use]
    pub fn limits(&self) -> ManageSieveLimits {
        ManageSieveLimits {
            script_octets: self.max_script_size,
            failures: self.max_login_failures,
            failure_delay: Duration::from_millis(self.login_failure_delay_ms),
            login_time: Duration::from_secs(self.login_timeout_s),
            idle_time: Duration::from_secs(self.timeout_s),
            connections: self.max_connections,
            connections_per_client: self.max_connections_per_client,
            ..ManageSieveLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ManageSieve {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn one_line_is_enough() {
        let listener = read("listen = \"127.0.0.1:4190\"");
        assert_eq!(format!("{listener:?}"), format!("{:?}", ManageSieve::new("127.0.0.1:4190")));
        assert_eq!(listener.address().unwrap().to_string(), "127.0.0.1:4190");
        assert_eq!(listener.limits(), ManageSieveLimits::default());
        assert!(listener.open_certificate().unwrap().is_none());
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let listener = read("listen = \"127.0.0.1:4190\"\ncertificate = \"/x.pem\"");
        assert!(listener.address().unwrap_err().to_string().contains("needs its key"));
        let listener = read("listen = \"127.0.0.1:4190\"\ncertificate = \"/x.pem\"\nkey = \"/y.pem\"");
        assert!(listener.open_certificate().unwrap_err().to_string().contains("/x.pem"));
        assert!(read("listen = \"x\"").address().unwrap_err().to_string().contains("managesieve.listen"));
    }
}
