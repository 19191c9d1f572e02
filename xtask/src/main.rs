//! The repository's own commands: `cargo xtask COMMAND`.

mod peers;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("peers") => peers::prepare(),
        _ => bail!("usage: cargo xtask peers    fetch the real mail programs that the tests run against"),
    }
}
