//! One connection: made, encrypted, bound.

use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, StdStream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::options::{Encryption, LdapOptions, Target};
use super::trouble::Trouble;

/// A bound connection. Any number of questions may be under way on it at once.
#[derive(Debug)]
pub(super) struct Connection {
    /// Cloned for each question.
    ldap: Ldap,
    /// Tells this connection from all others of this process.
    pub(super) number: u64,
    /// Which of the servers it leads to.
    pub(super) server: usize,
    /// How long each answer may take.
    pub(super) patience: Duration,
    driver: JoinHandle<()>,
}

impl Connection {
    /// A handle for one question.
    pub(super) fn handle(&self) -> Ldap {
        self.ldap.clone()
    }

    /// Whether the server or we hung up.
    pub(super) fn is_gone(&self) -> bool {
        self.driver.is_finished() || self.handle().is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A driver that waits for a server that does not read would wait for ever.
        self.driver.abort();
    }
}

/// Connects to a server and binds.
pub(super) async fn dial(
    target: &Target,
    server: usize,
    options: &LdapOptions,
) -> Result<Connection, Trouble> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let patience = options.patience();
    let connect = async {
        let (driver, ldap) = connect(target, options).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                tracing::debug!("a connection to the directory ended: {error}");
            }
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let connection = Connection { ldap, number, server, patience, driver };
        bind(&connection, target, options).await?;
        Ok(connection)
    };
    timeout(patience, connect).await.unwrap_or(Err(Trouble::Silent(patience.as_millis())))
}

async fn connect(target: &Target, options: &LdapOptions) -> Result<(LdapConnAsync, Ldap), Trouble> {
    let lost = |error: std::io::Error| Trouble::Lost(format!("no connection: {error}").into());
    let mut settings = LdapConnSettings::new();
    let url = match target {
        Target::Unix(path) => {
            let stream = UnixStream::connect(path).await.and_then(UnixStream::into_std).map_err(lost)?;
            settings = settings.set_std_stream(StdStream::Unix(stream));
            "ldapi:///".to_owned()
        }
        Target::Tcp(host, port, encryption) => {
            let stream = tcp(host, *port).await.and_then(TcpStream::into_std).map_err(lost)?;
            settings = settings.set_std_stream(StdStream::Tcp(stream));
            if *encryption != Encryption::None {
                let config = tls(options.ca_file.as_deref())?;
                settings = settings.set_config(config).set_starttls(*encryption == Encryption::StartTls);
            }
            target.to_string()
        }
    };
    LdapConnAsync::with_settings(settings, &url).await.map_err(|error| Trouble::of(error, "encrypting"))
}

/// Questions are small and many may be under way: none waits for the answer to another (`TCP_NODELAY`).
async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await?.collect();
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Who is trusted. The file is read at each connection, so that a new one is taken without a restart.
fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Trouble> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let bad = |error: &dyn std::fmt::Display| {
                Trouble::Lost(format!("the ca_file {} cannot be used: {error}", path.display()).into())
            };
            let file = std::fs::File::open(path).map_err(|error| bad(&error))?;
            for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
                roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
            }
            if roots.is_empty() {
                return Err(bad(&"it holds no certificate"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Trouble::Lost(error.to_string().into()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn bind(connection: &Connection, target: &Target, options: &LdapOptions) -> Result<(), Trouble> {
    let mut ldap = connection.handle();
    let (about, answer) = match (&options.bind_dn, target) {
        (Some(dn), _) => {
            let password = options.password().map_err(|why| Trouble::Lost(why.into()))?;
            if password.is_empty() {
                // RFC 4513 §5.1.2: without a password the server would take us for nobody in particular.
                return Err(Trouble::Lost(
                    format!("there is no password for {dn}: set password_file").into(),
                ));
            }
            (format!("binding as {dn}"), ldap.simple_bind(dn, &password).await)
        }
        (None, Target::Unix(_)) => {
            ("binding as the system user (SASL EXTERNAL)".to_owned(), ldap.sasl_external_bind().await)
        }
        (None, Target::Tcp(..)) => return Ok(()),
    };
    answer.and_then(ldap3::LdapResult::success).map_err(|error| Trouble::of(error, &about))?;
    Ok(())
}
