//! Which commands and tests there are, and what each of them takes: the tables of RFC 5228 and its extensions.

use Kind::{Number, Text, Texts};

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number.
    Number,
    /// One string.
    Text,
    /// A string or a list of strings.
    Texts,
}

/// A tagged argument (RFC 5228 §2.6.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    /// Its name without the colon.
    pub(super) name: &'static str,
    /// The extension that it belongs to; empty for none.
    pub(super) needs: &'static str,
    /// What follows it.
    pub(super) value: Option<Kind>,
    /// Of the tags of one group only one may be given; 0 is no group.
    pub(super) group: u8,
}

/// What a command or test takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Its name.
    pub(super) name: &'static str,
    /// The extensions of which one is needed; none for the base language.
    pub(super) needs: &'static [&'static str],
    /// The tags it may have.
    pub(super) tags: &'static [&'static [Tag]],
    /// The arguments behind the tags.
    pub(super) positional: &'static [Kind],
    /// How many of them may be left out, from the front.
    pub(super) optional: usize,
    /// Its tests.
    pub(super) tests: Tests,
    /// Whether a block follows.
    pub(super) block: bool,
}

/// The tests that a command or test takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tests {
    /// None.
    None,
    /// One.
    One,
    /// A list in parentheses.
    List,
}

const fn tag(name: &'static str, needs: &'static str, value: Option<Kind>, group: u8) -> Tag {
    Tag { name, needs, value, group }
}

const MATCH: &[Tag] = &[
    tag("is", "", None, 1),
    tag("contains", "", None, 1),
    tag("matches", "", None, 1),
    tag("regex", "regex", None, 1),
    tag("value", "relational", Some(Text), 1),
    tag("count", "relational", Some(Text), 1),
    tag("list", "extlists", None, 1),
    tag("comparator", "", Some(Text), 0),
];
const PART: &[Tag] = &[
    tag("all", "", None, 2),
    tag("localpart", "", None, 2),
    tag("domain", "", None, 2),
    tag("user", "subaddress", None, 2),
    tag("detail", "subaddress", None, 2),
];
const INDEX: &[Tag] = &[tag("index", "index", Some(Number), 0), tag("last", "index", None, 0)];
const MIME: &[Tag] = &[
    tag("mime", "mime", None, 0),
    tag("anychild", "mime", None, 0),
    tag("type", "mime", None, 3),
    tag("subtype", "mime", None, 3),
    tag("contenttype", "mime", None, 3),
    tag("param", "mime", Some(Texts), 3),
];
const MIME_PARTS: &[Tag] = &[tag("mime", "mime", None, 0), tag("anychild", "mime", None, 0)];
const ZONE: &[Tag] = &[tag("zone", "", Some(Text), 4), tag("originalzone", "", None, 4)];
const FLAGS: &[Tag] = &[tag("flags", "imap4flags", Some(Texts), 0)];
const MAILBOX: &[Tag] = &[
    tag("create", "mailbox", None, 0),
    tag("specialuse", "special-use", Some(Text), 0),
    tag("mailboxid", "mailboxid", Some(Text), 0),
];
const COPY: &[Tag] = &[tag("copy", "copy", None, 0)];
const FCC: &[Tag] = &[tag("fcc", "fcc", Some(Text), 0)];
const REDIRECT: &[Tag] = &[tag("list", "extlists", None, 0)];
const MODIFIERS: &[Tag] = &[
    tag("lower", "", None, 5),
    tag("upper", "", None, 5),
    tag("lowerfirst", "", None, 6),
    tag("upperfirst", "", None, 6),
    tag("quotewildcard", "", None, 7),
    tag("quoteregex", "regex", None, 7),
    tag("length", "", None, 8),
    tag("encodeurl", "enotify", None, 9),
];
const VACATION: &[Tag] = &[
    tag("days", "", Some(Number), 10),
    tag("seconds", "vacation-seconds", Some(Number), 10),
    tag("subject", "", Some(Text), 0),
    tag("from", "", Some(Text), 0),
    tag("addresses", "", Some(Texts), 0),
    tag("mime", "", None, 0),
    tag("handle", "", Some(Text), 0),
];
const NOTIFY: &[Tag] = &[
    tag("from", "", Some(Text), 0),
    tag("importance", "", Some(Text), 0),
    tag("options", "", Some(Texts), 0),
    tag("message", "", Some(Text), 0),
];
const DUPLICATE: &[Tag] = &[
    tag("handle", "", Some(Text), 0),
    tag("header", "", Some(Text), 11),
    tag("uniqueid", "", Some(Text), 11),
    tag("seconds", "", Some(Number), 0),
    tag("last", "", None, 0),
];
const INCLUDE: &[Tag] = &[
    tag("personal", "", None, 12),
    tag("global", "", None, 12),
    tag("once", "", None, 0),
    tag("optional", "", None, 0),
];
const BODY: &[Tag] =
    &[tag("raw", "", None, 13), tag("content", "", Some(Texts), 13), tag("text", "", None, 13)];
const REPLACE: &[Tag] =
    &[tag("mime", "", None, 0), tag("subject", "", Some(Text), 0), tag("from", "", Some(Text), 0)];
const ENCLOSE: &[Tag] = &[tag("subject", "", Some(Text), 0), tag("headers", "", Some(Texts), 0)];
const FIRST: &[Tag] = &[tag("first", "", Some(Number), 0)];
const EXTRACT: &[Tag] = FIRST;
const NAME: &[Tag] = &[tag("name", "", Some(Text), 0)];
const LAST: &[Tag] = &[tag("last", "", None, 0)];
const DELETE: &[Tag] = &[tag("index", "", Some(Number), 0), tag("last", "", None, 0)];
const SIZE: &[Tag] = &[tag("over", "", Some(Number), 14), tag("under", "", Some(Number), 14)];
const PERCENT: &[Tag] = &[tag("percent", "spamtestplus", None, 0)];

/// A rule of the base language that takes nothing.
const PLAIN: Rule =
    Rule { name: "", needs: &[], tags: &[], positional: &[], optional: 0, tests: Tests::None, block: false };

const fn rule(
    name: &'static str,
    needs: &'static [&'static str],
    tags: &'static [&'static [Tag]],
    positional: &'static [Kind],
) -> Rule {
    Rule { name, needs, tags, positional, ..PLAIN }
}

const fn control(name: &'static str, tests: Tests, block: bool) -> Rule {
    Rule { name, tests, block, ..PLAIN }
}

/// The commands.
pub(super) const COMMANDS: &[Rule] = &[
    rule("require", &[], &[], &[Texts]),
    control("if", Tests::One, true),
    control("elsif", Tests::One, true),
    control("else", Tests::None, true),
    control("stop", Tests::None, false),
    control("discard", Tests::None, false),
    rule("keep", &[], &[FLAGS], &[]),
    rule("fileinto", &["fileinto"], &[FLAGS, MAILBOX, COPY], &[Text]),
    rule("redirect", &[], &[COPY, REDIRECT], &[Text]),
    rule("reject", &["reject"], &[], &[Text]),
    rule("ereject", &["ereject"], &[], &[Text]),
    rule("set", &["variables"], &[MODIFIERS], &[Text, Text]),
    Rule { optional: 1, ..rule("setflag", &["imap4flags"], &[], &[Text, Texts]) },
    Rule { optional: 1, ..rule("addflag", &["imap4flags"], &[], &[Text, Texts]) },
    Rule { optional: 1, ..rule("removeflag", &["imap4flags"], &[], &[Text, Texts]) },
    rule("vacation", &["vacation"], &[VACATION, FCC, FLAGS, MAILBOX], &[Text]),
    rule("notify", &["enotify"], &[NOTIFY, FCC, FLAGS, MAILBOX], &[Text]),
    rule("include", &["include"], &[INCLUDE], &[Text]),
    rule("return", &["include"], &[], &[]),
    rule("global", &["include"], &[], &[Texts]),
    rule("addheader", &["editheader"], &[LAST], &[Text, Text]),
    Rule { optional: 1, ..rule("deleteheader", &["editheader"], &[DELETE, MATCH], &[Text, Texts]) },
    rule("error", &["ihave"], &[], &[Text]),
    Rule { block: true, ..rule("foreverypart", &["foreverypart"], &[NAME], &[]) },
    rule("break", &["foreverypart"], &[NAME], &[]),
    rule("replace", &["replace"], &[REPLACE], &[Text]),
    rule("enclose", &["enclose"], &[ENCLOSE], &[Text]),
    rule("extracttext", &["extracttext"], &[MODIFIERS, EXTRACT], &[Text]),
    rule("debug_log", &["vnd.dovecot.debug"], &[], &[Text]),
];

/// The tests.
pub(super) const TESTS: &[Rule] = &[
    control("true", Tests::None, false),
    control("false", Tests::None, false),
    control("not", Tests::One, false),
    control("allof", Tests::List, false),
    control("anyof", Tests::List, false),
    rule("address", &[], &[PART, MATCH, INDEX, MIME_PARTS], &[Texts, Texts]),
    rule("header", &[], &[MATCH, INDEX, MIME], &[Texts, Texts]),
    rule("exists", &[], &[MIME_PARTS], &[Texts]),
    rule("envelope", &["envelope"], &[PART, MATCH], &[Texts, Texts]),
    rule("size", &[], &[SIZE], &[]),
    rule("string", &["variables"], &[MATCH], &[Texts, Texts]),
    rule("body", &["body"], &[BODY, MATCH], &[Texts]),
    rule("date", &["date"], &[ZONE, MATCH, INDEX], &[Text, Text, Texts]),
    rule("currentdate", &["date"], &[ZONE, MATCH], &[Text, Texts]),
    Rule { optional: 1, ..rule("hasflag", &["imap4flags"], &[MATCH], &[Texts, Texts]) },
    rule("duplicate", &["duplicate"], &[DUPLICATE], &[]),
    rule("environment", &["environment"], &[MATCH], &[Text, Texts]),
    rule("ihave", &["ihave"], &[], &[Texts]),
    rule("mailboxexists", &["mailbox"], &[], &[Texts]),
    rule("mailboxidexists", &["mailboxid"], &[], &[Texts]),
    rule("metadata", &["mboxmetadata"], &[MATCH], &[Text, Text, Texts]),
    rule("metadataexists", &["mboxmetadata"], &[], &[Text, Texts]),
    rule("servermetadata", &["servermetadata"], &[MATCH], &[Text, Texts]),
    rule("servermetadataexists", &["servermetadata"], &[], &[Texts]),
    Rule { optional: 1, ..rule("specialuse_exists", &["special-use"], &[], &[Text, Texts]) },
    rule("spamtest", &["spamtest", "spamtestplus"], &[PERCENT, MATCH], &[Text]),
    rule("virustest", &["virustest"], &[MATCH], &[Text]),
    rule("valid_notify_method", &["enotify"], &[], &[Texts]),
    rule("notify_method_capability", &["enotify"], &[MATCH], &[Text, Text, Texts]),
    rule("valid_ext_list", &["extlists"], &[], &[Texts]),
];
