//! A real server that is asked over real sockets.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_core::receipt::Receipt;
use pigeon_testkit::hooks::{HookAnswer, HookServer};
use pigeon_testkit::memory::{World, reason_of};

use super::*;
use crate::catalogue::SERVICES;
use crate::web::signature;

const MAIL: &str = "From: eve@example.net\nSubject: hi\nMessage-ID: <1@example.net>\n\nhello\n";

fn world(url: &str) -> World {
    let world = World::new(SERVICES);
    world
        .account("ann@example.org")
        .account("bob@example.org")
        .set("system", "mailbox.enabled", true)
        .set("system", "http.networks", vec!["127.0.0.1"])
        .set("ann@example.org", "http.enabled", true)
        .set("ann@example.org", "http.url", url);
    world
}

async fn mail(world: &World) -> Arc<Receipt> {
    world.mail("eve@example.net", "ann@example.org", MAIL).await
}

#[tokio::test]
async fn answers_decide() {
    let check = async |body: &str, word: &str, part: &str| {
        let server = HookServer::start(vec![HookAnswer::new(200, body)]);
        let world = world(&server.url());
        let receipt = mail(&world).await;
        assert_eq!(receipt.outcome.word(), word, "{body}: {receipt:#?}");
        let said = format!("{} {}", receipt.outcome.text(), reason_of(&receipt, "http"));
        assert!(said.contains(part), "{body}: {said}");
    };
    check("", "delivered", "stored in INBOX").await;
    check(r#"{"folder": "Work/Orders", "reason": "an order"}"#, "delivered", "stored in Work/Orders").await;
    check(r#"{"action": "discard", "reason": "old"}"#, "discarded", "old").await;
    check(r#"{"action": "reject", "reply": "Go away"}"#, "rejected", "550 5.7.1 Go away").await;
    check(r#"{"action": "defer"}"#, "deferred", "451 4.7.1").await;
    check("no JSON", "deferred", "the answer makes no sense").await;
}

#[tokio::test]
async fn requests_say_what_there_is_and_are_signed() {
    let answer = r#"{"add_headers": [["X-Seen", "yes\nX-More: no"]], "facts": {"score": 3}}"#;
    let server = HookServer::start(vec![HookAnswer::new(200, answer)]);
    let world = world(&server.url());
    world.set("ann@example.org", "http.secret", "secret").set("ann@example.org", "http.send", "message");
    world.set("bob@example.org", "http.enabled", true);
    let receipts = world.deliver("eve@example.net", &["ann@example.org", "bob@example.org"], MAIL).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome.is_success()), "{receipts:#?}");
    let ann = &world.mails("ann@example.org")[0].text;
    assert!(ann.contains("X-Seen: yes X-More: no\n"), "{ann}");
    assert!(!world.mails("bob@example.org")[0].text.contains("X-Seen"));
    let [request] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
    let asked: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&asked["version"], &asked["recipient"]), (&json!(1), &json!("ann@example.org")));
    assert_eq!(asked["header"][1], json!(["Subject", "hi"]));
    assert_eq!(STANDARD.decode(asked["message"].as_str().unwrap()).unwrap(), MAIL.as_bytes());
    let now = pigeon_core::timestamp::Timestamp::parse(asked["time"].as_str().unwrap()).unwrap();
    assert_eq!(request.field(SIGNATURE).unwrap(), signature("secret", now, request.body.as_bytes()));
}

#[tokio::test]
async fn large_messages_are_posted_without_their_content() {
    let server = HookServer::start(vec![]);
    let world = world(&server.url());
    world.set("ann@example.org", "http.send", "message").set("ann@example.org", "http.message_limit", 10);
    assert!(mail(&world).await.outcome.is_success());
    let asked: Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert!(asked["message"].is_null() && asked["size"] == json!(MAIL.len()), "{asked}");
}

#[tokio::test]
async fn failures_are_tried_again_and_then_wait() {
    let check = async |answers: Vec<HookAnswer>, word: &str, asked: usize, why: &str| {
        let server = HookServer::start(answers);
        let world = world(&server.url());
        world.set("ann@example.org", "http.seconds", 3);
        let began = Instant::now();
        let receipt = mail(&world).await;
        assert_eq!(receipt.outcome.word(), word, "{why}: {receipt:#?}");
        assert_eq!(server.requests().len(), asked, "{why}");
        assert!(reason_of(&receipt, "http").contains(why), "{why}: {receipt:#?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{why}");
    };
    let answer = |status: u16| HookAnswer::new(status, "");
    check(vec![answer(500), answer(200)], "delivered", 2, "the server was asked").await;
    check(vec![answer(503)], "deferred", 3, "it answered 503").await;
    check(vec![answer(0), answer(429), answer(204)], "delivered", 3, "the server was asked").await;
    check(vec![answer(404)], "deferred", 1, "it answered 404").await;
    let slow = HookAnswer { delay: Duration::from_secs(30), ..answer(200) };
    check(vec![slow], "deferred", 1, "no answer within 3 s").await;
    let huge = HookAnswer::new(200, &"x".repeat(100_000));
    check(vec![huge], "deferred", 1, "the answer is larger than 65536 octets").await;
    let elsewhere = HookServer::start(vec![]);
    let redirect = HookAnswer { fields: format!("Location: {}\r\n", elsewhere.url()), ..answer(302) };
    check(vec![redirect], "deferred", 1, "redirects are not followed").await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn addresses_inside_are_not_asked() {
    let server = HookServer::start(vec![]);
    let port = server.address().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "0",
        "169.254.169.254",
    ] {
        let world = world(&format!("http://{host}:{port}/"));
        world.set("system", "http.networks", Vec::<String>::new());
        let receipt = mail(&world).await;
        assert_eq!(receipt.outcome.word(), "deferred", "{host}: {receipt:#?}");
        let reason = reason_of(&receipt, "http");
        assert!(reason.contains("no public address"), "{host}: {reason}");
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    // A name that leads to an address that is allowed.
    let world = world(&format!("http://localhost:{port}/"));
    assert!(mail(&world).await.outcome.is_success());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_costs_what_on_fault_says() {
    let world = world("http://127.0.0.1:9/");
    assert_eq!(mail(&world).await.outcome.word(), "deferred");
    world.set("ann@example.org", "http.on_fault", "skip");
    assert_eq!(mail(&world).await.outcome.word(), "delivered");
}

#[test]
fn settings_are_checked() {
    let check = |settings: Settings, part: &str| {
        assert!(Http::check(&settings).unwrap_err().contains(part), "{settings:?}");
    };
    check(Settings { url: "ftp://x/".into(), ..Settings::default() }, "https://host/path");
    check(Settings { attempts: 0, ..Settings::default() }, "1 to 10");
    check(Settings { seconds: 61, ..Settings::default() }, "1 to 60");
    assert_eq!(Http::check(&Settings::default()), Ok(()));
}

/// What the administrator's page shows does what it says.
#[tokio::test]
async fn the_example_of_the_documentation_works() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin/http.md"));
    let page = page.unwrap();
    let code = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    // A free port, and one line that names it.
    let code = code.replace("(\"127.0.0.1\", 8025)", "(\"127.0.0.1\", 0)");
    let code = code
        .replace("server.serve_forever()", "print(server.server_port, flush=True)\nserver.serve_forever()");
    let python =
        Command::new("python3").args(["-c", &code]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut python) = python else {
        println!("SKIPPED: there is no python3 (install it): the example of docs/admin/http.md was not run");
        return;
    };
    let mut port = String::new();
    BufReader::new(python.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let world = world(&format!("http://127.0.0.1:{}/", port.trim()));
    world.set("ann@example.org", "http.secret", "a secret of both");
    let receipt = mail(&world).await;
    assert_eq!(receipt.outcome.text(), "stored in INBOX", "{receipt:#?}");
    let receipt = world.mail("shop@example.net", "ann@example.org", "Subject: Your invoice\n\nx\n").await;
    assert_eq!(receipt.outcome.text(), "stored in Invoices", "{receipt:#?}");
    world.set("ann@example.org", "http.secret", "another one");
    assert_eq!(mail(&world).await.outcome.word(), "deferred", "the signature is checked");
    python.kill().unwrap();
    python.wait().unwrap();
}
