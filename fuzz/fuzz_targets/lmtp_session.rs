//! A whole LMTP session fed with octets; the rules are those of the front-ends' tests.
#![no_main]

#[path = "../../crates/pigeon-frontends/tests/it/conversation.rs"]
mod conversation;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../crates/pigeon-frontends/tests/it/post_office.rs"]
mod post_office;

libfuzzer_sys::fuzz_target!(|data: &[u8]| conversation::check_session(data));
