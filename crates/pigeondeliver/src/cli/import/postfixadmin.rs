//! `pigeon import postfixadmin`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pigeon_backends::directory::foreign::Foreign;
use pigeon_backends::directory::foreign::postfixadmin::database::{self, Source};
use pigeon_backends::directory::foreign::postfixadmin::{self, Options};

use super::{Taking, files};

/// Arguments of `pigeon import postfixadmin`.
#[derive(Debug, Args)]
pub struct PostfixadminArgs {
    /// The database: `postgres://USER@HOST/DATABASE` or `mysql://USER@HOST/DATABASE`
    pub url: String,
    /// A file with the password of the database's user, in its first line
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// What stands before the name of every table (`database_prefix`)
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub table_prefix: String,
    /// The directory that mailboxes are relative to (Postfix's `virtual_mailbox_base`) [default: the mail root]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub mail_base: Option<PathBuf>,
    /// The scheme of passwords without {SCHEME}, where their form does not tell, like PLAIN
    #[arg(long)]
    pub scheme: Option<String>,
    #[command(flatten)]
    pub taking: Taking,
}

/// Reads the database.
pub(super) async fn read(args: &PostfixadminArgs, mail_root: &Path) -> anyhow::Result<Foreign> {
    let password = args.password_file.as_deref().map(first_line).transpose()?;
    let source = Source { url: &args.url, password: password.as_deref(), prefix: &args.table_prefix };
    let tables = database::read(&source).await?;
    let mail_base = args.mail_base.as_deref().unwrap_or(mail_root);
    Ok(postfixadmin::read(&tables, &Options { scheme: args.scheme.as_deref(), mail_base }))
}

fn first_line(path: &Path) -> anyhow::Result<String> {
    let octets = files::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = String::from_utf8(octets).with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
