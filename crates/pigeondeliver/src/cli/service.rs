//! `pigeon service`: the delivery services there are.

use clap::Subcommand;
use pigeon_core::plan::CORE_GROUPS;
use pigeon_core::service::Descriptor;
use pigeon_services::catalogue::SERVICES;
use serde_json::{Value, json};

use super::Global;
use super::output::Output;
use super::settings::{describe_keys, find_service, groups};
use crate::show::{Table, Tone, description};

/// The commands of `pigeon service`.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List the services, in the order in which a message walks through them
    List,
    /// Describe a service: what it is for, and its settings
    #[command(after_long_help = "\
Example:
  pigeon service describe vacation")]
    Describe {
        /// The service's name
        name: String,
    },
}

/// The groups of settings that the core reads, then all services: what there is without any configuration.
pub(crate) fn descriptors() -> Vec<Descriptor> {
    CORE_GROUPS.iter().chain(SERVICES).copied().collect()
}

/// Runs a command of `pigeon service`.
pub(super) fn run(global: &Global, command: ServiceCommand) -> anyhow::Result<()> {
    let out = Output::new(global.json);
    match command {
        ServiceCommand::List => list(out),
        ServiceCommand::Describe { name } => describe(out, &find_service(&name)?),
    }
}

/// The first sentence of a service's description.
fn summary(descriptor: &Descriptor) -> String {
    let text = description(&Value::from(descriptor.schema()));
    let first = text.split("\n\n").next().unwrap_or_default();
    first.split_once(". ").map_or(first, |(sentence, _)| sentence).trim_end_matches('.').to_owned()
}

fn list(out: Output) -> anyhow::Result<()> {
    let mut services = descriptors();
    services.retain(|descriptor| descriptor.stage.is_some());
    services.sort_by_key(|descriptor| descriptor.stage);
    let rows: Vec<Value> = services
        .iter()
        .map(|service| json!({ "name": service.name, "stage": service.stage, "summary": summary(service) }))
        .collect();
    out.print(&json!({ "services": rows }), |to| {
        let mut table = Table::new(out.paper, &["STAGE", "SERVICE", "WHAT IT DOES"]);
        for service in &services {
            let stage = service.stage.map(|stage| stage.to_string()).unwrap_or_default();
            table.row([
                (stage.as_str(), Tone::Dim),
                (service.name, Tone::Strong),
                (summary(service).as_str(), Tone::Plain),
            ]);
        }
        table.write(to)?;
        writeln!(to, "\nMore about one: pigeon service describe NAME")
    })
}

fn describe(out: Output, descriptor: &Descriptor) -> anyhow::Result<()> {
    let keys: Vec<Value> = groups(descriptor)
        .into_iter()
        .flat_map(|(_, keys)| keys)
        .map(|doc| json!({ "key": doc.key, "accepts": doc.kind, "default": doc.default, "help": doc.help }))
        .collect();
    let document = json!({
        "name": descriptor.name,
        "stage": descriptor.stage,
        "description": description(&Value::from(descriptor.schema())),
        "keys": keys,
    });
    out.print(&document, |to| describe_keys(to, out.paper, descriptor, None))
}
