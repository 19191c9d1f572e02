//! HTTP requests to servers that people name, signed, and never to a place inside the site's own networks.
//!
//! The address that a connection is made to is the one that was judged: names are resolved here, addresses that are not
//! public are left out, and the connection is made to what remains. So a name that leads elsewhere when it is asked a
//! second time gains nothing. Redirects are not followed, and no proxy is used.

mod address;

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use pigeon_core::timestamp::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode, Url};
use sha2::Sha256;
use thiserror::Error;

pub use address::{Network, is_public};

/// The header field of the signature.
pub const SIGNATURE: &str = "X-Pigeon-Signature";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a request got no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// Asking again may help.
    #[error("{0}")]
    Temporary(String),
    /// Asking again does not help.
    #[error("{0}")]
    Permanent(String),
}

/// A client that leaves the site's networks alone.
#[derive(Debug)]
pub struct Web {
    /// Made when it is first needed: most deliveries of one message need none.
    client: OnceLock<Client>,
    allowed: Arc<[Network]>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Post<'a> {
    /// Where to; see [`check_url`].
    pub url: &'a str,
    /// JSON.
    pub body: Bytes,
    /// Fields of the header besides the usual ones.
    pub fields: &'a [(&'static str, String)],
    /// How long the answer may take.
    pub patience: Duration,
    /// How large it may be, in octets; zero: it is not read at all.
    pub limit: usize,
}

impl Web {
    /// A client that may reach public addresses, and those of the `allowed` networks.
    #[must_use]
    pub fn new(allowed: &[Network]) -> Self {
        Self { client: OnceLock::new(), allowed: allowed.into() }
    }

    fn client(&self) -> Result<&Client, Trouble> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .dns_resolver(Arc::new(Guard { allowed: Arc::clone(&self.allowed) }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .user_agent("PigeonDeliver")
            .build()
            .map_err(|error| Trouble::Temporary(explained(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Posts JSON; the body of an answer that says success.
    ///
    /// # Errors
    /// A [`Trouble`], also for answers that say none.
    pub async fn post(&self, post: Post<'_>) -> Result<Bytes, Trouble> {
        let url = check_url(post.url).map_err(Trouble::Permanent)?;
        self.check_literal(&url)?;
        let mut request = self.client()?.post(url).timeout(post.patience).body(post.body);
        request = request.header("Content-Type", "application/json");
        for (name, value) in post.fields {
            request = request.header(*name, value);
        }
        let failed = |error: reqwest::Error| Trouble::Temporary(explained(&error));
        let mut response = request.send().await.map_err(failed)?;
        judge(response.status())?;
        let mut body = BytesMut::new();
        if post.limit == 0 {
            return Ok(body.freeze());
        }
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > post.limit {
                return Err(Trouble::Permanent(format!("the answer is larger than {} octets", post.limit)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Addresses in the place of a name are not resolved: they are judged here.
    fn check_literal(&self, url: &Url) -> Result<(), Trouble> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = host.parse::<IpAddr>() else { return Ok(()) };
        if address::is_allowed(address, &self.allowed) {
            return Ok(());
        }
        Err(Trouble::Permanent(format!("{address} is no public address: it is not asked")))
    }
}

/// Reads a URL that people name: `https` or `http`, with a host, without a name and password in it.
///
/// # Errors
/// What is allowed.
pub fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none() && text.len() <= 1000);
    url.ok_or_else(|| {
        format!("{text:?} is no URL for this: write https://host/path, 1000 characters at most")
    })
}

/// The value of [`SIGNATURE`]: `t=1795435200,v1=…`, the hexadecimal HMAC-SHA256 of the seconds, a dot and the body.
#[must_use]
pub fn signature(secret: &str, now: Timestamp, body: &[u8]) -> String {
    let seconds = now.seconds();
    let mut text = format!("t={seconds},v1=");
    // A key of any length will do (RFC 2104 §3).
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        for octet in mac.finalize().into_bytes() {
            // Writing to a text cannot fail.
            write!(text, "{octet:02x}").unwrap_or_default();
        }
    }
    text
}

fn judge(status: StatusCode) -> Result<(), Trouble> {
    let what = format!("it answered {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        300..=399 => Err(Trouble::Permanent(format!("{what}: redirects are not followed"))),
        // RFC 9110 §15.5.9 and RFC 6585 §4: they ask to come again.
        408 | 425 | 429 | 500..=599 => Err(Trouble::Temporary(what)),
        _ => Err(Trouble::Permanent(what)),
    }
}

/// An error with its causes, and without the URL, which may hold a secret.
fn explained(error: &reqwest::Error) -> String {
    let mut text =
        if error.is_timeout() { "it took too long".to_owned() } else { "it cannot be reached".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Resolves names and leaves out addresses that are not public.
struct Guard {
    allowed: Arc<[Network]>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let count = found.len();
            let public: Vec<SocketAddr> =
                found.into_iter().filter(|found| address::is_allowed(found.ip(), &allowed)).collect();
            if public.is_empty() && count > 0 {
                let what = format!("{} has no public address: it is not asked", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        let check = |text: &str, is_one: bool| assert_eq!(check_url(text).is_ok(), is_one, "{text}");
        check("https://example.org/hook?x=1", true);
        check("http://[::1]:8080/", true);
        check("ftp://example.org/", false);
        check("file:///etc/passwd", false);
        check("https://user:pass@example.org/", false);
        check("example.org", false);
        check(&format!("https://example.org/{}", "x".repeat(1000)), false);
    }

    #[test]
    fn signatures_are_those_that_others_compute() {
        // printf '1795435200.{}' | openssl dgst -sha256 -hmac secret
        let now = Timestamp::from_seconds(1_795_435_200);
        assert_eq!(
            signature("secret", now, b"{}"),
            "t=1795435200,v1=5871430338692b4bd490738c4df03402843d3877ffc2c67d28faa4ee976d5f9d"
        );
    }

    #[test]
    fn answers_are_judged() {
        let check = |status: u16, expect: &str| {
            let word = match judge(StatusCode::from_u16(status).unwrap()) {
                Ok(()) => "good",
                Err(Trouble::Temporary(_)) => "again",
                Err(Trouble::Permanent(_)) => "never",
            };
            assert_eq!(word, expect, "{status}");
        };
        [200, 204].into_iter().for_each(|status| check(status, "good"));
        [408, 429, 500, 503].into_iter().for_each(|status| check(status, "again"));
        [301, 307, 400, 401, 404, 410].into_iter().for_each(|status| check(status, "never"));
    }
}
