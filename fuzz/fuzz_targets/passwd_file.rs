//! The rule is at `pigeon_backends::directory::foreign::fuzzing::passwd_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_backends::directory::foreign::fuzzing::passwd_file(data));
