//! Dovecot: reads over IMAP what was delivered.

use std::fs;
use std::os::unix::fs::chown;

use super::instance::Instance;
use super::port::Port;
use super::{ImapClient, MailUser, PeerFault, text_of};

/// Where Dovecot finds the mail.
#[derive(Debug, Clone)]
pub enum Mailboxes {
    /// One path for everybody with Dovecot's variables, such as `/tmp/x/%d/%n/Maildir`; every login name with the
    /// password `secret` is let in.
    Template(String),
    /// These people only, each with a path of their own.
    Users(Vec<MailUser>),
}

/// Which limits Dovecot's quota plugin holds to; usage is always what the Maildir's `maildirsize` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DovecotQuota {
    /// The plugin is not loaded.
    Off,
    /// The limits in the first line of `maildirsize`.
    FromMaildirSize,
    /// A rule such as `*:storage=1M:messages=10`.
    Rule(String),
}

/// How a Dovecot is set up.
#[derive(Debug, Clone)]
pub struct DovecotOptions {
    /// The people and their Maildirs.
    pub mailboxes: Mailboxes,
    /// The owner of the mail; not root.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// What the quota plugin with its Maildir++ backend does.
    pub quota: DovecotQuota,
    /// Lines put at the end of dovecot.conf, where they win.
    pub extra: Vec<String>,
}

impl DovecotOptions {
    /// Mail that belongs to user and group `mail` (8), without quotas.
    #[must_use]
    pub fn new(mailboxes: Mailboxes) -> Self {
        Self { mailboxes, uid: 8, gid: 8, quota: DovecotQuota::Off, extra: Vec::new() }
    }
}

/// A running Dovecot.
#[derive(Debug)]
pub struct Dovecot {
    instance: Instance,
    port: Port,
}

impl Dovecot {
    /// Starts it and waits for its greeting.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &DovecotOptions) -> Result<Self, PeerFault> {
        let mut instance = Instance::prepare("dovecot")?;
        let port = Port::free()?;
        configure(&instance, port.number(), options)?;
        let configuration = instance.path().join("dovecot.conf");
        instance.start(&["/usr/sbin/dovecot", "-F", "-c", &configuration.to_string_lossy()])?;
        instance.wait_for_greeting(|| ImapClient::connect(port.number()))?;
        Ok(Self { instance, port })
    }

    /// The port of 127.0.0.1 on which it takes IMAP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses.
    pub fn login(&self, name: &str, password: &str) -> anyhow::Result<ImapClient> {
        ImapClient::login(self.port(), name, password)
    }

    /// Its log so far: where it says what it did not like about a Maildir.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.instance.path().join("dovecot.log"))
    }
}

fn configure(instance: &Instance, port: u16, options: &DovecotOptions) -> anyhow::Result<()> {
    let (uid, gid) = (options.uid.to_string(), options.gid.to_string());
    // Indexes and subscriptions that Dovecot keeps for itself stay out of the Maildirs under test.
    let home = instance.path().join("homes");
    fs::create_dir(&home)?;
    chown(&home, Some(options.uid), Some(options.gid))?;
    let home = format!("{}/%u", home.display());
    let userdb = format!("userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={home}\n}}\n");
    let (auth, location) = match &options.mailboxes {
        Mailboxes::Template(path) => {
            let passdb = "passdb {\n  driver = static\n  args = password=secret\n}\n";
            (format!("{passdb}{userdb}"), format!("maildir:{path}:INDEX={home}/index"))
        }
        Mailboxes::Users(users) => {
            fs::write(instance.path().join("users"), password_file(users, &uid, &gid, &home))?;
            let file = instance.path().join("users");
            let passdb = format!("  driver = passwd-file\n  args = {}\n", file.display());
            (format!("passdb {{\n{passdb}}}\nuserdb {{\n{passdb}}}\n"), "maildir:~/Maildir".to_owned())
        }
    };
    let root = "  quota = maildir:User quota\n";
    let plugin = match &options.quota {
        DovecotQuota::Off => String::new(),
        DovecotQuota::FromMaildirSize => root.to_owned(),
        DovecotQuota::Rule(rule) => format!("{root}  quota_rule = {rule}\n"),
    };
    let (mail_plugins, imap_plugins) = if plugin.is_empty() { ("", "") } else { ("quota", "imap_quota") };
    let values = [
        ("UID", uid.as_str()),
        ("GID", &gid),
        ("LOCATION", &location),
        ("AUTH", &auth),
        ("MAIL_PLUGINS", mail_plugins),
        ("IMAP_PLUGINS", imap_plugins),
        ("PLUGIN", &plugin),
        ("IMAP_PORT", &port.to_string()),
        ("EXTRA", &options.extra.join("\n")),
    ];
    instance.render("dovecot.conf", include_str!("../../peers/dovecot/dovecot.conf"), &values)
}

/// Dovecot's passwd-file: `name:password:uid:gid:gecos:home:shell:extra fields`.
fn password_file(users: &[MailUser], uid: &str, gid: &str, home: &str) -> String {
    let lines = users.iter().map(|MailUser { address, password, maildir }| {
        let home = home.replace("%u", address);
        let maildir = maildir.display();
        format!(
            "{address}:{{PLAIN}}{password}:{uid}:{gid}::{home}::userdb_mail=maildir:{maildir}:INDEX={home}/index\n"
        )
    });
    lines.collect()
}
