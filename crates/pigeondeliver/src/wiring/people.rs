//! What people come in with: logins, and what they may do once they are in.

use std::sync::Arc;

use pigeon_backends::authenticator::DirectoryAuthenticator;
use pigeon_backends::scripts::DirectoryScripts;
use pigeon_core::ports::authenticator::Authenticator;
use pigeon_core::ports::directory::Directory;
use pigeon_core::ports::scripts::Scripts;
use pigeon_core::ports::state::State;
use pigeon_frontends::managesieve::{Engine, ManageSieve};
use pigeon_services::sieve::{self, ScriptError};

use super::Site;
use crate::config;

impl Site {
    /// Checks who logs in.
    #[must_use]
    pub fn authenticator(&self) -> Arc<dyn Authenticator> {
        let directory = Arc::clone(&self.directory) as Arc<dyn Directory>;
        let state = Arc::clone(&self.state) as Arc<dyn State>;
        let clock = Arc::clone(&self.catalogue.tools().clock);
        let grants = Arc::clone(&self.directory);
        Arc::new(DirectoryAuthenticator::new(directory, state, clock).with_grants(grants))
    }

    /// The Sieve scripts of accounts.
    #[must_use]
    pub fn scripts(&self) -> Arc<dyn Scripts> {
        let (directory, catalogue) = (Arc::clone(&self.directory), Arc::clone(&self.catalogue));
        Arc::new(DirectoryScripts::new(directory, catalogue, compile))
    }

    /// What one ManageSieve listener serves.
    ///
    /// # Errors
    /// When its certificate cannot be used.
    pub fn managesieve(
        &self,
        listener: &config::ManageSieve,
        authenticator: Arc<dyn Authenticator>,
    ) -> anyhow::Result<ManageSieve> {
        let mut server = ManageSieve::new(self.scripts(), authenticator, engine(), listener.limits());
        if let Some(certificate) = listener.open_certificate()? {
            server = server.with_certificate(certificate);
        }
        Ok(if listener.plaintext { server.allowing_plaintext() } else { server })
    }
}

fn compile(source: &str) -> Result<Vec<String>, Vec<String>> {
    let texts = |errors: Vec<ScriptError>| errors.iter().map(ToString::to_string).collect();
    sieve::compile(source).map(|program| texts(program.warnings)).map_err(texts)
}

fn engine() -> Engine {
    let extensions: Vec<String> = sieve::EXTENSIONS.iter().map(|name| (*name).to_owned()).collect();
    // RFC 5804 §1.7: NOTIFY belongs to enotify; mailto is the method there is (RFC 5436).
    let notify = if sieve::EXTENSIONS.contains(&"enotify") { vec!["mailto".to_owned()] } else { Vec::new() };
    Engine { extensions, notify }
}
