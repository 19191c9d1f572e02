//! The network between a client and a server.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{Link, Postgres, PostgresOptions, or_skip, wait_until};

use super::{PATIENCE, listens, said};

/// A server that says everything back; the port.
fn echo() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    Ok(port)
}

fn connect(link: &Link) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(link.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends and reads it back; how long that took.
fn echoed(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<Duration> {
    let start = Instant::now();
    let sender = stream.try_clone()?;
    let sent = bytes.to_vec();
    let writer = std::thread::spawn(move || (&sender).write_all(&sent));
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    assert!(back == bytes, "something else came back");
    writer.join().map_err(|_| std::io::ErrorKind::Other)??;
    Ok(start.elapsed())
}

#[test]
fn it_carries_everything_in_order() {
    let link = Link::start(echo().unwrap()).unwrap();
    let large: Vec<u8> = (0..8_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut stream = connect(&link).unwrap();
    echoed(&stream, &large).unwrap();
    assert_eq!((link.accepted(), link.open()), (1, 1));
    // The end of one direction arrives, and the answer's end comes back.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert!(wait_until(PATIENCE, || (link.open() == 0).then_some(())).is_some());
}

#[test]
fn it_delays_without_becoming_narrow() {
    let link = Link::start(echo().unwrap()).unwrap();
    let stream = connect(&link).unwrap();
    echoed(&stream, b"now").unwrap();
    link.delay(Duration::from_millis(200));
    assert!(echoed(&stream, b"late").unwrap() >= Duration::from_millis(400));
    // Eighty chunks, one after the other, would take half a minute.
    assert!(echoed(&stream, &vec![7; 80 * 16 * 1024]).unwrap() < Duration::from_secs(10));
    link.delay(Duration::from_secs(5));
    link.heal().unwrap();
    assert!(echoed(&stream, b"now").unwrap() < Duration::from_secs(5));
}

#[test]
fn it_stalls_and_goes_on() {
    let link = Link::start(echo().unwrap()).unwrap();
    let old = connect(&link).unwrap();
    echoed(&old, b"before").unwrap();
    link.stall();
    let new = connect(&link).unwrap();
    for mut stream in [&old, &new] {
        stream.write_all(b"held").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let silence = stream.read(&mut [0; 1]).unwrap_err();
        assert!(matches!(silence.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    link.heal().unwrap();
    for mut stream in [&old, &new] {
        let mut back = [0; 4];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"held");
    }
}

#[test]
fn it_cuts_and_heals() {
    let link = Link::start(echo().unwrap()).unwrap();
    let mut stream = connect(&link).unwrap();
    echoed(&stream, b"before").unwrap();
    // Also while it is silent.
    link.stall();
    link.cut();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or_default(), 0);
    assert!(!listens(link.port()));
    link.cut();
    link.heal().unwrap();
    echoed(&connect(&link).unwrap(), b"after").unwrap();
    let port = link.port();
    drop(link);
    assert!(!listens(port));
}

#[test]
fn a_dead_server_looks_dead_through_it() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port();
    let link = Link::start(port).unwrap();
    assert_eq!(connect(&link).unwrap().read(&mut [0; 1]).unwrap_or_default(), 0);
}

#[test]
fn replication_waits_for_it() {
    let Some(primary) = or_skip(Postgres::start(&PostgresOptions::default())) else { return };
    let link = Link::start(primary.port()).unwrap();
    let url = primary.url_through(link.port());
    let query = |text: &str| said(primary.client("psql").args(["-At", "-c", text, &url]));
    assert_eq!(query("SELECT 1").unwrap(), "1");
    let replica = primary.replica_through(link.port()).unwrap();
    let count = || replica.psql("SELECT count(*) FROM pigeons").unwrap_or_default();
    let reaches = |expect: &str| wait_until(PATIENCE, || (count() == expect).then_some(())).is_some();
    primary.psql("CREATE TABLE pigeons (number int); INSERT INTO pigeons VALUES (1)").unwrap();
    assert!(reaches("1"), "{}", replica.log());
    for (number, fault) in [Link::stall, Link::cut].into_iter().enumerate() {
        fault(&link);
        primary.psql("INSERT INTO pigeons VALUES (2)").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(count(), (number + 1).to_string());
        link.heal().unwrap();
        assert!(reaches(&(number + 2).to_string()), "{}", replica.log());
    }
}
