//! Runs Sieve scripts: the user's own, with those of the system and the domain around it.
//!
//! Source: RFC 5228 (Sieve) and its extensions; docs/admin/sieve.md lists them.

mod check;
mod engine;
mod rules;
mod settings;
mod syntax;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, NoConfig, Service, Stage, Tools};

use engine::HARMLESS;
pub use engine::{EXTENSIONS, ScriptError, compile};
pub use settings::{MAX_NAME_OCTETS, MAX_SCRIPT_OCTETS, Settings, check_name};

/// The service.
#[derive(Debug)]
pub struct Sieve;

impl Service for Sieve {
    const NAME: &'static str = "sieve";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        settings.check()
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        settings.contradictions()
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.decided_by("active");
        if settings.has_nothing_to_run() {
            delivery.reason("no script is active");
            return Ok(Next::Continue);
        }
        Err(Fault::temporary("this version checks scripts and does not run them"))
    }
}
