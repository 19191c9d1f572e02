//! Changes: one after the other, each either done or finished by whoever comes next.
//!
//! LDAP has no transactions that servers could be trusted with (OpenLDAP 2.5 ends with a segmentation fault on a rename
//! in one, and cannot delete the last entry below another). So a change is written down before it is made: its row of the
//! log is added, with everything it will write. The row's number can be taken once only, which is the lock: who
//! comes second reads anew. Then the entries are written, each order such that it may be repeated; the row is relieved
//! of what it was to write, and the base gets the new position, with which the change counts. A change whose maker is
//! gone is finished from its row by the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ldap3::Mod;
use pigeon_core::directory::LoggedChange;
use serde_json::{Map, Value};

use super::super::failure::{Failure, Outcome};
use super::super::rows::{Transaction, Writes};
use super::super::scopes::text_of;
use super::Shared;
use super::ask::Attributes;
use super::dial::Connection;
use super::reading::Reader;
use super::record::{Record, number, time, value};
use super::steps::{Plan, Step, Steps};
use super::trouble::{Trouble, code};
use super::watch;

/// How long nothing may be heard of a change before another takes it over. Its maker gives up in half that time.
pub(super) const TAKE_OVER: Duration = Duration::from_secs(10);
/// How long a change goes on with a server that is started anew; well before another takes it over.
const RECOVERY: Duration = Duration::from_secs(4);
/// How long somebody waits for the changes of others.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether another's change is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a change begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// The position of the log that was read.
    position: u64,
    /// What other programs left since the change before.
    met: Vec<String>,
    /// Whether the change was written down.
    is_begun: bool,
    /// Whether somebody else was quicker.
    is_late: bool,
}

impl Reader<'_> {
    /// Whether the change may be made from the beginning, because somebody else was quicker.
    pub(super) fn is_late(&self) -> bool {
        self.start.as_ref().is_some_and(|start| start.is_late)
    }

    /// Whether the change was written down, so that it may have been made.
    pub(super) fn is_begun(&self) -> bool {
        self.start.as_ref().is_some_and(|start| start.is_begun)
    }
}

/// Begins a change, once nobody else's is under way.
pub(super) async fn begin<'a>(shared: &'a Shared, connection: &Arc<Connection>) -> Outcome<Reader<'a>> {
    let begun = Instant::now();
    let mut heard = (String::new(), Instant::now());
    loop {
        let state = watch::read(shared, connection).await?;
        let row = shared.tree.change(state.position + 1);
        let Some(row) = connection.entry(&row, &["pigeonPending", "entryCSN"]).await? else {
            let base = state.base;
            let met = state.contexts.into_iter().filter(|(key, csn)| !key.contains('#') && *csn > base);
            let met = met.map(|(_, csn)| csn).collect();
            let start = Start { position: state.position, met, is_begun: false, is_late: false };
            return Ok(Reader { shared, connection: Arc::clone(connection), start: Some(start) });
        };
        let csn = row.text("entryCSN").unwrap_or_default();
        if heard.0 != csn {
            heard = (csn.to_owned(), Instant::now());
        } else if heard.1.elapsed() > TAKE_OVER {
            finish_for_another(shared, connection, state.position + 1, &row).await?;
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Unusable(
                "is being changed by others all the time: try again later".to_owned(),
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Makes the change of somebody who is gone.
async fn finish_for_another(
    shared: &Shared,
    connection: &Arc<Connection>,
    seq: u64,
    row: &Record,
) -> Outcome<()> {
    tracing::warn!(
        "change {seq} of the directory {} was not finished by its maker: going on with it",
        shared.place
    );
    let mut work = Work::new(shared, connection, seq);
    if let Some(pending) = row.octets("pigeonPending").first() {
        let steps: Vec<Step> = serde_json::from_slice(pending)
            .map_err(|error| row.broken(&format!("cannot be finished: {error}")))?;
        if let Err(failure) = work.make(&steps).await {
            // Whatever stands in the way of it would stand in the way of every change after it.
            tracing::error!(
                "change {seq} of the directory {} is made in part only: {failure:?}",
                shared.place
            );
        }
    }
    work.publish(None).await
}

#[async_trait]
impl Transaction for Reader<'_> {
    async fn commit(&mut self, log: LoggedChange, writes: Writes) -> Outcome<u64> {
        let Plan { steps, touched } = Plan::new(self, writes).await?;
        let outside = || Failure::Unusable("cannot be written outside a change".to_owned());
        let start = self.start.as_mut().ok_or_else(outside)?;
        let seq = start.position + 1;
        let mut row = row(seq, &log, &start.met)?;
        row.push(("pigeonTouched", touched.iter().map(|scope| text_of(scope).into_bytes()).collect()));
        let pending = serde_json::to_vec(&steps).map_err(|error| Failure::invalid(error.to_string()))?;
        row.push(("pigeonPending", vec![pending]));
        start.is_begun = true;
        let change = WrittenDown { seq, row, steps };
        match change.carry_through(self.shared, &self.connection).await {
            Ok(Done::Made) => Ok(self.shared.watch.of_row(seq)),
            Ok(Done::TooLate) => {
                (start.is_begun, start.is_late) = (false, true);
                Err(Failure::Unusable("was changed by somebody else at the same time".to_owned()))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What became of a change.
enum Done {
    Made,
    /// Somebody else took the number.
    TooLate,
}

/// A change with all that it takes to make it, or to go on with it.
struct WrittenDown {
    seq: u64,
    row: Attributes,
    steps: Vec<Step>,
}

impl WrittenDown {
    /// Makes the change, also where the server is started anew meanwhile.
    async fn carry_through(&self, shared: &Shared, connection: &Arc<Connection>) -> Outcome<Done> {
        let begun = Instant::now();
        let mut connection = Arc::clone(connection);
        let mut is_repeated = false;
        loop {
            let failure = match self.make(shared, &connection, is_repeated).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            if !shared.is_lost(&connection, &failure) {
                return Err(failure);
            }
            is_repeated = true;
            connection = loop {
                if begun.elapsed() > RECOVERY {
                    tracing::warn!(
                        "change {} of the directory {} was interrupted; the next change finishes it if it was begun",
                        self.seq,
                        shared.place
                    );
                    return Err(failure);
                }
                match shared.links.provider().await {
                    Ok(connection) => break connection,
                    Err(_) => tokio::time::sleep(LOOK_AGAIN * 10).await,
                }
            };
        }
    }

    async fn make(&self, shared: &Shared, connection: &Arc<Connection>, is_repeated: bool) -> Outcome<Done> {
        let name = shared.tree.change(self.seq);
        match connection.add(&name, &self.row).await {
            Err(trouble) if trouble.is(code::ALREADY_EXISTS) => {
                if !(is_repeated && self.is_in(connection, &name).await?) {
                    return Ok(Done::TooLate);
                }
                // Once it counts, others go on from it: nothing of it is written again.
                if watch::read(shared, connection).await?.position >= self.seq {
                    return Ok(Done::Made);
                }
            }
            written => written?,
        }
        let mut work = Work::new(shared, connection, self.seq);
        if let Err(failure) = work.make(&self.steps).await {
            return Err(work.give_up(failure, &self.row).await);
        }
        work.publish(None).await.map(|()| Done::Made)
    }

    /// Whether the row that is there is this one, from an attempt whose end was not heard of.
    async fn is_in(&self, connection: &Connection, name: &str) -> Outcome<bool> {
        let Some(found) = connection.entry(name, &["pigeonRequest", "pigeonTime", "pigeonActor"]).await?
        else {
            return Ok(false);
        };
        let of_row = |name: &str| {
            self.row.iter().find(|(known, _)| *known == name).map(|(_, values)| values.as_slice())
        };
        Ok(["pigeonRequest", "pigeonTime", "pigeonActor"]
            .iter()
            .all(|name| of_row(name) == Some(found.octets(name))))
    }
}

fn row(seq: u64, log: &LoggedChange, met: &[String]) -> Outcome<Attributes> {
    let json = |row: &Option<Value>| row.iter().map(|row| row.to_string().into_bytes()).collect();
    Ok(vec![
        ("objectClass", value("pigeonChange")),
        ("pigeonSequence", number(seq)),
        ("pigeonTime", time(log.at)?),
        ("pigeonActor", value(if log.actor.is_empty() { "unknown" } else { &log.actor })),
        ("pigeonRequest", vec![log.change.to_string().into_bytes()]),
        ("pigeonBefore", json(&log.before)),
        ("pigeonAfter", json(&log.after)),
        ("pigeonSawContext", met.iter().map(|csn| csn.clone().into_bytes()).collect()),
    ])
}

/// A change that is written down, while it is made.
struct Work<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    seq: u64,
    steps: Steps<'a>,
}

impl<'a> Work<'a> {
    fn new(shared: &'a Shared, connection: &'a Arc<Connection>, seq: u64) -> Self {
        Self { shared, connection, seq, steps: Steps::new(shared, connection, seq) }
    }

    async fn make(&mut self, steps: &[Step]) -> Outcome<()> {
        for step in steps {
            self.steps.make(step).await?;
        }
        Ok(())
    }

    /// The change is made: it counts from here on. A `failed` one says so in its row.
    async fn publish(&self, failed: Option<Value>) -> Outcome<()> {
        let mut rest: Attributes = vec![("pigeonPending", Vec::new())];
        rest.extend(failed.map(|request| ("pigeonRequest", vec![request.to_string().into_bytes()])));
        let row = self.shared.tree.change(self.seq);
        self.connection.replace(&row, &rest).await?;
        if let Some(old) = self.seq.checked_sub(self.shared.options.keep_changes).filter(|old| *old > 0) {
            self.connection.delete(&self.shared.tree.change(old)).await?;
        }
        let text = |number: u64| [number.to_string().into_bytes()].into();
        let name = || b"pigeonSequence".to_vec();
        let counted = vec![Mod::Delete(name(), text(self.seq - 1)), Mod::Add(name(), text(self.seq))];
        match self.connection.modify(self.shared.tree.base(), counted).await {
            // Whoever took the change over was quicker.
            Err(trouble) if trouble.is(code::NO_SUCH_ATTRIBUTE) || trouble.is(code::VALUE_EXISTS) => Ok(()),
            done => Ok(done?),
        }
    }

    /// A change that the server refuses: it leaves no row if it left nothing else.
    async fn give_up(&self, failure: Failure, row: &Attributes) -> Failure {
        let is_refused =
            Trouble::in_failure(&failure).is_some_and(|trouble| !trouble.is_about_the_connection());
        if !is_refused {
            return failure;
        }
        let error = self.shared.at(failure);
        let cleared = if self.steps.has_written() {
            let request =
                row.iter().find(|(name, _)| *name == "pigeonRequest").and_then(|(_, values)| values.first());
            let request = request.and_then(|request| serde_json::from_slice(request).ok());
            let mut request: Map<String, Value> = request.unwrap_or_default();
            request.insert("failed".to_owned(), Value::from(error.to_string()));
            self.publish(Some(request.into())).await
        } else {
            self.connection.delete(&self.shared.tree.change(self.seq)).await.map_err(Failure::from)
        };
        cleared.err().unwrap_or(Failure::Refused(error))
    }
}
