//! The octets of outbox entries: written in pieces within the transaction that makes the entries, read into a
//! nameless file of the node that sends.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use pigeon_core::ports::state::OutboxContent;
use uuid::Uuid;

use super::schema::{groups, places};
use crate::blocking::Blocking;
use crate::outbox::content::Measure;
use crate::spool;
use crate::sql::{Param, Pool, Session, SqlError};

/// Octets of a piece, and of the pieces that are sent in one statement.
const PIECE_OCTETS: usize = 256 * 1024;

/// A content that is in the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) id: Uuid,
    pub(super) octets: u64,
    pub(super) is_8bit: bool,
}

/// Pieces on their way into the database.
pub(super) struct Writer<'a> {
    session: &'a mut Session,
    blocking: Blocking,
    pieces: Vec<(Uuid, i64, Vec<u8>)>,
    octets: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(session: &'a mut Session, blocking: Blocking) -> Self {
        Self { session, blocking, pieces: Vec::new(), octets: 0 }
    }

    /// Writes one content; the last pieces are kept back until [`finish`](Self::finish).
    pub(super) async fn write(&mut self, content: &OutboxContent) -> Result<Written, SqlError> {
        let (id, mut measure, mut nth) = (Uuid::now_v7(), Measure::default(), 0);
        match content {
            OutboxContent::Own(bytes) => {
                for piece in bytes.chunks(PIECE_OCTETS) {
                    measure.take(piece);
                    self.put((id, &mut nth), piece.to_vec()).await?;
                }
            }
            OutboxContent::Message { head, message } => {
                let start = [&head.prefix[..], &head.head[..]].concat();
                for piece in start.chunks(PIECE_OCTETS) {
                    measure.take(piece);
                    self.put((id, &mut nth), piece.to_vec()).await?;
                }
                let mut offset = 0;
                loop {
                    let message = Arc::clone(message);
                    let piece = self.blocking.run(move || read_piece(&message, offset)).await;
                    let unreadable = |error: &dyn std::fmt::Display| {
                        SqlError::Unusable(format!("cannot be given the message: {error}"))
                    };
                    let piece =
                        piece.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
                    if piece.is_empty() {
                        break;
                    }
                    offset += piece.len() as u64;
                    measure.take(&piece);
                    self.put((id, &mut nth), piece).await?;
                }
            }
        }
        Ok(Written { id, octets: measure.octets, is_8bit: measure.is_8bit })
    }

    async fn put(&mut self, (id, nth): (Uuid, &mut i64), piece: Vec<u8>) -> Result<(), SqlError> {
        if self.octets + piece.len() > PIECE_OCTETS {
            self.send().await?;
        }
        self.octets += piece.len();
        self.pieces.push((id, *nth, piece));
        *nth += 1;
        Ok(())
    }

    async fn send(&mut self) -> Result<(), SqlError> {
        self.octets = 0;
        let pieces = std::mem::take(&mut self.pieces);
        for group in groups(&pieces) {
            let sql = format!(
                "INSERT INTO state_contents (id, nth, piece) VALUES {}",
                places("(?, ?, ?)", group.len())
            );
            let mut params = Vec::with_capacity(group.len() * 3);
            for (id, nth, piece) in group {
                params.extend([Param::Octets(id.as_bytes()), Param::Integer(*nth), Param::Octets(piece)]);
            }
            self.session.run(&sql, &params).await?;
        }
        Ok(())
    }

    /// Writes what was kept back.
    pub(super) async fn finish(mut self) -> Result<(), SqlError> {
        self.send().await
    }
}

fn read_piece(message: &pigeon_core::message::Message, offset: u64) -> io::Result<Vec<u8>> {
    let rest = message.body_size().saturating_sub(offset);
    let mut piece = vec![0; usize::try_from(rest).unwrap_or(PIECE_OCTETS).clamp(1, PIECE_OCTETS)];
    let mut length = 0;
    while let Some(room) = piece.get_mut(length..).filter(|room| !room.is_empty()) {
        let count = message.read_body(offset + length as u64, room)?;
        if count == 0 {
            break;
        }
        length += count;
    }
    piece.truncate(length);
    Ok(piece)
}

/// A content in a nameless file in `directory`, at its beginning; none when it is gone.
pub(super) async fn fetch(
    pool: &Arc<Pool>,
    id: Uuid,
    directory: &Path,
    blocking: Blocking,
) -> Result<Option<File>, SqlError> {
    let unwritable = |error: &dyn std::fmt::Display| {
        SqlError::Unusable(format!(
            "holds a content that cannot be put into {}: {error}",
            directory.display()
        ))
    };
    let mut file: Option<File> = None;
    for nth in 0.. {
        let sql = "SELECT piece FROM state_contents WHERE id = ? AND nth = ?";
        let rows = pool.fetch(sql, &[Param::Octets(id.as_bytes()), Param::Integer(nth)]).await?;
        let Some(row) = rows.first() else { break };
        let (piece, begun, place) = (row.octets(0)?, file.take(), directory.to_owned());
        let written = blocking.run(move || -> io::Result<File> {
            let mut file = begun.map_or_else(|| spool::nameless(&place), Ok)?;
            file.write_all(&piece)?;
            Ok(file)
        });
        let written = written.await.map_err(|error| unwritable(&error))?;
        file = Some(written.map_err(|error| unwritable(&error))?);
    }
    if let Some(file) = &mut file {
        file.rewind().map_err(|error| unwritable(&error))?;
    }
    Ok(file)
}

/// Deletes contents that no entry needs.
pub(super) async fn remove(pool: &Arc<Pool>, id: &[u8]) -> Result<(), SqlError> {
    let sql = "DELETE FROM state_contents WHERE id = ? \
               AND NOT EXISTS (SELECT 1 FROM state_outbox WHERE content = ?)";
    pool.run(sql, &[Param::Octets(id), Param::Octets(id)]).await.map(drop)
}

/// Deletes contents that entries no longer name: left over where a node died, or two settled at once.
pub(super) async fn sweep(pool: &Arc<Pool>) -> Result<(), SqlError> {
    let sql = "SELECT id FROM state_contents WHERE nth = 0 \
               AND NOT EXISTS (SELECT 1 FROM state_outbox WHERE content = state_contents.id) LIMIT 1000";
    for row in pool.fetch(sql, &[]).await? {
        remove(pool, &row.octets(0)?).await?;
    }
    Ok(())
}
