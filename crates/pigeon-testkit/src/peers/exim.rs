//! Exim: takes mail by SMTP and delivers one domain's mail through the agent under test.

use super::client::{Submission, submit};
use super::instance::Instance;
use super::port::Port;
use super::{PeerFault, Relay, Transport, text_of};

/// How an Exim is set up.
#[derive(Debug, Clone)]
pub struct EximOptions {
    /// How mail for `domains` is delivered. A command's arguments may not come from the mail (Exim calls them
    /// tainted): it finds `SENDER`, `RECIPIENT`, `LOCAL_PART` and `DOMAIN` in its environment.
    pub transport: Transport,
    /// The domains delivered through the transport; every recipient in them is accepted at RCPT.
    pub domains: Vec<String>,
    /// Where all other mail goes, bounces too.
    pub relay: Relay,
    /// Lines put at the end of the main section.
    pub main: Vec<String>,
}

impl EximOptions {
    /// Delivers `example.org` through the transport and refuses all other mail.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self { transport, domains: vec!["example.org".to_owned()], relay: Relay::Refuse, main: Vec::new() }
    }
}

/// A running Exim.
#[derive(Debug)]
pub struct Exim {
    instance: Instance,
    port: Port,
}

impl Exim {
    /// Starts it and waits for its greeting.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &EximOptions) -> Result<Self, PeerFault> {
        let mut instance = Instance::prepare("exim")?;
        let port = Port::free()?;
        configure(&instance, port.number(), options)?;
        instance.start(&["/usr/sbin/exim4", "-bdf", "-q2s"])?;
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

    /// The main log so far: `=>` delivered, `==` deferred, `**` bounced.
    #[must_use]
    pub fn mainlog(&self) -> String {
        text_of(&self.instance.path().join("log/mainlog"))
    }

    /// The queue as `exim -bp` lists it; empty text if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the command cannot be run.
    pub fn queue(&self) -> anyhow::Result<String> {
        let output = self.instance.run_inside(&["/usr/sbin/exim4", "-bp"])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn configure(instance: &Instance, port: u16, options: &EximOptions) -> anyhow::Result<()> {
    let (router, router_options) = match options.transport {
        Transport::LmtpTcp(_) => ("manualroute", "  route_list = * 127.0.0.1\n  self = send\n"),
        _ => ("accept", ""),
    };
    let (relay_router, relay_port) = match options.relay {
        Relay::Port(port) => (
            "to_relay:\n  driver = manualroute\n  route_list = * 127.0.0.1\n  self = send\n  transport = relay\n",
            port,
        ),
        Relay::Refuse => {
            ("to_nowhere:\n  driver = redirect\n  allow_fail\n  data = :fail: no outbound mail in tests\n", 0)
        }
    };
    let values = [
        ("SMTP_PORT", port.to_string()),
        ("DOMAINS", options.domains.join(" : ")),
        ("MAIN", options.main.join("\n")),
        ("ROUTER", router.to_owned()),
        ("ROUTER_OPTIONS", router_options.to_owned()),
        ("RELAY_ROUTER", relay_router.to_owned()),
        ("RELAY_PORT", relay_port.to_string()),
        ("AGENT", agent(&options.transport)),
    ];
    let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
    instance.render("exim.conf", include_str!("../../peers/exim/exim.conf"), &values)?;
    instance.render("setup.sh", include_str!("../../peers/exim/setup.sh"), &[])
}

/// The options of the transport to the agent under test.
fn agent(transport: &Transport) -> String {
    match transport {
        Transport::LmtpUnix(path) => format!(
            "  driver = lmtp\n  socket = {}\n  batch_max = 100\n  batch_id = all\n  user = nobody\n  \
             group = nogroup\n",
            path.display()
        ),
        Transport::LmtpTcp(port) => format!(
            "  driver = smtp\n  protocol = lmtp\n  port = {port}\n  allow_localhost\n  hosts_avoid_tls = *\n  \
             max_rcpt = 50\n"
        ),
        Transport::LmtpStdio { argv, user } => format!(
            "  driver = lmtp\n  command = {}\n  batch_max = 100\n  batch_id = all\n  user = {user}\n",
            command(argv)
        ),
        Transport::Pipe { argv, user } => format!(
            "  driver = pipe\n  command = {}\n  user = {user}\n  home_directory = /\n  current_directory = /\n  \
             message_prefix =\n  message_suffix =\n  return_fail_output\n  log_output\n  temp_errors = 73 : 75\n  \
             timeout = 60s\n",
            command(argv)
        ),
    }
}

fn command(argv: &[String]) -> String {
    let words: Vec<String> = argv
        .iter()
        .map(|word| if word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.clone() })
        .collect();
    words.join(" ")
}
