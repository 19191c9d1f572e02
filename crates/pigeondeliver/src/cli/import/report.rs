//! What an import did, or would do.

use std::io::{self, Write};

use pigeon_backends::directory::foreign::Remark;
use pigeon_backends::directory::foreign::plan::{Move, Plan};
use serde_json::json;

use super::Counts;
use crate::cli::output::Output;
use crate::show::{Table, Tone, printable};

/// Prints the report.
pub(super) fn print(out: &Output, plan: &Plan, counts: Counts, is_written: bool) -> anyhow::Result<()> {
    let document = json!({
        "written": is_written,
        "imported": counts,
        "passwords": plan.passwords,
        "skipped": plan.skipped,
        "left": plan.left,
        "moves": plan.moves,
    });
    out.print(&document, |to| {
        list(to, "Here already, and left as it is:", &plan.skipped)?;
        list(to, "Not carried over, or not as it was:", &plan.left)?;
        moves(to, &plan.moves)?;
        table(out, to, plan, counts)?;
        writeln!(to)?;
        match is_written {
            _ if plan.groups.is_empty() => writeln!(to, "There is nothing new to import."),
            true => writeln!(to, "Imported."),
            false => writeln!(to, "Nothing was written: add --write to import this."),
        }
    })
}

fn list(to: &mut dyn Write, title: &str, remarks: &[Remark]) -> io::Result<()> {
    if remarks.is_empty() {
        return Ok(());
    }
    writeln!(to, "{title}")?;
    for remark in remarks {
        writeln!(to, "  {}", printable(&remark.to_string()))?;
    }
    writeln!(to)
}

fn moves(to: &mut dyn Write, moves: &[Move]) -> io::Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    writeln!(to, "Mail to be moved, while no mail comes in (its owner must be the mail user):")?;
    for moved in moves {
        let parent = moved.to.parent().unwrap_or(&moved.to);
        let [parent, from, target] =
            [parent, &moved.from, &moved.to].map(|path| quoted(&path.to_string_lossy()));
        writeln!(to, "  mkdir -p {parent} && mv -T {from} {target}")?;
    }
    writeln!(to)
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+=@%".contains(&octet);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn table(out: &Output, to: &mut dyn Write, plan: &Plan, counts: Counts) -> io::Result<()> {
    let mut table = Table::new(out.paper, &["WHAT", "NUMBER"]);
    let passwords = plan.passwords;
    let number = |rows: &[Remark]| rows.len() as u64;
    let rows = [
        ("domains", counts.domains, Tone::Strong),
        ("accounts", counts.accounts, Tone::Strong),
        ("  with a slow hash", passwords.slow, Tone::Plain),
        ("  with a quick digest, soon guessed", passwords.fast, Tone::Plain),
        (
            "  with the password in plain text",
            passwords.plain,
            if passwords.plain > 0 { Tone::Warn } else { Tone::Plain },
        ),
        ("  without a password: they cannot log in", passwords.none, Tone::Plain),
        ("aliases", counts.aliases, Tone::Strong),
        ("settings", counts.settings, Tone::Strong),
        ("here already", number(&plan.skipped), Tone::Plain),
        (
            "not carried over, or not as it was",
            number(&plan.left),
            if plan.left.is_empty() { Tone::Plain } else { Tone::Warn },
        ),
        ("Maildirs to be moved", plan.moves.len() as u64, Tone::Plain),
    ];
    for (what, number, tone) in rows {
        table.row([(what, Tone::Plain), (number.to_string().as_str(), tone)]);
    }
    table.write(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        let check = |text: &str, expect: &str| assert_eq!(quoted(text), expect);
        check("/var/vmail/example.org/ann", "/var/vmail/example.org/ann");
        check("/home/a b", "'/home/a b'");
        check("/x/it's;rm", "'/x/it'\\''s;rm'");
        check("", "''");
    }
}
