//! The rule is at `pigeon_core::fuzzing::srs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_core::fuzzing::srs(data));
