//! The directory on MariaDB: the contract, statements counted, and servers that fail.

use std::sync::OnceLock;

use pigeon_testkit::contracts::directory::directory_contract;
use pigeon_testkit::peers::{MariaDb, MariaDbOptions, PeerTls, or_skip};

use super::sql::{Server, faults, fixture, many, schema, statements};

/// One server for all tests that leave it alone; none where it cannot be had.
fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| start(&options())).as_ref()
}

/// The server writes a binary log, for replicas; then others than root may make triggers only with this.
fn options() -> MariaDbOptions {
    MariaDbOptions {
        settings: vec!["log_bin_trust_function_creators = ON".to_owned()],
        ..MariaDbOptions::default()
    }
}

fn start(options: &MariaDbOptions) -> Option<Server> {
    or_skip(MariaDb::start(options)).map(Server::MariaDb)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_directory_keeps_the_contract() {
    let Some(server) = shared() else { return };
    directory_contract(|clock| fixture(server, clock)).await;
}

/// A database may have been made for another collation, which then is that of arguments in triggers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_holds_in_databases_of_another_collation() {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let mut options = options();
    options.settings.push("collation-server = utf8mb4_bin".to_owned());
    let Some(server) = SERVER.get_or_init(|| start(&options)) else { return };
    directory_contract(|clock| fixture(server, clock)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_recipient_is_one_statement() {
    let Some(server) = shared() else { return };
    statements::a_cold_recipient_is_one_statement(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_however_they_are_fetched() {
    let Some(server) = shared() else { return };
    statements::answers_are_the_same_however_they_are_fetched(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_may_create_at_once() {
    let Some(server) = shared() else { return };
    schema::eight_may_create_at_once(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_other_versions_are_told_apart() {
    let Some(server) = shared() else { return };
    schema::schemas_of_other_versions_are_told_apart(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_with_the_remedy() {
    let Some(server) = shared() else { return };
    schema::what_is_missing_is_said_with_the_remedy(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_hold_on_every_node_within_a_second() {
    let Some(server) = shared() else { return };
    many::changes_hold_on_every_node_within_a_second(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn plain_edits_and_changes_go_on_side_by_side() {
    let Some(server) = shared() else { return };
    many::plain_edits_and_changes_go_on_side_by_side(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_edits_take_along_what_belongs_to_a_row() {
    let Some(server) = shared() else { return };
    many::plain_edits_take_along_what_belongs_to_a_row(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_never_begin_anew() {
    let Some(server) = shared() else { return };
    many::positions_never_begin_anew(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_never_committed_stops_changes_only() {
    let Some(server) = shared() else { return };
    many::an_edit_that_is_never_committed_stops_changes_only(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_cannot_keep_is_refused() {
    let Some(server) = shared() else { return };
    many::what_the_database_cannot_keep_is_refused(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let Some(server) = start(&options()) else { return };
    faults::a_server_that_comes_back_is_used_again(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_holds_nobody_up() {
    let Some(server) = start(&options()) else { return };
    faults::a_server_that_stalls_holds_nobody_up(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_answer_lookups() {
    let Some(server) = start(&options()) else { return };
    faults::replicas_answer_lookups(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let options = MariaDbOptions { tls: Some(PeerTls::required()), ..options() };
    let (Some(server), Some(other)) = (start(&options), start(&options)) else { return };
    faults::tls_is_verified(&server, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forbids_triggers_is_told_of_with_the_remedy() {
    let Some(server) = start(&MariaDbOptions::default()) else { return };
    schema::a_server_that_forbids_triggers_is_told_of_with_the_remedy(&server).await;
}
