//! The rule is at `pigeon_backends::passwords::fuzzing::password_hash`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_backends::passwords::fuzzing::password_hash(data));
