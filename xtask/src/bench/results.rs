//! The rows that the scripts in `bench/` write.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// A row: its values by the names in the file's first line.
type Row = HashMap<String, String>;

/// The results of one run of the scripts.
#[derive(Debug, Default)]
pub(super) struct Results {
    lmtp: Vec<Row>,
    limits: Vec<Row>,
    pipe: Vec<Row>,
    syscalls: Vec<Row>,
    memory: Vec<Row>,
}

/// Which figure: a file, the values that its rows must have, and the column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    /// Sessions, bytes, recipients of a message; the column.
    Lmtp(u32, u32, u32, &'static str),
    /// Bytes of the message; the column.
    Pipe(u32, &'static str),
    /// At 10 sessions with 4 KiB; the column.
    Syscalls(&'static str),
    /// The case.
    Memory(&'static str),
}

/// The column with deliveries per second.
pub(super) const RATE: &str = "deliv_per_s";
/// The column with the CPU time of a delivery, in microseconds.
pub(super) const CPU: &str = "cpu_us_per_deliv";

impl Results {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// When one is missing.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let rows = |name: &str| {
            let path = folder.join(name);
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::Ok(rows(&text))
        };
        Ok(Self {
            lmtp: rows("lmtp.csv")?,
            limits: rows("limits.csv")?,
            pipe: rows("pipe.csv")?,
            syscalls: rows("syscalls.csv")?,
            memory: rows("memory.csv")?,
        })
    }

    /// What a program reaches that only makes as many files durable, at as many threads as there are sessions; for the
    /// rate and the CPU time of LMTP cases with one recipient.
    pub(super) fn disk_alone(&self, figure: Figure) -> Option<f64> {
        let (threads, size, column) = match figure {
            Figure::Lmtp(sessions, size, 1, RATE) => (sessions, size, "files_per_s"),
            Figure::Lmtp(sessions, size, 1, CPU) => (sessions, size, "cpu_us_per_file"),
            _ => return None,
        };
        let wanted = [("mode", "fsync2"), ("threads", &threads.to_string()), ("size", &size.to_string())];
        let rows = self.limits.iter().filter(|row| wanted.iter().all(|(name, value)| is(row, name, value)));
        median(rows.filter_map(|row| number(row, column)).collect())
    }

    /// The median of a figure of a target over all repetitions; none if it was not measured, or deliveries failed.
    pub(super) fn median(&self, target: &str, figure: Figure) -> Option<f64> {
        let (rows, wanted, column) = match figure {
            Figure::Lmtp(sessions, size, recipients, column) => {
                (&self.lmtp, vec![("sessions", sessions), ("size", size), ("rcpts", recipients)], column)
            }
            Figure::Pipe(size, column) => (&self.pipe, vec![("size", size)], column),
            Figure::Syscalls(column) => (&self.syscalls, vec![("sessions", 10), ("size", 4096)], column),
            Figure::Memory(case) => {
                let rows =
                    self.memory.iter().filter(|row| is(row, "target", target) && is(row, "case", case));
                return median(rows.filter_map(|row| number(row, "value")).collect());
            }
        };
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| is(row, "target", target))
            .filter(|row| wanted.iter().all(|(name, value)| is(row, name, &value.to_string())))
            .collect();
        if rows.iter().any(|row| number(row, "failed").unwrap_or(0.0) > 0.0) {
            return None;
        }
        median(rows.iter().filter_map(|row| number(row, column)).collect())
    }
}

fn is(row: &Row, name: &str, value: &str) -> bool {
    row.get(name).is_some_and(|text| text == value)
}

fn number(row: &Row, name: &str) -> Option<f64> {
    row.get(name)?.parse().ok()
}

/// Values without commas or quotes: all that the scripts write.
fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let values = line.split(',').map(str::to_owned);
        names.iter().map(|name| (*name).to_owned()).zip(values).collect()
    };
    lines.map(row).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
impl Results {
    /// Results from the text of `lmtp.csv` and `memory.csv`.
    pub(super) fn of(lmtp: &str, memory: &str) -> Self {
        Self { lmtp: rows(lmtp), memory: rows(memory), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LMTP: &str = "rep,target,sessions,size,rcpts,failed,deliv_per_s\n1,a,10,4096,1,0,100\n2,a,10,4096,1,0,300\n\
                        3,a,10,4096,1,0,200\n1,a,1,4096,1,0,7\n1,b,10,4096,1,0,5\n1,c,10,4096,1,2,5\n";

    #[test]
    fn the_median_of_the_repetitions_counts() {
        let results = Results::of(LMTP, "target,case,value,unit\na,idle,3.5,KiB\na,idle,4.5,KiB\n");
        let figure = Figure::Lmtp(10, 4096, 1, "deliv_per_s");
        assert_eq!(results.median("a", figure), Some(200.0));
        assert_eq!(results.median("b", figure), Some(5.0));
        assert_eq!(results.median("c", figure), None, "deliveries failed");
        assert_eq!(results.median("d", figure), None);
        assert_eq!(results.median("a", Figure::Memory("idle")), Some(4.0));
        assert_eq!(results.disk_alone(figure), None);
    }

    #[test]
    fn the_disk_is_measured_beside() {
        let limits = "mode,threads,size,files_per_s,cpu_us_per_file\nfsync2,10,4096,4000,130\nfsync2,10,4096,5000,120\n\
                      gc1,10,4096,9000,1\n";
        let results = Results { limits: rows(limits), ..Results::default() };
        assert_eq!(results.disk_alone(Figure::Lmtp(10, 4096, 1, RATE)), Some(4500.0));
        assert_eq!(results.disk_alone(Figure::Lmtp(10, 4096, 1, CPU)), Some(125.0));
        assert_eq!(results.disk_alone(Figure::Lmtp(10, 4096, 50, RATE)), None);
    }
}
