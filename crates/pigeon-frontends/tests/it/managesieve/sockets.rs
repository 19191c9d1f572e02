//! The server on real sockets: TLS, logins bound to it, many clients, and an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use pigeon_core::sasl::{DEFAULT_ITERATIONS, ScramKeys};
use pigeon_frontends::listener::ListenAddress;
use pigeon_frontends::managesieve::{ManageSieve, ManageSieveLimits, ManageSieveServer};
use pigeon_frontends::stop::Stopper;
use pigeon_frontends::tls::Certificate;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::desk::{PASSWORD, limits, server};

/// A certificate in files.
pub(crate) struct Files {
    _folder: TempDir,
    chain: PathBuf,
    key: PathBuf,
    pub(crate) certificate: Arc<Certificate>,
}

impl Files {
    /// Makes another certificate in the same files.
    fn renew(&self) {
        write(&self.chain, &self.key);
    }

    fn client(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.chain).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config).into()
    }
}

fn write(chain: &PathBuf, key: &PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(chain, cert.pem()).unwrap();
    std::fs::write(key, signing_key.serialize_pem()).unwrap();
}

/// A new certificate for `localhost`.
pub(crate) fn certificate() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    write(&chain, &key);
    let certificate = Arc::new(Certificate::open(&chain, &key).unwrap());
    Files { _folder: folder, chain, key, certificate }
}

struct Running {
    address: SocketAddr,
    stopper: Stopper,
    task: JoinHandle<()>,
}

fn start(server: ManageSieve) -> Running {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = ManageSieveServer::bind(Arc::new(server), address, &mut Vec::new()).unwrap();
    let ListenAddress::Tcp(address) = server.address() else { panic!("{}", server.address()) };
    let stopper = Stopper::new();
    let task = tokio::spawn(server.serve(stopper.stopping()));
    Running { address, stopper, task }
}

type Client<S> = BufReader<S>;

async fn connect(address: SocketAddr) -> Client<TcpStream> {
    BufReader::new(TcpStream::connect(address).await.unwrap())
}

/// All lines up to the one that ends a response.
async fn response<S: AsyncRead + Unpin>(client: &mut Client<S>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), client.read_line(&mut line)).await;
        assert!(read.expect("an answer").unwrap() > 0, "the server has hung up after {lines:?}");
        let line = line.trim_end().to_owned();
        let is_last = ["OK", "NO", "BYE"].iter().any(|word| line.starts_with(word));
        lines.push(line);
        if is_last {
            return lines;
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, line: &str) -> Vec<String> {
    client.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    response(client).await
}

async fn start_tls(files: &Files, address: SocketAddr) -> Client<TlsStream<TcpStream>> {
    let mut client = connect(address).await;
    assert!(response(&mut client).await.contains(&"\"STARTTLS\"".to_owned()));
    assert!(say(&mut client, "STARTTLS").await.last().unwrap().starts_with("OK"));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = files.client().connect(name, client.into_inner()).await.unwrap();
    let mut client = BufReader::new(stream);
    let capabilities = response(&mut client).await;
    assert!(
        capabilities.contains(&"\"SASL\" \"SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\"".to_owned()),
        "{capabilities:?}"
    );
    assert!(!capabilities.contains(&"\"STARTTLS\"".to_owned()), "{capabilities:?}");
    client
}

#[tokio::test]
async fn certificates_are_renewed_while_it_runs() {
    let files = certificate();
    let running = start(server(limits()).with_certificate(Arc::clone(&files.certificate)));
    let mut first = start_tls(&files, running.address).await;
    files.renew();
    let mut second = start_tls(&files, running.address).await;
    for client in [&mut first, &mut second] {
        assert!(say(client, "LOGOUT").await.last().unwrap().starts_with("OK"));
    }
}

/// What somebody between client and server put behind STARTTLS is not obeyed, in whichever packet it comes.
#[tokio::test]
async fn nothing_is_injected_behind_starttls() {
    let files = certificate();
    let running = start(server(limits()).with_certificate(Arc::clone(&files.certificate)));
    let mut client = connect(running.address).await;
    response(&mut client).await;
    let answer = say(&mut client, "STARTTLS\r\nNOOP \"injected\"").await;
    assert_eq!(answer, ["BYE \"Nothing may follow STARTTLS before TLS is active\""]);
    let mut client = connect(running.address).await;
    response(&mut client).await;
    say(&mut client, "STARTTLS").await;
    client.write_all(b"NOOP \"injected\"\r\n").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap_or_default();
    assert!(!String::from_utf8_lossy(&rest).contains("injected"), "{}", rest.escape_ascii());
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Logs in by SCRAM-SHA-256-PLUS; `exporter` is what the client thinks is this connection's.
async fn log_in_bound(client: &mut Client<TlsStream<TcpStream>>, exporter: &[u8]) -> Vec<String> {
    let first = "n=ann@example.org,r=abcdefgh";
    let header = "p=tls-exporter,,";
    let initial = BASE64.encode(format!("{header}{first}").as_bytes());
    client
        .write_all(format!("AUTHENTICATE \"SCRAM-SHA-256-PLUS\" \"{initial}\"\r\n").as_bytes())
        .await
        .unwrap();
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    let challenge = BASE64.decode(line.trim().trim_matches('"').as_bytes()).unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let nonce = challenge.split(',').next().unwrap();
    let binding = BASE64.encode(&[header.as_bytes(), exporter].concat());
    let last = format!("c={binding},{nonce}");
    let signed = format!("{first},{challenge},{last}");
    // The server's own functions would make the same mistakes; only the slow part is taken from them.
    let keys = ScramKeys::derive(PASSWORD, b"0123456789abcdef", DEFAULT_ITERATIONS);
    let client_key = client_key();
    assert_eq!(<[u8; 32]>::from(Sha256::digest(client_key)), keys.stored_key);
    let signature = hmac(&keys.stored_key, &signed);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
    let last = BASE64.encode(format!("{last},p={}", BASE64.encode(&proof)).as_bytes());
    let answer = say(client, &format!("\"{last}\"")).await;
    if let Some(success) = answer.last().unwrap().strip_prefix("OK (SASL \"") {
        let success = BASE64.decode(success.split('"').next().unwrap().as_bytes()).unwrap();
        let expect = format!("v={}", BASE64.encode(&hmac(&keys.server_key, &signed)));
        assert_eq!(String::from_utf8(success).unwrap(), expect);
    }
    answer
}

/// RFC 5802 §3, step by step.
fn client_key() -> [u8; 32] {
    let mut last = hmac(PASSWORD.as_bytes(), "0123456789abcdef\0\0\0\u{1}");
    let mut salted = last;
    for _ in 1..DEFAULT_ITERATIONS {
        let mut mac = Hmac::<Sha256>::new_from_slice(PASSWORD.as_bytes()).unwrap();
        mac.update(&last);
        last = mac.finalize().into_bytes().into();
        salted.iter_mut().zip(last).for_each(|(sum, octet)| *sum ^= octet);
    }
    hmac(&salted, "Client Key")
}

#[tokio::test]
async fn logins_are_bound_to_their_connection() {
    let files = certificate();
    let running = start(server(limits()).with_certificate(Arc::clone(&files.certificate)));
    let exporter = |client: &Client<TlsStream<TcpStream>>| {
        let (_, connection) = client.get_ref().get_ref();
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap()
    };
    let mut client = start_tls(&files, running.address).await;
    let other = start_tls(&files, running.address).await;
    let refused = log_in_bound(&mut client, &exporter(&other)).await;
    assert_eq!(refused, ["NO \"the login is not bound to this connection\""]);
    let own = exporter(&client);
    let answer = log_in_bound(&mut client, &own).await;
    assert!(answer.last().unwrap().starts_with("OK (SASL "), "{answer:?}");
    assert_eq!(say(&mut client, "LISTSCRIPTS").await, ["OK \"These are the scripts\""]);
}

#[tokio::test]
async fn a_thousand_clients_do_not_keep_one_out() {
    let few = ManageSieveLimits { connections: 50, connections_per_client: 40, ..limits() };
    let running = start(server(few));
    let mut turned_away = 0;
    let mut kept = Vec::new();
    for _ in 0..1000 {
        let mut client = connect(running.address).await;
        let greeting = response(&mut client).await;
        match greeting.last().unwrap().as_str() {
            "OK \"ManageSieve is ready\"" => kept.push(client),
            "BYE (TRYLATER) \"Too many connections\""
            | "BYE (TRYLATER) \"Too many connections from your address\"" => turned_away += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((kept.len(), turned_away), (40, 960));
    // Those who are there are served, and who goes makes room.
    assert_eq!(say(&mut kept[0], "NOOP").await, ["OK \"Done\""]);
    assert_eq!(say(&mut kept.pop().unwrap(), "LOGOUT").await, ["OK \"Bye\""]);
    let again = async {
        loop {
            let mut client = connect(running.address).await;
            if response(&mut client).await.last().unwrap().starts_with("OK") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("room for one");
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let running = start(server(limits()));
    let mut idle = connect(running.address).await;
    response(&mut idle).await;
    let mut busy = connect(running.address).await;
    response(&mut busy).await;
    busy.write_all(b"NOOP {5+}\r\nab").await.unwrap();
    running.stopper.stop();
    for client in [&mut idle, &mut busy] {
        assert_eq!(response(client).await, ["BYE (TRYLATER) \"Shutting down\""]);
    }
    drop((idle, busy));
    tokio::time::timeout(Duration::from_secs(20), running.task).await.expect("it ends").unwrap();
}
