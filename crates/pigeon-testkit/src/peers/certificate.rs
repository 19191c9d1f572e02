//! A certificate authority and a server certificate for one server, made anew each time.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::server::Server;

/// How a server offers TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTls {
    /// Whether connections without TLS are refused.
    pub is_required: bool,
    /// The host names and addresses that the certificate is for.
    pub names: Vec<String>,
}

impl PeerTls {
    /// TLS for those who ask for it, with a certificate for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn offered() -> Self {
        Self { is_required: false, names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec() }
    }

    /// The same, refusing everybody else on TCP.
    #[must_use]
    pub fn required() -> Self {
        Self { is_required: true, ..Self::offered() }
    }
}

/// The file of the authority's certificate, for clients; [`write`] makes it.
pub(crate) const AUTHORITY: &str = "ca.pem";
/// The file of the server's certificate.
pub(crate) const CERTIFICATE: &str = "server.pem";
/// The file of the server's private key.
pub(crate) const KEY: &str = "server.key";

/// Makes an authority and a certificate signed by it, and writes [`AUTHORITY`], [`CERTIFICATE`] and [`KEY`].
pub(crate) fn write(server: &Server, tls: &PeerTls) -> anyhow::Result<()> {
    let (authority_key, mut authority) = (KeyPair::generate()?, parameters("Test authority", Vec::new())?);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    server.write(AUTHORITY, &authority.self_signed(&authority_key)?.pem())?;

    let (key, mut certificate) = (KeyPair::generate()?, parameters("Test server", tls.names.clone())?);
    certificate.use_authority_key_identifier_extension = true;
    certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let issuer = Issuer::new(authority, authority_key);
    server.write(CERTIFICATE, &certificate.signed_by(&key, &issuer)?.pem())?;
    let path = server.write(KEY, &key.serialize_pem())?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(())
}

/// Makes a certificate for `localhost` and 127.0.0.1 that vouches for itself, and writes [`CERTIFICATE`] and [`KEY`] into a
/// directory, both readable by everybody; returns their paths.
///
/// # Errors
/// When they cannot be written.
pub fn self_signed(directory: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let key = KeyPair::generate()?;
    let certificate = parameters("Test server", ["localhost", "127.0.0.1"].map(str::to_owned).to_vec())?;
    let (chain, private) = (directory.join(CERTIFICATE), directory.join(KEY));
    fs::write(&chain, certificate.self_signed(&key)?.pem())?;
    fs::write(&private, key.serialize_pem())?;
    Ok((chain, private))
}

fn parameters(name: &str, names: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1));
    Ok(parameters)
}
