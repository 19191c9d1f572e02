//! The rule is at `pigeon_core::fuzzing::domain_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_core::fuzzing::domain_name(data));
