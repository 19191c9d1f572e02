//! The rule is at `pigeon_services::antispam::fuzzing::spamd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::antispam::fuzzing::spamd(data));
