//! `pigeon import unix`.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pigeon_backends::directory::foreign::Foreign;
use pigeon_backends::directory::foreign::unix::{self, File, Source};
use pigeon_core::address::DomainName;

use super::{Taking, files};

/// Arguments of `pigeon import unix`.
#[derive(Debug, Args)]
pub struct UnixArgs {
    /// The domain that the users and aliases belong to
    #[arg(long)]
    pub domain: DomainName,
    /// Read everything below this directory: another machine's disk, or a copy of it
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = clap::ValueHint::DirPath)]
    pub root: PathBuf,
    /// The users [default: /etc/passwd below --root]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub passwd: Option<PathBuf>,
    /// Their passwords [default: /etc/shadow below --root, where it can be read]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub shadow: Option<PathBuf>,
    /// The aliases [default: /etc/aliases below --root, where there is one]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub aliases: Option<PathBuf>,
    /// The user ids of people
    #[arg(long, value_name = "FROM-TO", default_value = "1000-60000", value_parser = uids)]
    pub uids: RangeInclusive<u32>,
    /// Where the mail is, as Dovecot says it: `maildir:~/Maildir`
    #[arg(long, value_name = "LOCATION")]
    pub mail_location: Option<String>,
    #[command(flatten)]
    pub taking: Taking,
}

/// `1000-60000`
fn uids(text: &str) -> Result<RangeInclusive<u32>, String> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    let range = range.filter(|range: &RangeInclusive<u32>| !range.is_empty());
    range.ok_or_else(|| format!("{text:?} is no range of user ids: write 1000-60000"))
}

/// Reads the system.
pub(super) fn read(args: &UnixArgs) -> anyhow::Result<Foreign> {
    let below = |path: &Path| args.root.join(path.strip_prefix("/").unwrap_or(path));
    let must = |path: &Path| {
        let octets = files::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        anyhow::Ok(Some((path.display().to_string(), octets)))
    };
    let may = |given: &Option<PathBuf>, usual: &str| match given {
        Some(path) => must(path),
        None => {
            let path = below(Path::new(usual));
            match files::read(&path) {
                Err(error) if is_absence(&error) => Ok(None),
                _ => must(&path),
            }
        }
    };
    let passwd = args.passwd.clone().unwrap_or_else(|| below(Path::new("/etc/passwd")));
    let (passwd_name, passwd) = must(&passwd)?.unwrap_or_default();
    let shadow = may(&args.shadow, "/etc/shadow")?;
    let aliases = may(&args.aliases, "/etc/aliases")?;
    let read = |path: &Path| files::read(&below(path));
    fn file((name, octets): &(String, Vec<u8>)) -> File<'_> {
        File { name, octets }
    }
    let mut foreign = unix::read(&Source {
        passwd: File { name: &passwd_name, octets: &passwd },
        shadow: shadow.as_ref().map(file),
        aliases: aliases.as_ref().map(file),
        domain: &args.domain,
        uids: args.uids.clone(),
        location: args.mail_location.as_deref(),
        read: &read,
    });
    for account in &mut foreign.accounts {
        account.maildir = account.maildir.take().map(|maildir| below(&maildir));
    }
    Ok(foreign)
}

/// There is none, or it is not for us: the report says what is missing by it.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}
