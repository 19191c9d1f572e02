//! The rule is at `pigeon_core::fuzzing::alias_pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_core::fuzzing::alias_pattern(data));
