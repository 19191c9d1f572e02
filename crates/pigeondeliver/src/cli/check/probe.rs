//! Looks at what the configuration names outside of the directory: users, sockets, the way out.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use pigeon_backends::outbox::OutboxConfig;
use pigeon_frontends::listener::ListenAddress;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use super::Problem;
use crate::config::{Config, Lmtp};
use crate::wiring;

/// How long a mail server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Probed = Result<String, Problem>;

/// Whether the user that owns all mail exists.
pub(super) fn mail_user(config: &Config) -> Probed {
    match (wiring::owner(config), &config.mail.user) {
        (Err(error), _) => Err(Problem::new(
            format!("{error:#}"),
            "make one: useradd --system --shell /usr/sbin/nologin NAME",
        )),
        (Ok(Some(_)), Some(name)) => Ok(name.clone()),
        _ if nix::unistd::geteuid().is_root() => {
            Ok("nobody is named: mail will belong to root; better name one as mail.user".to_owned())
        }
        _ => Ok("whoever starts the server".to_owned()),
    }
}

/// Whether the mail root belongs to the mail user.
pub(super) fn mail_root(config: &Config) -> Result<(), Problem> {
    let Ok(Some(owner)) = wiring::owner(config) else { return Ok(()) };
    let root = &config.mail.root;
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.uid() != owner.uid => {
            let user = config.mail.user.as_deref().unwrap_or_default();
            let shown = root.display();
            Err(Problem::new(
                format!("{shown} belongs to the user number {}, not to {user}", metadata.uid()),
                format!("chown {user} {shown}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a listener can be opened, or is open already.
pub(super) async fn listener(listener: &Lmtp) -> Probed {
    match listener.listener().map(|listener| listener.address) {
        Err(error) => Err(Problem::new(format!("{error:#}"), "mend lmtp.listen in the configuration")),
        Ok(address) => place(address, "LMTP").await,
    }
}

/// Whether there is room to listen at a place, or a server that says `word` listens there already.
pub(super) async fn place(address: ListenAddress, word: &str) -> Probed {
    match address {
        ListenAddress::Inherited(name) => Ok(format!("the service manager hands {name} over")),
        ListenAddress::Tcp(address) => match TcpListener::bind(address).await {
            Ok(_) => Ok("free".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                greeted_with(word, TcpStream::connect(address).await).await
            }
            Err(error) => {
                Err(Problem::new(error.to_string(), "take an address of this host and a port that is free"))
            }
        },
        ListenAddress::Unix(socket) => match UnixStream::connect(&socket.path).await {
            Ok(stream) => greeted_with(word, Ok(stream)).await,
            Err(_) => socket_directory(&socket.path),
        },
    }
}

/// Whether whoever listens there already says this word.
async fn greeted_with<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    word: &str,
    stream: io::Result<S>,
) -> Probed {
    let to_do = "stop the other program, or take another address";
    let busy = |what: &str| Problem::new(format!("in use {what}"), to_do);
    let stream = stream.map_err(|error| busy(&format!("by something that does not answer: {error}")))?;
    match greeting(stream).await {
        Ok(line) if line.to_ascii_uppercase().contains(word) => Ok("a server listens already".to_owned()),
        Ok(line) => Err(busy(&format!("by another program, which says {line:?}"))),
        Err(error) => Err(busy(&format!("by a program that says nothing: {error}"))),
    }
}

fn socket_directory(path: &Path) -> Probed {
    let Some(parent) = path.parent() else {
        return Err(Problem::new("that is no path of a socket", "write unix:/run/pigeondeliver/lmtp.sock"));
    };
    let shown = parent.display();
    if !parent.is_dir() {
        let to_do = format!("mkdir {shown} (in a systemd unit: RuntimeDirectory=)");
        return Err(Problem::new(format!("the directory {shown} is not there"), to_do));
    }
    let is_writable = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_ok();
    if is_writable {
        Ok("free".to_owned())
    } else {
        Err(Problem::new(
            format!("the directory {shown} is not writable"),
            "start the server as root, or chown it",
        ))
    }
}

/// Whether the mail server takes what leaves. One that is down is no failure of this node: what leaves waits for it,
/// and after a start of the host it may well come up later.
pub(super) async fn outbox(config: &Config) -> Probed {
    let submit = &config.outbox.submit;
    let known = OutboxConfig { submit: submit.clone(), ..OutboxConfig::default() }.submitter();
    known.map_err(|error| Problem::new(error.to_string(), "mend outbox.submit in the configuration"))?;
    let to_do = "start the mail server, or mend outbox.submit: redirects and answers wait until then";
    if let Some(path) = submit.strip_prefix("sendmail:") {
        let is_program =
            |metadata: &std::fs::Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        return match std::fs::metadata(path) {
            Ok(metadata) if is_program(&metadata) => Ok("the program is there".to_owned()),
            Ok(_) => Err(Problem::new(format!("{path} is no program"), to_do)),
            Err(error) => Err(Problem::new(format!("{path}: {error}"), to_do)),
        };
    }
    let address = submit.trim_start_matches("smtp://").trim_end_matches('/');
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { address.to_owned() } else { format!("{address}:25") };
    let greeted = async { greeting(TcpStream::connect(&address).await?).await };
    match timeout(PATIENCE, greeted).await {
        // RFC 5321 §4.2: 220 is the greeting of a server that is ready.
        Ok(Ok(line)) if line.starts_with("220") => Ok(line),
        // RFC 5321 §4.2.1: 4yz is transient.
        Ok(Ok(line)) if line.starts_with('4') => Err(Problem::passing(format!("it says {line:?}"), to_do)),
        Ok(Ok(line)) => Err(Problem::new(format!("it says {line:?} in place of a greeting"), to_do)),
        Ok(Err(error)) => Err(Problem::passing(error.to_string(), to_do)),
        Err(_) => Err(Problem::passing(format!("no answer within {} s", PATIENCE.as_secs()), to_do)),
    }
}

/// The first line that a server says; takes leave in a friendly way.
async fn greeting<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: S) -> io::Result<String> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let mut limited = tokio::io::AsyncReadExt::take(&mut stream, 1024);
    timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    // Whether it hears the farewell does not matter.
    drop(stream.get_mut().write_all(b"QUIT\r\n").await);
    Ok(crate::show::printable(String::from_utf8_lossy(&line).trim()))
}
