//! The real peers start, do their part and stop: what the end-to-end tests stand on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pigeon_testkit::peers::{
    Courier, CourierOptions, Dovecot, DovecotOptions, DovecotQuota, Exim, EximOptions, MailClient, MailUser,
    Mailboxes, Postfix, PostfixOptions, Relay, Sendmail, SendmailOptions, SinkStage, SmtpSink, Transport,
    or_skip, tools, wait_until,
};
use tempfile::TempDir;

const MESSAGE: &[u8] =
    b"From: Sam <sam@example.com>\r\nTo: Alice <alice@example.org>\r\nSubject: harness\r\n\r\n\
    First line\r\n.a line with a dot\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that every user may search and write to.
fn open_directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("pigeon-test-").tempdir_in("/tmp")?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777))?;
    Ok(directory)
}

/// A stand-in for the agent: keeps its arguments, environment and input in `directory`; exits with 75 for `busy@` and
/// 67 for `nobody@`.
fn stand_in(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join("agent.sh");
    let out = directory.display();
    let script = format!(
        "#!/bin/sh\ncase \"$* $RECIPIENT\" in\n  *busy@*) echo 'try later'; exit 75 ;;\n  *nobody@*) echo 'no such user'; exit 67 ;;\nesac\n\
         {{ echo \"arguments $*\"; echo \"user $(id -un)\"; echo \"from $SENDER to $RECIPIENT\"; cat; }} >{out}/got.$$.new && \
         mv {out}/got.$$.new {out}/got.$$.mail\n"
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

/// What the stand-in kept, once it kept anything.
fn kept(directory: &Path) -> Option<String> {
    wait_until(PATIENCE, || {
        let entries = fs::read_dir(directory).ok()?;
        let mail = entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension() == Some("mail".as_ref()))?;
        fs::read_to_string(mail).ok()
    })
}

/// A Maildir of user `mail` with one new message, one that was read, and a folder with one message.
fn maildir(parent: &Path) -> anyhow::Result<PathBuf> {
    let root = parent.join("Maildir");
    let folder = root.join(".Archive");
    for directory in [&root, &folder] {
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(directory.join(part))?;
        }
    }
    fs::write(folder.join("maildirfolder"), "")?;
    let message = |subject: &str| format!("Subject: {subject}\n\nbody\n");
    fs::write(root.join("new/1700000000.M1P1.host,S=19"), message("one"))?;
    fs::write(root.join("cur/1700000001.M1P1.host,S=19:2,FS"), message("two"))?;
    fs::write(folder.join("new/1700000002.M1P1.host,S=21"), message("three"))?;
    fs::write(root.join("maildirsize"), "1000000S,100C\n59 3\n")?;
    own(&root)?;
    Ok(root)
}

/// Gives everything below to user and group `mail`.
fn own(path: &Path) -> anyhow::Result<()> {
    chown(path, Some(8), Some(8))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path())?;
        }
    }
    Ok(())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn postfix_delivers_over_a_unix_socket() {
    let directory = open_directory().unwrap();
    let socket = directory.path().join("lmtp.sock");
    let agent = SmtpSink::lmtp_unix(&socket).unwrap();
    agent.refuse("nobody@example.org", "550 5.1.1 no such user");
    agent.refuse("busy@example.org", "451 4.3.0 try later");
    let outside = SmtpSink::smtp().unwrap();
    let options = PostfixOptions::new(Transport::LmtpUnix(socket)).with_relay(outside.port());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };

    let recipients = ["alice@example.org", "nobody@example.org", "busy@example.org"];
    let submission = postfix.submit_smtp("sam@example.com", &recipients, MESSAGE).unwrap();
    assert!(submission.is_accepted(), "{submission:?}");

    let [delivered] = &agent.wait_for(1, PATIENCE)[..] else { panic!("{}", postfix.maillog()) };
    assert_eq!(delivered.sender, "sam@example.com");
    assert_eq!(delivered.recipients, ["alice@example.org"]);
    assert!(delivered.text().ends_with("First line\r\n.a line with a dot\r\n"), "{}", delivered.text());

    let [bounce] = &outside.wait_for(1, PATIENCE)[..] else { panic!("{}", postfix.maillog()) };
    assert_eq!((bounce.sender.as_str(), &bounce.recipients[..]), ("", &["sam@example.com".to_owned()][..]));
    assert!(bounce.text().contains("nobody@example.org"), "{}", bounce.text());

    let queue = wait_until(PATIENCE, || postfix.queue().ok().filter(|queue| queue.len() == 1)).unwrap();
    assert_eq!(queue[0].recipients.len(), 1);
    assert_eq!(queue[0].recipients[0].address, "busy@example.org");
    assert!(queue[0].recipients[0].reason.contains("4.3.0 try later"), "{queue:?}");
    assert!(postfix.wait_for_log(&["to=<alice@example.org>", "status=sent"], PATIENCE).is_some());
}

#[test]
fn postfix_tries_again_over_tcp() {
    let agent = SmtpSink::lmtp_tcp().unwrap();
    agent.fail_next(SinkStage::End, 1, "452 4.2.2 over quota");
    let options = PostfixOptions::new(Transport::LmtpTcp(agent.port()));
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };

    postfix.submit_smtp("", &["alice@example.org"], MESSAGE).unwrap();
    assert!(
        postfix.wait_for_log(&["status=deferred", "over quota"], PATIENCE).is_some(),
        "{}",
        postfix.maillog()
    );
    assert!(agent.messages().is_empty());
    postfix.flush().unwrap();
    assert_eq!(agent.wait_for(1, PATIENCE).len(), 1, "{}", postfix.maillog());
    assert!(postfix.wait_for_empty_queue(PATIENCE), "{:?}", postfix.queue());
}

#[test]
fn postfix_runs_a_command() {
    let directory = open_directory().unwrap();
    let argv =
        vec![stand_in(directory.path()).unwrap(), "-f".into(), "${sender}".into(), "${recipient}".into()];
    let options = PostfixOptions::new(Transport::Pipe { argv, user: "nobody".into() });
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };

    postfix.submit_smtp("sam@example.com", &["alice@example.org", "busy@example.org"], MESSAGE).unwrap();
    let got = kept(directory.path()).unwrap_or_else(|| panic!("{}", postfix.maillog()));
    assert!(got.starts_with("arguments -f sam@example.com alice@example.org\nuser nobody\n"), "{got}");
    assert!(
        postfix.wait_for_log(&["to=<busy@example.org>", "status=deferred", "try later"], PATIENCE).is_some()
    );
}

#[test]
fn postfix_relays_what_its_sendmail_command_takes() {
    let outside = SmtpSink::smtp().unwrap();
    let options = PostfixOptions::new(Transport::LmtpTcp(9)).with_relay(outside.port());
    let Some(postfix) = or_skip(Postfix::start(&options)) else { return };

    let command = postfix.sendmail_command().unwrap();
    let mut child = Command::new(command)
        .args(["-i", "-f", "alice@example.org", "--", "sam@example.com"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Subject: answer\n\naway\n").unwrap();
    assert!(child.wait().unwrap().success());
    let [message] = &outside.wait_for(1, PATIENCE)[..] else { panic!("{}", postfix.maillog()) };
    assert_eq!(message.sender, "alice@example.org");
    assert!(message.text().contains("Subject: answer"), "{}", message.text());
}

#[test]
fn dovecot_reads_a_maildir() {
    let directory = open_directory().unwrap();
    let path = maildir(directory.path()).ok();
    let users = path.map(|path| MailUser::new("alice@example.org", &path)).into_iter().collect();
    let mut options = DovecotOptions::new(Mailboxes::Users(users));
    options.quota = DovecotQuota::FromMaildirSize;
    let Some(dovecot) = or_skip(Dovecot::start(&options)) else { return };

    assert!(dovecot.login("alice@example.org", "wrong").is_err());
    let mut client = dovecot
        .login("alice@example.org", "secret")
        .unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    let names: Vec<String> = client.list().unwrap().into_iter().map(|folder| folder.name).collect();
    assert_eq!(names, ["Archive", "INBOX"]);
    assert_eq!(client.select("INBOX").unwrap(), 2);
    let messages = client.fetch_all().unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    let subjects: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(&message.body)).collect();
    assert!(subjects.iter().any(|body| body == "Subject: one\r\n\r\nbody\r\n"), "{subjects:?}");
    assert!(messages.iter().any(|message| message.flags == ["\\Flagged", "\\Seen"]), "{messages:?}");
    let quotas = client.quotas("INBOX").unwrap_or_else(|error| panic!("{error} {}", dovecot.log()));
    let count = quotas.iter().find(|quota| quota.resource == "MESSAGE").unwrap();
    assert_eq!((count.usage, count.limit), (3, 100), "{quotas:?}");
}

#[test]
fn dovecot_finds_maildirs_by_a_template() {
    let directory = open_directory().unwrap();
    let home = directory.path().join("example.org/alice");
    fs::create_dir_all(&home).unwrap();
    let is_root = maildir(&home).is_ok();
    let template = format!("{}/%d/%n/Maildir", directory.path().display());
    let started = Dovecot::start(&DovecotOptions::new(Mailboxes::Template(template)));
    let Some(dovecot) = or_skip(started) else { return };

    assert!(is_root);
    let mut client = dovecot.login("alice@example.org", "secret").unwrap();
    assert_eq!(client.select("Archive").unwrap(), 1, "{}", dovecot.log());
}

#[test]
fn courier_reads_a_maildir() {
    let directory = open_directory().unwrap();
    let path = maildir(directory.path()).ok();
    let users = path.map(|path| MailUser::new("alice@example.org", &path)).into_iter().collect();
    let Some(courier) = or_skip(Courier::start(&CourierOptions::new(users))) else { return };

    let mut client = courier.login("alice@example.org", "secret").unwrap();
    let names: Vec<String> = client.list().unwrap().into_iter().map(|folder| folder.name).collect();
    assert!(names.contains(&"INBOX.Archive".to_owned()), "{names:?}");
    assert_eq!(client.select("INBOX").unwrap(), 2);
    let messages = client.fetch_all().unwrap();
    assert!(messages.iter().any(|message| message.flags == ["\\Flagged", "\\Seen"]), "{messages:?}");
    let quotas = client.quotas("INBOX").unwrap();
    let count = quotas.iter().find(|quota| quota.resource == "MESSAGE").unwrap();
    assert_eq!((count.usage, count.limit), (3, 100), "{quotas:?}");
}

#[test]
fn exim_runs_a_command_with_the_envelope_in_its_environment() {
    let directory = open_directory().unwrap();
    let argv = vec![stand_in(directory.path()).unwrap()];
    let options = EximOptions::new(Transport::Pipe { argv, user: "nobody".into() });
    let Some(exim) = or_skip(Exim::start(&options)) else { return };

    exim.submit_smtp("sam@example.com", &["alice+news@example.org", "busy@example.org"], MESSAGE).unwrap();
    let got = kept(directory.path()).unwrap_or_else(|| panic!("{}", exim.mainlog()));
    assert!(
        got.starts_with("arguments \nuser nobody\nfrom sam@example.com to alice+news@example.org\n"),
        "{got}"
    );
    let queue = wait_until(PATIENCE, || exim.queue().ok().filter(|queue| queue.contains("busy@example.org")));
    assert!(queue.is_some(), "{}", exim.mainlog());
}

#[test]
fn exim_delivers_over_lmtp_and_relays() {
    let directory = open_directory().unwrap();
    let socket = directory.path().join("lmtp.sock");
    let agent = SmtpSink::lmtp_unix(&socket).unwrap();
    agent.refuse("nobody@example.org", "550 5.1.1 no such user");
    let outside = SmtpSink::smtp().unwrap();
    let mut options = EximOptions::new(Transport::LmtpUnix(socket));
    options.relay = Relay::Port(outside.port());
    let Some(exim) = or_skip(Exim::start(&options)) else { return };

    exim.submit_smtp("sam@example.com", &["alice@example.org", "nobody@example.org"], MESSAGE).unwrap();
    let [delivered] = &agent.wait_for(1, PATIENCE)[..] else { panic!("{}", exim.mainlog()) };
    assert_eq!(delivered.recipients, ["alice@example.org"]);
    let [bounce] = &outside.wait_for(1, PATIENCE)[..] else { panic!("{}", exim.mainlog()) };
    assert_eq!(bounce.recipients, ["sam@example.com"]);
}

#[test]
fn exim_delivers_over_lmtp_on_tcp() {
    let agent = SmtpSink::lmtp_tcp().unwrap();
    let Some(exim) = or_skip(Exim::start(&EximOptions::new(Transport::LmtpTcp(agent.port())))) else {
        return;
    };
    exim.submit_smtp("sam@example.com", &["alice@example.org"], MESSAGE).unwrap();
    assert_eq!(agent.wait_for(1, PATIENCE).len(), 1, "{}", exim.mainlog());
}

#[test]
fn sendmail_runs_a_command() {
    let directory = open_directory().unwrap();
    let argv = vec![stand_in(directory.path()).unwrap(), "-f".into(), "$g".into(), "-d".into(), "$u".into()];
    let options = SendmailOptions::new(Transport::Pipe { argv, user: "nobody:nogroup".into() });
    let Some(sendmail) = or_skip(Sendmail::start(&options)) else { return };

    sendmail.submit_smtp("sam@example.com", &["alice@example.org", "busy@example.org"], MESSAGE).unwrap();
    let got = kept(directory.path()).unwrap_or_else(|| panic!("{}", sendmail.trace()));
    assert!(got.starts_with("arguments -f sam@example.com -d alice@example.org\nuser nobody\n"), "{got}");
    let queue =
        wait_until(PATIENCE, || sendmail.queue().ok().filter(|queue| queue.contains("busy@example.org")));
    assert!(queue.is_some(), "{}", sendmail.trace());
}

#[test]
fn sendmail_speaks_lmtp_on_standard_input_and_output() {
    let directory = open_directory().unwrap();
    let path = directory.path().join("lmtp.sh");
    let out = directory.path().display();
    // The least LMTP server there can be: it takes one recipient's mail.
    let script = format!(
        "#!/bin/sh\nsay() {{ printf '%s\\r\\n' \"$1\"; }}\nsay '220 stand-in'\n\
         while read -r verb rest; do case \"$verb\" in\n  LHLO) say '250 stand-in' ;;\n  QUIT*) say '221 bye'; exit ;;\n\
         DATA*) say '354 go'; {{ echo \"$to\"; while read -r line && [ \"${{line%?}}\" != . ]; do echo \"$line\"; done; }} \
         >{out}/got.$$.new; mv {out}/got.$$.new {out}/got.$$.mail; say '250 2.0.0 kept' ;;\n\
         RCPT) to=$rest; say '250 ok' ;;\n  *) say '250 ok' ;;\nesac; done\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let argv = vec![path.display().to_string()];
    let options = SendmailOptions::new(Transport::LmtpStdio { argv, user: "nobody:nogroup".into() });
    let Some(sendmail) = or_skip(Sendmail::start(&options)) else { return };

    sendmail.submit_smtp("sam@example.com", &["alice@example.org"], MESSAGE).unwrap();
    let got = kept(directory.path()).unwrap_or_else(|| panic!("{}", sendmail.trace()));
    assert!(got.starts_with("To:<alice@example.org>"), "{got}");
    assert!(got.contains("First line"), "{got}");
}

#[test]
fn sendmail_delivers_to_lmtp_sockets_and_relays() {
    let directory = open_directory().unwrap();
    // Sendmail calls a socket unsafe where others may write.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let socket = directory.path().join("lmtp.sock");
    let agent = SmtpSink::lmtp_unix(&socket).unwrap();
    let outside = SmtpSink::smtp().unwrap();
    let mut options = SendmailOptions::new(Transport::LmtpUnix(socket));
    options.relay = Relay::Port(outside.port());
    let Some(sendmail) = or_skip(Sendmail::start(&options)) else { return };

    sendmail.submit_smtp("sam@example.com", &["alice@example.org", "sue@example.com"], MESSAGE).unwrap();
    assert_eq!(agent.wait_for(1, PATIENCE).len(), 1, "{:?} {}", sendmail.queue(), sendmail.trace());
    assert_eq!(outside.wait_for(1, PATIENCE).len(), 1, "{}", sendmail.trace());
}

#[test]
fn a_sink_drops_the_connection_after_the_final_dot() {
    let sink = SmtpSink::smtp().unwrap();
    sink.drop_next(1);
    sink.fail_next(SinkStage::Sender, 1, "451 4.3.0 try later");
    let send =
        || MailClient::smtp(sink.port()).unwrap().send("alice@example.org", &["sam@example.com"], MESSAGE);
    assert_eq!(send().unwrap().sender.code, 451);
    assert!(send().is_err());
    assert!(send().unwrap().is_accepted());
    let messages = sink.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].data, MESSAGE);
}

/// How many processes have this directory, or one below it, as their working directory.
fn processes_below(directory: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory)))
        .count()
}

#[test]
fn a_peer_leaves_nothing_behind() {
    let Some(postfix) = or_skip(Postfix::start(&PostfixOptions::new(Transport::LmtpTcp(9)))) else { return };
    let (port, directory) = (postfix.port(), postfix.directory().to_owned());
    assert!(processes_below(&directory) > 0);
    drop(postfix);
    assert!(MailClient::smtp(port).is_err());
    assert!(!directory.exists());
    assert_eq!(processes_below(&directory), 0);
}

#[test]
fn a_peer_ends_with_a_test_that_is_killed() {
    const PORT_FILE: &str = "PIGEON_TEST_PORT_FILE";
    // This test runs itself once more, as the one that is killed.
    if let Some(file) = std::env::var_os(PORT_FILE) {
        let postfix = or_skip(Postfix::start(&PostfixOptions::new(Transport::LmtpTcp(9))));
        fs::write(file, postfix.as_ref().map_or(0, Postfix::port).to_string()).unwrap();
        std::thread::sleep(PATIENCE);
        return;
    }
    let directory = open_directory().unwrap();
    let file = directory.path().join("port");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_peer_ends_with_a_test_that_is_killed", "--nocapture"])
        .env(PORT_FILE, &file)
        .spawn()
        .unwrap();
    let port: Option<u16> = wait_until(PATIENCE, || fs::read_to_string(&file).ok()?.parse().ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let port = port.unwrap();
    if port != 0 {
        assert!(wait_until(PATIENCE, || MailClient::smtp(port).is_err().then_some(())).is_some());
    }
}

#[test]
fn the_load_generator_and_swaks_speak_lmtp() {
    let directory = open_directory().unwrap();
    let socket = directory.path().join("lmtp.sock");
    let agent = SmtpSink::lmtp_unix(&socket).unwrap();
    if let Some(mut source) = or_skip(tools::smtp_source()) {
        let target = format!("unix:{}", socket.display());
        let arguments = ["-L", "-s", "2", "-m", "6", "-f", "sam@example.com", "-t", "alice@example.org"];
        let output = source.args(arguments).arg(target).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(agent.messages().len(), 6);
    }
    let before = agent.messages().len();
    if let Some(mut swaks) = or_skip(tools::swaks()) {
        let arguments = ["--protocol", "LMTP", "--from", "sam@example.com", "--to", "alice@example.org"];
        let output = swaks.args(arguments).arg("--socket").arg(&socket).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(agent.messages().len(), before + 1);
    }
}
