//! The rule is at `pigeon_services::sieve::fuzzing::script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::sieve::fuzzing::script(data));
