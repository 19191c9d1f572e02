//! The rule is at `pigeon_services::antispam::fuzzing::rspamd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pigeon_services::antispam::fuzzing::rspamd(data));
