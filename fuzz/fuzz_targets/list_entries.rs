//! The rule is at `pigeon_services::lists::fuzzing::entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::lists::fuzzing::entries(data));
