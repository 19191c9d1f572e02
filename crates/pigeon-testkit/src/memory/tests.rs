//! What the directory in memory answers, and how a world without services ends.

use pigeon_core::directory::{Lookup, TargetKind};
use pigeon_core::ports::directory::Directory as _;
use pigeon_core::service::Descriptor;

use super::*;

const NO_SERVICES: &[Descriptor] = &[];

async fn targets(world: &World, address: &str) -> Vec<String> {
    match world.directory.lookup(&read(address)).await.unwrap() {
        Lookup::None(nobody) => vec![format!("nobody {}", nobody.domain.is_some())],
        Lookup::Found(found) => found
            .branches
            .iter()
            .map(|target| match &target.to {
                TargetKind::Account(account, None) => account.address.to_string(),
                TargetKind::Account(account, Some(detail)) => format!("{}:{detail}", account.address),
                TargetKind::External(address, _) => format!("elsewhere:{address}"),
            })
            .chain(found.broken.map(|_| "broken".to_owned()))
            .collect(),
    }
}

#[tokio::test]
async fn addresses_lead_where_they_should() {
    let world = World::new(NO_SERVICES);
    world
        .account("ann@example.org")
        .account("bob@example.org")
        .alias(
            "team@example.org",
            &["ann@example.org", "bob@example.org", "x@example.net", "ANN@example.org"],
        )
        .alias("all@example.org", &["team@example.org"])
        .alias("ann+special@example.org", &["bob@example.org"])
        .alias("sales-*@example.org", &["ann@example.org"])
        .alias("a@example.com", &["b@example.com"])
        .alias("b@example.com", &["a@example.com"])
        .alias("*@example.com", &["bob@example.org"]);
    world.directory.add_domain_alias("example.org", "example.net.example");
    let expect: &[(&str, &[&str])] = &[
        ("ann@example.org", &["ann@example.org"]),
        ("Ann@Example.org", &["ann@example.org"]),
        ("ann@example.net.example", &["ann@example.org"]),
        ("ann+x@example.org", &["ann@example.org:x"]),
        ("ann+special@example.org", &["bob@example.org"]),
        ("all@example.org", &["ann@example.org", "bob@example.org", "elsewhere:x@example.net"]),
        ("sales-eu@example.org", &["ann@example.org"]),
        ("nobody@example.org", &["nobody true"]),
        ("ann@example.net", &["nobody false"]),
        ("anyone@example.com", &["bob@example.org"]),
        ("a@example.com", &["broken"]),
    ];
    for (address, expect) in expect {
        assert_eq!(targets(&world, address).await, *expect, "{address}");
    }
    world.status("ann@example.org", Status::Removed);
    assert_eq!(targets(&world, "ann@example.org").await, ["nobody true"]);
    world.directory.set_down(true);
    assert!(world.directory.lookup(&read("bob@example.org")).await.is_err());
}

#[tokio::test]
async fn the_feed_names_what_changed() {
    let world = World::new(NO_SERVICES);
    world.account("ann@example.org");
    let before = world.directory.feed(0).await.unwrap().seq;
    world.set("ann@example.org", "redirect.allowed", false);
    let feed = world.directory.feed(before).await.unwrap();
    assert_eq!(feed.scopes.len(), 1);
    assert_eq!(feed.scopes[0].1, feed.seq);
    assert!(world.directory.feed(feed.seq).await.unwrap().scopes.is_empty());
}

#[tokio::test]
async fn a_world_without_services_defers() {
    let world = World::new(NO_SERVICES);
    world.account("ann@example.org");
    let receipt = world.mail("bob@example.net", "ann@example.org", "Subject: hi\n\nhello\n").await;
    assert_eq!(receipt.outcome.word(), "deferred");
    assert_eq!(world.state.recorded().len(), 1);
}
