//! The certificate of a server, read again when its files change.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tracing::{info, warn};

/// A certificate cannot be used.
#[derive(Debug, Error)]
#[error("{path} cannot be used for TLS: {what}", path = .path.display())]
pub struct CertificateError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A certificate with its chain and its private key, in two PEM files.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    stamp: Stamp,
    config: Arc<ServerConfig>,
    /// What was said about files that changed and cannot be used: said once.
    complaint: String,
}

/// What changes when a file is replaced or rewritten: device, inode, octets, and the time in seconds and nanoseconds.
type Stamp = [(u64, u64, u64, i64, i64); 2];

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// Which file is of no use, and why.
    pub fn open(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let stamp = stamp(chain, key);
        let config = load(chain, key)?;
        let loaded = Mutex::new(Loaded { stamp, config, complaint: String::new() });
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), loaded })
    }

    /// The configuration for the next connection: of the files as they are now, or of the last ones that were right.
    /// Reads files: call it where that may be waited for.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.chain, &self.key);
        if stamp == loaded.stamp {
            return Arc::clone(&loaded.config);
        }
        match load(&self.chain, &self.key) {
            Ok(config) => {
                info!("the certificate in {} is read anew", self.chain.display());
                *loaded = Loaded { stamp, config, complaint: String::new() };
            }
            // One file may be written and the other not yet: the next connection looks again.
            Err(error) => {
                let complaint = error.to_string();
                if complaint != loaded.complaint {
                    warn!("{complaint}; the certificate from before is used on");
                    loaded.complaint = complaint;
                }
            }
        }
        Arc::clone(&loaded.config)
    }
}

fn stamp(chain: &Path, key: &Path) -> Stamp {
    [chain, key].map(|path| {
        std::fs::metadata(path)
            .map(|file| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
            .unwrap_or_default()
    })
}

fn load(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let error = |path: &Path, what: String| CertificateError { path: path.to_owned(), what };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_reader_iter(open(chain)?)
        .collect::<Result<_, _>>()
        .map_err(|cause| error(chain, format!("it is not a PEM file of certificates: {cause}")))?;
    if certificates.is_empty() {
        return Err(error(chain, "there is no certificate in it".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_reader(open(key)?)
        .map_err(|cause| error(key, format!("it is not a PEM file of a private key: {cause}")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|cause| error(key, format!("it does not go with {}: {cause}", chain.display())))?;
    Ok(Arc::new(config))
}

fn open(path: &Path) -> Result<File, CertificateError> {
    File::open(path).map_err(|cause| {
        let hint = match cause.kind() {
            io::ErrorKind::PermissionDenied => "; let the mail user's group read it",
            _ => "",
        };
        CertificateError { path: path.to_owned(), what: format!("{cause}{hint}") }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn write(folder: &Path) -> (PathBuf, PathBuf) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["mx.example.org".to_owned()]).unwrap();
        let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&chain, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        (chain, key)
    }

    #[test]
    fn files_that_change_are_read_again_when_both_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = write(folder.path());
        let certificate = Certificate::open(&chain, &key).unwrap();
        let first = certificate.current();
        assert!(Arc::ptr_eq(&first, &certificate.current()));
        let old_key = fs::read(&key).unwrap();
        write(folder.path());
        let new_key = fs::read(&key).unwrap();
        fs::write(&key, old_key).unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current()), "the key of another certificate");
        fs::write(&key, new_key).unwrap();
        let second = certificate.current();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::remove_file(&chain).unwrap();
        assert!(Arc::ptr_eq(&second, &certificate.current()));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = write(folder.path());
        let check = |chain: &Path, key: &Path, expect: &str| {
            let error = Certificate::open(chain, key).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&folder.path().join("none.pem"), &key, "none.pem cannot be used for TLS: No such file");
        check(&key, &key, "key.pem cannot be used for TLS: there is no certificate in it");
        check(&chain, &chain, "it is not a PEM file of a private key");
    }
}
