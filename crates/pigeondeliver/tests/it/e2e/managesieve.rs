//! People keep their scripts with programs that others have written.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pigeon_testkit::peers::certificate::self_signed;
use pigeon_testkit::peers::{Port, or_skip, tools};

use crate::node::{Node, PATIENCE, feed};

const ANN: &str = "ann@example.org";
const PASSWORD: &str = "secret word";

/// A running node with a ManageSieve listener; with its port.
fn start() -> (Node, Port) {
    let mut node = Node::new(&[ANN]);
    let port = Port::free().unwrap();
    let (chain, key) = self_signed(node.path()).unwrap();
    let section = format!(
        "[[managesieve]]\nlisten = \"127.0.0.1:{}\"\ncertificate = \"{}\"\nkey = \"{}\"\nlogin_failure_delay_ms = 10\n",
        port.number(),
        chain.display(),
        key.display()
    );
    OpenOptions::new().append(true).open(node.config()).unwrap().write_all(section.as_bytes()).unwrap();
    set_password(&node, &[]);
    node.start();
    (node, port)
}

fn set_password(node: &Node, options: &[&str]) {
    let mut command = node.command();
    command.args(["account", "password", ANN, "--password-stdin"]).args(options);
    let output = feed(&mut command, PASSWORD.as_bytes());
    assert!(output.status.success(), "{output:?}");
}

/// Runs sieve-connect, which checks the certificate; returns how it ended.
fn sieve_connect(mut command: Command, node: &Node, port: &Port, arguments: &[&str]) -> Output {
    command
        .args(["--server", "localhost", "--4", "--port", &port.number().to_string()])
        .args(["--user", ANN, "--passwordfd", "0", "--tlscafile"])
        .arg(node.path().join("server.pem"))
        .args(arguments);
    feed(&mut command, format!("{PASSWORD}\n").as_bytes())
}

fn script(node: &Node, name: &str, text: &str) -> String {
    let path = node.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn sieve_connect_keeps_scripts_over_tls() {
    let Some(_) = or_skip(tools::sieve_connect()) else { return };
    let (node, port) = start();
    let run = |arguments: &[&str]| sieve_connect(tools::sieve_connect().unwrap(), &node, &port, arguments);
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", node.log());
        String::from_utf8(output.stdout).unwrap()
    };
    let source = "require \"fileinto\";\nfileinto \"B\u{fc}ro\";\n";
    let good = script(&node, "good.sieve", source);
    done(&["--upload", "--localsieve", &good, "--remotesieve", "main"]);
    done(&["--upload", "--localsieve", &good, "--remotesieve", "other"]);
    done(&["--activate", "--remotesieve", "main"]);
    assert_eq!(done(&["--list"]), "\"main\" ACTIVE\n\"other\"\n");
    assert_eq!(node.run(&["sieve", "get", ANN, "main"]), source);
    let copy = node.path().join("copy.sieve");
    done(&["--download", "--remotesieve", "main", "--localsieve", &copy.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), source);

    let bad = script(&node, "bad.sieve", "keep;\nfileinto \"x\";\n");
    let refused = run(&["--upload", "--localsieve", &bad, "--remotesieve", "bad"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("line 2: fileinto"), "{said}");
    let refused = run(&["--delete", "--remotesieve", "main"]);
    assert!(!refused.status.success(), "the active script is not deleted: {refused:?}");
    done(&["--delete", "--remotesieve", "other"]);
    done(&["--deactivate"]);
    assert_eq!(done(&["--list"]), "\"main\"\n");

    // Suspended accounts are not let in, and learn no more than anybody.
    node.run(&["account", "suspend", ANN]);
    let refused = run(&["--list"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("name or the password is wrong"), "{said}");
    assert!(node.log().contains(&format!("a login for ManageSieve as {ANN} is refused")), "{}", node.log());
}

/// An administrator acts for an account under their own password; the log names the administrator.
#[test]
fn administrators_act_for_others() {
    let Some(_) = or_skip(tools::sieve_connect()) else { return };
    let (node, port) = start();
    let good = script(&node, "good.sieve", "keep;\n");
    node.run(&["account", "add", "bob@example.org"]);
    let upload = ["--authzid", "bob@example.org", "--upload", "--localsieve", &good, "--remotesieve", "main"];
    let run = || sieve_connect(tools::sieve_connect().unwrap(), &node, &port, &upload);
    let refused = run();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("may not act for that account"), "{said}");
    node.run(&["grant", "add", ANN, "--domain", "example.org"]);
    let done = run();
    assert!(done.status.success(), "{done:?}\n{}", node.log());
    assert_eq!(node.run(&["sieve", "get", "bob@example.org", "main"]), "keep;\n");
    let log = node.run(&["changes"]);
    let last = log.lines().rfind(|line| line.contains("sieve.scripts")).unwrap_or_default();
    assert!(last.contains(ANN) && last.contains("bob@example.org"), "{log}");
    let said = node.log();
    assert!(
        said.contains(&format!("{ANN} has logged in for ManageSieve, to act for bob@example.org")),
        "{said}"
    );
    assert!(said.contains(&format!("{ANN} may not act for bob@example.org")), "{said}");
}

/// Lets gsasl log in as ann: it speaks the mechanism, this function the protocol. Returns the server's last line.
fn log_in_with_gsasl(port: &Port, password: &str) -> String {
    act_with_gsasl(port, password, ANN)
}

/// The same, to act for an account.
fn act_with_gsasl(port: &Port, password: &str, acts_as: &str) -> String {
    let mut client = tools::gsasl()
        .unwrap()
        .args(["--client", "--quiet", "--no-cb", "--mechanism", "SCRAM-SHA-256"])
        .args(["--authentication-id", ANN, "--authorization-id", acts_as, "--password", password])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to_client = client.stdin.take().unwrap();
    let mut from_client = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(from_client.next().as_deref(), Some("SCRAM-SHA-256"));

    let mut to_server = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    to_server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut from_server = BufReader::new(to_server.try_clone().unwrap()).lines().map(Result::unwrap);
    assert!(from_server.by_ref().any(|line| line.starts_with("OK")), "no greeting");
    let initial = from_client.next().unwrap();
    write!(to_server, "AUTHENTICATE \"SCRAM-SHA-256\" \"{initial}\"\r\n").unwrap();
    let challenge = from_server.next().unwrap();
    writeln!(to_client, "{}", challenge.trim_matches('"')).unwrap();
    let proof = from_client.next().unwrap();
    write!(to_server, "\"{proof}\"\r\n").unwrap();
    let answer = from_server.next().unwrap();
    if let Some(last) = answer.strip_prefix("OK (SASL \"") {
        // The client believes the server only when its signature is right.
        // The empty line says that nothing follows.
        write!(to_client, "{}\n\n", last.split('"').next().unwrap()).unwrap();
        drop(to_client);
        let ended = client.wait().unwrap();
        assert!(ended.success(), "gsasl does not take the server's signature: {ended}");
    } else {
        drop(to_client);
        client.kill().unwrap_or_default();
        client.wait().unwrap();
    }
    answer
}

#[test]
fn gnu_sasl_logs_in_by_scram() {
    let Some(_) = or_skip(tools::gsasl()) else { return };
    let (node, port) = start();
    let refused = "NO \"The name or the password is wrong\"";
    // A hash of another kind has no keys for it.
    assert_eq!(log_in_with_gsasl(&port, PASSWORD), refused);
    set_password(&node, &["--scheme", "scram-sha-256"]);
    assert!(log_in_with_gsasl(&port, PASSWORD).starts_with("OK (SASL "), "{}", node.log());
    assert_eq!(log_in_with_gsasl(&port, "another word"), refused);
    let bob = "bob@example.org";
    node.run(&["account", "add", bob]);
    assert_eq!(act_with_gsasl(&port, PASSWORD, bob), "NO \"You may not act for that account\"");
    assert_eq!(act_with_gsasl(&port, "another word", bob), refused);
    node.run(&["grant", "add", ANN, "--domain", "example.org"]);
    assert!(act_with_gsasl(&port, PASSWORD, bob).starts_with("OK (SASL "), "{}", node.log());
    node.run(&["account", "password", ANN, "--password-hash", &format!("{{PLAIN}}{PASSWORD}")]);
    assert!(log_in_with_gsasl(&port, PASSWORD).starts_with("OK (SASL "), "{}", node.log());
    node.run(&["account", "suspend", ANN]);
    assert_eq!(log_in_with_gsasl(&port, PASSWORD), refused);
}

#[test]
fn check_looks_at_the_certificate() {
    let (mut node, _port) = start();
    let checked = node.command().args(["check"]).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        text.contains("ManageSieve 127.0.0.1:") && text.contains("a server listens already; with TLS"),
        "{text}"
    );
    std::fs::write(node.path().join("server.key"), "").unwrap();
    assert!(Path::new(&node.path().join("server.pem")).is_file());
    let checked = node.command().args(["check"]).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("server.key cannot be used for TLS"), "{text}");
    // What runs already goes on with what it has.
    node.stop();
}
