//! SCRAM-SHA-256, the server's side; source: RFC 5802 with the hash of RFC 7677, bound to TLS as RFC 9266 says.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::SaslError;
use crate::ports::authenticator::{Identity, LoginError, ScramAccount};

/// Rounds of keys that are made here, and of made up ones: what Dovecot and PostgreSQL make, so that accounts whose
/// keys came from there do not stand out.
pub const DEFAULT_ITERATIONS: u32 = 4096;
/// Most octets of a client's message.
const MAX_MESSAGE: usize = 4096;

type Hash = [u8; 32];

/// What is kept of a password for SCRAM-SHA-256 (RFC 5803): with it a password can be checked, not found.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// Checks the client's proof.
    pub stored_key: Hash,
    /// Proves the server to the client.
    pub server_key: Hash,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScramKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl ScramKeys {
    /// The keys of a password (RFC 5802 §3). Takes a while: `iterations` rounds.
    #[must_use]
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        // RFC 5802 §2.2; what SASLprep does not take is used as it is, as other servers do.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let salted = pbkdf2(prepared.as_bytes(), salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
        let server_key = hmac(&salted, &[b"Server Key"]);
        Self { iterations, salt: salt.to_vec(), stored_key, server_key }
    }

    /// Whether the keys are those of this password. Takes as long as [`derive`](Self::derive).
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        is_equal(&Self::derive(password, &self.salt, self.iterations).stored_key, &self.stored_key)
    }
}

/// RFC 8018 §5.2 with HMAC-SHA-256, one block.
fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> Hash {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    let Ok(keyed) = Hmac::<Sha256>::new_from_slice(password) else { return sum };
    for _ in 1..iterations {
        last = keyed.clone().chain_update(last).finalize().into_bytes().into();
        sum.iter_mut().zip(last).for_each(|(sum, octet)| *sum ^= octet);
    }
    sum
}

/// HMAC takes keys of any length: it cannot fail.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Hash::default() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Takes the same time wherever the difference lies.
fn is_equal(one: &Hash, two: &Hash) -> bool {
    one.iter().zip(two).fold(0, |difference, (one, two)| difference | (one ^ two)) == 0
}

const MALFORMED: SaslError = SaslError::Malformed("the message of SCRAM cannot be read");
const NOT_BOUND: SaslError = SaslError::Malformed("the login is not bound to this connection");

/// RFC 5802 §7: `client-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    /// `gs2-header`, as it was sent.
    gs2_header: String,
    flag: Flag,
    pub(super) acts_as: String,
    pub(super) login: String,
    nonce: String,
    /// `client-first-message-bare`, as it was sent.
    bare: String,
}

/// RFC 5802 §6: `gs2-cbind-flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flag {
    /// The client cannot bind.
    No,
    /// The client could, and thinks that the server cannot.
    Yes,
    /// It binds, to what has this name.
    Bound(String),
}

impl ClientFirst {
    pub(super) fn read(message: &[u8]) -> Result<Self, SaslError> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',').ok_or(MALFORMED)?;
        let (acts_as, bare) = rest.split_once(',').ok_or(MALFORMED)?;
        let flag = match flag {
            "n" => Flag::No,
            "y" => Flag::Yes,
            _ => Flag::Bound(flag.strip_prefix("p=").ok_or(MALFORMED)?.to_owned()),
        };
        let acts_as = match acts_as {
            "" => String::new(),
            name => saslname(name.strip_prefix("a=").ok_or(MALFORMED)?)?,
        };
        let mut attributes = bare.split(',');
        // RFC 5802 §5.1: `m=` in front would be an extension that must be understood.
        let login = attributes.next().and_then(|part| part.strip_prefix("n=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(MALFORMED)?;
        let is_printable = !nonce.is_empty() && nonce.bytes().all(|octet| octet.is_ascii_graphic());
        if !is_printable || login.is_empty() {
            return Err(MALFORMED);
        }
        let gs2_header = text.strip_suffix(bare).unwrap_or_default().to_owned();
        let (login, nonce) = (saslname(login)?, nonce.to_owned());
        Ok(Self { gs2_header, flag, acts_as, login, nonce, bare: bare.to_owned() })
    }

    /// What the client's last message must be bound with: the header, and with `-PLUS` what only this TLS
    /// connection has.
    pub(super) fn binding(&self, is_plus: bool, exporter: Option<&[u8]>) -> Result<Vec<u8>, SaslError> {
        let mut binding = self.gs2_header.clone().into_bytes();
        match (&self.flag, is_plus, exporter) {
            (Flag::Bound(name), true, Some(exporter)) if name == "tls-exporter" => {
                binding.extend_from_slice(exporter);
                Ok(binding)
            }
            (Flag::No, false, _) | (Flag::Yes, false, None) => Ok(binding),
            // RFC 5802 §6: somebody between has hidden the offer of -PLUS.
            _ => Err(NOT_BOUND),
        }
    }
}

/// A login that waits for the client's last message.
pub(super) struct Pending {
    /// `client-first-message-bare , server-first-message`
    messages: String,
    nonce: String,
    binding: Vec<u8>,
    account: ScramAccount,
}

impl Pending {
    /// Makes the `server-first-message`.
    pub(super) fn begin(
        first: &ClientFirst,
        binding: Vec<u8>,
        account: ScramAccount,
        nonce: &str,
    ) -> (Self, Vec<u8>) {
        let nonce = format!("{}{nonce}", first.nonce);
        let salt = BASE64.encode(&account.keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", account.keys.iterations);
        let messages = format!("{},{server_first}", first.bare);
        (Self { messages, nonce, binding, account }, server_first.into_bytes())
    }

    /// Takes the `client-final-message`; returns who it is and the `server-final-message`.
    pub(super) fn finish(self, message: &[u8]) -> Result<(Identity, Vec<u8>), SaslError> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|part| part.strip_prefix("c=")).ok_or(MALFORMED)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(MALFORMED)?;
        let binding = BASE64.decode(binding.as_bytes()).map_err(|_| MALFORMED)?;
        let proof: Hash =
            BASE64.decode(proof.as_bytes()).ok().and_then(|proof| proof.try_into().ok()).ok_or(MALFORMED)?;
        if nonce != self.nonce {
            return Err(MALFORMED);
        }
        if binding != self.binding {
            return Err(NOT_BOUND);
        }
        let signed: [&[u8]; 3] = [self.messages.as_bytes(), b",", without_proof.as_bytes()];
        let keys = &self.account.keys;
        let signature = hmac(&keys.stored_key, &signed);
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(key, octet)| *key ^= octet);
        let is_right = is_equal(&Sha256::digest(client_key).into(), &keys.stored_key);
        let server_final = format!("v={}", BASE64.encode(&hmac(&keys.server_key, &signed)));
        match self.account.holder.filter(|_| is_right) {
            Some(holder) => Ok((holder, server_final.into_bytes())),
            None => Err(SaslError::Login(LoginError::Refused)),
        }
    }
}

fn text(message: &[u8]) -> Result<&str, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
    if text.len() > MAX_MESSAGE || text.contains('\0') { Err(MALFORMED) } else { Ok(text) }
}

/// RFC 5802 §5.1: `=2C` is a comma, `=3D` an equals sign, and no other `=` may be there.
fn saslname(text: &str) -> Result<String, SaslError> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (letter, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(MALFORMED),
        };
        name.push(letter);
        name.push_str(rest);
    }
    Ok(name)
}

/// What a client that knows the password proves it with (RFC 5802 §3): tests play such a client.
#[cfg(test)]
pub(super) fn client_proof(password: &str, challenge: &str, messages: &str) -> String {
    let mut attributes = challenge.split(',').skip(1).map(|attribute| attribute.split_once('=').unwrap().1);
    let salt = BASE64.decode(attributes.next().unwrap().as_bytes()).unwrap();
    let salted = pbkdf2(password.as_bytes(), &salt, attributes.next().unwrap().parse().unwrap());
    let mut proof = hmac(&salted, &[b"Client Key"]);
    let stored_key = Sha256::digest(proof);
    let signature = hmac(&stored_key, &[messages.as_bytes()]);
    proof.iter_mut().zip(signature).for_each(|(key, octet)| *key ^= octet);
    BASE64.encode(&proof)
}
