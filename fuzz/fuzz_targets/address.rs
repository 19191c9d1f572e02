//! The rule is at `pigeon_core::fuzzing::address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_core::fuzzing::address(data));
