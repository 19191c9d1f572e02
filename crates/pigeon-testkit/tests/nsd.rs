//! The name server starts, answers, falls silent and comes back.

use pigeon_testkit::peers::{Nsd, PATIENCE, or_skip, txt_record};

#[test]
fn nsd_answers_pauses_and_ends() {
    let records = ["example.org. A 192.0.2.1".to_owned(), txt_record("example.org.", &"long \"".repeat(100))];
    let Some(nsd) = or_skip(Nsd::start(&records)) else { return };
    assert!(nsd.is_answering());
    nsd.pause().unwrap();
    assert!(!nsd.is_answering());
    nsd.resume().unwrap();
    let began = std::time::Instant::now();
    while !nsd.is_answering() {
        assert!(began.elapsed() < PATIENCE, "it does not come back");
    }
    nsd.stop().unwrap();
    assert!(!nsd.is_answering());
}
