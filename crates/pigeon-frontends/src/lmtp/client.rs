//! What a trusted peer says about the client it got a message from: `XCLIENT` and `XFORWARD`.
//!
//! Source: Postfix's `XCLIENT_README` and `XFORWARD_README`.

use std::net::IpAddr;

use pigeon_core::envelope::Origin;

use super::parameters::xtext;
use super::reply::Refusal;

/// The attributes that are offered in the answer to `LHLO`.
pub(super) const XCLIENT_OFFER: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// The attributes that are offered in the answer to `LHLO`.
///
/// `NODE` is our own: the node of this site that hands the message over, for it keeps no mailbox of the recipient.
pub(super) const XFORWARD_OFFER: &str = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE NODE";

const BAD_ATTRIBUTE: Refusal = Refusal::new(501, (5, 5, 4), "An attribute is unknown or has a bad value");

/// Attributes of a client; those that were not named are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientAttributes {
    name: Option<String>,
    address: Option<IpAddr>,
    helo: Option<String>,
    queue_id: Option<String>,
    node: Option<String>,
}

impl ClientAttributes {
    /// Takes the attributes of one command; later values replace earlier ones.
    pub(super) fn take(&mut self, text: &str) -> Result<(), Refusal> {
        if text.is_empty() {
            return Err(BAD_ATTRIBUTE);
        }
        let mut taken = self.clone();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').ok_or(BAD_ATTRIBUTE)?;
            let value = xtext(value).ok_or(BAD_ATTRIBUTE)?;
            taken.set(key, known(&value))?;
        }
        *self = taken;
        Ok(())
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        match key.to_ascii_uppercase().as_str() {
            "NAME" => self.name = value.map(clean),
            "HELO" => self.helo = value.map(clean),
            "IDENT" => self.queue_id = value.map(clean),
            "NODE" => self.node = value.map(clean),
            "ADDR" => self.address = value.map(parse_address).transpose()?,
            "PORT" | "PROTO" | "SOURCE" | "LOGIN" | "DESTADDR" | "DESTPORT" => {}
            _ => return Err(BAD_ATTRIBUTE),
        }
        Ok(())
    }

    /// Writes what is known over an origin.
    pub(super) fn apply(&self, origin: &mut Origin) {
        let put = |place: &mut Option<String>, value: &Option<String>| {
            if value.is_some() {
                place.clone_from(value);
            }
        };
        if self.address.is_some() {
            // The old name belongs to the old address.
            origin.client_name = None;
            origin.client_address = self.address;
        }
        put(&mut origin.client_name, &self.name);
        put(&mut origin.helo, &self.helo);
        put(&mut origin.queue_id, &self.queue_id);
        put(&mut origin.handed_over_by, &self.node);
    }
}

fn known(value: &str) -> Option<&str> {
    let is_unknown = value.is_empty()
        || value.eq_ignore_ascii_case("[UNAVAILABLE]")
        || value.eq_ignore_ascii_case("[TEMPUNAVAIL]");
    (!is_unknown).then_some(value)
}

fn parse_address(value: &str) -> Result<IpAddr, Refusal> {
    let bare = match value.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPV6:") => rest,
        _ => value,
    };
    bare.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| BAD_ATTRIBUTE)
}

/// Makes a name fit for a Received field: what could be read there as something else becomes `?`.
pub(super) fn clean(name: &str) -> String {
    let is_plain = |letter: &char| {
        letter.is_ascii_alphanumeric()
            || ".-_:[]".contains(*letter)
            || (!letter.is_ascii() && !letter.is_control() && !letter.is_whitespace())
    };
    name.chars().take(255).map(|letter| if is_plain(&letter) { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(commands: &[&str]) -> Result<Origin, Refusal> {
        let mut attributes = ClientAttributes::default();
        for command in commands {
            attributes.take(command)?;
        }
        let mut origin = Origin { helo: Some("relay".to_owned()), ..Origin::default() };
        attributes.apply(&mut origin);
        Ok(origin)
    }

    #[test]
    fn attributes_are_laid_over_the_origin() {
        let got = origin(&[
            "NAME=mx.example.net ADDR=192.0.2.9",
            "HELO=mail+2Eexample IDENT=4Z1 SOURCE=REMOTE NODE=mx1",
        ]);
        let expect = Origin {
            helo: Some("mail.example".to_owned()),
            client_name: Some("mx.example.net".to_owned()),
            client_address: Some(IpAddr::from([192, 0, 2, 9])),
            queue_id: Some("4Z1".to_owned()),
            protocol: None,
            handed_over_by: Some("mx1".to_owned()),
            ..Origin::default()
        };
        assert_eq!(got, Ok(expect));
        let got = origin(&["ADDR=IPv6:2001:db8::1 NAME=[UNAVAILABLE] HELO=a(b)"]).unwrap();
        assert_eq!(got.client_address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((got.client_name, got.helo.as_deref()), (None, Some("a?b?")));
        let got = origin(&["ADDR=IPV6:::ffff:192.0.2.9"]).unwrap();
        assert_eq!(got.client_address, Some("192.0.2.9".parse().unwrap()), "an IPv4 address is one");
    }

    #[test]
    fn broken_attributes_are_refused_and_change_nothing() {
        for broken in ["", "NAME", "ADDR=nowhere", "FOO=bar", "NAME=+GG"] {
            assert_eq!(origin(&[broken]), Err(BAD_ATTRIBUTE), "{broken}");
        }
        let mut attributes = ClientAttributes::default();
        assert!(attributes.take("NAME=a FOO=b").is_err());
        assert_eq!(attributes, ClientAttributes::default());
    }
}
