//! The rule is at `pigeon_frontends::managesieve::fuzzing::reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_frontends::managesieve::fuzzing::reply(data));
