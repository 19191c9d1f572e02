//! The same cases with Pigeonhole's `sieve-test`: what would be done must be the same.

use std::path::Path;
use std::process::Command;

use pigeon_testkit::peers;
use serde_json::Value;

use super::{Case, cases, trial};

/// What `sieve-test` needs to run as nobody, without a server.
const CONFIG: &str = "\
mail_uid = 65534
mail_gid = 65534
first_valid_uid = 1
first_valid_gid = 1
mail_home = HOME
mail_location = maildir:HOME/Maildir
postmaster_address = postmaster@example.org
plugin {
 sieve = HOME/none.sieve
 sieve_extensions = +editheader +mboxmetadata +servermetadata +spamtest +spamtestplus +virustest +vacation-seconds +special-use +vnd.dovecot.environment +vnd.dovecot.debug +ereject
}
";

/// What would be done, in words that both are brought to: sorted; nothing where the script does not compile or fails.
type Done = Option<Vec<String>>;

fn ours(got: &Value) -> Done {
    if got["run"].is_null() || got["run"]["ok"] == false {
        return None;
    }
    let mut done: Vec<String> = got["actions"].as_array().unwrap().iter().filter_map(word).collect();
    if got["implicit_keep"] == true {
        done.push("store INBOX".to_owned());
    }
    done.sort();
    Some(done)
}

fn word(action: &Value) -> Option<String> {
    let text = |key: &str| action[key].as_str().unwrap_or_default().to_owned();
    Some(match action["type"].as_str().unwrap() {
        "keep" => "store INBOX".to_owned(),
        "fileinto" => format!("store {}", text("mailbox")),
        "redirect" => format!("redirect {}", text("address").to_lowercase()),
        // It says only that nothing is done.
        "discard" => return None,
        "reject" | "ereject" => "reject".to_owned(),
        other => other.to_owned(),
    })
}

fn theirs(printed: &str) -> Vec<String> {
    let mut done: Vec<String> = printed.lines().filter_map(their_word).collect();
    done.sort();
    done
}

fn their_word(line: &str) -> Option<String> {
    let line = line.trim().strip_prefix("* ")?;
    if let Some(folder) = line.strip_prefix("store message in folder: ") {
        return Some(format!("store {folder}"));
    }
    if let Some(to) = line.strip_prefix("redirect message to: <") {
        return Some(format!("redirect {}", to.trim_end_matches('>').to_lowercase()));
    }
    match line {
        _ if line.starts_with("reject message") => Some("reject".to_owned()),
        _ if line.starts_with("send vacation") => Some("vacation".to_owned()),
        _ if line.starts_with("send notification") => Some("notify".to_owned()),
        _ => None,
    }
}

/// `sieve-test`: the one of this machine, or the one of the unpacked packages.
fn sieve_test(directory: &Path) -> Result<Command, peers::PeerFault> {
    if Command::new("sieve-test").arg("--version").output().is_ok() {
        return Ok(Command::new("sieve-test"));
    }
    let mut command = peers::tools::installed("sieve", directory)?;
    command.arg("sieve-test");
    Ok(command)
}

fn run_theirs(case: &Case, directory: &Path) -> Result<Done, peers::PeerFault> {
    let home = directory.display().to_string();
    std::fs::write(directory.join("dovecot.conf"), CONFIG.replace("HOME", &home)).unwrap();
    std::fs::write(directory.join("script.sieve"), &case.scripts[0]).unwrap();
    std::fs::write(directory.join("message.eml"), case.message.as_deref().unwrap()).unwrap();
    let given = trial(case);
    let mut command = sieve_test(directory)?;
    command.env("HOME", &home).env("USER", "nobody").arg("-c").arg(directory.join("dovecot.conf"));
    if !given.from.is_empty() {
        command.args(["-f", &given.from]);
    }
    command.args(["-a", &given.to]);
    if !given.original_to.is_empty() {
        command.args(["-r", &given.original_to]);
    }
    let output = command.arg(directory.join("script.sieve")).arg(directory.join("message.eml")).output();
    let output = output.map_err(|error| peers::PeerFault::Unavailable(format!("sieve-test: {error}")))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Fatal") && !said.contains("failed to compile") {
        return Err(peers::PeerFault::Unavailable(format!("sieve-test cannot run here: {said}")));
    }
    let is_compiled = printed.contains("Performed actions") || printed.contains("Implicit keep");
    Ok(is_compiled.then(|| theirs(&printed)))
}

/// `sieve-test` takes no null sender and no malformed one.
fn given_sender_is_odd(case: &Case) -> bool {
    let from = trial(case).from;
    from.is_empty() || from.contains("@@")
}

#[test]
fn pigeonhole_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let (mut compared, mut differing) = (0, Vec::new());
    for (name, case) in cases() {
        let has = |key: &str| case.options.iter().any(|(known, _)| known == key);
        // What is set for the dry run alone cannot be compared, nor what the case says is different on purpose.
        let is_own =
            ["config", "metadata", "mailbox", "personal", "global", "compile-only", "auth", "differs"]
                .iter()
                .any(|key| has(key));
        if is_own || given_sender_is_odd(&case) || case.scripts.len() != 1 {
            continue;
        }
        let Some(theirs) = peers::or_skip(run_theirs(&case, directory.path())) else { return };
        let ours = ours(&trial(&case).run());
        compared += 1;
        if ours != theirs {
            differing.push(format!("{name}: we {ours:?}, they {theirs:?}"));
        }
    }
    assert!(differing.is_empty(), "{} of {compared}:\n{}", differing.len(), differing.join("\n"));
    assert!(compared > 50, "{compared} were compared");
}
