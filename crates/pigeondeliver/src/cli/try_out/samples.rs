//! The messages of the demonstration, and the replies each is expected to get.

use std::borrow::Cow;

/// One message of the demonstration.
pub(super) struct Sample {
    /// What it shows.
    pub(super) title: &'static str,
    /// The envelope's sender.
    pub(super) sender: &'static str,
    /// The envelope's recipients.
    pub(super) recipients: &'static [&'static str],
    /// Its Message-ID, by which the receipts are found.
    pub(super) message_id: &'static str,
    /// How each deciding reply begins.
    pub(super) expected: &'static [&'static str],
    text: &'static str,
    /// Base64 lines to put behind the text.
    attachment_lines: usize,
}

impl Sample {
    /// The whole message.
    pub(super) fn text(&self) -> Cow<'static, str> {
        if self.attachment_lines == 0 {
            return Cow::Borrowed(self.text);
        }
        let line = "Q29vLCBjb28sIGNvbywgc2F5cyB0aGUgcGlnZW9uLCBhbmQgY2FycmllcyBvbiBmbHlpbmcuIENv\n";
        Cow::Owned(format!("{}{}--cooing--\n", self.text, line.repeat(self.attachment_lines)))
    }
}

/// The samples, in the order in which they are sent.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        title: "A plain mail to Ann",
        sender: "berta@example.com",
        recipients: &["ann@example.org"],
        message_id: "lunch-1@example.com",
        expected: &["250 2.1.5"],
        text: include_str!("../../../../../testdata/mail/plain.eml"),
        attachment_lines: 0,
    },
    Sample {
        title: "A mail to the alias team: one recipient, two branches, one reply",
        sender: "carl@example.net",
        recipients: &["team@example.org"],
        message_id: "minutes-7@example.net",
        expected: &["250 2.1.5"],
        text: include_str!("../../../../../testdata/mail/team.eml"),
        attachment_lines: 0,
    },
    Sample {
        title: "A mail to a sub-address: it chooses the folder",
        sender: "dora@example.com",
        recipients: &["ann+projects@example.org"],
        message_id: "loft-3@example.com",
        expected: &["250 2.1.5"],
        text: include_str!("../../../../../testdata/mail/project.eml"),
        attachment_lines: 0,
    },
    Sample {
        title: "A mail to Bob, who is over his quota: his account says 2K, the domain's pin says reject",
        sender: "emil@example.net",
        recipients: &["bob@example.org"],
        message_id: "pictures-9@example.net",
        expected: &["552 5.2.2"],
        text: include_str!("../../../../../testdata/mail/overquota.eml"),
        attachment_lines: 100,
    },
    Sample {
        title: "A mail to somebody unknown",
        sender: "emil@example.net",
        recipients: &["nobody@example.org"],
        message_id: "anybody-2@example.net",
        expected: &["550 5.1.1"],
        text: include_str!("../../../../../testdata/mail/unknown.eml"),
        attachment_lines: 0,
    },
    Sample {
        title: "A mail of several megabytes to Ann, streamed through a spool file",
        sender: "fritz@example.com",
        recipients: &["ann@example.org"],
        message_id: "recordings-4@example.com",
        expected: &["250 2.1.5"],
        text: include_str!("../../../../../testdata/mail/large.eml"),
        attachment_lines: 60_000,
    },
];
