//! Looks at a ManageSieve listener and its certificate.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::Problem;
use super::probe::{self, Probed};
use crate::config::{Config, ManageSieve};
use crate::wiring;

/// Whether it can be opened, or is open already, and whether its certificate can be used, after the start, too.
pub(super) async fn probe(listener: &ManageSieve, config: &Config) -> Probed {
    let to_do = "mend managesieve in the configuration";
    let address = listener.address().map_err(|error| Problem::new(format!("{error:#}"), to_do))?;
    let certificate = listener.open_certificate().map_err(|error| {
        Problem::new(format!("{error:#}"), "give the paths of a certificate and its key, both PEM")
    })?;
    let found = probe::place(address, "IMPLEMENTATION").await?;
    if certificate.is_none() {
        return Ok(format!("{found}; without TLS: people log in from this host, or by SCRAM-SHA-256"));
    }
    match &listener.key {
        Some(key) if !is_readable(key, config) => Err(Problem::passing(
            format!(
                "the mail user cannot read {}: a new certificate is used only after a restart",
                key.display()
            ),
            "let the mail user or its group read the key, or restart the server when the certificate is renewed",
        )),
        _ => Ok(format!("{found}; with TLS")),
    }
}

/// Whether the mail user may read a file, by its own bits: the folders above are not looked at.
fn is_readable(file: &Path, config: &Config) -> bool {
    let Ok(Some(owner)) = wiring::owner(config) else { return true };
    std::fs::metadata(file).is_ok_and(|metadata| {
        let mode = metadata.permissions().mode();
        match (metadata.uid() == owner.uid, metadata.gid() == owner.gid) {
            (true, _) => mode & 0o400 != 0,
            (false, true) => mode & 0o040 != 0,
            (false, false) => mode & 0o004 != 0,
        }
    })
}
