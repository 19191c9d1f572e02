//! The repository's own commands: `cargo xtask COMMAND`.

mod bench;
mod check;
mod docs;
mod first_service;
mod fuzz;
mod peers;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::bail;

use crate::workspace::{cargo, run, say};

/// A command: its name, its options, what it does, and how.
struct Task {
    name: &'static str,
    options: &'static [&'static str],
    help: &'static str,
    /// Gets the option if one was given; answers whether all went well.
    run: fn(Option<&str>) -> anyhow::Result<bool>,
}

impl Task {
    fn takes(&self, option: &str) -> bool {
        let is_number = option.parse::<u32>().is_ok();
        self.options.iter().any(|known| if *known == SECONDS { is_number } else { *known == option })
    }
}

/// An option that is a whole number.
const SECONDS: &str = "SECONDS";

const TASKS: &[Task] = &[
    Task {
        name: "test",
        options: &[],
        help: "fetch what the tests need, then run all checks and all tests",
        run: |_| test::all(),
    },
    Task {
        name: "check",
        options: &["--quick"],
        help: "format, lints, documents, repository rules, tests; --quick: without the tests",
        run: |quick| if quick.is_some() { check::all()?.close() } else { test::checked() },
    },
    Task {
        name: "tidy",
        options: &[],
        help: "the repository's own rules: import walls, sizes, words, documents",
        run: |_| tidy::run(),
    },
    Task {
        name: "docs",
        options: &["--check"],
        help: "write the generated documents anew; --check: only tell whether they are fresh",
        run: |check| docs::make(check.is_some()),
    },
    Task { name: "fmt", options: &[], help: "format the code", run: |_| run(&mut cargo(["fmt", "--all"])) },
    Task {
        name: "peers",
        options: &[],
        help: "fetch the real mail programs that the tests run against",
        run: |_| peers::prepare().map(|()| true),
    },
    Task {
        name: "e2e",
        options: &[],
        help: "only the tests with real mail programs",
        run: |_| test::end_to_end(),
    },
    Task {
        name: "first-service",
        options: &[],
        help: "follow \"Your first service\" of CONTRIBUTING.md in a copy",
        run: |_| first_service::run(),
    },
    Task {
        name: "bench",
        options: &["--quick"],
        help: "measure beside the peers and compare with the targets; --quick: only see that it works",
        run: |quick| bench::measure(quick.is_some()),
    },
    Task {
        name: "fuzz",
        options: &[SECONDS],
        help: "run every fuzz target for 5 seconds, or as many as are named",
        run: fuzz::every_target,
    },
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, options)) = arguments.split_first() else {
        say(&usage())?;
        return Ok(ExitCode::from(2));
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        say(&usage())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        bail!("there is no command {name:?}\n\n{}", usage());
    };
    if let Some(option) = options.iter().find(|option| !task.takes(option)) {
        bail!("{name} has no option {option:?}\n\n{}", usage());
    }
    let is_good = (task.run)(options.first().map(String::as_str))?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usage() -> String {
    let mut lines = vec!["usage: cargo xtask COMMAND".to_owned(), String::new()];
    lines.extend(TASKS.iter().map(|task| {
        let options: String = task.options.iter().map(|option| format!(" [{option}]")).collect();
        format!("  {:<18} {}", format!("{}{options}", task.name), task.help)
    }));
    lines.join("\n")
}
