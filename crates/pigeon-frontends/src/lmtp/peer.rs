//! Who is at the other end of a connection, and whether it may speak for others.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use super::data::LineEnds;
use super::wire::Ends;
use crate::listener::ListenAddress;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    kind: Kind,
    pub(super) address: Option<IpAddr>,
    pub(super) is_trusted: bool,
    pub(super) ends: Ends,
}

#[derive(Debug, Clone)]
enum Kind {
    Unix,
    Tcp(SocketAddr),
    Stdio,
}

impl Peer {
    /// A process on this host. A trusted one may use `XCLIENT` and `XFORWARD`.
    #[must_use]
    pub fn unix(is_trusted: bool) -> Self {
        Self { kind: Kind::Unix, address: None, is_trusted, ends: Ends::Known(LineEnds::CrLf) }
    }

    /// A host. A trusted one may use `XCLIENT` and `XFORWARD`.
    #[must_use]
    pub fn tcp(address: SocketAddr, is_trusted: bool) -> Self {
        let ip = Some(address.ip().to_canonical());
        Self { kind: Kind::Tcp(address), address: ip, is_trusted, ends: Ends::Known(LineEnds::CrLf) }
    }

    /// The program that started this process with pipes.
    ///
    /// Its lines may end with LF alone, as Sendmail's do unless its mailer says `E=\r\n`. The first line
    /// decides; from then on nothing else ends a line.
    #[must_use]
    pub fn stdio(is_trusted: bool) -> Self {
        Self { kind: Kind::Stdio, address: None, is_trusted, ends: Ends::FirstLine }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Unix => formatter.write_str("unix"),
            Kind::Tcp(address) => address.fmt(formatter),
            Kind::Stdio => formatter.write_str("stdio"),
        }
    }
}

/// One listener of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LmtpListener {
    /// Where it listens.
    pub address: ListenAddress,
    /// Whether processes that connect to a Unix socket may use `XCLIENT` and `XFORWARD`. Default: no.
    pub trusts_local: bool,
    /// The networks from which hosts may use `XCLIENT` and `XFORWARD`. Default: none.
    pub trusted_networks: Vec<Network>,
}

impl LmtpListener {
    /// A client that connected to it, from somewhere on the network or on this host.
    pub(super) fn peer(&self, address: Option<SocketAddr>) -> Peer {
        match address {
            None => Peer::unix(self.trusts_local),
            Some(address) => {
                let contains = |network: &Network| network.contains(address.ip());
                Peer::tcp(address, self.trusted_networks.iter().any(contains))
            }
        }
    }
}

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a network: write 192.0.2.0/24, 2001:db8::/32 or a single address")]
pub struct NetworkError(String);

/// Addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is in the network. An IPv4 address mapped to IPv6 counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u8| u32::from(width - self.prefix);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= width).ok_or_else(error)?,
            None => width,
        };
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_addresses() {
        let check = |network: &str, address: &str, expect: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expect, "{address} in {network:?}");
        };
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.0/24", "::ffff:192.0.2.7", true);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "2001:db9::1", true);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "example.org", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/-1"] {
            assert!(text.parse::<Network>().unwrap_err().to_string().contains("192.0.2.0/24"), "{text}");
        }
    }
}
