//! What a scanner is taught: the mail as it came, without what was written into it on the way.

use bytes::Bytes;
use pigeon_core::headers::{self, HeaderEdits};

use super::record;
use super::settings::{Settings, SpamField};
use crate::compose;

/// What delivery puts before every mail; Return-Path stays, for scanners that judge by it.
const TRACE: [&str; 2] = ["Delivered-To", "X-Original-To"];

/// The header block of a delivered mail as its scanner saw it: a scanner that learned our own words for it would only
/// learn to agree with itself.
#[must_use]
pub fn header(head: &Bytes, settings: &Settings) -> Bytes {
    let mut edits = HeaderEdits::new();
    let own = SpamField::ALL.iter().map(|field| field.name());
    for name in own.chain(TRACE).chain([record::NAME]) {
        edits.remove(name);
    }
    let subject = headers::find(head, "Subject").map(|field| compose::wire_tokens(&field.value()));
    let prefix = compose::text_tokens(&settings.subject_prefix);
    if let Some(rest) = subject.as_deref().and_then(|subject| subject.strip_prefix(prefix.as_slice()))
        && !prefix.is_empty()
    {
        edits.replace("Subject", &compose::fold("Subject", rest));
    }
    edits.render(head).head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_delivery_wrote_is_not_taught() {
        let head = Bytes::from_static(
            b"Return-Path: <eve@example.net>\nDelivered-To: ann@example.org\nReceived: by mx\nFrom: eve@example.net\n\
              Subject: [SPAM] hi there\nX-Spam-Flag: YES\nX-Spam-Status: Yes, score=7.0 required=6.0\n tests=[A]\n\
              X-Pigeon-Spam: spam filed id=1\nX-Other: 1\n\n",
        );
        let settings = Settings { subject_prefix: "[SPAM]".to_owned(), ..Settings::default() };
        let taught = header(&head, &settings);
        assert_eq!(
            taught,
            "Return-Path: <eve@example.net>\nReceived: by mx\nFrom: eve@example.net\nX-Other: 1\nSubject: hi there\n\n"
        );
        let taught = header(&head, &Settings::default());
        assert!(String::from_utf8_lossy(&taught).contains("Subject: [SPAM] hi there\n"));
    }
}
