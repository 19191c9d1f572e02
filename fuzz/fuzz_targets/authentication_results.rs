//! The rule is at `pigeon_services::authentication::fuzzing::results`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::authentication::fuzzing::results(data));
