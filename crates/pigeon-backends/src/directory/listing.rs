//! What people read: lists in pages, one account, settings of one place, a whole export.

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, Alias, Domain, Entry, Place};
use pigeon_core::ports::directory::Page;
use pigeon_core::setting::Setting;

use super::failure::{Failure, Outcome};
use super::rows::{DomainRow, Kind, Listing, Owner, Rows, Slice, StoredAlias};

/// How many domains are read at a time while accounts of all domains are listed.
const DOMAINS_AT_A_TIME: u32 = 100;

/// The domains, by primary name.
pub(crate) async fn domains(rows: &mut dyn Listing, page: &Page) -> Outcome<Vec<Domain>> {
    let after = page.after.as_deref().unwrap_or_default();
    let slice = Slice { after, limit: page.limit, with_removed: page.with_removed };
    let mut domains = Vec::new();
    for row in rows.domains_behind(slice).await? {
        domains.push(rows.domain(row).await?);
    }
    Ok(domains)
}

/// The accounts of a domain, or of all domains by domain and local part.
pub(crate) async fn accounts(
    rows: &mut dyn Listing,
    domain: Option<&str>,
    page: &Page,
) -> Outcome<Vec<Account>> {
    let mut steps = Steps::begin(rows, domain, page).await?;
    let mut found = Vec::new();
    while let Some((domain, after)) = steps.next(rows, found.len()).await? {
        let slice = steps.slice(&after, found.len());
        found.extend(rows.accounts_in(&domain, slice).await?);
    }
    Ok(found)
}

/// The aliases of a domain, or of all domains by domain and pattern.
pub(crate) async fn aliases(
    rows: &mut dyn Listing,
    domain: Option<&str>,
    page: &Page,
) -> Outcome<Vec<Alias>> {
    let mut steps = Steps::begin(rows, domain, page).await?;
    let mut found = Vec::new();
    while let Some((domain, after)) = steps.next(rows, found.len()).await? {
        let slice = steps.slice(&after, found.len());
        let aliases = rows.aliases_in(&domain, slice).await?;
        found.extend(aliases.into_iter().map(StoredAlias::strict).collect::<Outcome<Vec<_>>>()?);
    }
    Ok(found)
}

/// Goes through the domains that a page is made of; a page's `after` is the address of the last row before it.
struct Steps<'a> {
    page: &'a Page,
    /// Domains that were read and not yet gone through, the next one last, each with where to begin in it.
    waiting: Vec<(DomainRow, String)>,
    /// The last domain that was read; none where there are no more to read.
    last: Option<String>,
}

impl<'a> Steps<'a> {
    async fn begin(rows: &mut dyn Listing, domain: Option<&str>, page: &'a Page) -> Outcome<Self> {
        let (after, last) = match page.after.as_deref() {
            Some(after) => parse_after(after)?,
            None => (String::new(), String::new()),
        };
        let first = match domain {
            Some(name) => Some(need_domain(rows, name).await?),
            None if last.is_empty() => None,
            None => Rows::domain_named(rows, &last).await?,
        };
        let waiting = first.map(|row| (row, after)).into_iter().collect();
        Ok(Self { page, waiting, last: domain.is_none().then_some(last) })
    }

    async fn next(&mut self, rows: &mut dyn Listing, found: usize) -> Outcome<Option<(DomainRow, String)>> {
        if self.missing(found) == 0 {
            return Ok(None);
        }
        if self.waiting.is_empty()
            && let Some(last) = self.last.take()
        {
            let with_removed = self.page.with_removed;
            let slice = Slice { after: &last, limit: DOMAINS_AT_A_TIME, with_removed };
            let more = rows.domains_behind(slice).await?;
            self.last = more.last().map(|row| row.name.to_string());
            self.waiting.extend(more.into_iter().rev().map(|row| (row, String::new())));
        }
        Ok(self.waiting.pop())
    }

    fn slice<'b>(&self, after: &'b str, found: usize) -> Slice<'b> {
        Slice { after, limit: self.missing(found), with_removed: self.page.with_removed }
    }

    fn missing(&self, found: usize) -> u32 {
        self.page.limit.saturating_sub(u32::try_from(found).unwrap_or(u32::MAX))
    }
}

fn parse_after(after: &str) -> Outcome<(String, String)> {
    let address = Address::parse(after).map_err(|error| Failure::invalid(format!("{after:?}: {error}")))?;
    Ok((address.local().to_lowercase(), address.domain().to_string()))
}

async fn need_domain(rows: &mut dyn Listing, name: &str) -> Outcome<DomainRow> {
    let name = DomainName::parse(name).map_err(|error| Failure::invalid(format!("{name:?}: {error}")))?;
    let row = rows.domain_named(name.as_str()).await?;
    row.ok_or_else(|| Failure::not_found(format!("the domain {name}"), ": add it first"))
}

/// The account of that address, whatever its status.
pub(crate) async fn account(rows: &mut dyn Listing, address: &Address) -> Outcome<Account> {
    let domain = need_domain(rows, address.domain().as_str()).await?;
    let account = rows.account_at(&domain, &address.local().to_lowercase()).await?;
    account.ok_or_else(|| Failure::not_found(format!("the account {address}"), ""))
}

/// Who holds which role: none is the whole system.
pub(crate) async fn grants(
    rows: &mut dyn Listing,
    of: Option<&Address>,
) -> Outcome<Vec<(Address, Option<String>)>> {
    let account = match of {
        Some(address) => Some(account(rows, address).await?),
        None => None,
    };
    rows.grants_of(account.as_ref().map(|account| &account.id)).await
}

/// The settings written at a place, by name.
pub(crate) async fn settings(rows: &mut dyn Listing, place: &Place) -> Outcome<Vec<Setting>> {
    let owner = match place {
        Place::System => Owner::system(),
        Place::Domain(name) => Owner::domain(&need_domain(rows, name).await?.id),
        Place::Account(address) => Owner::account(&account(rows, address).await?.id),
    };
    let mut settings = rows.settings_of(&owner).await?;
    settings.sort_by(|one, two| {
        one.name.cmp(&two.name).then_with(|| one.content.kind().cmp(&two.content.kind()))
    });
    Ok(settings)
}

/// The kinds of entries in their order, as cursors name them.
const KINDS: [(&str, Kind); 5] = [
    ("domain", Kind::Domain),
    ("account", Kind::Account),
    ("alias", Kind::Alias),
    ("grant", Kind::Grant),
    ("setting", Kind::Setting),
];

/// The next entries of an export behind a cursor, `KIND/KEY` of the last entry before.
pub(crate) async fn export(
    rows: &mut dyn Listing,
    cursor: Option<&str>,
    limit: u32,
) -> Outcome<(Vec<Entry>, Option<String>)> {
    let bad = |cursor: &str| Failure::invalid(format!("{cursor:?} is not a cursor of an export"));
    let (from, mut after) = match cursor {
        None => ("domain", ""),
        Some(cursor) => cursor.split_once('/').ok_or_else(|| bad(cursor))?,
    };
    let from = KINDS.iter().position(|(name, _)| *name == from).ok_or_else(|| bad(from))?;
    let mut entries = Vec::new();
    let mut next = cursor.map(str::to_owned);
    for (name, kind) in KINDS.iter().skip(from) {
        let missing = limit.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        if missing == 0 {
            break;
        }
        let page = rows.export_of(*kind, after, missing).await?;
        if let Some((key, _)) = page.last() {
            next = Some(format!("{name}/{key}"));
        }
        entries.extend(page.into_iter().map(|(_, entry)| entry));
        after = "";
    }
    Ok((entries, next))
}
