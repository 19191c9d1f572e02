//! Everything put together, in one place: from the configuration to an agent that delivers.

mod people;

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pigeon_backends::blocking::Blocking;
use pigeon_backends::directory::kept::KeptLookups;
use pigeon_backends::directory::ldap::LdapDirectory;
use pigeon_backends::directory::sql::{SqlDirectory, SqlOptions};
use pigeon_backends::directory::sqlite::SqliteDirectory;
use pigeon_backends::handover::LmtpHandOver;
use pigeon_backends::mailstore::maildir::{self, Maildir, MaildirOptions, Owner, SyncMode};
use pigeon_backends::outbox::{Outbox, OutboxConfig, OutboxStore, Which};
use pigeon_backends::spool::DiskSpool;
use pigeon_backends::sql::SqlUrl;
use pigeon_backends::state::nodes::Nodes;
use pigeon_backends::state::sql::SqlState;
use pigeon_backends::state::sqlite::SqliteState;
use pigeon_backends::state::{self, NodeState, StateOptions};
use pigeon_core::agent::Agent;
use pigeon_core::clock::Clock;
use pigeon_core::delivery::Ports;
use pigeon_core::plan::CORE_GROUPS;
use pigeon_core::planner::{KEPT_ADDRESSES, Planner};
use pigeon_core::ports::directory::{Administration, Directory};
use pigeon_core::ports::handover::{Alone, HandOver};
use pigeon_core::ports::mailstore::MailStore;
use pigeon_core::ports::spool::Spool;
use pigeon_core::ports::state::State;
use pigeon_core::service::{Catalogue, Descriptor, Tools};
use pigeon_services::catalogue::SERVICES;

use crate::clock::SystemClock;
use crate::config::{Config, DirectoryUrl, FolderNames, Sync};
use crate::posts::Posts;

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Takes mail until it is stopped.
    Server,
    /// Runs one command of administration.
    Command,
    /// Delivers the messages of one client and exits: nothing is opened before it is needed.
    OneShot,
}

impl Mode {
    const fn of_state(self) -> state::Mode {
        match self {
            Self::Server => state::Mode::Server,
            Self::Command | Self::OneShot => state::Mode::OneShot,
        }
    }

    const fn blocking(self) -> Blocking {
        self.of_state().blocking()
    }
}

/// A node, put together.
pub struct Site {
    /// How it was started.
    pub config: Config,
    /// The services and groups of settings.
    pub catalogue: Arc<Catalogue>,
    /// The control data.
    pub directory: Arc<dyn Administration>,
    /// What deliveries make.
    pub state: Arc<dyn NodeState>,
    /// The mailboxes.
    pub mailstore: Arc<dyn MailStore>,
    /// Large messages under way.
    pub spool: Arc<dyn Spool>,
    /// Sends redirects and answers.
    pub outbox: Outbox,
    /// Delivers.
    pub agent: Arc<Agent>,
    mode: Mode,
}

impl Site {
    /// Opens everything that the configuration names.
    ///
    /// # Errors
    /// What cannot be opened, and what to do.
    pub fn open(config: Config, mode: Mode) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let catalogue = Arc::new(catalogue(&config, &clock));
        let directory = open_directory(config.directory_url()?, &catalogue, mode)?;
        let owner = owner(&config)?;
        if mode == Mode::Server && config.shared_state_url()?.is_some() {
            // What nodes share is in the database: a new one begins with nothing of its own.
            for own in [&config.state, &config.state.join("spool")] {
                make_directory(own, owner)?;
            }
        }
        let lookups = Arc::clone(&directory) as Arc<dyn Directory>;
        let Delivering { state, mailstore, spool, outbox, agent } =
            Delivering::open(&config, mode, owner, &catalogue, lookups)?;
        Ok(Self { config, catalogue, directory, state, mailstore, spool, outbox, agent, mode })
    }

    /// Ends what is under way: receipts are kept, and a process that does not stay hands over what it released.
    pub async fn finish(&self) {
        if self.mode == Mode::OneShot {
            hand_over(&*self.state, &self.outbox).await;
        }
        if self.mode == Mode::Server {
            self.state.finish().await;
        }
    }
}

/// What delivers, without the rights to change the directory.
struct Delivering {
    state: Arc<dyn NodeState>,
    mailstore: Arc<dyn MailStore>,
    spool: Arc<dyn Spool>,
    outbox: Outbox,
    agent: Arc<Agent>,
}

impl Delivering {
    fn open(
        config: &Config,
        mode: Mode,
        owner: Option<Owner>,
        catalogue: &Arc<Catalogue>,
        lookups: Arc<dyn Directory>,
    ) -> anyhow::Result<Self> {
        let clock = Arc::clone(&catalogue.tools().clock);
        let options = StateOptions::new(&config.state, Arc::clone(&clock))
            .with_mode(mode.of_state())
            .with_node(&config.node_name());
        let state: Arc<dyn NodeState> = match config.shared_state_url()? {
            Some(url) => Arc::new(SqlState::open(options, &url)?),
            None => Arc::new(SqliteState::open(options)?),
        };
        let mailstore: Arc<dyn MailStore> = Arc::new(open_mailstore(config, mode, owner)?);
        let outbox_config = OutboxConfig { submit: config.outbox.submit.clone(), hello: config.hostname() };
        let outbox = Outbox::new(Arc::clone(&state) as Arc<dyn OutboxStore>, &outbox_config)?;
        let spool = Arc::clone(&catalogue.tools().spool);
        let capacity = if mode == Mode::Server { KEPT_ADDRESSES } else { 100 };
        let planner = Planner::with_capacity(lookups, Arc::clone(catalogue), capacity);
        let ports = Ports {
            state: Arc::clone(&state) as Arc<dyn State>,
            mailstore: Arc::clone(&mailstore),
            hand_over: hand_over_port(config, &state, &clock)?,
            clock: Arc::clone(&clock),
        };
        let agent = Arc::new(Agent::new(planner, ports));
        let outbox = outbox.with_web(Arc::new(Posts::new(Arc::clone(&agent), clock)));
        Ok(Self { state, mailstore, spool, outbox, agent })
    }
}

/// What delivers one message, put together: the least that this takes, for every delivery waits for it.
pub struct OneShot {
    /// Delivers.
    pub agent: Arc<Agent>,
    /// Large messages under way.
    pub spool: Arc<dyn Spool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    state: Arc<dyn NodeState>,
    outbox: Outbox,
}

impl OneShot {
    /// Opens what the configuration names, as the user that the mail belongs to.
    ///
    /// # Errors
    /// What cannot be opened, and what to do.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let catalogue = Arc::new(catalogue(config, &clock));
        let lookups: Arc<dyn Directory> = match config.directory_url()? {
            DirectoryUrl::Sqlite(path) => {
                Arc::new(KeptLookups::new(&path, &config.state, Arc::clone(&catalogue)))
            }
            DirectoryUrl::Sql(url) => Arc::new(open_sql_directory(*url, &catalogue, Mode::OneShot)?),
            DirectoryUrl::Ldap(options) => Arc::new(LdapDirectory::open(*options, Arc::clone(&catalogue))?),
        };
        let Delivering { state, spool, outbox, agent, .. } =
            Delivering::open(config, Mode::OneShot, None, &catalogue, lookups)?;
        Ok(Self { agent, spool, clock, state, outbox })
    }

    /// Whether something is to leave: it is handed over by [`finish`](Self::finish).
    #[must_use]
    pub fn has_released(&self) -> bool {
        self.state.has_released()
    }

    /// Hands over what the delivery released.
    pub async fn finish(&self) {
        hand_over(&*self.state, &self.outbox).await;
    }
}

async fn hand_over(state: &dyn NodeState, outbox: &Outbox) {
    if state.has_released()
        && let Err(error) = outbox.flush_once(Which::Due).await
    {
        // What is not handed over now is taken up by the server, or by the next delivery.
        tracing::warn!("{error}; the outbox waits for the next process");
    }
}

/// Nodes that share a State know of one another; without one there is nobody to hand mail over to.
fn hand_over_port(
    config: &Config,
    state: &Arc<dyn NodeState>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn HandOver>> {
    let name = config.node_name();
    if config.shared_state_url()?.is_none() {
        return Ok(Arc::new(Alone { name }));
    }
    let nodes = Arc::clone(state) as Arc<dyn Nodes>;
    Ok(Arc::new(LmtpHandOver::new(name, config.hostname(), nodes, Arc::clone(clock))))
}

/// The directory at a URL.
///
/// # Errors
/// There is none, or the URL makes no sense.
pub fn open_directory(
    url: DirectoryUrl,
    catalogue: &Arc<Catalogue>,
    mode: Mode,
) -> anyhow::Result<Arc<dyn Administration>> {
    Ok(match url {
        DirectoryUrl::Sqlite(path) => {
            Arc::new(SqliteDirectory::open(&path, Arc::clone(catalogue), mode.blocking())?)
        }
        DirectoryUrl::Sql(url) => Arc::new(open_sql_directory(*url, catalogue, mode)?),
        DirectoryUrl::Ldap(options) => Arc::new(LdapDirectory::open(*options, Arc::clone(catalogue))?),
    })
}

/// Only a server asks often enough what changed for the database to tell it by itself.
fn open_sql_directory(url: SqlUrl, catalogue: &Arc<Catalogue>, mode: Mode) -> anyhow::Result<SqlDirectory> {
    let options = match mode {
        Mode::Server => SqlOptions::default(),
        Mode::Command | Mode::OneShot => {
            SqlOptions { connections: 2, is_listening: false, ..SqlOptions::default() }
        }
    };
    Ok(SqlDirectory::open(url, Arc::clone(catalogue), options)?)
}

/// The services and groups of settings of this program.
#[must_use]
pub fn catalogue(config: &Config, clock: &Arc<dyn Clock>) -> Catalogue {
    let spool = Arc::new(spool(config));
    let tools = Tools { clock: Arc::clone(clock), hostname: config.hostname().into(), spool };
    Catalogue::new(SERVICES, tools)
}

/// Every group of settings and every service, in the order of the catalogue.
#[must_use]
pub fn descriptors() -> Vec<Descriptor> {
    CORE_GROUPS.iter().chain(SERVICES).copied().collect()
}

fn spool(config: &Config) -> DiskSpool {
    DiskSpool::new(config.state.join("spool"), config.mail.spool_threshold)
}

/// How the names of folders are written in the file system.
#[must_use]
pub fn folder_names(config: &Config) -> maildir::FolderNames {
    match config.mail.folder_names {
        FolderNames::ModifiedUtf7 => maildir::FolderNames::ModifiedUtf7,
        FolderNames::Utf8 => maildir::FolderNames::Utf8,
    }
}

fn open_mailstore(config: &Config, mode: Mode, owner: Option<Owner>) -> anyhow::Result<Maildir> {
    let options = MaildirOptions {
        hostname: Some(config.hostname()),
        owner,
        sync: match config.mail.sync {
            Sync::Automatic => SyncMode::Automatic,
            Sync::Each => SyncMode::Each,
        },
        folder_names: folder_names(config),
        capacity: if mode == Mode::Server { MaildirOptions::default().capacity } else { 64 },
        ..MaildirOptions::default()
    };
    Ok(Maildir::open(config.mail.root.clone(), &options, mode.blocking())?)
}

/// The user and group that own all mail, where the configuration names them.
///
/// # Errors
/// When there is no user or group of that name.
pub fn owner(config: &Config) -> anyhow::Result<Option<Owner>> {
    let Some(name) = &config.mail.user else { return Ok(None) };
    let Some(user) = nix::unistd::User::from_name(name)? else {
        bail!("mail.user {name:?} is no user of this system: make one, or name another in pigeondeliver.toml")
    };
    let gid = match &config.mail.group {
        None => user.gid,
        Some(group) => match nix::unistd::Group::from_name(group)? {
            Some(group) => group.gid,
            None => bail!("mail.group {group:?} is no group of this system"),
        },
    };
    Ok(Some(Owner { uid: user.uid.as_raw(), gid: gid.as_raw() }))
}

/// Makes the directory, the State and the mail root, all empty. In a database that nodes share, what other nodes made
/// stays as it is.
///
/// # Errors
/// When one of them exists in another form, or cannot be made.
pub async fn create(config: &Config) -> anyhow::Result<()> {
    let owner = owner(config)?;
    for directory in [&config.state, &config.state.join("spool"), &config.mail.root] {
        make_directory(directory, owner)?;
    }
    create_directory(&config.directory_url()?, owner).await?;
    match config.shared_state_url()? {
        Some(url) => Ok(SqlState::create(&url).await?),
        None => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
            SqliteState::open(StateOptions::new(&config.state, clock))?.close();
            files_of(&config.state)?.iter().try_for_each(|file| give(file, owner))
        }
    }
}

/// Makes the directory at a URL, empty, or brings the one that is there to the current schema. A file is given to
/// `owner`.
///
/// # Errors
/// When there is something else, or it cannot be made.
pub async fn create_directory(url: &DirectoryUrl, owner: Option<Owner>) -> anyhow::Result<()> {
    match url {
        DirectoryUrl::Sqlite(path) => {
            make_directory(path.parent().unwrap_or(Path::new("/")), owner)?;
            SqliteDirectory::create(path)?;
            for suffix in ["", "-wal", "-shm"] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                let file = Path::new(&file);
                if file.exists() {
                    give(file, owner)?;
                }
            }
            Ok(())
        }
        DirectoryUrl::Sql(url) => Ok(SqlDirectory::create(url).await?),
        DirectoryUrl::Ldap(options) => Ok(LdapDirectory::create(options).await?),
    }
}

fn make_directory(path: &Path, owner: Option<Owner>) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let cannot = || format!("the directory {} cannot be made", path.display());
    DirBuilder::new().recursive(true).mode(0o750).create(path).with_context(cannot)?;
    give(path, owner)
}

fn files_of(directory: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
    let is_ours = |path: &std::path::PathBuf| path.to_string_lossy().contains(".sqlite");
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_ours).collect())
}

fn give(path: &Path, owner: Option<Owner>) -> anyhow::Result<()> {
    let Some(owner) = owner.filter(|_| nix::unistd::geteuid().is_root()) else { return Ok(()) };
    chown(path, Some(owner.uid), Some(owner.gid))
        .with_context(|| format!("{} cannot be given to the mail user", path.display()))
}
