//! What running scripts takes and gives: no mail is moved and nobody is asked here.
//!
//! [`run`] is a pure function of scripts, message and [`World`]. Where it needs to know something that costs a look
//! (which folders there are, who was answered before), it stops with a [`Question`]; its caller finds out and runs it
//! again. So another engine can take its place behind the same function, and a dry run cannot do anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::Machine;
use super::mail::Mail;
use super::moment::Moment;
use super::program::Program;

/// Where a script comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Origin {
    /// The system's.
    System,
    /// The domain's.
    Domain,
    /// The user's.
    Personal,
}

/// A script to run.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// What it is called in receipts.
    pub(super) label: String,
    /// Whose it is.
    pub(super) origin: Origin,
    /// What it says.
    pub(super) program: Arc<Program>,
}

/// Something that the world must be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// Which folders the mailbox has.
    Folders,
    /// Whether this was remembered before.
    Seen(String),
}

/// How much scripts may do.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Commands and tests of one run.
    pub(super) instructions: u64,
    /// Actions of one run.
    pub(super) actions: usize,
    /// Redirects of one run.
    pub(super) redirects: usize,
    /// Octets of a variable.
    pub(super) variable: usize,
    /// Octets of a header field that is added.
    pub(super) header: usize,
    /// Scripts that one run may include.
    pub(super) includes: usize,
    /// How deep they may include one another.
    pub(super) nesting: usize,
    /// Seconds that lie between two answers at least, and at most.
    pub(super) vacation: (u64, u64),
    /// Seconds between two answers where the script says nothing.
    pub(super) vacation_default: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instructions: 100_000,
            actions: 32,
            redirects: 4,
            variable: 4096,
            header: 2048,
            includes: 255,
            nesting: 10,
            vacation: (86_400, 0),
            vacation_default: 7 * 86_400,
        }
    }
}

/// Which header fields scripts may not edit; names in any case.
#[derive(Debug, Clone, Default)]
pub(super) struct Protected {
    /// Neither added nor deleted.
    pub(super) both: Vec<String>,
    /// Not added.
    pub(super) add: Vec<String>,
    /// Not deleted.
    pub(super) delete: Vec<String>,
}

/// The envelope of the message, as texts: it may be malformed.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    /// The reverse-path; empty for the null sender.
    pub(super) from: String,
    /// The recipient.
    pub(super) to: String,
    /// The recipient as the sender wrote it.
    pub(super) original_to: String,
    /// Who authenticated.
    pub(super) auth: String,
}

/// Finds a script that another one includes: global or personal, for a script of this origin.
pub(super) type Includes = dyn Fn(bool, &str, Origin) -> Option<Arc<Program>> + Send + Sync;

/// All that scripts can see besides the message.
pub(super) struct World {
    /// The envelope.
    pub(super) paths: Paths,
    /// The account's own address.
    pub(super) own: String,
    /// The time.
    pub(super) now: Moment,
    /// The message's size on the wire, in octets.
    pub(super) size: u64,
    /// What separates the detail of a sub-address.
    pub(super) delimiter: String,
    /// What the test `environment` sees.
    pub(super) environment: BTreeMap<String, String>,
    /// How likely it is spam, 0 to 1; below 0 or none where nobody has looked.
    pub(super) spam: Option<f64>,
    /// What a scanner said itself on the scale of RFC 5235 §3.2, 0 to 10, where it did.
    pub(super) spam_level: Option<u64>,
    /// How likely it has a virus, likewise.
    pub(super) virus: Option<f64>,
    /// Lists for `:list` (RFC 6134), by name.
    pub(super) lists: BTreeMap<String, Vec<String>>,
    /// Annotations: mailbox (empty for the server), name, value.
    pub(super) annotations: Vec<(String, String, String)>,
    /// The folders, once they were asked for.
    pub(super) folders: Option<Vec<String>>,
    /// What was remembered, once it was asked for.
    pub(super) seen: BTreeMap<String, bool>,
    /// Fields that may not be edited.
    pub(super) protected: Protected,
    /// Limits.
    pub(super) limits: Limits,
    /// Scripts that others include.
    pub(super) includes: Arc<Includes>,
}

/// What a script wants to happen.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// Keep it where it is kept by default.
    Keep,
    /// Keep it in a folder.
    FileInto {
        /// Its name.
        folder: String,
        /// Whether it is to be made.
        create: bool,
    },
    /// Send it on.
    Redirect {
        /// Where to.
        to: String,
    },
    /// Throw it away.
    Discard,
    /// Refuse it.
    Reject {
        /// Why.
        reason: String,
        /// Whether it was `ereject`.
        is_extended: bool,
    },
    /// Answer it.
    Vacation(Vacation),
    /// Tell somebody.
    Notify(Notify),
}

/// An answer of RFC 5230.
#[derive(Debug, Clone, Default)]
pub(super) struct Vacation {
    /// `:subject`
    pub(super) subject: Option<String>,
    /// `:from`
    pub(super) from: Option<String>,
    /// `:addresses`
    pub(super) addresses: Vec<String>,
    /// `:mime`
    pub(super) is_mime: bool,
    /// `:handle`
    pub(super) handle: Option<String>,
    /// How long the sender gets no other, in seconds.
    pub(super) seconds: u64,
    /// The text.
    pub(super) reason: String,
    /// Where a copy of the answer is kept (RFC 8580).
    pub(super) fcc: Option<Copy>,
}

/// A notification of RFC 5435.
#[derive(Debug, Clone, Default)]
pub(super) struct Notify {
    /// `mailto:` and what follows.
    pub(super) method: String,
    /// `:from`
    pub(super) from: Option<String>,
    /// `:importance`
    pub(super) importance: u8,
    /// `:message`
    pub(super) message: Option<String>,
    /// Where a copy is kept (RFC 8580).
    pub(super) fcc: Option<Copy>,
}

/// A copy of a message of our own.
#[derive(Debug, Clone, Default)]
pub(super) struct Copy {
    /// The folder.
    pub(super) folder: String,
    /// Whether it is to be made.
    pub(super) create: bool,
    /// The flags.
    pub(super) flags: Vec<String>,
}

/// One action.
#[derive(Debug, Clone)]
pub(super) struct Action {
    /// What is to happen.
    pub(super) what: What,
    /// Flags of the copy that is kept.
    pub(super) flags: Vec<String>,
    /// The message as it was at that point.
    pub(super) mail: Arc<Mail>,
    /// The script that said so.
    pub(super) script: String,
    /// Its line.
    pub(super) line: usize,
}

/// Something that went wrong while a script ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The script.
    pub(super) script: String,
    /// Whose it is.
    pub(super) origin: Origin,
    /// The line.
    pub(super) line: usize,
    /// What went wrong.
    pub(super) message: String,
}

/// What scripts decided.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The actions, in order, none of them twice.
    pub(super) actions: Vec<Action>,
    /// Whether the message is kept because no script has said otherwise; with these flags.
    pub(super) implicit_keep: Option<Vec<String>>,
    /// The message as the scripts left it.
    pub(super) mail: Arc<Mail>,
    /// What is to be remembered, and for how many seconds.
    pub(super) marks: Vec<(String, u64)>,
    /// What stopped the scripts.
    pub(super) failure: Option<Trouble>,
    /// What went wrong and stopped nothing.
    pub(super) remarks: Vec<Trouble>,
}

/// Runs scripts one after the other on a message: the next one only while the message would still be kept.
///
/// # Errors
/// What must be known first.
pub(super) fn run(scripts: &[Script], mail: &Arc<Mail>, world: &World) -> Result<Run, Question> {
    Machine::new(mail, world).run(scripts)
}
