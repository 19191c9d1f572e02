//! How scopes are written in a database, and what a feed says of very many.

use std::collections::BTreeMap;

use pigeon_core::directory::{Id, Scope};
use pigeon_core::ports::directory::Feed;

use super::failure::{Failure, Outcome};

/// Whoever lies further behind is told that everything changed: that is cheaper for both.
pub(crate) const MAX_SCOPES: usize = 20_000;

/// The feed made of rows of `change_scopes`, at most one more than [`MAX_SCOPES`], oldest first.
pub(crate) fn feed_of(seq: u64, touched: Vec<(String, u64)>) -> Outcome<Feed> {
    if touched.len() > MAX_SCOPES {
        return Ok(Feed { seq, scopes: vec![(Scope::System, seq)] });
    }
    let mut scopes = BTreeMap::new();
    for (text, at) in touched {
        scopes.insert(parse(&text)?, at);
    }
    Ok(Feed { seq, scopes: scopes.into_iter().collect() })
}

/// How a scope is written in `change_scopes`.
pub(crate) fn text_of(scope: &Scope) -> String {
    match scope {
        Scope::System => "system".to_owned(),
        Scope::Domain(id) => format!("domain:{id}"),
        Scope::DomainName(name) => format!("name:{name}"),
        Scope::Account(id) => format!("account:{id}"),
        Scope::Address(key) => format!("address:{key}"),
    }
}

fn parse(text: &str) -> Outcome<Scope> {
    let of = |rest: &str| rest.to_owned();
    match text.split_once(':') {
        None if text == "system" => Ok(Scope::System),
        Some(("domain", id)) => Ok(Scope::Domain(Id(of(id)))),
        Some(("name", name)) => Ok(Scope::DomainName(of(name))),
        Some(("account", id)) => Ok(Scope::Account(Id(of(id)))),
        Some(("address", key)) => Ok(Scope::Address(of(key))),
        _ => Err(Failure::Unusable(format!("holds a change of {text:?}, which this version does not know"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_and_read() {
        for scope in [
            Scope::System,
            Scope::Domain(Id("one".to_owned())),
            Scope::DomainName("[ipv6:::1]".to_owned()),
            Scope::Account(Id("two".to_owned())),
            Scope::Address("a:b@example.org".to_owned()),
        ] {
            assert_eq!(parse(&text_of(&scope)).unwrap(), scope);
        }
        assert!(parse("planet:mars").is_err());
    }
}
