//! What listings and exports read. Servers do not sort: keys are read and sorted here, then the entries of one page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use pigeon_core::address::Address;
use pigeon_core::directory::{Domain, Entry, Id, LoggedChange, Role};
use pigeon_core::setting::Layer;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, Kind, Listing, Rows as _, Slice, StoredAlias};
use super::ask::is;
use super::moment;
use super::reading::Reader;
use super::record::{BELONGINGS, ROWS, Record};
use super::tree::{SYSTEM, Tree};
use super::watch;

/// How many entries are asked for at once.
const AT_ONCE: usize = 100;
/// How long keys are kept for the next page.
const KEPT: Duration = Duration::from_secs(30);
/// How many rows of the log are read at most.
const MAX_ROWS: u64 = 100_000;

/// What keys are made of.
const KEYS: &[&str] = &[
    "pigeonId",
    "pigeonDomainName",
    "pigeonLocalPart",
    "pigeonPattern",
    "pigeonOwner",
    "pigeonRole",
    "pigeonSettingName",
    "pigeonSettingKind",
];

/// The keys of one listing, sorted, each with the name of its entry.
type Keys = Arc<Vec<(String, String)>>;
/// Domains by id.
type Domains = HashMap<Id, DomainRow>;

/// The keys of the listing that was read last: the next page needs them again.
#[derive(Debug, Default)]
pub(super) struct Sorted(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    of: String,
    /// The position of the log.
    position: u64,
    at: Instant,
    keys: Keys,
}

impl Sorted {
    fn get(&self, of: &str, position: u64) -> Option<Keys> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        let is_it = kept.of == of && kept.position == position && kept.at.elapsed() < KEPT;
        is_it.then(|| Arc::clone(&kept.keys))
    }

    fn put(&self, of: &str, position: u64, keys: &Keys) {
        let kept = Kept { of: of.to_owned(), position, at: Instant::now(), keys: Arc::clone(keys) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl Reader<'_> {
    /// Entries of a listing behind a key: `of` names it, `filter` finds it, `key` says where an entry stands in it.
    async fn page(
        &self,
        filter: &str,
        key: impl Fn(&Record) -> Outcome<String> + Send + Sync,
        (after, limit): (&str, u32),
    ) -> Outcome<Vec<(String, Record)>> {
        let position = watch::read(self.shared, &self.connection).await?.position;
        let of = filter;
        let keys = match self.shared.sorted.get(of, position) {
            Some(keys) => keys,
            None => {
                let records = self.all(filter, KEYS).await?;
                let mut keys = Vec::with_capacity(records.len());
                for record in records {
                    keys.push((key(&record)?, record.dn));
                }
                keys.sort();
                let keys = Arc::new(keys);
                self.shared.sorted.put(of, position, &keys);
                keys
            }
        };
        let begin = keys.partition_point(|(key, _)| key.as_str() <= after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted: Vec<&(String, String)> = keys.iter().skip(begin).take(limit).collect();
        let attributes = [ROWS, BELONGINGS].concat();
        let mut page = Vec::with_capacity(wanted.len());
        for part in wanted.chunks(AT_ONCE) {
            let entries = part.iter().map(|(_, dn)| self.connection.entry(dn, &attributes));
            let entries = try_join_all(entries).await?;
            let entries = part.iter().zip(entries);
            page.extend(entries.filter_map(|((key, _), entry)| Some((key.clone(), entry?))));
        }
        Ok(page)
    }

    async fn members(
        &self,
        class: &str,
        domain: &DomainRow,
        slice: Slice<'_>,
    ) -> Outcome<Vec<(String, Record)>> {
        let living = if slice.with_removed { "" } else { "(!(pigeonStatus=removed))" };
        let domain = is("pigeonDomain", &domain.id.0);
        let filter = format!("(&{domain}{}{living})", is("objectClass", class));
        self.page(&filter, Record::local, (slice.after, slice.limit)).await
    }

    /// The domain that an account or alias is in, asked for once for each page.
    async fn domain_of_record(&mut self, record: &Record, known: &mut Domains) -> Outcome<DomainRow> {
        let id = record.domain_id()?;
        if let Some(domain) = known.get(&id) {
            return Ok(domain.clone());
        }
        let domain = self.domain_of(&id).await?;
        let domain = domain.ok_or_else(|| record.broken("belongs to a domain that does not exist"))?;
        known.insert(id, domain.clone());
        Ok(domain)
    }

    async fn entry_of(&mut self, kind: Kind, record: &Record, known: &mut Domains) -> Outcome<Entry> {
        Ok(match kind {
            Kind::Domain => {
                let DomainRow { id, name, status } = record.domain()?;
                let aliases = record.other_names();
                Entry::Domain(Domain { id, name: name.to_string(), aliases, status })
            }
            Kind::Account => {
                let domain = self.domain_of_record(record, known).await?;
                Entry::Account(record.account(&domain)?)
            }
            Kind::Alias => {
                let domain = self.domain_of_record(record, known).await?;
                Entry::Alias(record.alias(&domain)?.strict()?)
            }
            Kind::Grant => Entry::Grant(record.grant()?),
            Kind::Setting => {
                let layer = Self::layer_of(record);
                let owner = Some(record.owner()?).filter(|owner| *owner != SYSTEM);
                Entry::Setting { owner: owner.map(|id| Id(id.to_owned())), setting: record.setting(layer)? }
            }
        })
    }

    /// Settings of domains stand right below them; deeper ones are of accounts.
    fn layer_of(record: &Record) -> Layer {
        if record.text("pigeonOwner") == Some(SYSTEM) {
            Layer::System
        } else if Tree::is_of_domain(&record.dn) {
            Layer::Domain
        } else {
            Layer::Account
        }
    }

    fn key_of(&self, kind: Kind, record: &Record) -> Outcome<String> {
        Ok(match kind {
            Kind::Domain | Kind::Account | Kind::Alias => record.id()?.0,
            Kind::Grant => {
                let grant = record.grant()?;
                let domain = match grant.role {
                    Role::System => String::new(),
                    Role::Domain(id) => id.0,
                };
                format!("{}/{domain}", grant.account)
            }
            Kind::Setting => {
                let owner = record.owner()?;
                let owner = if owner == SYSTEM { "" } else { owner };
                let name = record.need("pigeonSettingName")?.replacen('.', "/", 1);
                format!("{}/{owner}/{name}/{}", Self::layer_of(record), record.need("pigeonSettingKind")?)
            }
        })
    }

    fn row_of(&self, record: &Record) -> Outcome<LoggedChange> {
        let json = |name: &str| {
            let parse = |octets: &Vec<u8>| {
                serde_json::from_slice(octets)
                    .map_err(|_| record.broken(&format!("has a {name} that is no JSON")))
            };
            record.octets(name).first().map(parse).transpose()
        };
        let at = moment::parse(record.need("pigeonTime")?);
        let seq = record.number("pigeonSequence").ok_or_else(|| record.broken("has no pigeonSequence"))?;
        Ok(LoggedChange {
            seq: self.shared.watch.of_row(seq),
            at: at.ok_or_else(|| record.broken("has no usable pigeonTime"))?,
            actor: record.text("pigeonActor").unwrap_or_default().to_owned(),
            change: json("pigeonRequest")?.unwrap_or_default(),
            before: json("pigeonBefore")?,
            after: json("pigeonAfter")?,
        })
    }
}

const fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Domain => "pigeonMailDomain",
        Kind::Account => "pigeonAccount",
        Kind::Alias => "pigeonAlias",
        Kind::Grant => "pigeonGrant",
        Kind::Setting => "pigeonSetting",
    }
}

#[async_trait]
impl Listing for Reader<'_> {
    async fn domains_behind(&mut self, slice: Slice<'_>) -> Outcome<Vec<DomainRow>> {
        let living = if slice.with_removed { "" } else { "(!(pigeonStatus=removed))" };
        let filter = format!("(&(objectClass=pigeonMailDomain){living}(pigeonDomainName=*))");
        let key = |record: &Record| Ok(record.domain()?.name.to_string());
        let page = self.page(&filter, key, (slice.after, slice.limit)).await?;
        page.iter().map(|(_, record)| record.domain()).collect()
    }

    async fn accounts_in(
        &mut self,
        domain: &DomainRow,
        slice: Slice<'_>,
    ) -> Outcome<Vec<pigeon_core::directory::Account>> {
        let page = self.members("pigeonAccount", domain, slice).await?;
        let mut accounts =
            page.iter().map(|(_, record)| record.account(domain)).collect::<Outcome<Vec<_>>>()?;
        if let Some(people) = self.people() {
            accounts.extend(people.accounts_in(domain, slice.after).await?);
            accounts.sort_by(|one, two| one.address.local().cmp(two.address.local()));
            accounts.truncate(usize::try_from(slice.limit).unwrap_or(usize::MAX));
        }
        Ok(accounts)
    }

    async fn aliases_in(&mut self, domain: &DomainRow, slice: Slice<'_>) -> Outcome<Vec<StoredAlias>> {
        let page = self.members("pigeonAlias", domain, slice).await?;
        page.iter().map(|(_, record)| record.alias(domain)).collect()
    }

    async fn grants_of(&mut self, account: Option<&Id>) -> Outcome<Vec<(Address, Option<String>)>> {
        let owner = account.map_or_else(String::new, |id| is("pigeonOwner", &id.0));
        let records = self.all(&format!("(&(objectClass=pigeonGrant){owner})"), BELONGINGS).await?;
        let mut grants = Vec::with_capacity(records.len());
        for record in records {
            let grant = record.grant()?;
            let Some((account, _)) = self.account_of(&grant.account).await? else { continue };
            let domain = match &grant.role {
                Role::System => None,
                Role::Domain(id) => match self.domain_of(id).await? {
                    Some(domain) => Some(domain.name.to_string()),
                    None => continue,
                },
            };
            grants.push((account.address, domain));
        }
        let key = |(address, role): &(Address, Option<String>)| {
            (address.domain().to_string(), address.local().to_owned(), role.clone())
        };
        grants.sort_by_key(key);
        Ok(grants)
    }

    async fn changes(&mut self, after: u64, limit: u32) -> Outcome<Vec<LoggedChange>> {
        let last = watch::read(self.shared, &self.connection).await?.position;
        let oldest = last.saturating_sub(self.shared.options.keep_changes);
        let after = self.shared.watch.in_log(after).max(oldest);
        let to = after.saturating_add(u64::from(limit).min(MAX_ROWS)).min(last);
        if to <= after {
            return Ok(Vec::new());
        }
        let filter =
            format!("(&(objectClass=pigeonChange)(pigeonSequence>={})(pigeonSequence<={to}))", after + 1);
        let attributes =
            ["pigeonSequence", "pigeonTime", "pigeonActor", "pigeonRequest", "pigeonBefore", "pigeonAfter"];
        let records = self.all(&filter, &attributes).await?;
        let mut rows = records.iter().map(|record| self.row_of(record)).collect::<Outcome<Vec<_>>>()?;
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    async fn count(&mut self) -> Outcome<u64> {
        let classes = [Kind::Domain, Kind::Account, Kind::Alias, Kind::Grant, Kind::Setting].map(class_of);
        let filter: String = classes.map(|class| is("objectClass", class)).concat();
        let found = self.all(&format!("(|{filter})"), &["1.1"]).await?;
        u64::try_from(found.len()).map_err(|_| Failure::Unusable("is too large".to_owned()))
    }

    async fn export_of(&mut self, kind: Kind, after: &str, limit: u32) -> Outcome<Vec<(String, Entry)>> {
        let filter = is("objectClass", class_of(kind));
        let page = self.page(&filter, |record| self.key_of(kind, record), (after, limit)).await?;
        let (mut entries, mut known) = (Vec::with_capacity(page.len()), Domains::new());
        for (key, record) in page {
            entries.push((key, self.entry_of(kind, &record, &mut known).await?));
        }
        Ok(entries)
    }
}
