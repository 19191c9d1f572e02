//! Questions and orders to a server, one function each; all of them end in time.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use ldap3::controls::{Control, ControlType, PagedResults, RawControl};
use ldap3::{LdapError, Mod, Scope, SearchEntry};
use tokio::time::timeout;

use super::dial::Connection;
use super::record::Record;
use super::trouble::{Trouble, code};

/// How many entries a server is asked for at a time where there may be very many.
const PAGE: i32 = 1000;

/// A search (RFC 4511 §4.5).
#[derive(Debug, Clone)]
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    pub(super) filter: &'a str,
    pub(super) attributes: &'a [&'a str],
}

/// Attributes of one entry with their values.
pub(super) type Attributes = Vec<(&'static str, Vec<Vec<u8>>)>;

impl Connection {
    /// All entries that are found; none where the base is missing.
    pub(super) async fn search(&self, search: &Search<'_>) -> Result<Vec<Record>, Trouble> {
        let (found, _) = self.in_time(self.run(search, None)).await?;
        Ok(found)
    }

    /// The one entry of that name.
    pub(super) async fn entry(&self, dn: &str, attributes: &[&str]) -> Result<Option<Record>, Trouble> {
        let search = Search { base: dn, scope: Scope::Base, filter: "(objectClass=*)", attributes };
        Ok(self.search(&search).await?.pop())
    }

    /// The same for very many entries: in pages, each within the time.
    pub(super) async fn search_all(&self, search: &Search<'_>) -> Result<Vec<Record>, Trouble> {
        let mut all = Vec::new();
        let mut cookie = Vec::new();
        loop {
            let control = PagedResults { size: PAGE, cookie };
            let (found, controls) = self.in_time(self.run(search, Some(control.into()))).await?;
            all.extend(found);
            let page = controls.into_iter().find_map(|Control(kind, raw)| {
                matches!(kind, Some(ControlType::PagedResults)).then(|| raw.parse::<PagedResults>())
            });
            match page {
                Some(page) if !page.cookie.is_empty() => cookie = page.cookie,
                _ => return Ok(all),
            }
        }
    }

    async fn run(
        &self,
        search: &Search<'_>,
        control: Option<RawControl>,
    ) -> Result<(Vec<Record>, Vec<Control>), Trouble> {
        let about = || format!("looking below {}", search.base);
        let mut ldap = self.handle();
        if let Some(control) = control {
            ldap.with_controls(control);
        }
        let attributes = search.attributes.to_vec();
        let stream = ldap.streaming_search(search.base, search.scope, search.filter, attributes).await;
        let mut stream = stream.map_err(|error| Trouble::of(error, &about()))?;
        let mut found = Vec::new();
        while let Some(entry) = stream.next().await.map_err(|error| Trouble::of(error, &about()))? {
            if !entry.is_ref() && !entry.is_intermediate() {
                found.push(Record::from(SearchEntry::construct(entry)));
            }
        }
        let result = stream.finish().await;
        match result.rc {
            0 => Ok((found, result.ctrls)),
            code::NO_SUCH_OBJECT => Ok((Vec::new(), Vec::new())),
            rc => Err(Trouble::refused(rc, &about(), &result.text)),
        }
    }

    /// Makes an entry.
    pub(super) async fn add(&self, dn: &str, attributes: &Attributes) -> Result<(), Trouble> {
        let values = |values: &Vec<Vec<u8>>| values.iter().cloned().collect::<HashSet<_>>();
        let attributes = attributes.iter().filter(|(_, values)| !values.is_empty());
        let attributes = attributes.map(|(name, held)| (name.as_bytes().to_vec(), values(held))).collect();
        let mut ldap = self.handle();
        let adding = async { ldap.add(dn, attributes).await?.success().map(drop) };
        self.order(adding, || format!("adding {dn}")).await
    }

    /// Gives attributes of an entry other values; none takes an attribute away.
    pub(super) async fn replace(&self, dn: &str, attributes: &Attributes) -> Result<(), Trouble> {
        let changes = attributes
            .iter()
            .map(|(name, values)| Mod::Replace(name.as_bytes().to_vec(), values.iter().cloned().collect()));
        self.modify(dn, changes.collect()).await
    }

    /// Changes attributes of an entry.
    pub(super) async fn modify(&self, dn: &str, changes: Vec<Mod<Vec<u8>>>) -> Result<(), Trouble> {
        let mut ldap = self.handle();
        let changing = async { ldap.modify(dn, changes).await?.success().map(drop) };
        self.order(changing, || format!("changing {dn}")).await
    }

    /// Takes an entry away; one that is gone already is no trouble.
    pub(super) async fn delete(&self, dn: &str) -> Result<(), Trouble> {
        let mut ldap = self.handle();
        let deleting = async { ldap.delete(dn).await?.success().map(drop) };
        match self.order(deleting, || format!("deleting {dn}")).await {
            Err(trouble) if trouble.is(code::NO_SUCH_OBJECT) => Ok(()),
            done => done,
        }
    }

    /// Moves an entry with all below it.
    pub(super) async fn move_below(&self, dn: &str, rdn: &str, parent: &str) -> Result<(), Trouble> {
        let mut ldap = self.handle();
        let moving = async { ldap.modifydn(dn, rdn, false, Some(parent)).await?.success().map(drop) };
        self.order(moving, || format!("moving {dn} below {parent}")).await
    }

    async fn order(
        &self,
        order: impl Future<Output = Result<(), LdapError>>,
        about: impl Fn() -> String,
    ) -> Result<(), Trouble> {
        self.in_time(async { order.await.map_err(|error| Trouble::of(error, &about())) }).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let patience: Duration = self.patience;
        timeout(patience, work).await.unwrap_or(Err(Trouble::Silent(patience.as_millis())))
    }
}

/// Text as it may stand in a filter (RFC 4515 §3).
pub(super) fn escaped(text: &str) -> String {
    ldap3::ldap_escape(text).into_owned()
}

/// `(attribute=value)`.
pub(super) fn is(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", escaped(value))
}

/// Whether any of these holds; of one, that one. There is at least one.
pub(super) fn any(filters: &[String]) -> String {
    match filters {
        [one] => one.clone(),
        many => format!("(|{})", many.concat()),
    }
}

/// A value as it may stand in a distinguished name (RFC 4514 §2.4).
pub(super) fn in_dn(value: &str) -> String {
    ldap3::dn_escape(value).into_owned()
}
