//! `pigeon deliver` as a program of its own: a small one, which starts sooner.

use std::process::ExitCode;

use pigeon_frontends::pipe::Dialect;
use pigeon_services::command::sandbox;
use pigeondeliver::cli::deliver;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if sandbox::is_asked_for(&arguments) {
        return sandbox::run(&arguments);
    }
    let mut arguments = arguments.into_iter();
    let dialect = arguments.next().as_deref().and_then(Dialect::of_program).unwrap_or(Dialect::Pigeon);
    deliver::run(dialect, arguments.collect())
}
