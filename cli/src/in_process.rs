//! Waking within one process: a gateway's own worker hears its news without a request.

use std::sync::Arc;

use async_trait::async_trait;
use dunlin_gateway::{Hub, Listener};
use dunlin_manifest::env::Env;
use dunlin_manifest::query::{Heard, News};
use dunlin_worker::Wake;
use tokio::sync::Mutex;

/// Waking within one process.
#[derive(Debug)]
pub(crate) struct InProcess {
    hub: Arc<Hub>,
    listener: Listener,
    at: Mutex<Option<u64>>,
}

impl InProcess {
    /// Listens to a gateway of this process.
    #[must_use]
    pub(crate) fn new(hub: Arc<Hub>, env: &Env) -> Self {
        Self { hub, listener: Listener { pool: None, name: env.nonce() }, at: Mutex::default() }
    }
}

#[async_trait]
impl Wake for InProcess {
    async fn tell(&self, news: News) {
        self.hub.tell(news);
    }

    async fn listen(&self) -> Heard {
        let mut at = self.at.lock().await;
        let heard = self.hub.listen(Some(&self.listener), *at).await;
        *at = Some(heard.at);
        heard
    }
}
