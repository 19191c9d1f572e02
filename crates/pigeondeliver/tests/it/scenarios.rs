//! Scenarios: who is there, which settings hold, which mail comes — and what becomes of it.
//!
//! Each file in `scenarios/` is one; its snapshot beside it says what is expected. The directory is SQLite,
//! the store a Maildir, the agent the real one. Lines:
//!
//! ```text
//! domain example.org
//! account ann@example.org Ann Example
//! alias team@example.org -> ann@example.org, bob@example.net
//! set system|domain NAME|account ADDRESS service.key=JSON [pin domain|system]
//! range system|domain NAME service.key=JSON [pin domain|system]
//! as ann@example.org set …          by that person, not by the system
//! suspend ann@example.org
//! mail <sender> -> recipient, recipient
//!     the message, its lines indented by four blanks or empty, up to the next line that is neither
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use pigeon_core::agent::Agent;
use pigeon_core::directory::{Change, Place, Status, Subject};
use pigeon_core::envelope::{Envelope, MailParameters, Named, Origin, Transaction};
use pigeon_core::message::Message;
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeon_core::timestamp::Timestamp;
use pigeondeliver::config::Config;
use pigeondeliver::wiring::{self, Mode, Site};

struct Scenario {
    site: Site,
    root: tempfile::TempDir,
    story: String,
    mails: usize,
}

#[test]
fn scenarios() {
    insta::glob!("scenarios/*.txt", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let story = runtime.block_on(play(&text));
        insta::with_settings!({ omit_expression => true, description => text }, {
            insta::assert_snapshot!(story);
        });
    });
}

async fn play(text: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let mut config = Config::new(
        &root.path().join("directory.sqlite"),
        &root.path().join("state"),
        &root.path().join("mail"),
    );
    config.hostname = Some("mx.example.org".into());
    wiring::create(&config).await.unwrap();
    let site = Site::open(config, Mode::OneShot).unwrap();
    let mut scenario = Scenario { site, root, story: String::new(), mails: 0 };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = String::new();
        while let Some(more) = lines.next_if(|more| more.is_empty() || more.starts_with("    ")) {
            block.push_str(more.get(4..).unwrap_or_default());
            block.push('\n');
        }
        scenario.line(line, &block).await;
    }
    scenario.show_mailboxes();
    scenario.show_outbox().await;
    scenario.story
}

impl Scenario {
    async fn line(&mut self, whole: &str, block: &str) {
        let mut actor = Actor::System("scenario".into());
        let mut line = whole;
        if let Some((address, rest)) = line.strip_prefix("as ").and_then(|rest| rest.split_once(' ')) {
            let account = self.site.directory.account(&address.parse().unwrap()).await.unwrap();
            (actor, line) = (Actor::Account(account.id), rest);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let change = match word {
            "domain" => Change::AddDomain { name: rest.into() },
            "account" => {
                let (address, name) = rest.split_once(' ').unwrap_or((rest, ""));
                Change::AddAccount { address: address.parse().unwrap(), name: name.into(), password: None }
            }
            "alias" => {
                let (pattern, targets) = rest.split_once(" -> ").expect("alias NAME -> TARGET, TARGET");
                let targets = targets.split(", ").map(|target| target.parse().unwrap()).collect();
                Change::AddAlias { pattern: pattern.parse().unwrap(), targets }
            }
            "suspend" => Change::SetStatus {
                subject: Subject::Account(rest.parse().unwrap()),
                status: Status::Suspended,
            },
            "set" => set(rest, Content::Value),
            "range" => set(rest, |json| Content::Range(serde_json::from_value(json).unwrap())),
            "mail" => return self.mail(rest, block).await,
            other => panic!("no such line in a scenario: {other}"),
        };
        let applied = self.site.directory.apply(&actor, change).await;
        if let Err(error) = applied {
            writeln!(self.story, "{whole}\n  refused: {error}\n").unwrap();
        }
    }

    async fn mail(&mut self, rest: &str, block: &str) {
        self.mails += 1;
        let (sender, recipients) = rest.split_once(" -> ").expect("mail <sender> -> recipient");
        let transaction = Arc::new(Transaction {
            id: format!("mail-{}", self.mails),
            sender: pigeon_core::address::ReversePath::parse(sender).unwrap(),
            origin: Origin {
                helo: Some("mta.example.com".into()),
                protocol: Some("LMTP"),
                ..Origin::default()
            },
            parameters: MailParameters::default(),
        });
        writeln!(self.story, "mail {rest}").unwrap();
        let mut admitted = Vec::new();
        for recipient in recipients.split(", ") {
            let named = Named { address: recipient.parse().unwrap(), original: None };
            match self.site.agent.admit(named, &transaction).await {
                Ok(recipient) => admitted.push(recipient),
                Err(reply) => writeln!(self.story, "  RCPT {recipient}: {reply}").unwrap(),
            }
        }
        let envelope = Envelope { transaction, recipients: admitted };
        let message = Arc::new(Message::from_bytes(block.to_owned()));
        for receipt in self.site.agent.deliver(&envelope, message).await {
            writeln!(self.story, "  {}: {}", receipt.recipient, Agent::reply(&receipt)).unwrap();
            for branch in &receipt.branches {
                writeln!(
                    self.story,
                    "    {} {}: {}",
                    branch.target,
                    branch.outcome.word(),
                    branch.outcome.text()
                )
                .unwrap();
                for step in
                    branch.steps.iter().filter(|step| step.service != "commit" || step.decision != "continue")
                {
                    let because = step.because.join(", ");
                    let reason = timeless(&step.reason);
                    let line = format!("      {:<11} {:<9} {reason}  {because}", step.service, step.decision);
                    writeln!(self.story, "{}", line.trim_end()).unwrap();
                }
            }
        }
        writeln!(self.story).unwrap();
    }

    fn show_mailboxes(&mut self) {
        let root = self.root.path().join("mail");
        let mut files = Vec::new();
        collect(&root, &mut files);
        files.sort();
        for (folder, text) in files {
            let folder = Path::new(&folder).strip_prefix(&root).unwrap().display().to_string();
            writeln!(self.story, "file in {folder}").unwrap();
            for line in text.lines() {
                let is_dated = line.contains("; ") && line.contains("+0000");
                let line = if is_dated { line.split("; ").next().unwrap() } else { line };
                writeln!(self.story, "    {line}").unwrap();
            }
        }
    }

    async fn show_outbox(&mut self) {
        for entry in self.site.state.entries(None, 100).await.unwrap() {
            // A rewritten sender carries a hash and a day.
            let rewritten = entry.sender.strip_prefix("SRS0=").and_then(|rest| rest.splitn(3, '=').nth(2));
            let sender = rewritten.map_or(entry.sender.clone(), |rest| format!("SRS0=hash=day={rest}"));
            let (recipient, status) = (&entry.recipient, entry.status.word());
            writeln!(self.story, "outbox {status}: <{sender}> -> {recipient} for {}", entry.on_behalf_of)
                .unwrap();
        }
    }
}

/// The text with `MOMENT` for every moment in it; days stay.
fn timeless(text: &str) -> String {
    let is_moment = |word: &str| word.len() > 10 && Timestamp::parse(word).is_ok();
    text.split(' ').map(|word| if is_moment(word) { "MOMENT" } else { word }).collect::<Vec<_>>().join(" ")
}

fn set(rest: &str, content: impl Fn(serde_json::Value) -> Content) -> Change {
    let (place, rest) = match rest.split_once(' ').unwrap() {
        ("system", rest) => (Place::System, rest),
        ("domain", rest) => {
            let (name, rest) = rest.split_once(' ').unwrap();
            (Place::Domain(name.into()), rest)
        }
        ("account", rest) => {
            let (address, rest) = rest.split_once(' ').unwrap();
            (Place::Account(address.parse().unwrap()), rest)
        }
        other => panic!("set system|domain|account, not {other:?}"),
    };
    let (assignment, pin) = rest.split_once(" pin ").unwrap_or((rest, "none"));
    let (name, value) = assignment.split_once('=').unwrap();
    Change::Set {
        place,
        name: name.parse().unwrap(),
        content: content(serde_json::from_str(value).unwrap()),
        pin: pin.parse::<Pin>().unwrap(),
        until: None,
        reason: None,
    }
}

fn collect(directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files);
        } else if directory.ends_with("new") || directory.ends_with("cur") {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
            files.push((directory.display().to_string(), text));
        }
    }
}
