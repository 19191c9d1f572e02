//! What changed: by the change log, and by other programs behind its back.
//!
//! The log's rows are entries, so that the feed is a search for those behind a position. Changes that other programs make
//! (`ldapmodify`) leave no row. They move the `contextCSN` of the database, which is read at each turn; then the
//! entries with a younger `entryCSN` are looked through for those that no row of the log accounts for
//! ([`judge`](super::judge)). A deletion leaves no entry: where the `contextCSN` is that of no entry, everything counts
//! as changed.
//!
//! What was noticed in this way takes a position, too: positions of this process are those of the log plus how often that
//! happened ([`Positions`]). A server that is asked in the place of another may be behind it; then everything counts as
//! changed once, and positions go on from there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ldap3::Scope as Depth;
use pigeon_core::directory::Scope;
use pigeon_core::ports::directory::Feed;

use super::super::failure::Outcome;
use super::super::scopes::{MAX_SCOPES, feed_of, text_of};
use super::Shared;
use super::ask::Search;
use super::dial::Connection;
use super::judge::{self, Verdict};
use super::positions::Positions;
use super::record::Record;

/// Behind how many rows of the log it is cheaper to say that everything changed.
const MAX_ROWS: u64 = 5000;
/// How long a change under way may take until what it does is judged without knowing all of it.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// How often everything counts as changed where the server has no `contextCSN`, so that nobody can tell.
const BLIND: Duration = Duration::from_millis(1500);

/// When a look-up began: positions as they were counted then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    offset: u64,
}

impl Moment {
    /// The position of an answer from the log's position in it.
    pub(super) const fn position(self, in_log: u64) -> u64 {
        in_log.saturating_add(self.offset)
    }
}

/// The state of a server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The position of the log.
    pub(super) position: u64,
    /// The `entryCSN` of the base: that of the last change by us.
    pub(super) base: String,
    /// The `contextCSN` of each provider, by database and server ID.
    pub(super) contexts: BTreeMap<String, String>,
}

impl State {
    /// Whether a replica is still taking in what it missed: the base is there already, other entries may not be.
    fn is_partial(&self) -> bool {
        let known = self.contexts.get(&key_of(&self.base));
        known.is_some_and(|known| *known < self.base)
    }
}

/// The server ID in a CSN, as a key of [`State::contexts`]: `20260131235959.123456Z#000000#001#000000`.
pub(super) fn key_of(csn: &str) -> String {
    csn.split('#').nth(2).unwrap_or_default().to_owned()
}

/// Follows the state of the server that look-ups ask.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Option<Seen>>,
    /// Held while a server is asked, so that what it says is taken in one after the other.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Seen {
    server: usize,
    state: State,
    positions: Positions,
    /// A change under way that is given time to end before what it does is judged, and since when.
    awaited: Option<(u64, Instant)>,
    /// Whether a replica was seen taking in what it missed.
    was_partial: bool,
    /// When everything last counted as changed because nobody can tell.
    blind_since: Instant,
}

impl Watch {
    /// The moment at which look-ups over a connection begin.
    pub(super) async fn begin(&self, shared: &Shared, connection: &Connection) -> Outcome<Moment> {
        if let Some(moment) = self.moment(connection.server) {
            return Ok(moment);
        }
        let _turn = self.turn.lock().await;
        if self.moment(connection.server).is_none() {
            let state = read(shared, connection).await?;
            self.take_in(connection, state);
        }
        Ok(self.moment(connection.server).unwrap_or(Moment { offset: 0 }))
    }

    fn moment(&self, server: usize) -> Option<Moment> {
        let seen = self.seen();
        let seen = seen.as_ref().filter(|seen| seen.server == server)?;
        Some(Moment { offset: seen.positions.offset() })
    }

    /// The position in the log that was meant by a position.
    pub(super) fn in_log(&self, position: u64) -> u64 {
        self.seen().as_ref().map_or(position, |seen| seen.positions.in_log(position))
    }

    /// The position of a row of the log.
    pub(super) fn of_row(&self, seq: u64) -> u64 {
        self.seen().as_ref().map_or(seq, |seen| seen.positions.of_row(seq))
    }

    /// What changed behind `since`.
    pub(super) async fn feed(&self, shared: &Shared, connection: &Connection, since: u64) -> Outcome<Feed> {
        let _turn = self.turn.lock().await;
        let state = read(shared, connection).await?;
        self.count_the_blind(&state);
        match self.known(connection, &state) {
            None => self.take_in(connection, state),
            Some(before) if before == state => {}
            Some(before) => {
                let verdict = judge::judge(shared, connection, &before, &state).await?;
                self.take_in_verdict(state, verdict);
            }
        }
        self.told(shared, connection, since).await
    }

    /// What was seen before, if it was of this server and goes on from there.
    fn known(&self, connection: &Connection, state: &State) -> Option<State> {
        let seen = self.seen();
        let seen = seen.as_ref()?;
        let goes_on = seen.server == connection.server && seen.state.position <= state.position;
        goes_on.then(|| seen.state.clone())
    }

    /// Begins with a server, or goes on with another.
    fn take_in(&self, connection: &Connection, state: State) {
        let mut seen = self.seen();
        let was_partial = state.is_partial();
        let positions = match seen.take() {
            None => Positions::default(),
            Some(mut before) => {
                before.positions.begin_anew(before.state.position, state.position);
                before.positions
            }
        };
        let (server, blind_since) = (connection.server, Instant::now());
        *seen = Some(Seen { server, state, positions, awaited: None, was_partial, blind_since });
    }

    fn count_the_blind(&self, state: &State) {
        if !state.contexts.is_empty() {
            return;
        }
        if let Some(seen) = self.seen().as_mut()
            && seen.blind_since.elapsed() >= BLIND
            && seen.state.position <= state.position
        {
            seen.blind_since = Instant::now();
            seen.positions.notice(state.position, vec![Scope::System]);
        }
    }

    fn take_in_verdict(&self, state: State, verdict: Verdict) {
        let mut seen = self.seen();
        let Some(seen) = seen.as_mut() else { return };
        let position = state.position;
        if state.is_partial() {
            seen.was_partial = true;
            seen.state.position = position;
            return;
        }
        let mut scopes = match verdict {
            Verdict::Wait(change) => {
                let since = seen.awaited.filter(|(awaited, _)| *awaited == change).map(|(_, since)| since);
                let since = since.unwrap_or_else(Instant::now);
                seen.awaited = Some((change, since));
                if since.elapsed() < UNDER_WAY {
                    seen.state.position = position;
                    return;
                }
                vec![Scope::System]
            }
            Verdict::Changed(scopes) => scopes,
        };
        if std::mem::take(&mut seen.was_partial) {
            scopes = vec![Scope::System];
        }
        seen.state = state;
        if !scopes.is_empty() {
            seen.positions.notice(position, scopes);
        }
    }

    /// The feed from what is known now.
    async fn told(&self, shared: &Shared, connection: &Connection, since: u64) -> Outcome<Feed> {
        let (now, rows, noticed) = {
            let seen = self.seen();
            let Some(seen) = seen.as_ref() else { return Ok(Feed::default()) };
            let (log, positions) = (seen.state.position, &seen.positions);
            let now = log.saturating_add(positions.offset());
            if since >= now {
                return Ok(Feed { seq: now, scopes: Vec::new() });
            }
            let Some(noticed) = positions.noticed_behind(since) else {
                return Ok(Feed { seq: now, scopes: vec![(Scope::System, now)] });
            };
            (now, (positions.in_log(since), log), noticed)
        };
        let Some(rows) = rows_between(shared, connection, rows).await? else {
            return Ok(Feed { seq: now, scopes: vec![(Scope::System, now)] });
        };
        let mut touched: Vec<(String, u64)> = Vec::new();
        for row in rows {
            let at = self.of_row(row.number("pigeonSequence").unwrap_or_default());
            touched.extend(row.texts("pigeonTouched").map(|scope| (scope.to_owned(), at)));
        }
        for (scopes, at) in noticed {
            touched.extend(scopes.iter().map(|scope| (text_of(scope), at)));
        }
        touched.sort_by_key(|(_, at)| *at);
        touched.truncate(MAX_SCOPES + 1);
        feed_of(now, touched)
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of the log behind the first position up to the second; none where not all are there any more.
async fn rows_between(
    shared: &Shared,
    connection: &Connection,
    (after, to): (u64, u64),
) -> Outcome<Option<Vec<Record>>> {
    let count = to.saturating_sub(after);
    if count == 0 {
        return Ok(Some(Vec::new()));
    }
    if count > MAX_ROWS {
        return Ok(None);
    }
    let filter = format!("(&(pigeonSequence>={})(pigeonSequence<={to}))", after + 1);
    let base = shared.tree.changes();
    let attributes = &["pigeonSequence", "pigeonTouched"];
    let search = Search { base: &base, scope: Depth::OneLevel, filter: &filter, attributes };
    let rows = connection.search_all(&search).await?;
    Ok((u64::try_from(rows.len()).unwrap_or(u64::MAX) == count).then_some(rows))
}

/// Reads the state of a server.
pub(super) async fn read(shared: &Shared, connection: &Connection) -> Outcome<State> {
    let names = shared.names(connection).await?;
    let base = connection.entry(shared.tree.base(), &["pigeonSequence", "entryCSN"]);
    let (base, contexts) = tokio::join!(base, contexts(connection, &names.suffixes));
    let (base, mut contexts) = (base?.unwrap_or_default(), contexts?);
    let position = base.number("pigeonSequence").ok_or_else(|| shared.no_directory())?;
    let csn = base.text("entryCSN").unwrap_or_default().to_owned();
    let mut state = State { position, base: csn, contexts };
    if state.is_partial() {
        // Both were asked at once: the second answer may be older than the first.
        contexts = self::contexts(connection, &names.suffixes).await?;
        state.contexts = contexts;
    }
    Ok(state)
}

async fn contexts(connection: &Connection, suffixes: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut contexts = BTreeMap::new();
    for (at, suffix) in suffixes.iter().enumerate() {
        let entry = connection.entry(suffix, &["contextCSN"]).await?.unwrap_or_default();
        for csn in entry.texts("contextCSN") {
            let key = if at == 0 { key_of(csn) } else { format!("{at}#{}", key_of(csn)) };
            contexts.insert(key, csn.to_owned());
        }
    }
    Ok(contexts)
}
