//! The program `pigeon`. Deliveries of one message go their own short way, past the command-line library.

use std::process::ExitCode;

use pigeon_services::command::sandbox;
use pigeondeliver::cli::{self, deliver, sieve};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if sandbox::is_asked_for(&arguments) {
        return sandbox::run(&arguments);
    }
    if let Some(options) = sieve::is_asked_for(&arguments) {
        return sieve::test(options);
    }
    match deliver::is_asked_for(&arguments) {
        Some((dialect, arguments)) => deliver::run(dialect, arguments),
        None => cli::main(),
    }
}
