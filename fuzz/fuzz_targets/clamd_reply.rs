//! The rule is at `pigeon_services::antivirus::fuzzing::reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::antivirus::fuzzing::reply(data));
