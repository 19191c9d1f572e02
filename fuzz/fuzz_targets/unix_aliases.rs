//! The rule is at `pigeon_backends::directory::foreign::fuzzing::unix_aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_backends::directory::foreign::fuzzing::unix_aliases(data));
