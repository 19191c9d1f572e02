//! Handing over to a sendmail command, which every MTA brings along.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{Outgoing, Refusal, Submit};

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Octets of its complaint that are kept.
const MAX_COMPLAINT_OCTETS: u64 = 1024;

/// A command that is called as `sendmail -i -f SENDER -- RECIPIENT` with the content on its standard input.
#[derive(Debug, Clone)]
pub struct Sendmail {
    command: PathBuf,
}

impl Sendmail {
    /// The command at that path.
    #[must_use]
    pub fn new(command: PathBuf) -> Self {
        Self { command }
    }

    fn failed(&self, what: &dyn std::fmt::Display) -> Refusal {
        Refusal::Temporary(format!("{} {what}", self.command.display()))
    }
}

#[async_trait]
impl Submit for Sendmail {
    async fn submit(&self, mail: &Outgoing) -> Result<String, Refusal> {
        let content = mail.reader()?;
        let sender = if mail.sender.address().is_none() { "<>".to_owned() } else { mail.sender.to_string() };
        let recipient = mail.recipient.to_string();
        let mut child = Command::new(&self.command)
            .args(["-i", "-f", &sender, "--", &recipient])
            .stdin(Stdio::from(content))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failed(&format!("cannot be started: {error}")))?;
        let mut complaint = Vec::new();
        let work = async {
            if let Some(mut stderr) = child.stderr.take() {
                (&mut stderr).take(MAX_COMPLAINT_OCTETS).read_to_end(&mut complaint).await?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            child.wait().await
        };
        let status = tokio::time::timeout(PATIENCE, work)
            .await
            .map_err(|_| self.failed(&"did not end"))?
            .map_err(|error| self.failed(&error))?;
        judge(status, &String::from_utf8_lossy(&complaint)).map_err(|refusal| match refusal {
            Refusal::Temporary(what) => self.failed(&what),
            permanent @ Refusal::Permanent { .. } => permanent,
        })
    }
}

/// Source: sysexits(3). What says something about the mail is permanent, what says something about this host is not.
fn judge(status: ExitStatus, complaint: &str) -> Result<String, Refusal> {
    let complaint = complaint.trim().replace(['\r', '\n'], " ");
    let permanent = |status: &str| {
        Err(Refusal::Permanent {
            status: status.to_owned(),
            text: format!("sendmail refused it: {complaint}"),
        })
    };
    match status.code() {
        Some(0) => Ok("accepted".into()),
        // EX_DATAERR, EX_NOUSER, EX_NOHOST, EX_UNAVAILABLE
        Some(65) => permanent("5.6.0"),
        Some(67) => permanent("5.1.1"),
        Some(68) => permanent("5.1.2"),
        Some(69) => permanent("5.0.0"),
        _ => Err(Refusal::Temporary(format!("ended with {status}: {complaint}"))),
    }
}
