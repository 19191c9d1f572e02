//! Listens to what a PostgreSQL database tells.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::time::timeout;

use super::connection::postgres_options;
use super::error::SqlError;
use super::url::SqlUrl;

/// For making the connection, and for an answer on it.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long without news the server is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(60);

/// One connection that hears what is told on a channel.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: PgListener,
    /// Makes the one connection; sqlx has listeners from pools only.
    _pool: PgPool,
}

impl Listener {
    /// Connects and listens.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn open(url: &SqlUrl, channel: &str) -> Result<Self, SqlError> {
        let unreachable = |error: sqlx::Error| SqlError::Unreachable(error.to_string());
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(postgres_options(url));
        let mut listener = PgListener::connect_with(&pool).await.map_err(unreachable)?;
        // A loss of the connection must show: what is told meanwhile is never heard.
        listener.eager_reconnect(false);
        let listening = timeout(PATIENCE, listener.listen(channel)).await;
        listening.map_err(|_| silent())?.map_err(unreachable)?;
        Ok(Self { listener, _pool: pool })
    }

    /// Waits for news.
    ///
    /// # Errors
    /// The connection is lost, and news with it.
    pub(crate) async fn heard(&mut self) -> Result<(), SqlError> {
        loop {
            match timeout(SILENCE, self.listener.try_recv()).await {
                Ok(Ok(Some(_))) => return Ok(()),
                Ok(Ok(None)) => return Err(SqlError::Unreachable("the connection was lost".to_owned())),
                Ok(Err(error)) => return Err(SqlError::Unreachable(error.to_string())),
                Err(_) => {
                    let alive = timeout(PATIENCE, self.listener.execute("SELECT 1")).await;
                    alive.map_err(|_| silent())?.map_err(|error| SqlError::Unreachable(error.to_string()))?;
                }
            }
        }
    }
}

fn silent() -> SqlError {
    SqlError::Unreachable(format!("no answer within {PATIENCE:?}"))
}
