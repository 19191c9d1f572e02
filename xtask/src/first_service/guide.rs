//! Reads the guide: what it adds to which files, and which commands it gives.

use anyhow::{Context as _, bail, ensure};

/// The chapter's heading.
const CHAPTER: &str = "## Your first service\n";
/// How the block of a new file begins; its path follows.
const FILE: &str = "```rust file=";

/// A change that the guide asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// A new file.
    File {
        /// From the top directory.
        path: String,
        /// All of it.
        text: String,
    },
    /// One more line in a file.
    Line {
        /// From the top directory.
        path: String,
        /// Below the line that says this; at the end of the file if none is named.
        below: Option<String>,
        /// The line.
        line: String,
    },
}

/// The guide.
#[derive(Debug)]
pub(super) struct Guide {
    /// In the order of the text.
    pub(super) edits: Vec<Edit>,
    /// In the order of the text.
    pub(super) commands: Vec<String>,
}

impl Guide {
    /// Finds the chapter in the page and reads it.
    ///
    /// # Errors
    /// What the chapter lacks.
    pub(super) fn parse(page: &str) -> anyhow::Result<Self> {
        let (_, rest) =
            page.split_once(CHAPTER).with_context(|| format!("there is no chapter {CHAPTER:?}"))?;
        let chapter = rest.split("\n## ").next().unwrap_or(rest);
        let mut guide = Self { edits: Vec::new(), commands: Vec::new() };
        let mut prose = chapter.to_owned();
        while let Some((before, block)) = prose.split_once(FILE) {
            let (path, block) = block.split_once('\n').context("a block ends at its beginning")?;
            let (text, after) = block.split_once("\n```\n").context("a block has no end")?;
            guide.edits.push(Edit::File { path: path.to_owned(), text: format!("{text}\n") });
            prose = format!("{before}{after}");
        }
        for paragraph in prose.split("\n\n") {
            guide.read(paragraph)?;
        }
        Ok(guide)
    }

    /// Reads the code in a paragraph: a file and a line for it, or commands.
    fn read(&mut self, paragraph: &str) -> anyhow::Result<()> {
        let spans: Vec<String> =
            paragraph.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect();
        let is_file = spans.first().is_some_and(|span| span.starts_with("crates/") && span.ends_with(".rs"));
        match &spans[..] {
            [_] if is_file => {
                let Some(Edit::File { path, .. }) = self.edits.first() else {
                    bail!("{spans:?} has no block")
                };
                ensure!(*path == *spans.concat(), "the block is not that of {spans:?}");
            }
            [path, line] if is_file => self.line(path, None, line),
            [path, below, line] if is_file => self.line(path, Some(below.clone()), line),
            _ if is_file => bail!("what is to be done with {spans:?}?"),
            _ => {
                let is_command =
                    |span: &String| span.starts_with("cargo run ") || span.starts_with("pigeon ");
                self.commands.extend(spans.into_iter().filter(is_command));
            }
        }
        Ok(())
    }

    fn line(&mut self, path: &str, below: Option<String>, line: &str) {
        self.edits.push(Edit::Line { path: path.to_owned(), below, line: line.to_owned() });
    }

    /// The doc comments of the settings in the new file.
    pub(super) fn comments(&self) -> Vec<String> {
        let texts = self.edits.iter().filter_map(|edit| match edit {
            Edit::File { text, .. } => Some(text.as_str()),
            Edit::Line { .. } => None,
        });
        texts
            .flat_map(|text| text.lines().take_while(|line| *line != "}"))
            .filter_map(|line| line.trim_start().strip_prefix("/// ").map(str::to_owned))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n\n## Your first service\nIt is easy.\n\n**1.** Make `crates/a.rs`:\n\n\
        ```rust file=crates/a.rs\n/// Helps.\nstruct A {\n    /// More.\n    b: u8,\n}\n/// Not this.\nstruct C;\n```\n\n\
        **2.** Name it in `crates/lib.rs`: `pub mod a;`\n\n\
        **3.** List it in `crates/list.rs`, below `B,`: `A,`\n\n**4.** Look: `cargo run -- a` and\n`pigeon b`, or `c`.\n\n\
        ## Next\n`pigeon d`\n";

    #[test]
    fn the_guide_is_read() {
        let guide = Guide::parse(PAGE).unwrap();
        let [file, module, list] = &guide.edits[..] else { panic!("{guide:?}") };
        assert!(matches!(file, Edit::File { path, text } if path == "crates/a.rs" && text.ends_with("C;\n")));
        assert!(matches!(module, Edit::Line { below: None, line, .. } if line == "pub mod a;"));
        assert!(matches!(list, Edit::Line { below: Some(below), line, .. } if below == "B," && line == "A,"));
        assert_eq!(guide.commands, ["cargo run -- a", "pigeon b"]);
        assert_eq!(guide.comments(), ["Helps.", "More."]);
    }

    #[test]
    fn a_guide_that_lacks_something_is_refused() {
        assert!(Guide::parse("# Page\n").is_err());
        assert!(Guide::parse(&PAGE.replace("rust file=crates/a.rs", "rust")).is_err());
        assert!(Guide::parse(&PAGE.replace("file=crates/a.rs", "file=crates/b.rs")).is_err());
        assert!(Guide::parse(&PAGE.replace("`crates/list.rs`", "`crates/list.rs` with `x`")).is_err());
    }
}
