//! The rule is at `pigeon_backends::mailstore::maildir::fuzzing::file_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_backends::mailstore::maildir::fuzzing::file_name(data));
