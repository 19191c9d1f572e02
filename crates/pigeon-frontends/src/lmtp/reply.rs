//! Writes replies into the buffer that goes out with the next flush.

use pigeon_core::fault::Reply;

/// Longest reply line in octets, line end included (RFC 5321 §4.5.3.1.5).
const MAX_LINE: usize = 512;

/// A fixed reply, made without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) status: (u8, u16, u16),
    pub(super) text: &'static str,
}

impl Refusal {
    pub(super) const fn new(code: u16, status: (u8, u16, u16), text: &'static str) -> Self {
        Self { code, status, text }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.status, refusal.text)
    }
}

/// Replies that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    octets: Vec<u8>,
    has_outcome: bool,
}

impl Replies {
    /// What is to be sent.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Whether the outcome of a delivery is among them, which the client should hear before anything else
    /// is begun: if it does not, it sends the message again.
    pub(super) fn has_outcome(&self) -> bool {
        self.has_outcome
    }

    /// Forgets what was sent; large buffers are given back.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(4096);
        self.has_outcome = false;
    }

    /// A line without an enhanced status code: the greeting, and answers to `LHLO` (RFC 2034 §4).
    pub(super) fn plain(&mut self, line: &str) {
        self.octets.extend_from_slice(line.as_bytes());
        self.octets.extend_from_slice(b"\r\n");
    }

    /// A reply with its enhanced status code.
    pub(super) fn say(&mut self, code: u16, status: (u8, u16, u16), text: &str) {
        let begin = self.octets.len();
        self.number(code);
        self.octets.push(b' ');
        self.number(u16::from(status.0));
        self.octets.push(b'.');
        self.number(status.1);
        self.octets.push(b'.');
        self.number(status.2);
        self.octets.push(b' ');
        let room = (MAX_LINE - 2).saturating_sub(self.octets.len() - begin);
        // RFC 6531 §3.7.4.1 allows UTF-8 in replies only to some commands: ASCII is right in all of them.
        self.octets.extend(
            text.chars()
                .take(room)
                .map(|letter| if matches!(letter, ' '..='~') { letter as u8 } else { b'?' }),
        );
        self.octets.extend_from_slice(b"\r\n");
    }

    fn number(&mut self, number: u16) {
        let mut divisor = 10_000;
        while divisor > 1 && number / divisor == 0 {
            divisor /= 10;
        }
        while divisor > 0 {
            let digit = u8::try_from(number / divisor % 10).unwrap_or(0);
            self.octets.push(b'0' + digit);
            divisor /= 10;
        }
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.say(refusal.code, refusal.status, refusal.text);
    }

    /// A reply of the core before the message is in.
    pub(super) fn reply(&mut self, reply: &Reply) {
        self.say(reply.code, reply.status, &reply.text);
    }

    /// The final reply for one recipient.
    pub(super) fn outcome(&mut self, reply: &Reply) {
        self.reply(reply);
        self.has_outcome = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &Reply, expect: &str) {
        let mut replies = Replies::default();
        replies.outcome(reply);
        assert_eq!(String::from_utf8_lossy(replies.octets()), expect);
    }

    #[test]
    fn a_reply_is_one_line() {
        check(&Reply::new(250, (2, 1, 5), "Ok"), "250 2.1.5 Ok\r\n");
        check(&Reply::new(452, (4, 3, 10), "a\r\nb"), "452 4.3.10 a  b\r\n");
        check(&Reply { code: 550, status: (5, 7, 100), text: "a\r\nbé".into() }, "550 5.7.100 a??b?\r\n");
        let long = "x".repeat(600);
        check(&Reply::new(550, (5, 1, 1), long), &format!("550 5.1.1 {}\r\n", "x".repeat(500)));
    }
}
