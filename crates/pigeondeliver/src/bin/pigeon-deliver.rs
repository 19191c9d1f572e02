//! `pigeon deliver` as a program of its own: a small one, which starts sooner.

use std::process::ExitCode;

use pigeon_frontends::pipe::Dialect;
use pigeondeliver::cli::deliver;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let dialect = arguments.next().as_deref().and_then(Dialect::of_program).unwrap_or(Dialect::Pigeon);
    deliver::run(dialect, arguments.collect())
}
