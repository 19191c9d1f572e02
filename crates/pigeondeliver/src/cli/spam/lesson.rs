//! Whom a message is learned for, and the message as the scanner is to see it.

use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Place};
use pigeon_core::fault::Fault;
use pigeon_core::message::{CHUNK_OCTETS, Message, MessageWriter};
use pigeon_core::plan::{BranchTarget, Planned};
use pigeon_core::ports::spool::Spool;
use pigeon_core::resolve::{EffectiveSettings, resolve};
use pigeon_core::service::Service as _;
use pigeon_services::antispam::settings::{Config, Settings};
use pigeon_services::antispam::{Antispam, Class, Learned, teach};
use serde_json::Value;

use crate::cli::session::Session;

/// A scanner, and one of those whose mail it learns.
pub(super) struct Lesson {
    antispam: Arc<Antispam>,
    spool: Arc<dyn Spool>,
    learner: Option<String>,
    /// What holds for the account.
    pub(super) settings: Settings,
    /// Whether mail of the account is judged at all.
    pub(super) is_enabled: bool,
    /// The node that keeps the mailbox, where the nodes keep mail of their own.
    pub(super) home: Option<String>,
}

impl Lesson {
    /// For everybody.
    pub(super) async fn of_site(session: &Session) -> anyhow::Result<Self> {
        let written = session.site.directory.settings(&Place::System).await?;
        let catalogue = &session.site.catalogue;
        let effective = resolve(&written, session.now(), &|name| catalogue.default_of(name));
        Self::new(session, &effective, None, None)
    }

    /// For an account, or whom it learns together with.
    pub(super) async fn of_account(session: &Session, address: &Address) -> anyhow::Result<Self> {
        let account = session.account(address).await?;
        let Planned::Found(branches) = session.site.agent.planner().plan(address).await? else {
            bail!("{address} is {}: restore it first", account.status)
        };
        let own = branches.iter().find(|branch| match &branch.to {
            BranchTarget::Account(found, _) => found.id == account.id,
            BranchTarget::External(..) => false,
        });
        let own = own.with_context(|| format!("mail for {address} goes to an alias of that name"))?;
        Self::new(
            session,
            &own.plan.effective(&session.site.catalogue),
            Some(&account),
            own.plan.storage.node.clone(),
        )
    }

    fn new(
        session: &Session,
        effective: &EffectiveSettings,
        account: Option<&Account>,
        home: Option<String>,
    ) -> anyhow::Result<Self> {
        let values = Value::Object(effective.of(Antispam::NAME));
        let settings: Settings =
            serde_json::from_value(values.clone()).context("the settings of antispam do not fit")?;
        let config: Config = serde_json::from_value(values).context("antispam is not set up")?;
        let tools = session.site.catalogue.tools();
        let antispam = Antispam::open(config, tools).map_err(|fault| anyhow::anyhow!(fault.explain()))?;
        let is_enabled = effective.of(Antispam::NAME).get("enabled") == Some(&Value::Bool(true));
        Ok(Self {
            antispam: Arc::new(antispam),
            spool: Arc::clone(&session.site.spool),
            learner: account.and_then(|account| settings.learn_scope.learner(&account.address)),
            is_enabled,
            home,
            settings,
        })
    }

    /// For whom is learned; none is everybody.
    pub(super) fn learner(&self) -> Option<&str> {
        self.learner.as_deref()
    }

    /// Takes a message in, with line ends as messages have them inside, and without what delivery wrote into it.
    pub(super) fn message(&self, from: impl Read) -> anyhow::Result<Arc<Message>> {
        let mut writer = self.writer();
        let mut from = BufReader::with_capacity(CHUNK_OCTETS, from);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line may be longer than memory is wide: it is taken in parts.
            let count = from.by_ref().take(CHUNK_OCTETS as u64).read_until(b'\n', &mut line)?;
            if count == 0 {
                break;
            }
            if line.ends_with(b"\r\n") {
                line.truncate(line.len() - 2);
                line.push(b'\n');
            }
            writer.write(&line)?;
        }
        let whole = writer.finish();
        let mut writer = self.writer();
        writer.write(&teach::header(whole.head(), &self.settings))?;
        copy_body(&whole, &mut writer)?;
        Ok(Arc::new(writer.finish()))
    }

    fn writer(&self) -> MessageWriter {
        MessageWriter::new(Arc::clone(&self.spool), u64::MAX, false)
    }

    /// Has it learned.
    pub(super) async fn learn(&self, class: Class, message: Arc<Message>) -> Result<Learned, Fault> {
        self.antispam.learn(class, self.learner.clone(), message).await
    }
}

fn copy_body(message: &Message, writer: &mut MessageWriter) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK_OCTETS];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { return Ok(()) };
        writer.write(piece).map_err(io::Error::other)?;
        offset += count as u64;
    }
}
