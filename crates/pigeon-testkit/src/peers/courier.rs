//! Courier IMAP: the other reader of Maildirs, and the author of Maildir++.

use std::path::Path;

use super::instance::Instance;
use super::port::Port;
use super::{ImapClient, MailUser, PeerFault};

/// How a Courier IMAP server is set up.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// The people and their Maildirs.
    pub users: Vec<MailUser>,
    /// The owner of the mail; not root.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// The quota of every Maildir as its `maildirsize` writes it, such as `1000000S,100C`; none says nothing.
    pub quota: Option<String>,
}

impl CourierOptions {
    /// Mail that belongs to user and group `mail` (8), without quotas.
    #[must_use]
    pub fn new(users: Vec<MailUser>) -> Self {
        Self { users, uid: 8, gid: 8, quota: None }
    }
}

/// A running Courier IMAP server with its password daemon.
#[derive(Debug)]
pub struct Courier {
    instance: Instance,
    port: Port,
}

impl Courier {
    /// Starts it and waits for its greeting.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &CourierOptions) -> Result<Self, PeerFault> {
        let mut instance = Instance::prepare("courier")?;
        let port = Port::free()?;
        instance.render("users.sql", &users_sql(options), &[])?;
        instance.render("authdaemonrc", include_str!("../../peers/courier/authdaemonrc"), &[])?;
        instance.render("authsqliterc", include_str!("../../peers/courier/authsqliterc"), &[])?;
        instance.render("setup.sh", include_str!("../../peers/courier/setup.sh"), &[])?;
        instance.render("run.sh", include_str!("../../peers/courier/run.sh"), &[])?;
        let script = instance.path().join("run.sh");
        instance.start(&["sh", &script.to_string_lossy(), &port.number().to_string()])?;
        instance.wait_for_greeting(|| ImapClient::connect(port.number()))?;
        Ok(Self { instance, port })
    }

    /// The port of 127.0.0.1 on which it takes IMAP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Logs in. A wrong password takes 5 seconds.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses.
    pub fn login(&self, name: &str, password: &str) -> anyhow::Result<ImapClient> {
        ImapClient::login(self.port(), name, password)
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.instance.output()
    }
}

fn users_sql(options: &CourierOptions) -> String {
    let table = "CREATE TABLE users (address TEXT, password TEXT, uid INT, gid INT, home TEXT, maildir TEXT, \
                 quota TEXT);\n";
    let rows = options.users.iter().map(|user| {
        let home = user.maildir.parent().unwrap_or(Path::new("/"));
        let texts = [
            user.address.as_str(),
            &user.password,
            &home.to_string_lossy(),
            &user.maildir.to_string_lossy(),
            options.quota.as_deref().unwrap_or_default(),
        ];
        let [address, password, home, maildir, quota] = texts.map(sql_text);
        let (uid, gid) = (options.uid, options.gid);
        format!(
            "INSERT INTO users VALUES ({address}, {password}, {uid}, {gid}, {home}, {maildir}, {quota});\n"
        )
    });
    std::iter::once(table.to_owned()).chain(rows).collect()
}

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
