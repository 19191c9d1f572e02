//! Positions of this process: those of the log, and one for each time that something outside it was noticed.

use std::collections::VecDeque;

use pigeon_core::directory::Scope;

/// How many such times are remembered one by one.
const MAX_NOTICED: usize = 1000;
/// More parts of the directory than this at one time count as all of it.
const MAX_PARTS: usize = 1000;

/// Counts what the log does not.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// How far positions are ahead of the log's now, and how far they were before the first of `noticed`.
    offset: u64,
    first_offset: u64,
    /// Whoever stands before this position is told that everything changed.
    floor: u64,
    noticed: VecDeque<Noticed>,
}

#[derive(Debug)]
struct Noticed {
    /// Its position.
    at: u64,
    /// Where the log stood.
    log: u64,
    scopes: Vec<Scope>,
}

impl Positions {
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Something changed while the log stood at `log`.
    pub(super) fn notice(&mut self, log: u64, scopes: Vec<Scope>) {
        let scopes = if scopes.len() > MAX_PARTS { vec![Scope::System] } else { scopes };
        self.offset += 1;
        self.noticed.push_back(Noticed { at: log + self.offset, log, scopes });
        if self.noticed.len() > MAX_NOTICED
            && let Some(oldest) = self.noticed.pop_front()
        {
            self.floor = oldest.at;
            self.first_offset = oldest.at - oldest.log;
        }
    }

    /// From here on the log is another's, and stands at `now` where it stood at `before`: everything counts as changed.
    pub(super) fn begin_anew(&mut self, before: u64, now: u64) {
        let next = (before.max(now) + self.offset) + 1;
        self.offset = next - now;
        (self.first_offset, self.floor) = (self.offset, next);
        self.noticed.clear();
    }

    /// What was noticed behind a position; none where it is not known any more.
    pub(super) fn noticed_behind(&self, position: u64) -> Option<Vec<(Vec<Scope>, u64)>> {
        if position < self.floor {
            return None;
        }
        let later = self.noticed.iter().filter(|noticed| noticed.at > position);
        Some(later.map(|noticed| (noticed.scopes.clone(), noticed.at)).collect())
    }

    /// Where the log stood at a position.
    pub(super) fn in_log(&self, position: u64) -> u64 {
        let before = self.noticed.iter().rev().find(|noticed| noticed.at <= position);
        position.saturating_sub(before.map_or(self.first_offset, |noticed| noticed.at - noticed.log))
    }

    /// The position of a row of the log.
    pub(super) fn of_row(&self, row: u64) -> u64 {
        let before = self.noticed.iter().rev().find(|noticed| noticed.log < row);
        row.saturating_add(before.map_or(self.first_offset, |noticed| noticed.at - noticed.log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_notices_are_counted_together() {
        let mut positions = Positions::default();
        let system = || vec![Scope::System];
        // Rows 1 to 5, a notice, row 6, two notices, row 7.
        positions.notice(5, system());
        positions.notice(6, system());
        positions.notice(6, system());
        let of_rows: Vec<u64> = (4..8).map(|row| positions.of_row(row)).collect();
        assert_eq!(of_rows, [4, 5, 7, 10]);
        let in_log: Vec<u64> = (4..=10).map(|position| positions.in_log(position)).collect();
        assert_eq!(in_log, [4, 5, 5, 6, 6, 6, 7]);
        let noticed = |since| -> Vec<u64> {
            positions.noticed_behind(since).unwrap().into_iter().map(|(_, at)| at).collect()
        };
        assert_eq!((noticed(0), noticed(6), noticed(9)), (vec![6, 8, 9], vec![8, 9], vec![]));
    }

    #[test]
    fn positions_never_go_back() {
        let mut positions = Positions::default();
        positions.notice(8, vec![Scope::System]);
        assert_eq!(8 + positions.offset(), 9);
        // A replica that is behind.
        positions.begin_anew(8, 6);
        assert_eq!(6 + positions.offset(), 10);
        assert_eq!(positions.noticed_behind(9), None);
        assert_eq!(positions.noticed_behind(10), Some(vec![]));
        assert_eq!((positions.of_row(7), positions.in_log(11)), (11, 7));
        // One that is ahead.
        positions.begin_anew(6, 20);
        assert!(20 + positions.offset() > 10 + 20 - 6);
    }

    #[test]
    fn old_notices_are_forgotten() {
        let mut positions = Positions::default();
        for _ in 0..=MAX_NOTICED {
            positions.notice(1, vec![Scope::System]);
        }
        assert_eq!(positions.noticed_behind(1), None);
        assert_eq!(positions.noticed_behind(2).map(|noticed| noticed.len()), Some(MAX_NOTICED));
        assert_eq!(positions.in_log(2), 1);
    }
}
