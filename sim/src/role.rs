//! Who gives the credentials of a role to a process, as the agent of a container service does: over HTTP on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use parking_lot::Mutex;
use serde_json::json;

/// Credentials for a time.
#[derive(Clone, Debug)]
pub struct Session {
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
    /// Session token.
    pub token: String,
}

/// Gives a process its credentials. It says of all of them that they last for years, so a client that it has given some
/// asks again only if the store refuses them.
#[derive(Clone, Debug)]
pub struct Role {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    session: Mutex<Session>,
    asked: AtomicUsize,
}

impl Role {
    /// Gives these.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(session: Session) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { session: Mutex::new(session), asked: AtomicUsize::new(0) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move {
            // It runs until the runtime ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, address })
    }

    /// From now on gives these.
    pub fn give(&self, session: Session) {
        *self.shared.session.lock() = session;
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// What a process needs in its environment. `token` is a file with any text.
    #[must_use]
    pub fn environment(&self, token: &std::path::Path) -> [String; 2] {
        [
            format!("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://{}/", self.address),
            format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={}", token.display()),
        ]
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> String {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let Session { key, secret, token } = shared.session.lock().clone();
    let session = json!({
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": "2090-01-01T00:00:00Z",
    });
    session.to_string()
}
