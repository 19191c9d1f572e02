//! The service manager, played by the test: it passes a socket and is told how the service does.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, LmtpListener, LmtpServer};
use pigeon_frontends::stop::Stopper;
use pigeon_frontends::systemd;

use super::post_office::{PostOffice, reception};

/// Set in the process that plays the service.
const IS_SERVICE: &str = "PIGEON_TEST_IS_SERVICE";

/// Not a test of its own: what the service does that the next test starts.
#[tokio::test]
async fn as_a_service() {
    if std::env::var_os(IS_SERVICE).is_none() {
        return;
    }
    let mut inherited = systemd::inherited_sockets().unwrap();
    let office = Arc::new(PostOffice::new());
    let reception = reception(&office, Arc::new(NoSpool), LmtpLimits::default());
    let address = "inherited:lmtp".parse().unwrap();
    let listener = LmtpListener { address, ..LmtpListener::default() };
    let server = LmtpServer::bind(reception, vec![listener], &mut inherited).unwrap();
    let stopper = Stopper::new();
    let serving = tokio::spawn(server.serve(stopper.stopping()));
    systemd::ready();
    systemd::status("taking mail");
    tokio::time::timeout(Duration::from_millis(500), systemd::keep_watchdog()).await.unwrap_err();
    systemd::stopping();
    stopper.stop();
    serving.await.unwrap();
}

#[test]
fn the_service_manager_passes_sockets_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // sd_listen_fds(3): the first socket is descriptor 3, and LISTEN_PID is the process itself.
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=lmtp exec \"$0\" \"$@\" 3<&0 </dev/null";
    let mut service = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "it::systemd::as_a_service", "--nocapture"])
        .env(IS_SERVICE, "1")
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "100000")
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let told = || {
        let mut buffer = [0; 200];
        let count = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).trim_end().to_owned()
    };
    assert_eq!(told(), "READY=1");
    let mut greeting = String::new();
    BufReader::new(TcpStream::connect(address).unwrap()).read_line(&mut greeting).unwrap();
    assert_eq!(greeting, "220 mx.example.org LMTP\r\n");
    assert_eq!(told(), "STATUS=taking mail");
    let mut signs = 0;
    let last = loop {
        match told().as_str() {
            "WATCHDOG=1" => signs += 1,
            other => break other.to_owned(),
        }
    };
    assert_eq!(last, "STOPPING=1");
    assert!(signs >= 3, "{signs} signs of life in 500 ms");
    assert!(service.wait().unwrap().success());
}
