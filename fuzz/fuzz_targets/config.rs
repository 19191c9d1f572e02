//! The rule is at `pigeondeliver::config::fuzzing::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeondeliver::config::fuzzing::config(data));
