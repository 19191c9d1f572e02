//! The rule is at `pigeon_frontends::managesieve::fuzzing::commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_frontends::managesieve::fuzzing::commands(data));
