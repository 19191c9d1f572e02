//! Which scripts run for a recipient, compiled once for all deliveries.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::engine::{Includes, Origin, Script, Trouble};
use super::program::{Program, compile};
use super::settings::{Scripts, Settings};

/// How much memory compiled scripts may take, in octets of their sources and what they become.
const KEPT_OCTETS: u64 = 64 << 20;
/// A compiled script takes about so many times the room of its source.
const GROWTH: u64 = 10;

/// What a source became.
type Compiled = Result<Arc<Program>, Arc<str>>;

#[derive(Clone)]
struct BySource;

impl Weighter<[u8; 32], (u64, Compiled)> for BySource {
    fn weight(&self, _key: &[u8; 32], (octets, _): &(u64, Compiled)) -> u64 {
        octets * GROWTH + 200
    }
}

static COMPILED: LazyLock<Cache<[u8; 32], (u64, Compiled), BySource>> =
    LazyLock::new(|| Cache::with_weighter(4096, KEPT_OCTETS, BySource));

/// The script of this source; it is compiled only when nobody has asked for it lately.
pub(super) fn compiled(source: &str) -> Compiled {
    let key: [u8; 32] = Sha256::digest(source.as_bytes()).into();
    if let Some((_, known)) = COMPILED.get(&key) {
        return known;
    }
    let made = compile(source).map(Arc::new).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        Arc::from(format!("it does not compile: {first}"))
    });
    COMPILED.insert(key, (source.len() as u64, made.clone()));
    made
}

/// The scripts that run, in order; and what is wrong with the first that cannot.
pub(super) type Chosen = (Vec<Script>, Option<Trouble>);

/// The scripts of one settings, once they were asked for.
pub(super) type Kept = OnceLock<Arc<Chosen>>;

impl Settings {
    /// The scripts that run.
    pub(super) fn chosen(&self) -> Arc<Chosen> {
        Arc::clone(self.kept.get_or_init(|| Arc::new(self.choose())))
    }

    fn choose(&self) -> Chosen {
        let mut chosen = Vec::new();
        let layers = [
            (Origin::System, "before_system.", self.before_system.iter().collect::<Vec<_>>()),
            (Origin::Domain, "before_domain.", self.before_domain.iter().collect()),
            (Origin::Personal, "", self.scripts.get_key_value(&self.active).into_iter().collect()),
            (Origin::Domain, "after_domain.", self.after_domain.iter().collect()),
            (Origin::System, "after_system.", self.after_system.iter().collect()),
        ];
        for (origin, layer, scripts) in layers {
            for (name, source) in scripts {
                let label = format!("{layer}{name}");
                match compiled(source) {
                    Ok(program) => chosen.push(Script { label, origin, program }),
                    Err(message) => {
                        let trouble =
                            Trouble { script: label, origin, line: 1, message: message.to_string() };
                        return (chosen, Some(trouble));
                    }
                }
            }
        }
        (chosen, None)
    }

    /// What scripts may include: those that compile.
    pub(super) fn includes(&self, scripts: &[Script]) -> Arc<Includes> {
        if !scripts.iter().any(|script| script.program.has("include")) {
            return Arc::new(|_, _, _| None);
        }
        let all = |scripts: &Scripts| -> BTreeMap<String, Arc<Program>> {
            scripts.iter().filter_map(|(name, source)| Some((name.clone(), compiled(source).ok()?))).collect()
        };
        let personal = all(&self.scripts);
        let (system, domain) = (all(&self.global_system), all(&self.global_domain));
        Arc::new(move |is_global, name, origin| {
            let found = match (is_global, origin) {
                (false, _) => personal.get(name),
                // What the system runs takes nothing from a domain.
                (true, Origin::System) => system.get(name),
                (true, _) => domain.get(name).or_else(|| system.get(name)),
            };
            found.cloned()
        })
    }
}
