//! Feeds the seeds of the fuzz targets through their entry functions, so that they are tested without a fuzzer.

use std::fs;
use std::path::Path;

/// At most so many beginnings of one seed are tried, too.
const MAX_BEGINNINGS: usize = 256;

/// The name of a fuzz target and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// Runs each entry function over the seeds in the folder of its name, and over their beginnings.
///
/// # Panics
/// When a rule is broken, or when an entry has no seed or no fuzz target.
pub fn replay(entries: &[Entry]) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, entry) in entries {
        let target = fuzz.join("fuzz_targets").join(name).with_extension("rs");
        assert!(target.is_file(), "there is no fuzz target {name}");
        let seeds = seeds_in(&fuzz.join("seeds").join(name));
        assert!(!seeds.is_empty(), "there are no seeds for {name}");
        for seed in seeds {
            entry(&seed);
            let step = seed.len() / MAX_BEGINNINGS + 1;
            for beginning in (0..seed.len()).step_by(step).filter_map(|length| seed.get(..length)) {
                entry(beginning);
            }
        }
    }
}

/// The octets of each file in a folder; none when there is no such folder.
fn seeds_in(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| fs::read(entry.path()).ok()).collect()
}
