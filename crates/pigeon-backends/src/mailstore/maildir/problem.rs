//! What the system refused, said so that an administrator can act on it.

use std::fmt::Display;

use pigeon_core::ports::mailstore::{MailboxPath, StoreError};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Why something could not be done. Several copies may fail for the same reason, so it can be cloned.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    is_full: bool,
    errno: Option<Errno>,
    what: String,
}

impl Problem {
    /// The system refused `step`, a verb form with the path: `creating a file in example.org/ann/tmp`.
    pub(super) fn new(step: impl Display, errno: Errno) -> Self {
        let is_full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
        let said = std::io::Error::from(errno);
        Self { is_full, errno: Some(errno), what: format!("{step}: {said}{}", advice(errno)) }
    }

    /// Something that no system call said.
    pub(super) fn text(what: impl Into<String>) -> Self {
        Self { is_full: false, errno: None, what: what.into() }
    }

    pub(super) fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_error(self, mailbox: &MailboxPath) -> StoreError {
        let (mailbox, what) = (mailbox.0.clone(), self.what);
        if self.is_full {
            StoreError::Full { mailbox, what }
        } else {
            StoreError::Unwritable { mailbox, what }
        }
    }
}

/// What to do about it.
fn advice(errno: Errno) -> String {
    let user = || geteuid().as_raw();
    match errno {
        Errno::NOSPC => "; free space or inodes on its file system (df, df -i)".to_owned(),
        Errno::DQUOT => format!("; raise the file system's quota of user id {}", user()),
        Errno::ROFS => {
            "; the file system is mounted read-only: look into the kernel's log, then remount it".to_owned()
        }
        Errno::ACCESS | Errno::PERM => {
            format!("; give the directory to user id {} (chown), under which this process runs", user())
        }
        Errno::IO => "; the disk or the file server fails: look into the kernel's log".to_owned(),
        Errno::LOOP => "; a symbolic link stands in its way: mount the directory there instead".to_owned(),
        Errno::MFILE | Errno::NFILE => "; raise the limit of open files (LimitNOFILE)".to_owned(),
        Errno::NAMETOOLONG => "; choose a shorter folder name".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_say_what_to_do() {
        let mailbox = MailboxPath("example.org/ann".to_owned());
        let full = Problem::new("writing example.org/ann/tmp/1", Errno::NOSPC).into_error(&mailbox);
        assert!(matches!(full, StoreError::Full { .. }));
        assert!(full.to_string().contains("example.org/ann/tmp/1: No space left on device"), "{full}");
        let refused = Problem::new("opening example.org/ann/tmp", Errno::ACCESS).into_error(&mailbox);
        assert!(matches!(refused, StoreError::Unwritable { .. }));
        assert!(refused.to_string().contains("chown"), "{refused}");
    }
}
