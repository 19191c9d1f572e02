//! The tables, and how statements about them are written for both engines.

use sha2::{Digest as _, Sha256};

use crate::sql::{Engine, Migration, Schema};

/// The tables of the State. Migrations are only ever appended, and only add what programs of the version before can
/// live with: nodes of two versions run side by side.
pub(super) const SCHEMA: Schema = Schema {
    name: "state",
    migrations: &[Migration {
        postgres: include_str!("migrations/postgres/0001_initial.sql"),
        mariadb: include_str!("migrations/mariadb/0001_initial.sql"),
        serves: 1,
    }],
    may_migrate: true,
};

/// Rows in one statement at most.
pub(super) const ROWS: usize = 256;

/// The server's time in microseconds since 1970: one clock for all nodes.
pub(super) const fn now(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint",
        Engine::MariaDb => "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
    }
}

/// What an insert does with rows that are there already, with words before and behind it: it leaves them.
pub(super) const fn leaving(engine: Engine) -> (&'static str, &'static str) {
    match engine {
        Engine::Postgres => ("INSERT", " ON CONFLICT DO NOTHING"),
        Engine::MariaDb => ("INSERT IGNORE", ""),
    }
}

/// The end of an insert that replaces these columns of a row with the same id.
pub(super) fn replacing(engine: Engine, columns: &[&str]) -> String {
    let replace = |column: &&str| match engine {
        Engine::Postgres => format!("{column} = excluded.{column}"),
        Engine::MariaDb => format!("{column} = VALUES({column})"),
    };
    let replaced: Vec<String> = columns.iter().map(replace).collect();
    let begin = match engine {
        Engine::Postgres => " ON CONFLICT (id) DO UPDATE SET ",
        Engine::MariaDb => " ON DUPLICATE KEY UPDATE ",
    };
    format!("{begin}{}", replaced.join(", "))
}

/// So many times the same places for values, as `(?, ?), (?, ?)`.
pub(super) fn places(one: &str, count: usize) -> String {
    vec![one; count].join(", ")
}

/// The rows in groups of few sizes, so that servers need to prepare few statements: 256 of them, 128, … 1.
pub(super) fn groups<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [256, 128, 64, 32, 16, 8, 4, 2, 1].into_iter().find(|size| *size <= rows.len())?;
        let (group, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(group)
    })
}

/// The SHA-256 of texts; where one ends and the next begins counts, too.
pub(super) fn id_of(texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_few_sizes_and_leave_nothing_out() {
        for count in [0_usize, 1, 3, 255, 256, 257, 1000] {
            let rows: Vec<usize> = (0..count).collect();
            let grouped: Vec<&[usize]> = groups(&rows).collect();
            assert_eq!(grouped.concat(), rows);
            assert!(grouped.iter().all(|group| group.len().is_power_of_two() && group.len() <= ROWS));
        }
    }

    #[test]
    fn borders_between_texts_count() {
        assert_ne!(id_of(&["a", "bc"]), id_of(&["ab", "c"]));
        assert_eq!(id_of(&["a", "bc"]), id_of(&["a", "bc"]));
    }

    #[test]
    fn statements_are_put_together() {
        assert_eq!(places("(?, ?)", 2), "(?, ?), (?, ?)");
        assert_eq!(
            replacing(Engine::Postgres, &["a", "b"]),
            " ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = excluded.b"
        );
        assert_eq!(replacing(Engine::MariaDb, &["a"]), " ON DUPLICATE KEY UPDATE a = VALUES(a)");
    }
}
