//! What a change writes, in steps that may be repeated, and which parts of the directory it touches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use ldap3::Scope as Depth;
use pigeon_core::directory::{Account, Alias, AliasPattern, Domain, Entry, Grant, Id, Scope};
use pigeon_core::setting::{Layer, Setting};
use serde::{Deserialize, Serialize};

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, Rows as _, Write, Writes};
use super::ask::{Attributes, Search, is};
use super::dial::Connection;
use super::reading::Reader;
use super::record::{ROWS, Record, mail, number, of_account, of_alias, of_domain, of_setting, value};
use super::tree::{self, named, rdn, role_text};
use super::trouble::code;
use super::writing::TAKE_OVER;
use super::{Shared, is_below};

/// How many entries are deleted at once.
const AT_ONCE: usize = 50;

/// One step of a change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    /// Writes a row, whether it is there or not.
    Put(Entry),
    /// Deletes a row and what belongs to it, whether it is there or not.
    Drop(Entry),
    /// Gives the accounts of a domain the addresses that its name makes.
    Readdress(Id),
}

/// What a change does.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) touched: BTreeSet<Scope>,
}

impl Plan {
    /// Reads what the rows were, for what they touch.
    pub(super) async fn new(reader: &mut Reader<'_>, writes: Writes) -> Outcome<Self> {
        let mut plan = Self { steps: Vec::new(), touched: BTreeSet::new() };
        for write in writes.rows {
            plan.take_in(reader, write).await?;
        }
        if let Some(scopes) = writes.scopes {
            plan.touched = scopes.into_iter().collect();
        }
        Ok(plan)
    }

    async fn take_in(&mut self, reader: &mut Reader<'_>, write: Write) -> Outcome<()> {
        let entry = match &write {
            Write::Put(entry) | Write::Drop(entry) => entry,
        };
        let mut renamed = None;
        match entry {
            Entry::Domain(domain) => {
                let before = reader.with_id("pigeonMailDomain", &domain.id).await?;
                let is_renamed = before
                    .as_ref()
                    .is_some_and(|before| before.text("pigeonDomainName") != Some(&domain.name));
                renamed = is_renamed.then(|| domain.id.clone());
                self.touch_domain(domain, before.as_ref());
            }
            Entry::Account(account) => {
                let before = reader.with_id("pigeonAccount", &account.id).await?;
                if before.is_none() && reader.is_person(&account.id).await? {
                    return Err(Failure::invalid(format!(
                        "{} is in the existing directory: change it there",
                        named(entry)
                    )));
                }
                self.touched.insert(Scope::Account(account.id.clone()));
                self.touched.insert(Scope::Address(account.address.key()));
                if let Some((local, domain)) = place_of(reader, before.as_ref()).await? {
                    self.touched.insert(Scope::Address(format!("{local}@{}", domain.name)));
                }
            }
            Entry::Alias(alias) => {
                let before = reader.with_id("pigeonAlias", &alias.id).await?;
                self.touch_alias(&alias.pattern, &alias.domain);
                if let Some((local, domain)) = place_of(reader, before.as_ref()).await? {
                    self.touch_alias(&AliasPattern { local, domain: domain.name }, &domain.id);
                }
            }
            Entry::Setting { owner, setting } => {
                self.touched.insert(match (setting.layer, owner) {
                    (Layer::Domain, Some(id)) => Scope::Domain(id.clone()),
                    (Layer::Account, Some(id)) => Scope::Account(id.clone()),
                    _ => Scope::System,
                });
            }
            // No look-up depends on who administers what.
            Entry::Grant(_) => {}
        }
        self.steps.push(match write {
            Write::Put(entry) => Step::Put(entry),
            Write::Drop(entry) => Step::Drop(entry),
        });
        self.steps.extend(renamed.map(Step::Readdress));
        Ok(())
    }

    /// Names that it had or has, but not both, mean something else now.
    fn touch_domain(&mut self, domain: &Domain, before: Option<&Record>) {
        self.touched.insert(Scope::Domain(domain.id.clone()));
        let now: BTreeSet<String> = std::iter::once(&domain.name).chain(&domain.aliases).cloned().collect();
        let names = |record: &Record| -> BTreeSet<String> {
            let own = record.text("pigeonDomainName").map(str::to_ascii_lowercase);
            record.other_names().into_iter().chain(own).collect()
        };
        let before = before.map(names).unwrap_or_default();
        self.touched.extend(now.symmetric_difference(&before).cloned().map(Scope::DomainName));
    }

    fn touch_alias(&mut self, pattern: &AliasPattern, domain: &Id) {
        self.touched.insert(match pattern.is_wildcard() {
            true => Scope::Domain(domain.clone()),
            false => Scope::Address(format!("{}@{}", pattern.local, pattern.domain)),
        });
    }
}

/// Where an account or alias was.
async fn place_of(reader: &mut Reader<'_>, before: Option<&Record>) -> Outcome<Option<(String, DomainRow)>> {
    let Some(before) = before else { return Ok(None) };
    let local = before.local()?;
    let domain = reader.domain_of(&before.domain_id()?).await?;
    Ok(domain.map(|domain| (local, domain)))
}

/// Makes steps over one connection, as one change.
pub(super) struct Steps<'a> {
    reader: Reader<'a>,
    /// The change that entries are marked with.
    seq: u64,
    has_written: bool,
    /// When others last heard of the change.
    heard: Instant,
}

impl<'a> Steps<'a> {
    pub(super) fn new(shared: &'a Shared, connection: &Arc<Connection>, seq: u64) -> Self {
        let reader = Reader { shared, connection: Arc::clone(connection), start: None };
        Self { reader, seq, has_written: false, heard: Instant::now() }
    }

    /// Whether any order was carried out.
    pub(super) const fn has_written(&self) -> bool {
        self.has_written
    }

    pub(super) async fn make(&mut self, step: &Step) -> Outcome<()> {
        self.let_others_hear().await?;
        match step {
            Step::Put(Entry::Domain(domain)) => self.put_domain(domain).await,
            Step::Put(Entry::Account(account)) => self.put_account(account).await,
            Step::Put(Entry::Alias(alias)) => self.put_alias(alias).await,
            Step::Put(Entry::Grant(grant)) => self.put_grant(grant).await,
            Step::Put(Entry::Setting { owner, setting }) => self.put_setting(owner.as_ref(), setting).await,
            Step::Drop(Entry::Domain(domain)) => self.drop_domain(domain).await,
            Step::Drop(Entry::Account(account)) => self.drop_account(account).await,
            Step::Drop(Entry::Alias(alias)) => match self.reader.with_id("pigeonAlias", &alias.id).await? {
                Some(record) => self.delete(&record.dn).await,
                None => Ok(()),
            },
            Step::Drop(Entry::Grant(Grant { account, role })) => match self.holder_dn(account).await? {
                Some(dn) => self.delete(&tree::grant(&dn, role)).await,
                None => Ok(()),
            },
            Step::Drop(Entry::Setting { owner, setting }) => {
                let dn = match owner {
                    Some(id) if setting.layer == Layer::Account => match self.holder_dn(id).await? {
                        Some(dn) => Some(dn),
                        None => return Ok(()),
                    },
                    Some(id) => Some(self.reader.shared.tree.domain(id)),
                    None => None,
                };
                self.delete(&self.reader.shared.tree.setting(dn.as_deref(), setting)).await
            }
            Step::Readdress(domain) => self.readdress(domain).await,
        }
    }

    /// A change of very many entries takes long, and nobody should take it for one whose maker is gone.
    async fn let_others_hear(&mut self) -> Outcome<()> {
        let silence = self.heard.elapsed();
        if silence > TAKE_OVER / 2 {
            let why = "was out of reach while a change was made: another finishes it";
            return Err(Failure::Unusable(why.to_owned()));
        }
        if silence > TAKE_OVER / 10 {
            let row = self.reader.shared.tree.change(self.seq);
            self.reader.connection.replace(&row, &vec![("pigeonSequence", number(self.seq))]).await?;
            self.heard = Instant::now();
        }
        Ok(())
    }

    async fn put_domain(&mut self, domain: &Domain) -> Outcome<()> {
        let dn = self.reader.shared.tree.domain(&domain.id);
        let name = [("objectClass", value("pigeonMailDomain")), ("pigeonId", value(&domain.id.0))];
        self.put(&dn, None, &name, of_domain(domain)).await
    }

    async fn put_account(&mut self, account: &Account) -> Outcome<()> {
        let known = self.reader.with_id("pigeonAccount", &account.id).await?;
        let dn = self.reader.shared.tree.member(&account.domain, &account.id);
        self.bring_to(known.as_ref(), &account.domain, &account.id, &dn).await?;
        let name = [("objectClass", value("pigeonAccount")), ("pigeonId", value(&account.id.0))];
        self.put(&dn, known, &name, of_account(account)).await
    }

    async fn put_alias(&mut self, alias: &Alias) -> Outcome<()> {
        let known = self.reader.with_id("pigeonAlias", &alias.id).await?;
        let dn = self.reader.shared.tree.member(&alias.domain, &alias.id);
        self.bring_to(known.as_ref(), &alias.domain, &alias.id, &dn).await?;
        let name = [("objectClass", value("pigeonAlias")), ("pigeonId", value(&alias.id.0))];
        self.put(&dn, known, &name, of_alias(alias)).await
    }

    /// Moves what is below another domain. Which domain it belongs to is said by `pigeonDomain`, so nothing depends on it.
    async fn bring_to(&mut self, known: Option<&Record>, domain: &Id, id: &Id, dn: &str) -> Outcome<()> {
        let Some(known) = known.filter(|known| !known.dn.eq_ignore_ascii_case(dn)) else { return Ok(()) };
        let parent = self.reader.shared.tree.domain(domain);
        self.reader.connection.move_below(&known.dn, &rdn(id), &parent).await?;
        self.has_written = true;
        Ok(())
    }

    async fn put_grant(&mut self, Grant { account, role }: &Grant) -> Outcome<()> {
        let Some(dn) = self.place_for(account).await? else { return Ok(()) };
        let name = [("objectClass", value("pigeonGrant")), ("pigeonRole", value(role_text(role)))];
        self.put(&tree::grant(&dn, role), None, &name, vec![("pigeonOwner", value(&account.0))]).await
    }

    async fn put_setting(&mut self, owner: Option<&Id>, setting: &Setting) -> Outcome<()> {
        let dn = match owner {
            Some(id) if setting.layer == Layer::Account => match self.place_for(id).await? {
                Some(dn) => Some(dn),
                None => return Ok(()),
            },
            Some(id) => Some(self.reader.shared.tree.domain(id)),
            None => None,
        };
        let dn = self.reader.shared.tree.setting(dn.as_deref(), setting);
        let name = [
            ("objectClass", value("pigeonSetting")),
            ("pigeonSettingName", value(&setting.name.to_string())),
            ("pigeonSettingKind", value(&setting.content.kind().to_string())),
        ];
        self.put(&dn, None, &name, of_setting(owner, setting)?).await
    }

    /// Writes an entry: `name` when it is made, `content` always.
    async fn put(
        &mut self,
        dn: &str,
        known: Option<Record>,
        name: &[(&'static str, Vec<Vec<u8>>)],
        mut content: Attributes,
    ) -> Outcome<()> {
        content.push(("pigeonWrittenAt", number(self.seq)));
        let connection = &self.reader.connection;
        let is_known = known.is_some() || connection.entry(dn, &["1.1"]).await?.is_some();
        if !is_known {
            let whole: Attributes = name.iter().cloned().chain(content.iter().cloned()).collect();
            match connection.add(dn, &whole).await {
                // Somebody who knows nothing of the log added it meanwhile.
                Err(trouble) if trouble.is(code::ALREADY_EXISTS) => {}
                done => {
                    done?;
                    self.has_written = true;
                    return Ok(());
                }
            }
        }
        connection.replace(dn, &content).await?;
        self.has_written = true;
        Ok(())
    }

    async fn drop_domain(&mut self, domain: &Domain) -> Outcome<()> {
        let dn = self.reader.shared.tree.domain(&domain.id);
        // First of all, so that whoever goes on with this finds none missing.
        let members = self.reader.all(&is("pigeonDomain", &domain.id.0), &["pigeonMailbox"]).await?;
        for member in &members {
            self.let_others_hear().await?;
            self.retire(member.text("pigeonMailbox")).await?;
        }
        let role = format!("(&{}(objectClass=pigeonGrant))", is("pigeonRole", &domain.id.0));
        for grant in self.reader.all(&role, &["1.1"]).await? {
            self.delete(&grant.dn).await?;
        }
        // Somebody may have put what belongs to the domain elsewhere.
        for member in members.iter().filter(|member| !is_below(&member.dn, &dn)) {
            self.delete_all(&member.dn).await?;
        }
        self.delete_all(&dn).await
    }

    async fn drop_account(&mut self, account: &Account) -> Outcome<()> {
        self.retire(Some(&account.mailbox.0)).await?;
        match self.account_dn(&account.id).await? {
            Some(dn) => self.delete_all(&dn).await,
            None => Ok(()),
        }
    }

    /// A path that was given out stays so: mail may still be there.
    async fn retire(&mut self, mailbox: Option<&str>) -> Outcome<()> {
        let Some(mailbox) = mailbox else { return Ok(()) };
        let content = vec![
            ("objectClass", value("pigeonRetiredMailbox")),
            ("pigeonMailbox", value(mailbox)),
            ("pigeonWrittenAt", number(self.seq)),
        ];
        match self.reader.connection.add(&self.reader.shared.tree.retired(mailbox), &content).await {
            Err(trouble) if trouble.is(code::ALREADY_EXISTS) => {}
            done => done?,
        }
        self.has_written = true;
        Ok(())
    }

    async fn delete(&mut self, dn: &str) -> Outcome<()> {
        self.reader.connection.delete(dn).await?;
        self.has_written = true;
        Ok(())
    }

    /// Deletes an entry with all below it, the lowest first.
    async fn delete_all(&mut self, dn: &str) -> Outcome<()> {
        let filter = "(objectClass=*)";
        let search = Search { base: dn, scope: Depth::Subtree, filter, attributes: &["1.1"] };
        let mut found = self.reader.connection.search_all(&search).await?;
        let depth = |record: &Record| tree::depth(&record.dn);
        found.sort_by_key(|record| std::cmp::Reverse(depth(record)));
        for level in found.chunk_by(|one, two| depth(one) == depth(two)) {
            for part in level.chunks(AT_ONCE) {
                self.let_others_hear().await?;
                let connection = &self.reader.connection;
                try_join_all(part.iter().map(|record| connection.delete(&record.dn))).await?;
                self.has_written = true;
            }
        }
        Ok(())
    }

    /// Other programs find accounts by `mail`, which holds the domain's name.
    async fn readdress(&mut self, domain: &Id) -> Outcome<()> {
        let Some(row) = self.reader.domain_of(domain).await? else { return Ok(()) };
        let filter = format!("(&{}(objectClass=pigeonAccount))", is("pigeonDomain", &domain.0));
        let attributes = [ROWS, &["mail"]].concat();
        let mut outdated = Vec::new();
        for record in self.reader.all(&filter, &attributes).await? {
            let mail = mail(&record.account(&row)?.address);
            if record.octets("mail") != mail {
                outdated.push((record.dn, vec![("mail", mail), ("pigeonWrittenAt", number(self.seq))]));
            }
        }
        for part in outdated.chunks(AT_ONCE) {
            self.let_others_hear().await?;
            let connection = &self.reader.connection;
            let orders = part.iter().map(|(dn, content)| async move {
                match connection.replace(dn, content).await {
                    Err(trouble) if trouble.is(code::NO_SUCH_OBJECT) => Ok(()),
                    done => done,
                }
            });
            try_join_all(orders).await?;
        }
        Ok(())
    }

    async fn account_dn(&mut self, id: &Id) -> Outcome<Option<String>> {
        Ok(self.reader.with_id("pigeonAccount", id).await?.map(|record| record.dn))
    }

    /// The entry that what belongs to an account stands below: its own, or what stands for somebody of an existing directory.
    async fn holder_dn(&mut self, id: &Id) -> Outcome<Option<String>> {
        if let Some(dn) = self.account_dn(id).await? {
            return Ok(Some(dn));
        }
        let person = self.reader.shared.tree.person(id);
        Ok(self.reader.connection.entry(&person, &["1.1"]).await?.map(|record| record.dn))
    }

    /// The same, made where it is missing; none where the account is gone.
    async fn place_for(&mut self, id: &Id) -> Outcome<Option<String>> {
        match self.holder_dn(id).await? {
            Some(dn) => Ok(Some(dn)),
            None if self.reader.is_person(id).await? => self.stand_in(id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stands for somebody of an existing directory, so that something can be written below.
    async fn stand_in(&mut self, id: &Id) -> Outcome<String> {
        let dn = self.reader.shared.tree.person(id);
        let name = [("objectClass", value("pigeonPerson")), ("pigeonId", value(&id.0))];
        self.put(&dn, None, &name, Vec::new()).await?;
        Ok(dn)
    }
}
