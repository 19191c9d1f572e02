//! A server that is none: it reads requests whole and answers them in one manner.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a server that is none does with a request.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// Answers this.
    Says(String),
    /// Answers this after a while.
    Late(Duration, String),
    /// Reads, and says nothing.
    Silent,
    /// Says this letter by letter, and never comes to an end.
    Slow(String),
    /// Closes the connection at once.
    Hangs,
}

/// A server for one test.
pub(super) struct Fake {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<String>>>,
    pub(super) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, connections) = (Arc::default(), Arc::<AtomicUsize>::default());
        let (kept, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(connection, manner.clone(), Arc::clone(&kept)));
            }
        });
        Self { address, requests, connections, task }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one connection.
pub(super) async fn serve(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    manner: Manner,
    requests: Arc<Mutex<Vec<String>>>,
) {
    if matches!(manner, Manner::Hangs) {
        return;
    }
    let request = read_request(&mut connection).await;
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    match manner {
        Manner::Says(text) => drop(connection.write_all(text.as_bytes()).await),
        Manner::Late(time, text) => {
            tokio::time::sleep(time).await;
            drop(connection.write_all(text.as_bytes()).await);
        }
        Manner::Slow(text) => {
            for letter in text.bytes().cycle() {
                if connection.write_all(&[letter]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Manner::Silent | Manner::Hangs => std::future::pending().await,
    }
}

/// A request whole, by its Content-length: both protocols have one.
async fn read_request(connection: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
