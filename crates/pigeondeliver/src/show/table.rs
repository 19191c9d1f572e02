//! Tables without lines: columns that stand under each other, and wrap where the terminal ends.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, presets};

use super::Paper;

/// How a cell looks where colours are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// What the eye should find first.
    Strong,
    /// What matters least.
    Dim,
    /// All is well.
    Good,
    /// Somebody may want to look.
    Warn,
    /// Something is wrong.
    Bad,
}

/// A table that is filled row by row and then written.
pub struct Table {
    table: comfy_table::Table,
    paper: Paper,
    indent: u16,
}

impl Table {
    /// A table with these column heads; none: a table without heads.
    #[must_use]
    pub fn new(paper: Paper, heads: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = paper.width {
            table.set_width(width);
        }
        if paper.is_coloured {
            table.enforce_styling();
        }
        if !heads.is_empty() {
            table.set_header(heads.iter().map(|head| cell(head, Tone::Dim)));
        }
        Self { table, paper, indent: 0 }
    }

    /// The same, set in by so many columns.
    #[must_use]
    pub fn indented(mut self, columns: u16) -> Self {
        self.indent = columns;
        self
    }

    /// Adds a row of cells, each with its tone.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Tone)>) {
        self.table.add_row(cells.into_iter().map(|(text, tone)| cell(text, tone)));
    }

    /// Adds a row of cells as they are.
    pub fn plain_row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.row(cells.into_iter().map(|text| (text, Tone::Plain)));
    }

    /// Adds a row about one thing, `name  value`, unless there is nothing to say about it.
    pub fn fact(&mut self, name: &str, value: &str, tone: Tone) {
        if !value.is_empty() {
            self.row([(name, Tone::Dim), (value, tone)]);
        }
    }

    /// Whether no row was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Writes the table; an empty one writes nothing.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        let indent = self.indent;
        let last = self.table.column_count().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            let left = if index == 0 { indent } else { 0 };
            column.set_padding((left, if index == last { 0 } else { 2 }));
        }
        for line in self.table.lines() {
            let line = if self.paper.is_coloured { &line } else { line.trim_end() };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

fn cell(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Good => cell.fg(Color::Green),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(paper: Paper) -> String {
        let mut table = Table::new(paper, &["NAME", "WHAT"]).indented(2);
        table.row([("a", Tone::Strong), ("first", Tone::Plain)]);
        table.plain_row(["longer", "a second one that is rather long and has to wrap somewhere on paper"]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_under_each_other() {
        insta::assert_snapshot!(written(Paper::PLAIN), @r"
        NAME    WHAT
        a       first
        longer  a second one that is rather long and has to wrap somewhere on paper
        ");
    }

    #[test]
    fn narrow_paper_wraps() {
        let text = written(Paper { width: Some(40), is_coloured: false });
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn colours_come_only_where_they_are_welcome() {
        assert!(!written(Paper::PLAIN).contains('\u{1b}'));
        assert!(written(Paper { width: None, is_coloured: true }).contains('\u{1b}'));
    }
}
