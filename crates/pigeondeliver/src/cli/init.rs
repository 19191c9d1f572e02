//! `pigeon init`: a configuration, an empty directory, and what to do next.

pub(crate) mod template;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use pigeon_core::address::Address;
use pigeon_core::directory::{Change, Place};
use pigeon_core::setting::{Content, Pin, SettingName};
use serde_json::{Value, json};

use super::Global;
use super::output::Output;
use super::parse;
use super::session::system_actor;
use crate::config::{Config, DirectoryUrl, Lmtp};
use crate::show::describe_change;
use crate::wiring::{self, Mode, Site};

/// Services that are switched on for everyone: what people expect of mail.
const ENABLED: [&str; 3] = ["quota", "subaddress", "mailbox"];
/// Users that may own the mail, where nobody names one and the first of them exists.
const MAIL_USERS: [&str; 2] = ["vmail", "mail"];

/// Arguments of `pigeon init`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Where there is a configuration already, it is left as it is, and the directory that it names is made.

Examples:
  pigeon init --domain example.org                           on a mail server, as root
  pigeon init --dir ./trial --domain example.org --admin ann@example.org
  pigeon --config ./trial/pigeondeliver.toml serve")]
pub struct InitArgs {
    /// Keep everything below this directory, the configuration too [default: /etc, /var and /run]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// The first domain
    #[arg(long, value_name = "NAME", value_parser = parse::domain)]
    pub domain: Option<String>,
    /// An account that may administer everything; it is made, and its domain too
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<Address>,
    /// The user that owns all mail [default as root: vmail or mail, whichever there is]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// Runs `pigeon init`.
pub(super) async fn run(global: &Global, args: InitArgs) -> anyhow::Result<()> {
    let out = Output::new(global.json);
    let dir = args.dir.as_deref().map(std::path::absolute).transpose().context("--dir is no path")?;
    let named = global.config.clone().or_else(|| dir.as_ref().map(|dir| dir.join("pigeondeliver.toml")));
    let path = Config::path(named.as_deref());
    let mut done = Vec::new();
    let config = if path.exists() {
        if args.user.is_some() || dir.is_some() {
            bail!("{} exists already: leave out --dir and --user, or remove it", path.display());
        }
        Config::load(Some(&path))?
    } else {
        let config = fresh(dir.as_deref(), args.user.as_deref());
        write(&path, &config)?;
        done.push(format!("wrote the configuration {}", path.display()));
        config
    };
    done.extend(make(&config, &args).await?);
    let next = next_steps(&path, &config, &args);
    out.print(&json!({ "config": path, "done": done, "next": next }), |to| {
        done.iter().try_for_each(|line| writeln!(to, "{line}"))?;
        writeln!(to, "\nWhat to do next:")?;
        next.iter().try_for_each(|line| writeln!(to, "  {line}"))
    })
}

/// Makes what the configuration names; returns what was done.
async fn make(config: &Config, args: &InitArgs) -> anyhow::Result<Vec<String>> {
    let place = match config.directory_url()? {
        DirectoryUrl::Sqlite(database) if database.exists() => {
            bail!("the directory {} exists already: there is nothing to make", database.display());
        }
        DirectoryUrl::Sqlite(database) => database.display().to_string(),
        DirectoryUrl::Sql(url) => url.to_string(),
        DirectoryUrl::Ldap(options) => options.place().to_owned(),
    };
    wiring::create(config).await?;
    let site = Site::open(config.clone(), Mode::Command)?;
    if site.directory.feed(0).await?.seq > 0 {
        let name = config.node_name();
        return Ok(vec![format!("{name} joins the directory {place}, in which nothing was changed")]);
    }
    let mut done = vec![format!("made the empty directory {place}")];
    done.extend(seed(&site, args).await?);
    Ok(done)
}

/// The configuration of a new node: below one directory, or where the system keeps such things.
fn fresh(dir: Option<&Path>, user: Option<&str>) -> Config {
    let mut config = match dir {
        Some(dir) => Config::new(&dir.join("directory.sqlite"), &dir.join("state"), &dir.join("mail")),
        None => {
            let data = Path::new("/var/lib/pigeondeliver");
            Config::new(&data.join("directory.sqlite"), data, Path::new("/var/mail/pigeondeliver"))
        }
    };
    let socket = dir.map_or_else(|| "/run/pigeondeliver/lmtp.sock".into(), |dir| dir.join("lmtp.sock"));
    let mut listener = Lmtp::new(&format!("unix:{}", socket.display()));
    let is_root = nix::unistd::geteuid().is_root();
    if is_root && nix::unistd::Group::from_name("postfix").is_ok_and(|group| group.is_some()) {
        listener.group = Some("postfix".to_owned());
    }
    config.lmtp.push(listener);
    let exists = |name: &&&str| nix::unistd::User::from_name(name).is_ok_and(|user| user.is_some());
    let usual = MAIL_USERS.iter().find(exists).filter(|_| is_root).map(|name| (*name).to_owned());
    config.mail.user = user.map(str::to_owned).or(usual);
    config
}

fn write(path: &Path, config: &Config) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    let file = std::fs::File::options().write(true).create_new(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(template::commented(config).as_bytes())).with_context(failed)
}

/// Writes what a new directory begins with; returns what was done.
async fn seed(site: &Site, args: &InitArgs) -> anyhow::Result<Vec<String>> {
    let actor = system_actor();
    let mut changes = enabled_services();
    let admin_domain = args.admin.as_ref().map(|admin| admin.domain().as_str().to_owned());
    let mut domains: Vec<String> = args.domain.iter().cloned().chain(admin_domain).collect();
    domains.dedup();
    changes.extend(domains.into_iter().map(|name| Change::AddDomain { name }));
    if let Some(admin) = &args.admin {
        changes.push(Change::AddAccount { address: admin.clone(), name: String::new(), password: None });
        changes.push(Change::AddGrant { account: admin.clone(), domain: None });
    }
    let mut done = Vec::new();
    for change in changes {
        done.push(describe_change(&change));
        site.directory.apply(&actor, change).await?;
    }
    Ok(done)
}

/// The settings that a new directory begins with: without them every mail would wait.
pub(super) fn enabled_services() -> Vec<Change> {
    ENABLED.into_iter().map(enable).collect()
}

fn enable(service: &str) -> Change {
    Change::Set {
        place: Place::System,
        name: SettingName { service: service.to_owned(), key: "enabled".to_owned() },
        content: Content::Value(Value::Bool(true)),
        pin: Pin::None,
        until: None,
        reason: None,
    }
}

/// The commands that a person types next.
fn next_steps(path: &Path, config: &Config, args: &InitArgs) -> Vec<String> {
    let is_default = path == Path::new(crate::config::DEFAULT_PATH);
    let option = if is_default { String::new() } else { format!(" --config {}", path.display()) };
    let admin_domain = args.admin.as_ref().map(|admin| admin.domain().as_str());
    let domain = args.domain.as_deref().or(admin_domain).unwrap_or("example.org");
    let mut steps = Vec::new();
    if args.domain.is_none() && admin_domain.is_none() {
        steps.push(format!("pigeon{option} domain add {domain}"));
    }
    if let Some(admin) = &args.admin {
        steps.push(format!("pigeon{option} account password {admin}"));
    }
    // The administrator is there already.
    let is_ann = args.admin.as_ref().is_some_and(|admin| admin.to_string() == format!("ann@{domain}"));
    let person = format!("{}@{domain}", if is_ann { "bob" } else { "ann" });
    steps.extend([
        format!("pigeon{option} account add {person} --password"),
        format!("pigeon{option} explain {person}"),
        format!("pigeon{option} check"),
        format!("pigeon{option} serve"),
    ]);
    let Some(listener) = config.lmtp.first() else { return steps };
    let is_unix = listener.listen.starts_with("unix:");
    let transport = if is_unix { listener.listen.clone() } else { format!("inet:{}", listener.listen) };
    steps.push("and have Postfix hand its mail over:".to_owned());
    steps.push(format!(
        "  postconf -e 'virtual_mailbox_domains = {domain}' 'virtual_transport = lmtp:{transport}'"
    ));
    if is_unix {
        steps.push(
            "  postconf -F 'lmtp/unix/chroot=n'     # Debian keeps Postfix' LMTP client in a chroot"
                .to_owned(),
        );
    }
    steps.push("  postfix reload".to_owned());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_configuration_keeps_to_its_directory() {
        let config = fresh(Some(Path::new("/srv/trial")), Some("vmail"));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(text.matches("/srv/trial/").count(), 4, "{text}");
        assert!(!text.contains("/var/"), "{text}");
        assert_eq!(config.mail.user.as_deref(), Some("vmail"));
    }
}
