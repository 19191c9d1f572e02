//! The rule is at `pigeon_core::fuzzing::timestamp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_core::fuzzing::timestamp(data));
