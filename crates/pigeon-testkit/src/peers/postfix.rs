//! Postfix: takes mail by SMTP and delivers one domain's mail through the agent under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::client::{Submission, submit};
use super::instance::Instance;
use super::port::Port;
use super::{PeerFault, Relay, Transport, text_of, tools, wait_until};

/// How a Postfix is set up.
#[derive(Debug, Clone)]
pub struct PostfixOptions {
    /// How mail for `domains` is delivered.
    pub transport: Transport,
    /// The domains delivered through the transport; every recipient in them is accepted at RCPT.
    pub domains: Vec<String>,
    /// Where all other mail goes, bounces too.
    pub relay: Relay,
    /// Flags of pipe(8).
    pub pipe_flags: String,
    /// Lines put at the end of main.cf, where they win.
    pub main_cf: Vec<String>,
    /// Lines put at the end of master.cf.
    pub master_cf: Vec<String>,
}

impl PostfixOptions {
    /// Delivers `example.org` through the transport and refuses all other mail.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            domains: vec!["example.org".to_owned()],
            relay: Relay::Refuse,
            pipe_flags: "hq".to_owned(),
            main_cf: Vec::new(),
            master_cf: Vec::new(),
        }
    }

    /// The same with all other mail, bounces too, going to this port.
    #[must_use]
    pub fn with_relay(self, port: u16) -> Self {
        Self { relay: Relay::Port(port), ..self }
    }
}

/// A message in Postfix' queue, as `postqueue -j` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueuedMessage {
    /// `active`, `deferred`, `incoming`, `maildrop` or `hold`.
    #[serde(rename = "queue_name")]
    pub queue: String,
    /// The queue id.
    #[serde(rename = "queue_id")]
    pub id: String,
    /// The reverse-path; `MAILER-DAEMON` stands for the null sender.
    pub sender: String,
    /// The recipients that are still to be delivered.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient that still waits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueuedRecipient {
    /// The address.
    pub address: String,
    /// Why it was deferred; empty if it was not tried yet.
    #[serde(rename = "delay_reason", default)]
    pub reason: String,
}

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    instance: Instance,
    port: Port,
}

impl Postfix {
    /// Starts it and waits for its greeting.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &PostfixOptions) -> Result<Self, PeerFault> {
        let mut instance = Instance::prepare("postfix")?;
        let port = Port::free()?;
        configure(&instance, port.number(), options)?;
        instance.start(&["/usr/lib/postfix/sbin/master", "-d"])?;
        instance.wait_for_smtp(port.number())?;
        Ok(Self { instance, port })
    }

    /// The port of 127.0.0.1 on which it takes SMTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its private directory: main.cf, spool, maillog.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.instance.path()
    }

    /// Sends one message by SMTP; lines of `data` end in CRLF.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks; refusals are in the replies.
    pub fn submit_smtp(&self, sender: &str, recipients: &[&str], data: &[u8]) -> anyhow::Result<Submission> {
        submit(self.port(), sender, recipients, data)
    }

    /// What is in the queue now.
    ///
    /// # Errors
    ///
    /// Fails if `postqueue` does.
    pub fn queue(&self) -> anyhow::Result<Vec<QueuedMessage>> {
        let output = self.instance.run_inside(&["/usr/sbin/postqueue", "-j"])?;
        ensure!(output.status.success(), "postqueue: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until the queue is empty; false if it is not after `patience`.
    #[must_use]
    pub fn wait_for_empty_queue(&self, patience: Duration) -> bool {
        wait_until(patience, || self.queue().is_ok_and(|queue| queue.is_empty()).then_some(())).is_some()
    }

    /// Tries all deferred mail again at once.
    ///
    /// # Errors
    ///
    /// Fails if `postqueue` does.
    pub fn flush(&self) -> anyhow::Result<()> {
        let output = self.instance.run_inside(&["/usr/sbin/postqueue", "-f"])?;
        ensure!(output.status.success(), "postqueue: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The mail log so far.
    #[must_use]
    pub fn maillog(&self) -> String {
        text_of(&self.instance.path().join("maillog"))
    }

    /// Waits for a line of the mail log that contains all of these texts.
    #[must_use]
    pub fn wait_for_log(&self, texts: &[&str], patience: Duration) -> Option<String> {
        wait_until(patience, || {
            let log = self.maillog();
            log.lines().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned)
        })
    }

    /// A program outside that submits to this Postfix as `/usr/sbin/sendmail` does inside; it takes the same arguments.
    ///
    /// # Errors
    ///
    /// Fails if the script cannot be written.
    pub fn sendmail_command(&self) -> anyhow::Result<PathBuf> {
        self.instance.command_from_outside("sendmail", "/usr/sbin/sendmail")
    }

    /// Postfix' load generator, ready for its arguments (see smtp-source(1)).
    #[must_use]
    pub fn smtp_source(&self) -> Command {
        tools::smtp_source_in(self.instance.root())
    }
}

fn configure(instance: &Instance, port: u16, options: &PostfixOptions) -> anyhow::Result<()> {
    let (transport, service) = transport(instance, options)?;
    let relay = match options.relay {
        Relay::Port(port) => format!("smtp:[127.0.0.1]:{port}"),
        Relay::Refuse => "error:5.4.4 no outbound mail in tests".to_owned(),
    };
    let domains = options.domains.join(", ");
    let values = [("DOMAINS", domains.as_str()), ("TRANSPORT", &transport), ("RELAY", &relay)];
    instance.render("main.cf", &main_cf(&options.main_cf), &values)?;
    let template = include_str!("../../peers/postfix/master.cf");
    let master = format!("{template}{service}{}\n", options.master_cf.join("\n"));
    instance.render("master.cf", &master, &[("SMTP_PORT", &port.to_string())])?;
    instance.render("setup.sh", include_str!("../../peers/postfix/setup.sh"), &[])
}

/// The template with these lines in the place of those that they override: every program of Postfix warns of a name
/// that is there twice, and the first of them could wait for ever until somebody reads its warnings from a full socket.
fn main_cf(lines: &[String]) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let overridden: Vec<String> = lines.iter().map(|line| name(line)).collect();
    let kept =
        include_str!("../../peers/postfix/main.cf").lines().filter(|line| !overridden.contains(&name(line)));
    kept.chain(lines.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect()
}

/// The value of `virtual_transport`, and what master.cf needs for it.
fn transport(instance: &Instance, options: &PostfixOptions) -> anyhow::Result<(String, String)> {
    match &options.transport {
        Transport::LmtpUnix(path) => Ok((format!("lmtp:unix:{}", path.display()), String::new())),
        Transport::LmtpTcp(port) => Ok((format!("lmtp:inet:127.0.0.1:{port}"), String::new())),
        Transport::Pipe { argv, user } => {
            // master(5): an argument with blanks stands in braces.
            let argv: Vec<String> = argv
                .iter()
                .map(|word| if word.contains(' ') { format!("{{{word}}}") } else { word.clone() })
                .collect();
            let service = format!(
                "mda unix - n n - 10 pipe\n  flags={} user={user} null_sender= argv={}\n",
                options.pipe_flags,
                argv.join(" ")
            );
            Ok(("mda:".to_owned(), service))
        }
        Transport::LmtpStdio { .. } => Err(instance.unsupported(&options.transport)),
    }
}
