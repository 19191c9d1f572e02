//! What every State promises, whatever it keeps its data in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use pigeon_core::address::ReversePath;
use pigeon_core::outcome::Outcome;
use pigeon_core::ports::state::{
    Destination, Memory, OutboxContent, OutboxEntry, ReceiptQuery, State, StateChanges,
};
use pigeon_core::receipt::{BranchRecord, Receipt, StepRecord};
use pigeon_core::timestamp::Timestamp;

/// How long recorded receipts may take until they are found.
const PATIENCE: Duration = Duration::from_secs(5);

/// The moment at which the suites' deliveries happen: 2026-11-23 12:00 UTC.
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_435_200);

/// Runs the whole suite; `make` gives an empty State each time.
///
/// # Errors
/// The first promise that is not kept, with the State's own error where there is one.
pub async fn state_contract<S: State>(make: impl AsyncFn() -> S) -> Result<()> {
    memories(&make().await).await.context("memories")?;
    finished_branches(&make().await).await.context("finished branches")?;
    hand_over(&make().await).await.context("the hand-over to the outbox")?;
    receipts(&make().await).await.context("receipts")?;
    Ok(())
}

/// An outbox entry with a small content of its own.
///
/// # Errors
/// When the recipient is no address.
pub fn entry(key: &str, sender: &str, recipient: &str) -> Result<OutboxEntry> {
    Ok(OutboxEntry {
        key: key.to_owned(),
        on_behalf_of: "user@example.org".to_owned(),
        sender: ReversePath::parse(sender)?,
        recipient: Destination::parse(recipient)?,
        content: OutboxContent::Own(Bytes::from(format!("Subject: {key}\n\nbody of {key}\n"))),
    })
}

/// A receipt of one delivered message, with a branch for each target.
#[must_use]
pub fn receipt(id: &str, at: Timestamp, recipient: &str, targets: &[&str]) -> Receipt {
    let outcome = Outcome::Delivered { what: "stored in INBOX".to_owned() };
    let branch = |target: &&str| BranchRecord {
        target: (*target).to_owned(),
        outcome: outcome.clone(),
        steps: vec![StepRecord {
            service: "mailbox".to_owned(),
            decision: "continue".to_owned(),
            reason: "INBOX".to_owned(),
            because: vec!["mailbox.folder=INBOX (system)".to_owned()],
            duration_us: 12,
        }],
    };
    Receipt {
        id: id.to_owned(),
        at,
        is_dry_run: false,
        sender: "sender@example.net".to_owned(),
        recipient: recipient.to_owned(),
        message_id: format!("{id}@example.net"),
        size: 4096,
        outcome: outcome.clone(),
        branches: targets.iter().map(branch).collect(),
        duration_us: 1234,
        snapshot_age_ms: None,
    }
}

fn memory(account: &str, key: &str, value: &str, expires: Timestamp) -> Memory {
    let (account, service, key) = (account.to_owned(), "vacation".to_owned(), key.to_owned());
    Memory { account, service, key, value: value.to_owned(), expires }
}

fn remember(memories: Vec<Memory>) -> StateChanges {
    StateChanges { memories, ..StateChanges::default() }
}

async fn memories(state: &impl State) -> Result<()> {
    let later = NOW.plus(Duration::from_secs(60));
    let known = memory("account-1", "ann@example.net", "answered", later);
    state.commit(remember(vec![known]), NOW).await?;
    let recall = |account: &'static str, service: &'static str, key: &'static str, now: Timestamp| async move {
        state.recall(account, service, key, now).await
    };
    ensure!(recall("account-1", "vacation", "ann@example.net", NOW).await?.as_deref() == Some("answered"));
    for (account, service, key) in [
        ("account-2", "vacation", "ann@example.net"),
        ("account-1", "quota", "ann@example.net"),
        ("account-1", "vacation", "bob@example.net"),
    ] {
        ensure!(
            recall(account, service, key, NOW).await?.is_none(),
            "{account} {service} {key} is not known"
        );
    }
    let at_expiry = recall("account-1", "vacation", "ann@example.net", later).await?;
    ensure!(at_expiry.is_none(), "a memory is gone at the moment it expires");
    let again = memory("account-1", "ann@example.net", "answered again", later.plus(Duration::from_secs(60)));
    state.commit(remember(vec![again]), NOW).await?;
    let replaced = recall("account-1", "vacation", "ann@example.net", later).await?;
    ensure!(replaced.as_deref() == Some("answered again"), "a memory is replaced with its expiry");
    state.commit(StateChanges::default(), NOW).await?;
    Ok(())
}

async fn finished_branches(state: &impl State) -> Result<()> {
    let keys = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    ensure!(state.finished(&keys).await?.is_empty(), "nothing is finished in an empty State");
    for _ in 0..2 {
        let finished = vec!["c".to_owned(), "a".to_owned()];
        state.commit(StateChanges { finished, ..StateChanges::default() }, NOW).await?;
    }
    let mut found = state.finished(&keys).await?;
    found.sort();
    ensure!(found == ["a", "c"], "found {found:?}");
    ensure!(state.finished(&[]).await?.is_empty());
    Ok(())
}

async fn hand_over(state: &impl State) -> Result<()> {
    let release = |key: &str| StateChanges { released: vec![key.to_owned()], ..StateChanges::default() };
    let first = entry("key-1", "sender@example.net", "away@example.net")?;
    state.stage(vec![first.clone()], NOW).await?;
    state.stage(vec![first.clone(), entry("key-2", "", "away@example.net")?], NOW).await?;
    state.commit(release("key-1"), NOW).await?;
    state.commit(release("key-1"), NOW).await.context("the MTA's retry releases the same key again")?;
    state.stage(vec![first], NOW).await.context("the MTA's retry stages a released key again")?;
    state.stage(Vec::new(), NOW).await?;
    let unknown = state.commit(release("never staged"), NOW).await;
    ensure!(unknown.is_err(), "a redirect that was never staged cannot be acknowledged");
    let later = NOW.plus(Duration::from_secs(60));
    let both = StateChanges {
        memories: vec![memory("account-1", "ann@example.net", "answered", later)],
        ..release("never staged")
    };
    ensure!(state.commit(both, NOW).await.is_err());
    let half = state.recall("account-1", "vacation", "ann@example.net", NOW).await?;
    ensure!(half.is_none(), "a commit that fails leaves nothing behind");
    Ok(())
}

async fn receipts(state: &impl State) -> Result<()> {
    let minute = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    let made = [
        receipt("r1", minute(1), "ann@example.org", &["ann@example.org"]),
        receipt("r2", minute(2), "sales@example.org", &["ann@example.org", "bob@example.org"]),
        receipt("r3", minute(3), "Bob+List@example.org", &["bob@example.org"]),
    ];
    let shared: Vec<Arc<Receipt>> = made.iter().cloned().map(Arc::new).collect();
    let (one, others) = shared.split_at(1);
    state.record(one);
    state.record(others);
    state.record(&[]);
    let all = ReceiptQuery { limit: 10, ..ReceiptQuery::default() };
    wait_for(state, &all, 3).await?;
    let found = state.receipts(&all).await?;
    ensure!(found.iter().rev().eq(&made), "receipts come back whole, newest first: {found:#?}");
    let by_address = |address: &str| ReceiptQuery { address: Some(address.to_owned()), ..all.clone() };
    let by_message = |id: &str| ReceiptQuery { message_id: Some(format!("{id}@example.net")), ..all.clone() };
    for (query, expect) in [
        (by_address("ann@example.org"), "r2 r1"),
        (by_address("bob@example.org"), "r3 r2"),
        (by_address("bob+list@example.org"), "r3"),
        (by_address("sales@example.org"), "r2"),
        (by_address("nobody@example.org"), ""),
        (by_message("r2"), "r2"),
        (by_message("r9"), ""),
        (ReceiptQuery { message_id: by_message("r2").message_id, ..by_address("bob@example.org") }, "r2"),
        (ReceiptQuery { message_id: by_message("r1").message_id, ..by_address("bob@example.org") }, ""),
        (ReceiptQuery { after: Some(minute(1)), ..by_address("ann@example.org") }, "r2"),
        (ReceiptQuery { after: Some(minute(2)), ..all.clone() }, "r3"),
        (ReceiptQuery { limit: 2, ..all.clone() }, "r3 r2"),
        (ReceiptQuery { limit: 0, ..all.clone() }, ""),
    ] {
        let found = state.receipts(&query).await?;
        let ids: Vec<&str> = found.iter().map(|receipt| receipt.id.as_str()).collect();
        ensure!(ids.join(" ") == expect, "{query:?} found {ids:?}, not {expect:?}");
    }
    Ok(())
}

async fn wait_for(state: &impl State, query: &ReceiptQuery, count: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = state.receipts(query).await?.len();
        if found == count {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{found} of {count} receipts are there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
