//! The rule is at `pigeon_frontends::lmtp::fuzzing::data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_frontends::lmtp::fuzzing::data(data));
