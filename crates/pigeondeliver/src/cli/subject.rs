//! What domains, accounts and aliases have in common: they are suspended, resumed, removed, restored and purged.

use pigeon_core::directory::{Change, Status, Subject};

use super::session::{Session, confirm};

/// One of the changes that every kind of subject knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Mail waits at the mail server.
    Suspend,
    /// No more.
    Resume,
    /// Marked as removed.
    Remove,
    /// Unmarked.
    Restore,
    /// Deleted for good.
    Purge {
        /// Whether the person was asked already.
        is_confirmed: bool,
    },
}

/// Brings a fate upon subjects.
pub(super) async fn decide(session: &Session, subjects: Vec<Subject>, fate: Fate) -> anyhow::Result<()> {
    if fate == (Fate::Purge { is_confirmed: false }) {
        let names: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let everything = if subjects.iter().any(|subject| matches!(subject, Subject::Domain(_))) {
            "with all accounts, aliases, settings and mail in it"
        } else {
            "with all settings and mail"
        };
        confirm(&format!("This deletes {}, {everything}, for good.", names.join(" and ")))?;
    }
    let change = |subject| match fate {
        Fate::Suspend => Change::SetStatus { subject, status: Status::Suspended },
        Fate::Resume | Fate::Restore => Change::SetStatus { subject, status: Status::Active },
        Fate::Remove => Change::SetStatus { subject, status: Status::Removed },
        Fate::Purge { .. } => Change::Purge { subject },
    };
    session.change(subjects.into_iter().map(change).collect()).await
}
