//! Mail against a real name server with records of its own; signatures are made here.

mod signatures;

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use pigeon_core::envelope::{Envelope, Named, Origin, Transaction};
use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Descriptor, NoConfig};
use pigeon_testkit::memory::{World, because_of, reason_of};
use pigeon_testkit::peers::{Nsd, or_skip, txt_record};
use rcgen::PublicKeyData as _;
use serde_json::json;

use super::*;
use crate::headers::Headers;
use crate::mailbox::Mailbox;

const ANN: &str = "ann@example.org";
/// A client that example.net allows.
const GOOD: &str = "192.0.2.7";
const BAD: &str = "198.51.100.1";
const MAIL: &str = "From: Bob <bob@example.net>\nTo: ann@example.org\nSubject:  two  words\n\nhello  world\n";

/// Shows the facts that are not part of the summary.
struct Reader;

impl Service for Reader {
    const NAME: &'static str = "reader";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoConfig;
    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }
    async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        let facts = ["from_domain", "from_verified", "dkim_domains", "client", "policy"];
        let facts = facts.map(|name| delivery.fact(&format!("auth.{name}")).cloned());
        delivery.reason(json!(facts).to_string());
        Ok(Next::Continue)
    }
}

/// The key of a domain: what signs, and the record.
struct Key {
    ed25519: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        Self { ed25519: Ed25519Key::generate_pkcs8().unwrap() }
    }

    fn private(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_der(&self.ed25519).unwrap()
    }

    fn record(&self) -> String {
        format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(self.private().public_key()))
    }
}

/// A mail with a signature on top. `mail` and the result have LF, as messages have inside.
fn sign(key: impl SigningKey, domain: &str, mail: &str) -> String {
    sign_with(key, domain, mail, |signer| signer)
}

type Signer<K> = DkimSigner<K, mail_auth::dkim::Done>;

fn sign_with<K: SigningKey>(
    key: K,
    domain: &str,
    mail: &str,
    tune: impl Fn(Signer<K>) -> Signer<K>,
) -> String {
    let signer = DkimSigner::from_key(key).domain(domain).selector("sel").headers(["From", "To", "Subject"]);
    let signature = tune(signer).sign(mail.replace('\n', "\r\n").as_bytes()).unwrap();
    format!("{}{mail}", signature.to_header().replace("\r\n", "\n"))
}

fn spf_records() -> Vec<String> {
    let mut records: Vec<String> = [
        ("example.net.", "v=spf1 ip4:192.0.2.0/24 -all"),
        ("soft.example.", "v=spf1 a:host.example mx ~all"),
        ("neutral.example.", "v=spf1 ?all"),
        ("loop.example.", "v=spf1 include:loop.example -all"),
        ("two.example.", "v=spf1 +all"),
        ("two.example.", "v=spf1 -all"),
        ("broken.example.", "v=spf1 ip4:nonsense -all"),
        ("other.example.", "nothing of this kind"),
        ("macro.example.", "v=spf1 exists:%{i}.%{d} -all"),
        ("redirect.example.", "v=spf1 redirect=example.net"),
        ("helo.example.", "v=spf1 ip4:192.0.2.7 -all"),
        ("nodmarc.example.", "v=spf1 ip4:192.0.2.7 -all"),
    ]
    .map(|(name, text)| txt_record(name, text))
    .to_vec();
    // RFC 7208 §4.6.4: ten look-ups are allowed, eleven are not.
    for (count, name) in [(10, "ten.example."), (11, "eleven.example.")] {
        let terms: Vec<String> = (1..count).map(|number| format!("a:a{number}.example")).collect();
        records.push(txt_record(name, &format!("v=spf1 {} include:example.net -all", terms.join(" "))));
    }
    records.extend((1..11).map(|number| format!("a{number}.example. A 203.0.113.{number}")));
    records.extend(
        ["host.example. A 192.0.2.7", "soft.example. MX 10 mx.example.", "mx.example. A 192.0.2.8"]
            .map(str::to_owned),
    );
    records.push("192.0.2.7.macro.example. A 127.0.0.2".to_owned());
    records
}

fn world_at(port: u16) -> World {
    let services = [
        Descriptor::of::<Authentication>(),
        Descriptor::of::<Headers>(),
        Descriptor::of::<Reader>(),
        Descriptor::of::<Mailbox>(),
    ];
    let world = World::new(&services);
    world.account(ANN).set("system", "authentication.enabled", true).set("system", "reader.enabled", true);
    world.set("system", "mailbox.enabled", true);
    world.set("system", "authentication.resolver", format!("127.0.0.1:{port}"));
    world
}

async fn send(world: &World, sender: &str, client: &str, mail: &str) -> Arc<Receipt> {
    let address = (!client.is_empty()).then(|| client.parse().unwrap());
    let origin =
        Origin { client_address: address, helo: Some("helo.example".to_owned()), ..Origin::default() };
    let sender = world.transaction(sender, None).sender.clone();
    let transaction = Arc::new(Transaction { id: "id".to_owned(), sender, origin, ..Transaction::default() });
    let named = Named { address: ANN.parse().unwrap(), original: None };
    let recipient = world.agent.admit(named, &transaction).await.unwrap();
    let envelope = Envelope { transaction, recipients: vec![recipient] };
    world.agent.deliver(&envelope, Arc::new(Message::from_bytes(mail.to_owned()))).await.remove(0)
}

/// What is found out about a mail: the word of one method.
async fn word(world: &World, method: &str, (sender, client, mail): (&str, &str, &str)) -> String {
    let receipt = send(world, sender, client, mail).await;
    let reason = reason_of(&receipt, "authentication");
    let words: Vec<&str> = reason.split(' ').collect();
    let found = words.iter().find_map(|word| word.strip_prefix(&format!("{method}=")));
    found.unwrap_or(&reason).trim_end_matches([';', ',']).to_owned()
}

#[tokio::test]
async fn spf_is_verified() {
    let Some(nsd) = or_skip(Nsd::start(&spf_records())) else { return };
    let world = world_at(nsd.port());
    let check = async |sender: &str, client: &str, expect: &str| {
        assert_eq!(word(&world, "spf", (sender, client, MAIL)).await, expect, "{sender} {client}");
    };
    check("bob@example.net", GOOD, "pass").await;
    check("bob@example.net", BAD, "fail").await;
    check("bob@example.net", "2001:db8::1", "fail").await;
    check("bob@soft.example", GOOD, "pass").await;
    check("bob@soft.example", "192.0.2.8", "pass").await;
    check("bob@soft.example", BAD, "softfail").await;
    check("bob@neutral.example", GOOD, "neutral").await;
    check("bob@loop.example", GOOD, "permerror").await;
    check("bob@ten.example", GOOD, "pass").await;
    check("bob@eleven.example", GOOD, "permerror").await;
    check("bob@two.example", GOOD, "permerror").await;
    check("bob@broken.example", GOOD, "permerror").await;
    check("bob@other.example", GOOD, "none").await;
    check("bob@nowhere.example", GOOD, "none").await;
    check("bob@macro.example", GOOD, "pass").await;
    check("bob@macro.example", BAD, "fail").await;
    check("bob@redirect.example", GOOD, "pass").await;
    // The null sender stands for the client's own name.
    check("", GOOD, "pass").await;
    check("", BAD, "fail").await;
    check("bob@example.net", "", "none").await;
    check("bob@example.net", "127.0.0.1", "none").await;
}

#[tokio::test]
async fn dkim_is_verified() {
    let (key, other) = (Key::new(), Key::new());
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let rsa_record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(rsa.subject_public_key_info()));
    let records = [
        txt_record("sel._domainkey.example.net.", &key.record()),
        txt_record("sel._domainkey.rsa.example.", &rsa_record),
        txt_record("sel._domainkey.revoked.example.", "v=DKIM1; p="),
    ];
    let Some(nsd) = or_skip(Nsd::start(&records)) else { return };
    let world = world_at(nsd.port());
    let check = async |mail: &str, expect: &str| {
        assert_eq!(word(&world, "dkim", ("bob@example.net", "", mail)).await, expect, "{mail}");
    };
    check(MAIL, "none").await;
    let signed = sign(key.private(), "example.net", MAIL);
    check(&signed, "pass").await;
    check(&sign(RsaKey::<Sha256>::from_key_der(rsa.into()).unwrap(), "rsa.example", MAIL), "pass").await;
    check(&signed.replace("hello  world", "goodbye"), "fail").await;
    check(&signed.replace("two  words", "three words"), "fail").await;
    check(&signed.replace("Subject: ", "Subject: x\nSubject: "), "pass").await;
    check(&sign(other.private(), "example.net", MAIL), "fail").await;
    check(&sign(key.private(), "nokey.example", MAIL), "permerror").await;
    check(&sign(key.private(), "revoked.example", MAIL), "permerror").await;
    check(&format!("DKIM-Signature: nonsense\n{MAIL}"), "none").await;
    check(&signed.replace("v=1;", "v=2;"), "neutral").await;
    // The part of the body behind l= could be anybody's.
    check(&sign_with(key.private(), "example.net", MAIL, |signer| signer.body_length(true)), "policy").await;
    let short = sign_with(key.private(), "example.net", MAIL, |signer| signer.expiration(1));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    check(&short, "fail").await;
    // One good signature among bad ones is enough; of very many only the first are looked at.
    let both = sign(other.private(), "example.net", &signed);
    check(&both, "pass").await;
    check(&(0..15).fold(signed.clone(), |mail, _| sign(other.private(), "example.net", &mail)), "fail").await;
    let receipt = send(&world, "bob@example.net", "", &both).await;
    assert_eq!(reason_of(&receipt, "reader"), r#"["example.net",true,["example.net"],null,"none"]"#);
}

fn dmarc_records(key: &Key) -> Vec<String> {
    let mut records = spf_records();
    records.extend(
        [
            ("_dmarc.example.net.", "v=DMARC1; p=reject"),
            ("_dmarc.strict.example.", "v=DMARC1; p=quarantine; adkim=s; aspf=s"),
            ("_dmarc.parts.example.", "v=DMARC1; p=reject; sp=quarantine"),
            ("_dmarc.watch.example.", "v=DMARC1; p=none; rua=mailto:x@watch.example"),
            ("_dmarc.twice.example.", "v=DMARC1; p=none; rua=mailto:x@twice.example"),
            ("_dmarc.twice.example.", "v=DMARC1; p=reject"),
            ("mail.strict.example.", "v=spf1 +all"),
            ("strict.example.", "v=spf1 +all"),
            ("sel._domainkey.example.net.", &key.record()),
            ("sel._domainkey.mail.example.net.", &key.record()),
            ("sel._domainkey.strict.example.", &key.record()),
            ("sel._domainkey.mail.strict.example.", &key.record()),
            ("sel._domainkey.nodmarc.example.", &key.record()),
            ("sel._domainkey.evil.example.", &key.record()),
        ]
        .map(|(name, text)| txt_record(name, text)),
    );
    records.push("sub.parts.example. A 192.0.2.1".to_owned());
    records
}

#[tokio::test]
async fn dmarc_is_verified() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    let check = async |from: &str, sender: &str, signer: &str, expect: (&str, &str, bool)| {
        let mail = MAIL.replace("example.net", from);
        let mail = if signer.is_empty() { mail } else { sign(key.private(), signer, &mail) };
        let receipt = send(&world, sender, GOOD, &mail).await;
        let (reason, facts) = (reason_of(&receipt, "authentication"), reason_of(&receipt, "reader"));
        let (verdict, policy, is_verified) = expect;
        assert!(
            reason.contains(&format!("dmarc={verdict} (p={policy})")),
            "{from} {sender} {signer}: {reason}"
        );
        assert!(facts.contains(&format!("\"{from}\",{is_verified},")), "{from} {sender} {signer}: {facts}");
    };
    check("example.net", "bob@example.net", "", ("pass", "reject", true)).await;
    check("example.net", "bob@helo.example", "", ("fail", "reject", false)).await;
    check("example.net", "bob@helo.example", "example.net", ("pass", "reject", true)).await;
    check("example.net", "bob@helo.example", "evil.example", ("fail", "reject", false)).await;
    // Relaxed alignment takes the organizational domain, strict alignment the very domain.
    check("example.net", "bob@helo.example", "mail.example.net", ("pass", "reject", true)).await;
    check("strict.example", "bob@helo.example", "mail.strict.example", ("fail", "quarantine", false)).await;
    check("strict.example", "bob@helo.example", "strict.example", ("pass", "quarantine", true)).await;
    check("strict.example", "bob@mail.strict.example", "", ("fail", "quarantine", false)).await;
    check("strict.example", "bob@strict.example", "", ("pass", "quarantine", true)).await;
    check("parts.example", "bob@helo.example", "", ("fail", "reject", false)).await;
    check("sub.parts.example", "bob@helo.example", "", ("fail", "quarantine", false)).await;
    check("watch.example", "bob@helo.example", "", ("fail", "none", false)).await;
    check("twice.example", "bob@helo.example", "", ("none", "none", false)).await;
    // Where there is no such record, SPF or DKIM of the domain itself vouch for it.
    check("nodmarc.example", "bob@helo.example", "", ("none", "none", false)).await;
    check("nodmarc.example", "bob@nodmarc.example", "", ("none", "none", true)).await;
    check("nodmarc.example", "bob@helo.example", "nodmarc.example", ("none", "none", true)).await;
    check("nodmarc.example", "bob@helo.example", "evil.example", ("none", "none", false)).await;
}

#[tokio::test]
async fn what_fails_dmarc_is_treated_as_asked() {
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&Key::new()))) else { return };
    let refused = "550 5.7.1 The mail is not from example.net, whose DMARC policy asks to reject it";
    for (on_fail, domain, expect) in [
        ("none", "example.net", "stored in INBOX"),
        ("folder", "example.net", "stored in Junk"),
        ("folder", "strict.example", "stored in Junk"),
        ("folder", "watch.example", "stored in INBOX"),
        ("folder", "nodmarc.example", "stored in INBOX"),
        ("reject", "example.net", refused),
        ("reject", "strict.example", "stored in Junk"),
        ("reject", "watch.example", "stored in INBOX"),
    ] {
        let world = world_at(nsd.port());
        world.set(ANN, "authentication.on_fail", on_fail);
        let receipt = send(&world, "x@helo.example", GOOD, &MAIL.replace("example.net", domain)).await;
        assert_eq!(receipt.outcome.text(), expect, "{on_fail} {domain}");
        let because = because_of(&receipt, "authentication");
        assert_eq!(because.is_empty(), matches!(domain, "watch.example" | "nodmarc.example"), "{because:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_looked_at_has_not_failed() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    world.set(ANN, "authentication.on_fail", "reject");
    let unknown = "the client is not known: SPF cannot be verified";
    for client in ["", "127.0.0.1"] {
        let receipt = send(&world, "bob@example.net", client, MAIL).await;
        let expect = format!("spf=none dkim=none dmarc=none (p=none) arc=none; {unknown}");
        assert_eq!(reason_of(&receipt, "authentication"), expect);
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        let receipt =
            send(&world, "bob@example.net", client, &sign(key.private(), "example.net", MAIL)).await;
        let expect = format!("spf=none dkim=pass dmarc=pass (p=reject) arc=none; {unknown}");
        assert_eq!(reason_of(&receipt, "authentication"), expect);
    }
    let large = sign(key.private(), "example.net", &format!("{MAIL}{}", "0123456789\n".repeat(200_000)));
    world.set("system", "authentication.max_octets", "1M");
    let receipt = send(&world, "x@helo.example", GOOD, &large).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "{}", reason_of(&receipt, "authentication"));
}

#[tokio::test]
async fn results_are_written_and_forged_ones_removed() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    let forged = "Authentication-Results: MX.example.org; dmarc=pass\nAuthentication-Results: other.example; dkim=pass\n\
                  Authentication-Results: (mx.example.org; dmarc=pass\n";
    let mail = sign(key.private(), "example.net", &format!("{forged}{MAIL}"));
    let receipt = send(&world, "bob@example.net", GOOD, &mail).await;
    let found = "spf=pass dkim=pass dmarc=pass (p=reject) arc=none";
    let expect = format!("{found}; 2 forged fields of mx.example.org were removed");
    assert_eq!(reason_of(&receipt, "authentication"), expect);
    let stored = world.mails(ANN)[0].text.clone();
    let field = "Authentication-Results: mx.example.org;\n spf=pass smtp.mailfrom=bob@example.net;\n dkim=pass \
                 header.d=example.net header.s=sel;\n dmarc=pass (p=reject) header.from=example.net\n";
    assert!(stored.contains(field), "{stored}");
    let is_there = ["(mx.", "MX.example.org", "other.example; dkim=pass"].map(|part| stored.contains(part));
    assert_eq!(is_there, [false, false, true], "{stored}");
    world.set(ANN, "authentication.add_results", false);
    send(&world, "bob@example.net", GOOD, &mail).await;
    assert!(!world.mails(ANN)[1].text.contains("mx.example.org;"), "{}", world.mails(ANN)[1].text);
}

#[tokio::test]
async fn trusted_results_are_taken_over() {
    // Nothing answers there: nobody is asked.
    let world = world_at(1);
    world.set("system", "authentication.trusted", vec!["mx.example.org", "filter.example.org"]);
    let field = "Authentication-Results: filter.example.org; spf=fail; dkim=pass header.d=example.net; dmarc=pass (p=reject) \
                 header.from=example.net\n";
    let receipt = send(&world, "bob@example.net", BAD, &format!("{field}{MAIL}")).await;
    let summary = "spf=fail dkim=pass dmarc=pass (p=reject) arc=none, as filter.example.org says";
    assert_eq!(reason_of(&receipt, "authentication"), summary);
    let facts = r#"["example.net",true,["example.net"],"198.51.100.1","reject"]"#;
    assert_eq!(reason_of(&receipt, "reader"), facts);
    assert!(
        world.mails(ANN)[0].text.contains(field) && !world.mails(ANN)[0].text.contains(" mx.example.org;")
    );
    world.set("system", "authentication.verify", false);
    let receipt = send(&world, "bob@example.net", BAD, MAIL).await;
    assert!(reason_of(&receipt, "authentication").ends_with("nothing is verified here"));
}

#[tokio::test]
async fn a_silent_name_server_delays_nothing_for_long() {
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&Key::new()))) else { return };
    let world = world_at(nsd.port());
    world.set("system", "authentication.dns_limit_ms", 3000).set(ANN, "authentication.on_fail", "reject");
    nsd.pause().unwrap();
    let mail = sign(Key::new().private(), "example.net", MAIL);
    let began = Instant::now();
    let receipt = send(&world, "bob@helo.example", BAD, &mail).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
    let unknown =
        "spf=temperror dkim=temperror dmarc=temperror (p=none) arc=none; the name server gives no answer";
    assert_eq!(reason_of(&receipt, "authentication"), unknown);
    // It is left alone for a while then.
    let receipt = send(&world, "bob@helo.example", BAD, &mail).await;
    assert_eq!(reason_of(&receipt, "authentication"), format!("{unknown}; it is asked again in a while"));
    nsd.resume().unwrap();
    world.clock.advance(Duration::from_secs(31));
    let receipt = send(&world, "bob@helo.example", BAD, &mail).await;
    assert!(receipt.outcome.text().starts_with("550"), "{}", reason_of(&receipt, "authentication"));
    nsd.stop().unwrap();
    let receipt = send(&world, "bob@new.example", BAD, &mail.replace("example.net", "example.com")).await;
    assert_eq!(reason_of(&receipt, "authentication"), unknown, "a closed port is no other than a silent one");
    assert_eq!(receipt.outcome.text(), "stored in INBOX");
}

#[tokio::test]
async fn a_chain_of_seals_is_verified() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    let raw = MAIL.replace('\n', "\r\n");
    let message = mail_auth::AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
    let results = mail_auth::AuthenticationResults::new("lists.example");
    let sealer = mail_auth::arc::ArcSealer::from_key(key.private()).domain("example.net").selector("sel");
    let sealed =
        sealer.headers(["From", "Subject"]).seal(&message, &results, &mail_auth::ArcOutput::default());
    let mail = format!("{}{MAIL}", sealed.unwrap().to_header().replace("\r\n", "\n"));
    let check = async |mail: &str, expect: &str| {
        assert_eq!(word(&world, "arc", ("x@lists.example", GOOD, mail)).await, expect, "{mail}");
    };
    check(MAIL, "none").await;
    check(&mail, "pass").await;
    check(&mail.replace("hello", "hallo"), "fail").await;
    check(&mail.replace("lists.example", "other.example"), "fail").await;
}

#[tokio::test]
async fn the_client_may_be_read_from_the_received_field() {
    let Some(nsd) = or_skip(Nsd::start(&spf_records())) else { return };
    let world = world_at(nsd.port());
    world.set("system", "authentication.received_by", vec!["mx.example.org"]);
    let received = |with: &str| {
        format!(
            "Received: from helo.example (rdns.example [{GOOD}])\n by mx.example.org (Postfix) with {with} id 1;\n Tue, 24 Nov 2026 03:00:00 +0000\n{MAIL}"
        )
    };
    let receipt = send(&world, "bob@example.net", "", &received("ESMTPS")).await;
    assert!(reason_of(&receipt, "authentication").starts_with("spf=pass"));
    assert!(reason_of(&receipt, "reader").contains(GOOD));
    // Who has logged in is no stranger.
    let receipt = send(&world, "bob@example.net", "", &received("ESMTPSA")).await;
    assert!(reason_of(&receipt, "authentication").ends_with("it was sent from here"));
}

#[tokio::test]
async fn large_mails_are_verified_up_to_the_limit() {
    let key = Key::new();
    let Some(nsd) = or_skip(Nsd::start(&dmarc_records(&key))) else { return };
    let world = world_at(nsd.port());
    let mail = sign(key.private(), "example.net", &format!("{MAIL}{}", "0123456789\n".repeat(200_000)));
    let receipt = send(&world, "bob@example.net", GOOD, &mail).await;
    assert_eq!(reason_of(&receipt, "authentication"), "spf=pass dkim=pass dmarc=pass (p=reject) arc=none");
    world.set("system", "authentication.max_octets", "1M");
    let receipt = send(&world, "bob@example.net", GOOD, &mail).await;
    let reason = reason_of(&receipt, "authentication");
    assert_eq!(
        reason,
        "spf=pass dkim=none dmarc=pass (p=reject) arc=none; the mail is too large for its signatures to be verified"
    );
}

#[test]
fn configuration_is_checked() {
    let servers = |text: &str| NameServers::try_from(text.to_owned()).map(String::from);
    assert_eq!(servers("127.0.0.1, ::1 [::1]:5353").unwrap(), "127.0.0.1:53, [::1]:53, [::1]:5353");
    assert!(servers("ns.example.org").unwrap_err().contains("is no name server"));
}

#[test]
fn messages_get_their_line_ends_back() {
    let check = |text: &str, expect: &str| {
        let raw = wire_form(&Message::from_bytes(text.to_owned()), false).unwrap();
        assert_eq!(String::from_utf8(raw).unwrap(), expect);
    };
    check("A: 1\n\nb\nc", "A: 1\r\n\r\nb\r\nc");
    check("A: 1\r\n\r\nb\r\n", "A: 1\r\n\r\nb\r\n");
    check("A: 1\n\n\n", "A: 1\r\n\r\n\r\n");
}
