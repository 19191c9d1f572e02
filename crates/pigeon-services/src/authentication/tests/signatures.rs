//! What signatures cover, and those that hold and prove nothing.

use super::*;

#[tokio::test]
async fn canonicalization_is_what_was_asked_for() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&[txt_record("sel._domainkey.example.net.", &key.record())])) else {
        return;
    };
    let world = world_at(nsd.port());
    let (relaxed, simple) = (Canonicalization::Relaxed, Canonicalization::Simple);
    for (header, body) in [(relaxed, relaxed), (relaxed, simple), (simple, relaxed), (simple, simple)] {
        let signed = sign_with(key.private(), "example.net", MAIL, |signer| {
            signer.header_canonicalization(header).body_canonicalization(body)
        });
        let check = async |mail: &str, is_good: bool| {
            let expect = if is_good { "pass" } else { "fail" };
            let got = word(&world, "dkim", ("bob@example.net", "", mail)).await;
            assert_eq!(got, expect, "{header:?}/{body:?}: {mail:?}");
        };
        check(&signed, true).await;
        // Empty lines at the end never count (RFC 6376 §3.4.3).
        check(&format!("{signed}\n\n"), true).await;
        check(&signed.replace("Subject:  two  words", "SUBJECT: two words "), header == relaxed).await;
        check(&signed.replace("hello  world", "hello \tworld \t"), body == relaxed).await;
        // Lines of white space are empty ones to the relaxed form (§3.4.4).
        check(&format!("{signed} \t\n\n \n"), body == relaxed).await;
        check(&format!("{signed} \t\nmore\n"), false).await;
    }
}

/// RFC 6376 §6.1.1: without the From field among what is signed, anybody's address may stand there.
#[tokio::test]
async fn a_signature_without_the_from_field_proves_nothing() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    let signer = || DkimSigner::from_key(key.private()).domain("example.net").selector("sel");
    for (fields, expect) in
        [(&["Subject", "from"][..], "dkim=pass dmarc=pass"), (&["Subject"], "dkim=permerror dmarc=fail")]
    {
        let signature =
            signer().headers(fields.to_vec()).sign(MAIL.replace('\n', "\r\n").as_bytes()).unwrap();
        let mail = format!("{}{MAIL}", signature.to_header().replace("\r\n", "\n"));
        let receipt = send(&world, "bob@example.net", BAD, &mail).await;
        let reason = reason_of(&receipt, "authentication");
        assert!(reason.contains(expect), "{fields:?}: {reason}");
    }
}
