//! `pigeon serve` and `pigeon lmtp --stdio`: taking mail until told to stop.

mod presence;

use std::ffi::CString;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid};
use pigeon_backends::mailstore::maildir::Owner;
use pigeon_frontends::lmtp::{self, Deliver, LmtpServer, Reception};
use pigeon_frontends::managesieve::ManageSieveServer;
use pigeon_frontends::stop::{Stopper, Stopping};
use pigeon_frontends::systemd;
use tokio::signal::unix::{SignalKind, signal};

use self::presence::Presence;
use super::Global;
use crate::config::{Config, Lmtp};
use crate::log;
use crate::wiring::{self, Mode, Site};

/// Serves all listeners of the configuration until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration is wrong or something that it names cannot be opened.
pub async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let config = Config::load(global.config.as_deref())?;
    if config.lmtp.is_empty() && config.managesieve.is_empty() {
        bail!(
            "there is no listener: add a [[lmtp]] section with listen = \"unix:/path\" to the configuration"
        );
    }
    let _log = log::start(&config.log);
    let stopper = Stopper::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let owner = wiring::owner(&config)?;
    let site = Arc::new(Site::open(config, Mode::Server)?);
    let (servers, presence) = open_listeners(&site)?;
    // The sockets are open: from here on nothing needs the rights of root.
    owner.map_or(Ok(()), become_user)?;
    let present = tokio::spawn(presence.keep(stopper.stopping()));
    let serving = tokio::spawn(serve(Arc::clone(&site), servers, stopper.stopping()));
    systemd::ready();
    tracing::info!("pigeon {} takes mail", env!("CARGO_PKG_VERSION"));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = systemd::keep_watchdog() => {}
    }
    systemd::stopping();
    tracing::info!("stopping: deliveries under way are finished");
    stopper.stop();
    serving.await.context("the server broke")?;
    if let Err(error) = present.await {
        tracing::error!("the heartbeats broke: {error}");
    }
    site.finish().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Serves the listeners of a site that is open already, until it is time to stop.
///
/// # Errors
/// When a listener cannot be opened.
pub async fn listen(site: Arc<Site>, stopping: Stopping) -> anyhow::Result<()> {
    let (servers, _) = open_listeners(&site)?;
    serve(site, servers, stopping).await;
    Ok(())
}

/// Speaks LMTP on standard input and output, until the client quits.
///
/// # Errors
/// When the configuration is wrong or something that it names cannot be opened.
pub async fn run_stdio(global: &Global) -> anyhow::Result<ExitCode> {
    let config = Config::load(global.config.as_deref())?;
    let owner = wiring::owner(&config)?;
    let listener = config.lmtp.first().cloned().unwrap_or_else(|| Lmtp::new("unix:/"));
    let site = Site::open(config, Mode::OneShot)?;
    owner.filter(|_| geteuid().is_root()).map_or(Ok(()), become_user)?;
    let is_trusted = listener.trusted.iter().any(|network| network == "local");
    lmtp::serve_stdio(reception(&site, &listener), is_trusted, Stopping::never()).await;
    site.finish().await;
    Ok(ExitCode::SUCCESS)
}

/// What listens.
struct Servers {
    lmtp: Vec<LmtpServer>,
    managesieve: Vec<ManageSieveServer>,
}

async fn serve(site: Arc<Site>, servers: Servers, stopping: Stopping) {
    let mut quiet = stopping.clone();
    let outbox = site.outbox.clone();
    let sending = tokio::spawn(async move { outbox.run(quiet.wait()).await });
    let mail = join_all(servers.lmtp.into_iter().map(|server| server.serve(stopping.clone())));
    let scripts = join_all(servers.managesieve.into_iter().map(|server| server.serve(stopping.clone())));
    tokio::join!(mail, scripts);
    if let Err(error) = sending.await {
        tracing::error!("the outbox broke: {error}; its entries are sent after the next start");
    }
}

/// One server for each listener: each has limits of its own. With them what tells how they do.
fn open_listeners(site: &Arc<Site>) -> anyhow::Result<(Servers, Presence)> {
    let mut inherited = systemd::inherited_sockets().context("the sockets of systemd cannot be taken")?;
    let (mut lmtp, mut receptions, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for listener in &site.config.lmtp {
        let reception = reception(site, listener);
        receptions.push(Arc::clone(&reception));
        let server = LmtpServer::bind(reception, vec![listener.listener()?], &mut inherited)?;
        addresses.extend(server.addresses().iter().map(ToString::to_string));
        lmtp.push(server);
    }
    let (mut managesieve, authenticator) = (Vec::new(), site.authenticator());
    for listener in &site.config.managesieve {
        let server = Arc::new(site.managesieve(listener, Arc::clone(&authenticator))?);
        managesieve.push(ManageSieveServer::bind(server, listener.address()?, &mut inherited)?);
    }
    Ok((Servers { lmtp, managesieve }, Presence::new(Arc::clone(site), receptions, addresses)))
}

fn reception(site: &Site, listener: &Lmtp) -> Arc<Reception> {
    let tools = site.catalogue.tools();
    let deliver = Arc::clone(&site.agent) as Arc<dyn Deliver>;
    let (clock, hostname) = (Arc::clone(&tools.clock), Arc::clone(&tools.hostname));
    Arc::new(Reception::new(deliver, Arc::clone(&site.spool), clock, hostname, listener.limits()))
}

/// Gives the rights of root up for good, on all threads.
pub(super) fn become_user(owner: Owner) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    if !geteuid().is_root() || uid.is_root() {
        return Ok(());
    }
    // With all groups of the user: sockets of scanners and databases may be open to one of them only.
    let name = User::from_uid(uid).ok().flatten().and_then(|user| CString::new(user.name).ok());
    let join = || name.as_deref().map_or_else(|| setgroups(&[gid]), |name| initgroups(name, gid));
    let change = || join().and_then(|()| setresgid(gid, gid, gid)).and_then(|()| setresuid(uid, uid, uid));
    change().with_context(|| format!("cannot become the mail user (uid {uid}, gid {gid})"))
}
