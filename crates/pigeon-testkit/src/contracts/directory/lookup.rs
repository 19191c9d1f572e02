//! What addresses mean.

use pigeon_core::directory::{Change, Lookup, Scope, Status, TargetKind};
use pigeon_core::setting::{Layer, Setting};

use super::{Site, at, domain_id, rename, scopes_of, status};

pub(super) async fn candidates_are_tried_in_order(site: &Site) {
    site.check(&[("ann@example.org", "not ours")]).await;
    site.domain("example.org").await;
    let alias = Change::AddDomainAlias { domain: "example.org".to_owned(), alias: "example.net".to_owned() };
    site.apply(alias).await;
    site.check(&[
        ("ann@example.org", "nobody"),
        ("ann@example.net", "nobody"),
        ("ann@example.com", "not ours"),
    ])
    .await;
    site.account("ann@example.org").await;
    site.account("bob@example.org").await;
    site.account("bob+own@example.org").await;
    site.alias("team@example.org", &["ann@example.org"]).await;
    site.alias("team+vip@example.org", &["bob@example.org"]).await;
    site.alias("sales-*@example.org", &["ann@example.org"]).await;
    site.alias("sales-eu-*@example.org", &["bob@example.org"]).await;
    site.check(&[
        ("ann@example.org", "ann@example.org"),
        ("ANN@Example.ORG", "ann@example.org"),
        ("ann@example.net", "ann@example.org"),
        ("ann+Lists@example.org", "ann@example.org +Lists"),
        ("ann+a+b@example.net", "ann@example.org +a+b"),
        ("ann+@example.org", "ann@example.org +"),
        ("bob+own@example.org", "bob+own@example.org"),
        ("bob+other@example.org", "bob@example.org +other"),
        ("team@example.net", "ann@example.org <- team@example.org"),
        ("team+vip@example.org", "bob@example.org <- team+vip@example.org"),
        ("team+any@example.org", "ann@example.org <- team@example.org"),
        ("sales-us@example.org", "ann@example.org <- sales-*@example.org"),
        ("sales-eu-1@example.org", "bob@example.org <- sales-eu-*@example.org"),
        ("eve@example.org", "nobody"),
        ("\"*\"@example.org", "nobody"),
        ("\"sales-*\"@example.org", "ann@example.org <- sales-*@example.org"),
    ])
    .await;
    site.alias("*@example.org", &["bob@example.org"]).await;
    site.check(&[
        ("eve@example.org", "bob@example.org <- *@example.org"),
        ("eve+x@example.net", "bob@example.org <- *@example.org"),
        ("sales-us@example.org", "ann@example.org <- sales-*@example.org"),
        ("ann@example.org", "ann@example.org"),
    ])
    .await;
}

pub(super) async fn separators_are_a_setting(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    site.account("ann@example.org").await;
    site.account("ann@example.net").await;
    site.set(at("system"), "address.separators", "-").await;
    site.set(at("example.net"), "address.separators", "").await;
    site.check(&[
        ("ann-x@example.org", "ann@example.org +x"),
        ("ann+x@example.org", "nobody"),
        ("ann-x@example.net", "nobody"),
        ("ann+x@example.net", "nobody"),
    ])
    .await;
    site.set(at("example.org"), "address.separators", "+-").await;
    site.check(&[
        ("ann-x+y@example.org", "ann@example.org +x+y"),
        ("ann+x-y@example.org", "ann@example.org +x-y"),
    ])
    .await;
}

pub(super) async fn aliases_are_followed(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    for account in ["ann@example.org", "bob@example.org", "eve@example.net"] {
        site.account(account).await;
    }
    let all = ["ann@example.org", "team@example.net", "out@example.com", "bob+lists@example.org"];
    site.alias("all@example.org", &all).await;
    site.alias("team@example.net", &["eve@example.net", "ann@example.org", "out@example.com"]).await;
    let via = "<- all@example.org";
    let expect = format!(
        "ann@example.org {via}; eve@example.net <- team@example.net {via}; \
         elsewhere out@example.com <- team@example.net {via}; bob@example.org +lists {via}"
    );
    site.check(&[("all@example.org", &expect)]).await;
    // The layers of an address elsewhere are those of the alias that names it.
    site.set(at("example.net"), "trace.max_hops", 7).await;
    let Lookup::Found(resolution) = site.lookup("team@example.net").await else { panic!("team is nobody") };
    let external = resolution.branches.iter().find_map(|target| match &target.to {
        TargetKind::External(_, domain) => Some((domain, &target.settings)),
        TargetKind::Account(..) => None,
    });
    let (domain, settings) = external.expect("a target elsewhere");
    assert_eq!(*domain, domain_id(site, "eve@example.net").await);
    assert_eq!(settings.iter().map(|setting| setting.layer).collect::<Vec<_>>(), [Layer::Domain]);
    // An address elsewhere may become one of ours.
    let scopes = scopes_of(&site.lookup("team@example.net").await).to_vec();
    assert!(scopes.contains(&Scope::DomainName("example.com".to_owned())), "{scopes:?}");
}

pub(super) async fn what_cannot_be_followed_is_said(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    site.account("ann@example.org").await;
    site.account("bob@example.net").await;
    site.alias("a@example.org", &["b@example.org", "ann@example.org"]).await;
    site.alias("b@example.org", &["a@example.org"]).await;
    site.alias("dead@example.org", &["ghost@example.org", "ann@example.org"]).await;
    site.alias("mixed@example.org", &["bob@example.net", "ann@example.org"]).await;
    for depth in 0..11 {
        let next =
            if depth == 10 { "ann@example.org".to_owned() } else { format!("d{}@example.org", depth + 1) };
        site.alias(&format!("d{depth}@example.org"), &[&next]).await;
    }
    let via =
        |first: u32| (first..11).rev().map(|depth| format!(" <- d{depth}@example.org")).collect::<String>();
    let deep = format!("ann@example.org{}", via(1));
    site.check(&[
        ("a@example.org", "ann@example.org <- a@example.org; broken"),
        ("dead@example.org", "ann@example.org <- dead@example.org; broken"),
        ("d1@example.org", &deep),
        ("d0@example.org", "broken"),
        ("mixed@example.org", "bob@example.net <- mixed@example.org; ann@example.org <- mixed@example.org"),
    ])
    .await;
    for hidden in [Status::Suspended, Status::Removed] {
        site.apply(status("example.net", hidden)).await;
        site.check(&[("mixed@example.org", "ann@example.org <- mixed@example.org; broken")]).await;
    }
    let many: Vec<String> = (0..1001).map(|count| format!("u{count}@example.com")).collect();
    site.alias("many@example.org", &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let Lookup::Found(resolution) = site.lookup("many@example.org").await else { panic!("many is nobody") };
    assert_eq!(resolution.branches.len(), 1000);
    assert!(resolution.broken.is_some_and(|why| why.contains("1000")));
}

pub(super) async fn status_is_respected(site: &Site) {
    site.domain("example.org").await;
    site.account("ann@example.org").await;
    site.alias("team@example.org", &["ann@example.org"]).await;
    let alias = |status| Change::SetStatus {
        subject: pigeon_core::directory::Subject::Alias(super::parse("team@example.org")),
        status,
    };
    site.apply(alias(Status::Suspended)).await;
    site.check(&[("team@example.org", "broken")]).await;
    site.apply(alias(Status::Removed)).await;
    site.check(&[("team@example.org", "nobody")]).await;
    site.apply(alias(Status::Active)).await;
    site.apply(status("ann@example.org", Status::Suspended)).await;
    site.check(&[
        ("ann@example.org", "ann@example.org (suspended)"),
        ("team@example.org", "ann@example.org (suspended) <- team@example.org"),
    ])
    .await;
    site.apply(status("ann@example.org", Status::Removed)).await;
    site.check(&[("ann@example.org", "nobody"), ("team@example.org", "broken")]).await;
    site.apply(status("ann@example.org", Status::Active)).await;
    site.apply(status("example.org", Status::Suspended)).await;
    site.check(&[
        ("ann@example.org", "ann@example.org (suspended)"),
        ("team@example.org", "broken"),
        ("eve@example.org", "nobody"),
    ])
    .await;
    site.apply(status("example.org", Status::Removed)).await;
    site.check(&[("ann@example.org", "not ours"), ("team@example.org", "not ours")]).await;
    site.apply(status("example.org", Status::Active)).await;
    site.check(&[("ann@example.org", "ann@example.org")]).await;
    // Who was removed leaves the address to the catch-all.
    site.alias("*@example.org", &["ann@example.org"]).await;
    site.account("bob@example.org").await;
    site.apply(status("bob@example.org", Status::Removed)).await;
    site.check(&[("bob@example.org", "ann@example.org <- *@example.org")]).await;
}

pub(super) async fn settings_of_all_layers_come_along(site: &Site) {
    site.domain("example.org").await;
    site.domain("example.net").await;
    site.account("ann@example.org").await;
    site.account("bob@example.org").await;
    let places = ["system", "example.org", "ann@example.org", "example.net", "bob@example.org"];
    for (hops, place) in (1..).zip(places) {
        site.set(at(place), "trace.max_hops", hops).await;
    }
    site.apply(super::limit(
        at("example.org"),
        "trace.max_hops",
        serde_json::json!({"max": 50}),
        super::Pin::None,
    ))
    .await;
    let shown = |settings: &[Setting]| {
        let mut shown: Vec<String> =
            settings.iter().map(|setting| format!("{} {:?}", setting.layer, setting.content)).collect();
        shown.sort();
        shown
    };
    let settings = site.target("ann@example.org").await.settings;
    let layers: Vec<Layer> = settings.iter().map(|setting| setting.layer).collect();
    assert_eq!(layers.iter().filter(|layer| **layer == Layer::Domain).count(), 2, "a value and a range");
    assert_eq!(layers.len(), 4, "{:?}", shown(&settings));
    let own = settings.iter().find(|setting| setting.layer == Layer::Account).expect("the account's own");
    assert_eq!((own.name.to_string(), own.by.as_str()), ("trace.max_hops".to_owned(), "root"));
    assert_eq!(own.content, pigeon_core::setting::Content::Value(3.into()));
    assert_eq!(site.target("ann@example.org").await.alias_settings, [], "no alias leads there");
    // An alias has the settings of its own domain, wherever its target is.
    site.alias("sales@example.net", &["bob@example.org"]).await;
    site.alias("shop@example.org", &["sales@example.net"]).await;
    for alias in ["sales@example.net", "shop@example.org"] {
        let target = site.target(alias).await;
        let own = layers_and_values(&target.alias_settings);
        assert_eq!(own, ["system 1", "domain 4"], "{alias}: of the last alias");
        assert!(target.settings.iter().any(|setting| setting.layer == Layer::Account), "{alias}");
    }
    // Names change, settings stay.
    site.apply(rename("ann@example.org", "anna@example.org")).await;
    site.apply(rename("example.org", "example.com")).await;
    assert_eq!(shown(&site.target("anna@example.com").await.settings), shown(&settings));
}

/// `system 1`, for settings that are values.
fn layers_and_values(settings: &[Setting]) -> Vec<String> {
    let shown = settings.iter().filter_map(|setting| match &setting.content {
        pigeon_core::setting::Content::Value(value) => Some(format!("{} {value}", setting.layer)),
        pigeon_core::setting::Content::Range(_) => None,
    });
    shown.collect()
}
