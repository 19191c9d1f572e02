//! A new directory: its base and the containers below it.

use ldap3::Scope;
use pigeon_core::ports::directory::DirectoryError;

use super::super::failure::{Failure, Outcome};
use super::ask::{Attributes, Search};
use super::dial::Connection;
use super::options::LdapOptions;
use super::record::{number, value};
use super::trouble::{Trouble, code};
use super::{Shared, is_below, naming_contexts, suffix_of};

/// The form in which the directory is kept.
pub(super) const VERSION: u64 = 1;

/// Makes an empty directory, or what is missing of one.
pub(super) async fn create(options: &LdapOptions) -> Result<(), DirectoryError> {
    let shared = Shared::new(options.clone())?;
    let connection = shared.links.provider().await.map_err(|trouble| shared.at(trouble.into()))?;
    make(&shared, &connection).await.map_err(|failure| shared.at(failure))
}

async fn make(shared: &Shared, connection: &Connection) -> Outcome<()> {
    let base = shared.tree.base();
    alone(base, connection).await?;
    let attributes = ["objectClass", "pigeonSequence", "pigeonVersion"];
    match connection.entry(base, &attributes).await? {
        None => connection.add(base, &new_base(base)?).await.map_err(|trouble| parent(trouble, base))?,
        Some(known) if known.is_a("pigeonDirectory") => {
            if known.number("pigeonVersion").is_some_and(|version| version > VERSION) {
                let why = "was made by a newer version of PigeonDeliver: use that one";
                return Err(Failure::Unusable(why.to_owned()));
            }
        }
        Some(_) => {
            let class = [b"pigeonDirectory".to_vec()].into();
            let add = |name: &str, number: u64| {
                ldap3::Mod::Add(name.as_bytes().to_vec(), [number.to_string().into_bytes()].into())
            };
            let mut changes = vec![ldap3::Mod::Add(b"objectClass".to_vec(), class)];
            changes.extend([add("pigeonSequence", 0), add("pigeonVersion", VERSION)]);
            connection.modify(base, changes).await?;
        }
    }
    for (name, dn) in shared.tree.containers() {
        let container = vec![("objectClass", value("organizationalUnit")), ("ou", value(name))];
        match connection.add(&dn, &container).await {
            Err(trouble) if trouble.is(code::ALREADY_EXISTS) => {}
            done => done?,
        }
    }
    let names = shared.names(connection).await?;
    let suffix = names.suffixes.first().map_or(base, String::as_str);
    let has_context = connection
        .entry(suffix, &["contextCSN"])
        .await?
        .is_some_and(|entry| entry.text("contextCSN").is_some());
    if !has_context {
        tracing::warn!(
            "{suffix} shows no contextCSN, so that everything is looked up anew every two seconds: load the overlay \
             syncprov for its database, and let the bind DN read it"
        );
    }
    Ok(())
}

/// A directory inside of another would be taken for a part of it.
async fn alone(base: &str, connection: &Connection) -> Outcome<()> {
    let suffix = suffix_of(base, &naming_contexts(connection).await?);
    let filter = "(objectClass=pigeonDirectory)";
    let search = Search { base: &suffix, scope: Scope::Subtree, filter, attributes: &["1.1"] };
    let known = connection.search_all(&search).await?.into_iter().map(|record| record.dn);
    let is_related = |other: &String| is_below(other, base) != is_below(base, other);
    match known.into_iter().find(is_related) {
        Some(other) => Err(Failure::Unusable(format!(
            "and the directory {other} would stand one inside of the other: take another base"
        ))),
        None => Ok(()),
    }
}

/// The base as an entry of the class that its name asks for (RFC 4519).
fn new_base(base: &str) -> Outcome<Attributes> {
    let rdn = base.split_once(',').map_or(base, |(rdn, _)| rdn);
    let (name, held) = rdn.split_once('=').unwrap_or_default();
    let is_plain = !held.contains(['\\', '+']);
    let (classes, attributes): (&[&str], &[&'static str]) = match name.trim().to_ascii_lowercase().as_str() {
        "ou" if is_plain => (&["organizationalUnit"], &["ou"]),
        "o" if is_plain => (&["organization"], &["o"]),
        "dc" if is_plain => (&["organization", "dcObject"], &["dc", "o"]),
        "cn" if is_plain => (&["applicationProcess"], &["cn"]),
        _ => {
            return Err(Failure::Unusable(format!(
                "does not exist, and an entry named {rdn:?} is nothing that could be made without knowing more: make \
                 it yourself, or take a base like ou=mail,{base}"
            )));
        }
    };
    let classes = classes.iter().chain(&["pigeonDirectory"]).map(|class| class.as_bytes().to_vec());
    let named = attributes.iter().map(|attribute| (*attribute, value(held.trim())));
    let more = [
        ("objectClass", classes.collect()),
        ("pigeonSequence", number(0)),
        ("pigeonVersion", number(VERSION)),
    ];
    Ok(named.chain(more).collect())
}

fn parent(trouble: Trouble, base: &str) -> Failure {
    if !trouble.is(code::NO_SUCH_OBJECT) {
        return trouble.into();
    }
    let parent = base.split_once(',').map_or("", |(_, parent)| parent);
    Failure::Unusable(format!("cannot be made: there is no entry {parent:?} above it; make that one first"))
}
