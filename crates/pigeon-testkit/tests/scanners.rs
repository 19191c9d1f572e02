//! The real scanners start, answer, stop and come back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use pigeon_testkit::peers::{Clamd, ClamdOptions, eicar, or_skip};

/// What clamd says to this stream over TCP.
fn scan(clamd: &Clamd, text: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", clamd.port()))?;
    let length = u32::try_from(text.len())?.to_be_bytes();
    stream.write_all(&[b"zINSTREAM\0", &length[..], text.as_bytes(), &[0; 4]].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn clamd_finds_what_it_has_signatures_of() {
    let odd = ("Odd name (FOUND) ERROR".to_owned(), "an odd text".to_owned());
    let signatures = vec![("Eicar-Test".to_owned(), eicar()), odd];
    let options = ClamdOptions { signatures, stream_max_length: "1M".to_owned(), ..ClamdOptions::default() };
    let Some(clamd) = or_skip(Clamd::start(&options)) else { return };
    let directory = clamd.directory().to_owned();
    let mail = |text: &str| format!("From: a@example.org\nSubject: x\n\n{text}\n");
    assert_eq!(scan(&clamd, &mail("nothing")).unwrap(), "stream: OK\0");
    assert_eq!(scan(&clamd, &mail(&eicar())).unwrap(), "stream: Eicar-Test.UNOFFICIAL FOUND\0");
    assert_eq!(
        scan(&clamd, &mail("an odd text")).unwrap(),
        "stream: Odd name (FOUND) ERROR.UNOFFICIAL FOUND\0"
    );
    assert!(clamd.answer(b"zVERSION\0").unwrap().starts_with("ClamAV 1."));
    assert_eq!(clamd.scans(3), 3, "{}", clamd.log());
    clamd.stop().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", clamd.port())).is_err());
    or_skip(clamd.restart()).unwrap();
    assert_eq!(scan(&clamd, &mail("nothing")).unwrap(), "stream: OK\0");
    drop(clamd);
    assert!(!Path::new(&directory).exists());
}
