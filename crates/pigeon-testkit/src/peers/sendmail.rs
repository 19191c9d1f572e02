//! Sendmail: takes mail by SMTP and delivers one domain's mail through the agent under test.

use std::path::Path;

use anyhow::Context as _;

use super::client::{Submission, submit};
use super::instance::Instance;
use super::port::Port;
use super::{PeerFault, Relay, Transport, text_of};

/// How a Sendmail is set up.
#[derive(Debug, Clone)]
pub struct SendmailOptions {
    /// How mail for `domains` is delivered.
    pub transport: Transport,
    /// The domains delivered through the transport; every recipient in them is accepted at RCPT.
    pub domains: Vec<String>,
    /// Where all other mail goes, bounces too.
    pub relay: Relay,
}

impl SendmailOptions {
    /// Delivers `example.org` through the transport; all other mail stays in the queue.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self { transport, domains: vec!["example.org".to_owned()], relay: Relay::Refuse }
    }
}

/// A running Sendmail.
#[derive(Debug)]
pub struct Sendmail {
    instance: Instance,
    port: Port,
}

impl Sendmail {
    /// Starts it and waits for its greeting.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &SendmailOptions) -> Result<Self, PeerFault> {
        let mut instance = Instance::prepare("sendmail")?;
        let port = Port::free()?;
        configure(&instance, port.number(), options)?;
        let directory = instance.path().to_string_lossy().into_owned();
        // -bD: in the foreground; -X: every dialog, incoming and outgoing, into a file.
        let configuration = format!("-C{directory}/sendmail.cf");
        let trace = format!("{directory}/trace");
        instance.start(&["/usr/libexec/sendmail/sendmail", &configuration, "-bD", "-q2s", "-X", &trace])?;
        instance.wait_for_smtp(port.number())?;
        Ok(Self { instance, port })
    }

    /// The port of 127.0.0.1 on which it takes SMTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Sends one message by SMTP; lines of `data` end in CRLF.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks; refusals are in the replies.
    pub fn submit_smtp(&self, sender: &str, recipients: &[&str], data: &[u8]) -> anyhow::Result<Submission> {
        submit(self.port(), sender, recipients, data)
    }

    /// Every SMTP and LMTP dialog so far, line by line.
    #[must_use]
    pub fn trace(&self) -> String {
        text_of(&self.instance.path().join("trace"))
    }

    /// The queue as `mailq` lists it.
    ///
    /// # Errors
    ///
    /// Fails if the command cannot be run.
    pub fn queue(&self) -> anyhow::Result<String> {
        let configuration = format!("-C{}/sendmail.cf", self.instance.path().display());
        let output = self.instance.run_inside(&["/usr/libexec/sendmail/sendmail", &configuration, "-bp"])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn configure(instance: &Instance, port: u16, options: &SendmailOptions) -> anyhow::Result<()> {
    let relay = match options.relay {
        Relay::Port(port) => port,
        // The discard port, where nothing listens.
        Relay::Refuse => 9,
    };
    let user = match &options.transport {
        Transport::LmtpStdio { user, .. } | Transport::Pipe { user, .. } => user.as_str(),
        Transport::LmtpUnix(_) | Transport::LmtpTcp(_) => "nobody",
    };
    let rules: Vec<String> = options
        .domains
        .iter()
        .map(|domain| format!("R$+ < @ {domain} . > $*\t$#agent $@ {domain} $: $1 < @ {domain} . >"))
        .collect();
    let values = [
        ("SMTP_PORT", port.to_string()),
        ("RELAY_PORT", relay.to_string()),
        ("USER", user.to_owned()),
        ("MAILER", mailer(&options.transport)?),
        ("RULES", rules.join("\n")),
    ];
    let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
    instance.render("sendmail.mc", include_str!("../../peers/sendmail/sendmail.mc"), &values)?;
    instance.render("setup.sh", include_str!("../../peers/sendmail/setup.sh"), &[])
}

/// The definition of the mailer `agent`. Flag `z` makes it LMTP; `U=` is left out, as it spoils this build's table.
fn mailer(transport: &Transport) -> anyhow::Result<String> {
    let rewriting = "S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP";
    let lmtp = format!("F=lsDFMPSXmnz9, {rewriting}, T=DNS/RFC822/SMTP");
    Ok(match transport {
        Transport::LmtpUnix(path) => format!("Magent,\tP=[IPC], {lmtp}, E=\\r\\n, A=FILE {}", path.display()),
        Transport::LmtpTcp(port) => format!("Magent,\tP=[IPC], {lmtp}, E=\\r\\n, A=TCP [127.0.0.1] {port}"),
        Transport::LmtpStdio { argv, .. } => {
            let (program, arguments) = command(argv)?;
            format!("Magent,\tP={program}, {lmtp}, A={arguments}")
        }
        Transport::Pipe { argv, .. } => {
            let (program, arguments) = command(argv)?;
            format!(
                "Magent,\tP={program}, F=lsDFMPhn9|, {rewriting}, T=DNS/RFC822/X-Unix, D=/, A={arguments}"
            )
        }
    })
}

/// The program's path, and its arguments with its bare name before them.
fn command(argv: &[String]) -> anyhow::Result<(&str, String)> {
    let (program, arguments) = argv.split_first().context("a command needs a program")?;
    let name = Path::new(program).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let words: Vec<&str> =
        std::iter::once(name.as_ref()).chain(arguments.iter().map(String::as_str)).collect();
    Ok((program, words.join(" ")))
}
