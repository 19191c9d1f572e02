//! The rule is at `pigeon_frontends::pipe::fuzzing::arguments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_frontends::pipe::fuzzing::arguments(data));
