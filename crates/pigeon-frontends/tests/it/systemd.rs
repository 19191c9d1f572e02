//! The service manager, played by the test: it passes sockets and is told how the service does.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::spool::NoSpool;
use pigeon_frontends::lmtp::{LmtpLimits, LmtpListener, LmtpServer};
use pigeon_frontends::managesieve::ManageSieveServer;
use pigeon_frontends::stop::Stopper;
use pigeon_frontends::systemd;

use super::managesieve::desk as managesieve;
use super::post_office::{PostOffice, reception};

/// Set in the process that plays the service: the file that says that it has been seen enough of.
const IS_SERVICE: &str = "PIGEON_TEST_IS_SERVICE";

/// Not a test of its own: what the service does that the next test starts.
#[tokio::test]
async fn as_a_service() {
    let Some(enough) = std::env::var_os(IS_SERVICE) else { return };
    let mut inherited = systemd::inherited_sockets().unwrap();
    let office = Arc::new(PostOffice::new());
    let reception = reception(&office, Arc::new(NoSpool), LmtpLimits::default());
    let nobody = || managesieve::server(managesieve::limits());
    let missing = "inherited:nothing".parse().unwrap();
    let refused = ManageSieveServer::bind(Arc::new(nobody()), missing, &mut inherited).err().unwrap();
    assert!(refused.to_string().contains("nothing"), "{refused}");
    let scripts = "inherited:sieve".parse().unwrap();
    let scripts = ManageSieveServer::bind(Arc::new(nobody()), scripts, &mut inherited).unwrap();
    let address = "inherited:lmtp".parse().unwrap();
    let listener = LmtpListener { address, ..LmtpListener::default() };
    let server = LmtpServer::bind(reception, vec![listener], &mut inherited).unwrap();
    let stopper = Stopper::new();
    assert!(inherited.is_empty(), "each socket has its server");
    let serving_scripts = tokio::spawn(scripts.serve(stopper.stopping()));
    let serving = tokio::spawn(server.serve(stopper.stopping()));
    systemd::ready();
    systemd::status("taking mail");
    loop {
        tokio::time::timeout(Duration::from_millis(500), systemd::keep_watchdog()).await.unwrap_err();
        if Path::new(&enough).exists() {
            break;
        }
    }
    systemd::stopping();
    stopper.stop();
    serving.await.unwrap();
    serving_scripts.await.unwrap();
}

#[test]
fn the_service_manager_passes_sockets_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (notify, enough) = (folder.path().join("notify"), folder.path().join("enough"));
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scripts = TcpListener::bind("127.0.0.1:0").unwrap();
    let scripts_address = scripts.local_addr().unwrap();
    // sd_listen_fds(3): the first socket is descriptor 3, and LISTEN_PID is the process itself. The names tell which
    // socket is whose, whatever their order.
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=sieve:lmtp exec \"$0\" \"$@\" \
                  3<&1 4<&0 </dev/null >/dev/null";
    let mut service = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "it::systemd::as_a_service", "--nocapture"])
        .env(IS_SERVICE, &enough)
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "100000")
        .stdin(OwnedFd::from(listener))
        .stdout(OwnedFd::from(scripts))
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
    let scripts = BufReader::new(TcpStream::connect(scripts_address).unwrap());
    let mut greeting = scripts.lines().map(Result::unwrap);
    assert_eq!(greeting.next().as_deref(), Some("\"IMPLEMENTATION\" \"PigeonDeliver\""));
    assert!(greeting.any(|line| line == "OK \"ManageSieve is ready\""), "no greeting");
    std::fs::write(enough, "").unwrap();
    assert_eq!(told(), "STATUS=taking mail");
    let mut signs = 0;
    let last = loop {
        match told().as_str() {
            "WATCHDOG=1" => signs += 1,
            other => break other.to_owned(),
        }
    };
    assert_eq!(last, "STOPPING=1");
    assert!(signs >= 3, "{signs} signs of life in 500 ms or more");
    assert!(service.wait().unwrap().success());
}
