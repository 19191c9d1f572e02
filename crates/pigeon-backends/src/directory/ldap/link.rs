//! Connections that are kept up: made anew when they break, and not waited for while the server is down.
//!
//! While a server is down, whoever asks is told so at once; a task of its own dials again and again, ever more
//! slowly. Several servers stand behind each other: the first that is up is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::dial::{self, Connection};
use super::options::{LdapOptions, Target};
use super::trouble::Trouble;

/// After how long a server that is down is dialled first, and how long at most lies between two attempts.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub(super) struct Link {
    target: Target,
    server: usize,
    options: Arc<LdapOptions>,
    state: Mutex<State>,
    /// Held while somebody dials, so that the others wait for one attempt and make none of their own.
    dialling: tokio::sync::Mutex<()>,
    me: Weak<Self>,
}

#[derive(Debug)]
enum State {
    /// Not dialled yet, or just lost.
    Idle,
    Up(Arc<Connection>),
    /// Why, as the last attempt said.
    Down(Trouble),
}

impl Link {
    pub(super) fn new(target: Target, server: usize, options: Arc<LdapOptions>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            target,
            server,
            options,
            state: Mutex::new(State::Idle),
            dialling: tokio::sync::Mutex::new(()),
            me: Weak::clone(me),
        })
    }

    /// A connection that is up, as far as is known.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Trouble> {
        if let Some(known) = self.known() {
            return known;
        }
        let _one = self.dialling.lock().await;
        match self.known() {
            Some(known) => known,
            None => self.dial().await,
        }
    }

    /// Says that a connection did not do what it should.
    pub(super) fn lost(&self, connection: &Connection, trouble: &Trouble) {
        let mut state = self.state();
        if !matches!(&*state, State::Up(up) if up.number == connection.number) {
            return;
        }
        tracing::warn!("the directory at {} is lost: {trouble}", self.target);
        if matches!(trouble, Trouble::Silent(_)) {
            // Whoever asks next would wait as long.
            *state = State::Down(trouble.clone());
            drop(state);
            self.keep_dialling();
        } else {
            *state = State::Idle;
        }
    }

    fn known(&self) -> Option<Result<Arc<Connection>, Trouble>> {
        match &*self.state() {
            State::Up(connection) if !connection.is_gone() => Some(Ok(Arc::clone(connection))),
            State::Down(trouble) => Some(Err(trouble.clone())),
            State::Up(_) | State::Idle => None,
        }
    }

    async fn dial(&self) -> Result<Arc<Connection>, Trouble> {
        match dial::dial(&self.target, self.server, &self.options).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.state() = State::Up(Arc::clone(&connection));
                Ok(connection)
            }
            Err(trouble) => {
                *self.state() = State::Down(trouble.clone());
                self.keep_dialling();
                Err(trouble)
            }
        }
    }

    /// Ends when the server is up, or the directory closed.
    fn keep_dialling(&self) {
        let me = Weak::clone(&self.me);
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            loop {
                tokio::time::sleep(wait).await;
                let Some(link) = me.upgrade() else { return };
                match dial::dial(&link.target, link.server, &link.options).await {
                    Ok(connection) => {
                        tracing::info!("the directory at {} is there again", link.target);
                        *link.state() = State::Up(Arc::new(connection));
                        return;
                    }
                    Err(trouble) => *link.state() = State::Down(trouble),
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server that takes changes, and its replicas.
#[derive(Debug)]
pub(super) struct Links {
    provider: Arc<Link>,
    /// In the order in which look-ups ask, the provider among them.
    readers: Vec<Arc<Link>>,
}

impl Links {
    /// `targets`: the provider first, then the replicas in their order.
    pub(super) fn new(provider: Target, replicas: Vec<Target>, options: &Arc<LdapOptions>) -> Self {
        let provider = Link::new(provider, 0, Arc::clone(options));
        let replicas = replicas.into_iter().enumerate();
        let mut readers: Vec<_> =
            replicas.map(|(at, target)| Link::new(target, at + 1, Arc::clone(options))).collect();
        readers.push(Arc::clone(&provider));
        Self { provider, readers }
    }

    /// For changes, and for whoever must see them at once.
    pub(super) async fn provider(&self) -> Result<Arc<Connection>, Trouble> {
        self.provider.connection().await
    }

    /// For look-ups: the first server that is up.
    pub(super) async fn reader(&self) -> Result<Arc<Connection>, Trouble> {
        let mut trouble = None;
        for link in &self.readers {
            match link.connection().await {
                Ok(connection) => return Ok(connection),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(trouble.unwrap_or_else(|| Trouble::Lost("there is no server".into())))
    }

    /// How many servers there are.
    pub(super) fn count(&self) -> usize {
        self.readers.len()
    }

    /// Says that a connection did not do what it should.
    pub(super) fn lost(&self, connection: &Connection, trouble: &Trouble) {
        if let Some(link) = self.readers.iter().find(|link| link.server == connection.server) {
            link.lost(connection, trouble);
        }
    }
}
