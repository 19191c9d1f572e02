//! The server on real sockets: who may connect, what is left behind, and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_core::ports::spool::{NoSpool, Spool, SpoolFile};
use pigeon_frontends::listener::{ListenAddress, UnixSocket};
use pigeon_frontends::lmtp::{LmtpLimits, LmtpListener, LmtpServer, Peer, serve_stream};
use pigeon_frontends::stop::{Stopper, Stopping};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::post_office::{PostOffice, reception};

struct Running {
    office: Arc<PostOffice>,
    addresses: Vec<ListenAddress>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

fn unix(path: &Path) -> LmtpListener {
    let socket = UnixSocket { path: path.to_owned(), mode: 0o622, ..UnixSocket::default() };
    LmtpListener { address: ListenAddress::Unix(socket), ..LmtpListener::default() }
}

fn tcp(trusted: &str) -> LmtpListener {
    LmtpListener {
        address: "127.0.0.1:0".parse().unwrap(),
        trusted_networks: vec![trusted.parse().unwrap()],
        ..LmtpListener::default()
    }
}

fn start(listeners: Vec<LmtpListener>, office: PostOffice, limits: LmtpLimits) -> Result<Running, String> {
    start_with(listeners, office, limits, Arc::new(NoSpool))
}

fn start_with(
    listeners: Vec<LmtpListener>,
    office: PostOffice,
    limits: LmtpLimits,
    spool: Arc<dyn Spool>,
) -> Result<Running, String> {
    let office = Arc::new(office);
    let server = LmtpServer::bind(reception(&office, spool, limits), listeners, &mut Vec::new())
        .map_err(|error| error.to_string())?;
    let addresses = server.addresses();
    let stopper = Stopper::new();
    let task = tokio::spawn(server.serve(stopper.stopping()));
    Ok(Running { office, addresses, stopper, task })
}

async fn client(address: &ListenAddress) -> BufReader<Box<dyn Duplex>> {
    let stream: Box<dyn Duplex> = match address {
        ListenAddress::Unix(socket) => Box::new(UnixStream::connect(&socket.path).await.unwrap()),
        ListenAddress::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
        ListenAddress::Inherited(name) => panic!("{name}"),
    };
    BufReader::new(stream)
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// Says something and returns the reply, the last line of it.
async fn say(client: &mut BufReader<Box<dyn Duplex>>, text: &str) -> String {
    client.write_all(text.as_bytes()).await.unwrap();
    listen(client).await
}

async fn listen(client: &mut BufReader<Box<dyn Duplex>>) -> String {
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}

/// A client that has said everything up to the message.
async fn client_in_data(address: &ListenAddress) -> BufReader<Box<dyn Duplex>> {
    let mut client = client(address).await;
    assert!(listen(&mut client).await.starts_with("220 "));
    assert!(say(&mut client, "LHLO client\r\n").await.starts_with("250 "));
    assert!(say(&mut client, "MAIL FROM:<s@example.net>\r\n").await.starts_with("250 "));
    assert!(say(&mut client, "RCPT TO:<ann@example.org>\r\n").await.starts_with("250 "));
    assert!(say(&mut client, "DATA\r\n").await.starts_with("354 "));
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_comes_in_over_unix_and_tcp_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp.sock");
    let listeners = vec![unix(&path), tcp("192.0.2.0/24"), tcp("127.0.0.0/8")];
    let running = start(listeners, PostOffice::new(), LmtpLimits::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o622);
    let mut clients = Vec::new();
    for address in &running.addresses {
        clients.push(client_in_data(address).await);
    }
    for client in &mut clients {
        assert!(say(client, "Subject: x\r\n\r\n.\r\n").await.starts_with("250 2.1.5 "));
    }
    assert_eq!(running.office.world.mails("ann@example.org").len(), 3);
    assert!(say(&mut clients[1], "XFORWARD NAME=x\r\n").await.starts_with("550 5.7.0"));
    assert!(say(&mut clients[2], "XFORWARD NAME=x\r\n").await.starts_with("250 2.0.0"));
    drop(clients);
    running.stopper.stop();
    running.task.await.unwrap();
    assert!(!path.exists(), "the socket is removed");
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let office = Arc::new(PostOffice::new());
    let reception = reception(&office, Arc::new(NoSpool), LmtpLimits::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let serving = serve_stream(reception, stream, Peer::unix(false), Stopping::never());
    // Besides, it has a buffer of 4 KiB.
    assert!(size_of_val(&serving) < 4096, "{} octets", size_of_val(&serving));
}

#[tokio::test]
async fn only_a_dead_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = start(vec![unix(&path)], PostOffice::new(), LmtpLimits::default()).unwrap();
    let error = start(vec![unix(&path)], PostOffice::new(), LmtpLimits::default()).err().unwrap();
    assert!(error.contains("another process answers there"), "{error}");
    assert!(listen(&mut client(&first.addresses[0]).await).await.starts_with("220 "));

    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = start(vec![unix(&file)], PostOffice::new(), LmtpLimits::default()).err().unwrap();
    assert!(error.contains("not a socket"), "{error}");
    let missing = folder.path().join("no/such/folder");
    let error = start(vec![unix(&missing)], PostOffice::new(), LmtpLimits::default()).err().unwrap();
    assert!(error.contains("make its folder first"), "{error}");
    let mut strange = unix(&folder.path().join("owned"));
    if let ListenAddress::Unix(socket) = &mut strange.address {
        socket.owner = Some("no-such-user-here".to_owned());
    }
    let error = start(vec![strange], PostOffice::new(), LmtpLimits::default()).err().unwrap();
    assert!(error.contains("there is no user"), "{error}");
}

#[tokio::test]
async fn a_socket_that_another_process_put_there_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp.sock");
    let running = start(vec![unix(&path)], PostOffice::new(), LmtpLimits::default()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    running.stopper.stop();
    running.task.await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let limits = LmtpLimits { connections: 2, ..LmtpLimits::default() };
    let running = start(vec![tcp("127.0.0.1")], PostOffice::new(), limits).unwrap();
    let address = &running.addresses[0];
    let mut first = client(address).await;
    let mut second = client(address).await;
    assert!(listen(&mut first).await.starts_with("220 ") && listen(&mut second).await.starts_with("220 "));
    let mut third = client(address).await;
    assert_eq!(listen(&mut third).await, "421 4.3.2 mx.example.org Too many connections");
    assert!(say(&mut first, "QUIT\r\n").await.starts_with("221 "));
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !listen(&mut client(address).await).await.starts_with("220 ") {
        assert!(Instant::now() < deadline, "the place of the first is free again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_messages_and_sends_everyone_else_away() {
    let office = PostOffice { delay: Duration::from_millis(300), ..PostOffice::new() };
    let running = start(vec![tcp("127.0.0.1")], office, LmtpLimits::default()).unwrap();
    let address = &running.addresses[0];
    let mut idle = client(address).await;
    assert!(listen(&mut idle).await.starts_with("220 "));
    let mut delivering = client_in_data(address).await;
    delivering.write_all(b"one\r\n.\r\nNOOP\r\n").await.unwrap();
    let mut receiving = client_in_data(address).await;
    receiving.write_all(b"two\r\n").await.unwrap();
    let mut waiting = client(address).await;
    assert!(listen(&mut waiting).await.starts_with("220 "));
    assert!(say(&mut waiting, "LHLO x\r\n").await.starts_with("250 "));
    assert!(say(&mut waiting, "MAIL FROM:<>\r\n").await.starts_with("250 "));
    while running.office.count() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stopper.stop();
    for client in [&mut idle, &mut waiting] {
        assert_eq!(listen(client).await, "421 4.3.2 mx.example.org Shutting down");
    }
    assert!(say(&mut receiving, ".\r\n").await.starts_with("250 2.1.5 "));
    assert_eq!(listen(&mut receiving).await, "421 4.3.2 mx.example.org Shutting down");
    assert!(listen(&mut delivering).await.starts_with("250 2.1.5 "));
    assert_eq!(listen(&mut delivering).await, "421 4.3.2 mx.example.org Shutting down");
    drop((idle, waiting, receiving, delivering));
    running.task.await.unwrap();
    assert_eq!(running.office.world.mails("ann@example.org").len(), 2);
}

#[tokio::test]
async fn a_stop_takes_a_bounded_time() {
    let limits = LmtpLimits { shutdown_time: Duration::from_millis(200), ..LmtpLimits::default() };
    let running = start(vec![tcp("127.0.0.1")], PostOffice::new(), limits).unwrap();
    let mut stuck = client_in_data(&running.addresses[0]).await;
    let begun = Instant::now();
    running.stopper.stop();
    running.task.await.unwrap();
    let took = begun.elapsed();
    assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&took), "{took:?}");
    let mut rest = Vec::new();
    stuck.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

/// A spool whose files can take only so much.
struct SmallDisk(usize);

struct SmallFile(Vec<u8>, usize);

impl Spool for SmallDisk {
    fn threshold(&self) -> u64 {
        1000
    }
    fn create(&self) -> std::io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(SmallFile(Vec::new(), self.0)))
    }
}

impl SpoolFile for SmallFile {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.0.len() + bytes.len() > self.1 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

#[tokio::test]
async fn large_messages_go_through_the_spool_by_data_and_by_chunks() {
    let spool = Arc::new(SmallDisk(400_000));
    let running =
        start_with(vec![tcp("127.0.0.1")], PostOffice::new(), LmtpLimits::default(), spool).unwrap();
    let body: String = (0..30_000).map(|number| format!("{number:>8}\r\n")).collect();
    let expect = format!("Subject: x\n\n{}", body.replace("\r\n", "\n"));

    let mut client = client_in_data(&running.addresses[0]).await;
    let reply = say(&mut client, &format!("Subject: x\r\n\r\n{body}.\r\n")).await;
    assert!(reply.starts_with("250 2.1.5 "), "{reply}");
    assert_eq!(String::from_utf8(running.office.last().unwrap().octets).unwrap(), expect);

    for command in ["MAIL FROM:<>\r\n", "RCPT TO:<ann@example.org>\r\n", "BDAT 14\r\nSubject: x\r\n\r\n"] {
        assert!(say(&mut client, command).await.starts_with("250 "));
    }
    let reply = say(&mut client, &format!("BDAT {} LAST\r\n{body}", body.len())).await;
    assert!(reply.starts_with("250 2.1.5 "), "{reply}");
    assert_eq!(String::from_utf8(running.office.last().unwrap().octets).unwrap(), expect);

    // A full disk refuses the message with 4xx; the session goes on.
    let mut client = client_in_data(&running.addresses[0]).await;
    assert_eq!(
        say(&mut client, &format!("Subject: x\r\n\r\n{body}{body}.\r\n")).await,
        "452 4.3.1 Insufficient system storage, try again later"
    );
    assert!(say(&mut client, "NOOP\r\n").await.starts_with("250 "));
    assert_eq!(running.office.count(), 2);
}
