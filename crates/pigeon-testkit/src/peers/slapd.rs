//! `OpenLDAP`'s slapd 2.5: a directory for many nodes, alone or with consumers that follow it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow};
use rustix::process::{Signal, getegid, geteuid};

use super::certificate::{self, AUTHORITY, CERTIFICATE, KEY, PeerTls};
use super::port::Port;
use super::server::{Server, answer, feed};
use super::{PATIENCE, PeerFault, text_of};

const SERVER: &str = "/usr/sbin/slapd";
/// An anonymous bind (RFC 4511 §4.2), message 1, version 3.
const BIND: [u8; 14] = [0x30, 0x0c, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
/// The first byte of every LDAP message.
const SEQUENCE: u8 = 0x30;

/// How a slapd is set up.
#[derive(Debug, Clone)]
pub struct SlapdOptions {
    /// Schema files beside core, cosine, inetorgperson and nis: `.schema` as slapd.conf includes them, or `.ldif` with
    /// entries below `cn=schema,cn=config`.
    pub schemas: Vec<PathBuf>,
    /// The base of the tree; its entry is there from the start.
    pub base: String,
    /// Who may do everything, in the tree and in `cn=config`.
    pub root_dn: String,
    /// The root DN's password.
    pub password: String,
    /// `StartTLS` on the LDAP port, and a port for LDAPS; none by default.
    pub tls: Option<PeerTls>,
    /// Indexes such as `mail eq`.
    pub indexes: Vec<String>,
    /// Lines for the database's section of slapd.conf, such as access rules, which come before the usual ones. They
    /// know no attributes of `.ldif` schemas.
    pub settings: Vec<String>,
}

impl Default for SlapdOptions {
    fn default() -> Self {
        Self {
            schemas: Vec::new(),
            base: "dc=example,dc=org".to_owned(),
            root_dn: "cn=admin,dc=example,dc=org".to_owned(),
            password: "secret".to_owned(),
            tls: None,
            indexes: Vec::new(),
            settings: Vec::new(),
        }
    }
}

/// A running slapd. Over its Unix socket, the user who runs the tests is the root DN (SASL EXTERNAL).
#[derive(Debug)]
pub struct Slapd {
    server: Server,
    port: Port,
    tls_port: Option<Port>,
    options: SlapdOptions,
}

impl Slapd {
    /// Starts it, waits until it answers and makes the base entry.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] if it cannot run here.
    pub fn start(options: &SlapdOptions) -> Result<Self, PeerFault> {
        let slapd = Self::start_as(options, "")?;
        slapd.modify(&base_entry(&options.base)?)?;
        Ok(slapd)
    }

    /// A consumer that follows this server (syncrepl, refresh and persist) and refers writers to it.
    ///
    /// # Errors
    ///
    /// Fails if the consumer does not start.
    pub fn consumer(&self) -> Result<Self, PeerFault> {
        self.consumer_through(self.port())
    }

    /// The same, reaching this server through another port of 127.0.0.1, that of a [`super::Link`].
    ///
    /// # Errors
    ///
    /// Fails if the consumer does not start.
    pub fn consumer_through(&self, port: u16) -> Result<Self, PeerFault> {
        let SlapdOptions { base, root_dn, password, .. } = &self.options;
        let tls = match self.authority() {
            Some(path) => format!(" starttls=critical tls_cacert={} tls_reqcert=demand", path.display()),
            None => String::new(),
        };
        let follow = format!(
            "syncrepl rid=001 provider=ldap://127.0.0.1:{port} type=refreshAndPersist retry=\"1 +\" \
             searchbase=\"{base}\" bindmethod=simple binddn=\"{root_dn}\" credentials=\"{password}\" \
             network-timeout=5 keepalive=5:2:1{tls}\nupdateref {}\n",
            self.url()
        );
        Self::start_as(&self.options, &follow)
    }

    fn start_as(options: &SlapdOptions, consumer: &str) -> Result<Self, PeerFault> {
        let server = Server::prepare("slapd", SERVER)?;
        let port = Port::free()?;
        let tls_port = options.tls.as_ref().map(|_| Port::free()).transpose()?;
        for directory in ["data", "slapd.d", "socket", "schema"] {
            server.make_directory(directory, 0o755)?;
        }
        // Where the machine has its own slapd, client settings of the machine do not count either.
        server.write("ldap.conf", if options.tls.is_some() { "TLS_CACERT @DIR@/ca.pem\n" } else { "" })?;
        let slapd = Self { server, port, tls_port, options: options.clone() };
        slapd.configure(consumer)?;
        slapd.launch()?;
        Ok(slapd)
    }

    /// Makes `cn=config` from slapd.conf, schemas in LDIF and the indexes.
    fn configure(&self, consumer: &str) -> Result<(), PeerFault> {
        let (server, options) = (&self.server, &self.options);
        let (mut includes, mut ldifs) = (String::new(), Vec::new());
        for (number, schema) in options.schemas.iter().enumerate() {
            let text =
                fs::read_to_string(schema).with_context(|| format!("cannot read {}", schema.display()))?;
            let kind = schema.extension().unwrap_or_default().to_string_lossy();
            let copy = server.write(&format!("schema/{number}.{kind}"), &text)?.display().to_string();
            match &*kind {
                "schema" => includes.extend(["include ", &copy, "\n"]),
                "ldif" => ldifs.push(copy),
                _ => return Err(anyhow!("{} is neither .schema nor .ldif", schema.display()).into()),
            }
        }
        let mut tls = String::new();
        if let Some(offered) = &options.tls {
            certificate::write(server, offered)?;
            let required = if offered.is_required { "security ssf=64\n" } else { "" };
            tls = format!(
                "TLSCACertificateFile @DIR@/{AUTHORITY}\nTLSCertificateFile @DIR@/{CERTIFICATE}\n\
                 TLSCertificateKeyFile @DIR@/{KEY}\n{required}"
            );
        }
        let settings = include_str!("../../peers/slapd/slapd.conf")
            .replace("@SCHEMAS@", &includes)
            .replace("@UID@", &geteuid().as_raw().to_string())
            .replace("@GID@", &getegid().as_raw().to_string())
            .replace("@TLS@", &tls)
            .replace("@SETTINGS@", &options.settings.join("\n"))
            .replace("@BASE@", &options.base)
            .replace("@ROOT_DN@", &options.root_dn)
            .replace("@PASSWORD@", &options.password)
            .replace("@CONSUMER@", consumer);
        let file = server.write("slapd.conf", &settings)?.display().to_string();
        let directory = server.file("slapd.d");
        // An empty database first: slaptest opens it, but makes none.
        server.run(&["/usr/sbin/slapadd", "-n", "1", "-f", &file], "")?;
        server.run(&["/usr/sbin/slaptest", "-f", &file, "-F", &directory], "")?;
        for ldif in &ldifs {
            server.run(&["/usr/sbin/slapadd", "-n", "0", "-F", &directory, "-l", ldif], "")?;
        }
        let indexes: String = options.indexes.iter().map(|index| format!("olcDbIndex: {index}\n")).collect();
        if !indexes.is_empty() {
            let change =
                format!("dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nadd: olcDbIndex\n{indexes}");
            server.run(&["/usr/sbin/slapmodify", "-n", "0", "-F", &directory], &change)?;
        }
        Ok(())
    }

    fn launch(&self) -> Result<(), PeerFault> {
        let mut urls = format!("{} {}", self.url(), self.socket_url());
        if let Some(url) = self.tls_url() {
            urls = format!("{urls} {url}");
        }
        let directory = self.server.file("slapd.d");
        // It makes room for as many connections as it may have files, and some machines allow a thousand million.
        let limited = ["prlimit", "--nofile=4096:4096", SERVER];
        self.server.start(&[&limited[..], &["-d", "stats", "-F", &directory, "-h", &urls]].concat())?;
        self.server.wait_until_ready(|| self.binds().is_ok_and(|byte| byte == SEQUENCE))
    }

    /// The first byte of the answer to an anonymous bind.
    fn binds(&self) -> std::io::Result<u8> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&BIND)?;
        let mut first = [0; 1];
        stream.read_exact(&mut first)?;
        let [first] = first;
        Ok(first)
    }

    /// The port of 127.0.0.1 for LDAP and `StartTLS`; the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port of 127.0.0.1 for LDAPS, if it has TLS.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port.as_ref().map(Port::number)
    }

    /// `ldap://127.0.0.1:…`
    #[must_use]
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// The same through another port of 127.0.0.1, that of a [`super::Link`].
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        format!("ldap://127.0.0.1:{port}")
    }

    /// `ldaps://127.0.0.1:…`, if it has TLS.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port().map(|port| format!("ldaps://127.0.0.1:{port}"))
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.path().join("socket/ldapi")
    }

    /// `ldapi://…` of the Unix socket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("ldapi://{}", self.socket().display().to_string().replace('/', "%2F"))
    }

    /// How it was set up: base, root DN, password.
    #[must_use]
    pub fn options(&self) -> &SlapdOptions {
        &self.options
    }

    /// The certificate of the authority that signed the server's, if it has TLS.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.options.tls.as_ref().map(|_| self.server.path().join(AUTHORITY))
    }

    /// Its private directory: slapd.conf, slapd.d, data, `output.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.path()
    }

    /// Its log so far: every operation with its result.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.server.path().join("output.log"))
    }

    /// A client program of the same packages, such as `ldapwhoami`, ready for its arguments; it trusts this server's
    /// authority, and settings of the machine do not count.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut client = self.server.client(&format!("/usr/bin/{name}"));
        client.env("LDAPCONF", self.server.path().join("ldap.conf"));
        client
    }

    /// The same, as the root DN over the Unix socket.
    fn administration(&self, name: &str) -> Command {
        let mut client = self.client(name);
        client.args(["-Q", "-Y", "EXTERNAL", "-H", &self.socket_url()]);
        client
    }

    /// Applies LDIF as the root DN, in the tree or in `cn=config`: entries without `changetype` are added. It waits as
    /// long as the server lets it.
    ///
    /// # Errors
    ///
    /// Fails at the first change that does, with the server's complaint.
    pub fn modify(&self, ldif: &str) -> anyhow::Result<()> {
        let mut client = self.administration("ldapmodify");
        client.arg("-a");
        answer(&feed(client, ldif)?).map(drop).with_context(|| format!("ldapmodify: {ldif}"))
    }

    /// What the root DN finds below `base`, as LDIF without comments and with long lines whole; empty for nothing.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses or the base is not there.
    pub fn search(&self, base: &str, filter: &str, attributes: &[&str]) -> anyhow::Result<String> {
        let mut client = self.administration("ldapsearch");
        client.args(["-LLL", "-o", "ldif-wrap=no", "-b", base, filter]).args(attributes);
        answer(&client.output()?).with_context(|| format!("ldapsearch: {base} {filter}"))
    }

    /// Ends it in order.
    ///
    /// # Errors
    ///
    /// Fails if it does not run or does not end.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// Kills it at once, as a crash would; what was written is there after [`Self::restart`].
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Stops it where it stands: connections stay open or are taken, and nothing answers.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.server.pause()
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.resume()
    }

    /// Starts it again on the same ports and data, after ending it if it runs.
    ///
    /// # Errors
    ///
    /// Fails if it does not end or does not start.
    pub fn restart(&self) -> Result<(), PeerFault> {
        if self.server.is_running() {
            self.stop()?;
        }
        self.launch()
    }
}

/// The entry of the base itself, as LDIF.
fn base_entry(base: &str) -> anyhow::Result<String> {
    let (attribute, value) = base
        .split(',')
        .next()
        .and_then(|part| part.split_once('='))
        .with_context(|| format!("{base} is no distinguished name"))?;
    let class = match attribute {
        "dc" => "domain",
        "o" => "organization",
        "ou" => "organizationalUnit",
        _ => return Err(anyhow!("{base} begins with neither dc, o nor ou")),
    };
    Ok(format!("dn: {base}\nobjectClass: {class}\n{attribute}: {value}\n"))
}
