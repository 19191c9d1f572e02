//! `docs/reference/services.md`: every service and group of settings, with every key.

use pigeon_core::service::Descriptor;
use serde_json::Value;

use super::cell;
use crate::cli::{descriptors, groups};
use crate::show::{KeyDoc, description};

/// The page.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Services and their settings\n\n\
         A message walks through the services of each recipient in the order of their stages: admit, inspect, \
         decide, commit, notify. A service takes part where its `enabled` is true. Settings are written at the layer of \
         the system, a domain or an account with `pigeon settings set`; `pigeon settings ADDRESS` shows what holds and \
         why.\n",
    );
    let all = descriptors();
    let (groups_of_core, mut services): (Vec<Descriptor>, Vec<Descriptor>) =
        all.into_iter().partition(|descriptor| descriptor.stage.is_none());
    services.sort_by_key(|service| service.stage);
    every_service(&mut text, &services);
    for service in &services {
        section(&mut text, service);
    }
    for group in &groups_of_core {
        section(&mut text, group);
    }
    text
}

/// The keys that every service has, once for all.
fn every_service(text: &mut String, services: &[Descriptor]) {
    let Some(first) = services.first() else { return };
    text.push_str("\n## Every service\n\nThe core itself handles these keys of every service.\n");
    let [_, (_, handled), _] = groups(first);
    table(text, &handled);
}

fn section(text: &mut String, descriptor: &Descriptor) {
    let stage = descriptor.stage.map_or_else(
        || "\nRead by the core itself, for every recipient.\n".to_owned(),
        |stage| format!("\nStage: {stage}.\n"),
    );
    let about = description(&Value::from(descriptor.schema()));
    text.extend([format!("\n## {}\n\n{about}\n{stage}", descriptor.name)]);
    let [(_, own), _, (site_title, site)] = groups(descriptor);
    table(text, &own);
    if !site.is_empty() {
        text.extend([format!("\nAnd {site_title}:\n")]);
        table(text, &site);
    }
}

fn table(text: &mut String, keys: &[KeyDoc]) {
    if keys.is_empty() {
        text.push_str("\nIt has no settings of its own.\n");
        return;
    }
    text.push_str("\n| key | accepts | default | what it is for |\n|---|---|---|---|\n");
    for doc in keys {
        let default = if doc.default.is_empty() { String::new() } else { format!("`{}`", doc.default) };
        let row = [format!("`{}`", doc.key), cell(&doc.kind), cell(&default), cell(&doc.help)];
        text.extend([format!("| {} |\n", row.join(" | "))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_and_key_is_on_the_page() {
        let page = page();
        for descriptor in descriptors() {
            assert!(page.contains(&format!("\n## {}\n", descriptor.name)), "{}", descriptor.name);
            for key in descriptor.keys() {
                assert!(page.contains(&format!("| `{key}` |")), "{}.{key}", descriptor.name);
            }
        }
    }
}
