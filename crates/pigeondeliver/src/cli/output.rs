//! What a command prints: text for people or one JSON document, never both.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::show::Paper;

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    is_json: bool,
    /// What standard output is.
    pub(crate) paper: Paper,
}

impl Output {
    /// Standard output, in one of the two forms.
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json, paper: Paper::of_stdout() }
    }

    /// Whether a JSON document is wanted.
    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints the document, or the text about it.
    pub(crate) fn print(
        &self,
        document: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        if !self.is_json {
            return write_out(text);
        }
        let json = serde_json::to_string_pretty(document).context("the answer cannot be written as JSON")?;
        write_out(|out| writeln!(out, "{json}"))
    }

    /// Says something beside the answer, on standard error.
    pub(crate) fn remark(&self, text: &str) {
        // There is nobody to tell when standard error is closed.
        drop(writeln!(anstream::stderr(), "{}", text.dimmed()));
    }
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
pub(crate) fn write_out(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Prints an error on standard error, in one line: what happened, what it concerns, what to do next.
pub fn report(error: &anyhow::Error) {
    let text = format!("{error:#}").replace('\n', " ");
    // There is nobody to tell when standard error is closed.
    drop(writeln!(anstream::stderr(), "{} {text}", "pigeon:".red().bold()));
}
