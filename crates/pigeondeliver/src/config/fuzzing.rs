//! What must hold for any configuration file: the entry functions of the fuzz targets.

use super::Config;

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[("config", config)];

/// A configuration that is understood is written so that it is understood alike.
pub fn config(data: &[u8]) {
    let Ok(config) = toml::from_str::<Config>(&String::from_utf8_lossy(data)) else { return };
    let listeners: Vec<_> = config.lmtp.iter().map(|lmtp| lmtp.listener().map(|open| open.address)).collect();
    assert_eq!(listeners.len(), config.lmtp.len());
    config.managesieve.iter().for_each(|listener| drop(listener.address()));
    drop(config.directory_url());
    // TOML has no integers above those of 64 bits with a sign.
    let Ok(text) = toml::to_string(&config) else { return };
    let again = toml::from_str::<Config>(&text).map(|again| format!("{again:?}"));
    assert_eq!(again.ok(), Some(format!("{config:?}")), "written as {text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
