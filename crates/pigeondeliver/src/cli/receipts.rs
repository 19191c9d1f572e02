//! `pigeon receipts`: what became of messages, and why.

use clap::Args;
use pigeon_core::address::Address;
use pigeon_core::ports::state::ReceiptQuery;
use pigeon_core::receipt::Receipt;
use serde_json::{Value, json};

use super::Global;
use super::parse::{self, Moment};
use super::session::Session;
use crate::show::{receipt, receipt_json};

/// Arguments of `pigeon receipts`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pigeon receipts ann@example.org                      the last ten messages for ann, newest first
  pigeon receipts ann@example.org --since 12h
  pigeon receipts '<20261123.1@example.net>'           one message, for all its recipients")]
pub struct ReceiptsArgs {
    /// A recipient's address, or a Message-ID
    #[arg(value_name = "ADDRESS|MESSAGE-ID")]
    pub about: String,
    /// Only since this date, or for this long: 2026-11-23, 12h
    #[arg(long, value_name = "DATE", value_parser = parse::moment)]
    pub since: Option<Moment>,
    /// At most this many
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Runs `pigeon receipts`.
pub(super) async fn run(global: &Global, args: ReceiptsArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let after = args.since.map(|since| since.before(session.now()));
    let bare = args.about.trim_start_matches('<').trim_end_matches('>');
    let is_message_id = bare != args.about;
    // A Message-ID may look like an address: what nobody received is looked for as one.
    let mut found: Vec<Receipt> = Vec::new();
    if let (false, Ok(address)) = (is_message_id, Address::parse(&args.about)) {
        let query = ReceiptQuery {
            address: Some(address.key()),
            after,
            limit: args.limit,
            ..ReceiptQuery::default()
        };
        found = session.site.state.receipts(&query).await?;
    }
    if found.is_empty() {
        let message_id = Some(bare.to_owned());
        let query = ReceiptQuery { message_id, after, limit: args.limit, ..ReceiptQuery::default() };
        found = session.site.state.receipts(&query).await?;
    }
    let shown: Vec<Value> = found.iter().map(receipt_json).collect();
    session.out.print(&json!({ "receipts": shown }), |out| {
        if found.is_empty() {
            return writeln!(out, "There is no receipt of {}.", args.about);
        }
        for (index, one) in found.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            receipt(out, one, session.out.paper)?;
        }
        Ok(())
    })
}
