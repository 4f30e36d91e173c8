//! Waking over HTTP: a worker holds a request open at a gateway, and is told which query has work.
//!
//! Gateways leave a hint with their address in the store (`gate/<id>`), so workers need no configuration for it. A
//! gateway that cannot be reached, or that asks for an API key which the worker does not have (`DUNLIN_API_KEY`), costs
//! nothing but the faster way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::query::{Heard, News, gateways};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_worker::Wake;
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::Mutex;

use crate::credentials::{Credentials, KEY_VARIABLE};

/// How long a gateway holds a request open.
const HELD: Duration = Duration::from_secs(25);
/// A gateway that has not answered for so long is gone.
const TIMEOUT: Duration = Duration::from_secs(35);
/// News that takes longer is late anyway.
const TELLING: Duration = Duration::from_secs(2);
/// Pause before the gateways are asked for again when none can be reached. It doubles each time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Waking by a gateway in another process.
#[derive(Debug)]
pub struct OverHttp {
    store: ObjectControlStore,
    /// Who it is for gateways: a part of an address.
    listener: String,
    /// Never locked during a request: telling does not wait for the one that is held open.
    link: Mutex<Option<Link>>,
    /// Who is told while no gateway can be reached.
    otherwise: Option<Arc<dyn Wake>>,
    pause: Mutex<Duration>,
    /// What this worker shows to gateways.
    credentials: Credentials,
    is_noted: AtomicBool,
}

/// A gateway that has answered.
#[derive(Clone, Debug)]
struct Link {
    http: reqwest::Client,
    url: String,
    listener: String,
    at: Option<u64>,
}

impl OverHttp {
    /// Finds gateways by the hints in `store`. While none can be reached, `otherwise` is told. `worker` is the
    /// worker's name, and `pool` its pool.
    #[must_use]
    pub fn new(
        store: ObjectControlStore,
        otherwise: Option<Arc<dyn Wake>>,
        credentials: Credentials,
        worker: &str,
        pool: Option<&str>,
    ) -> Self {
        let mut listener = format!("worker={worker}");
        if let Some(pool) = pool {
            listener.push_str(&format!("&pool={pool}"));
        }
        Self {
            store,
            listener,
            link: Mutex::default(),
            otherwise,
            pause: Mutex::new(PAUSES.0),
            credentials,
            is_noted: AtomicBool::default(),
        }
    }

    /// Says once why gateways cannot be listened to.
    fn say(&self, why: &str) {
        if !self.is_noted.swap(true, Ordering::Relaxed) {
            tracing::warn!("this worker finds work by looking only: {why}");
        }
    }

    fn note(&self, error: &reqwest::Error) {
        if error.status() == Some(StatusCode::UNAUTHORIZED) {
            self.say(&format!("gateways ask for an API key; set {KEY_VARIABLE}"));
        }
    }

    /// The newest gateway that answers.
    async fn find(&self) -> Option<Link> {
        let found = gateways(&self.store).await.ok()?;
        for url in found {
            let http = match self.credentials.client(&url) {
                Ok(http) => http,
                Err(error) => {
                    self.say(&format!("{error:#}"));
                    continue;
                }
            };
            let link = Link { http, url, listener: self.listener.clone(), at: None };
            match link.listen().await {
                Ok(heard) => return Some(Link { at: Some(heard.at), ..link }),
                Err(error) => {
                    self.note(&error);
                    tracing::debug!(url = link.url, error = %error.without_url(), "a gateway does not wake");
                }
            }
        }
        None
    }
}

impl Link {
    async fn listen(&self) -> reqwest::Result<Heard> {
        let held = HELD.as_secs();
        let mut url = format!("{}/v1/wake?wait={held}s&{}", self.url, self.listener);
        if let Some(at) = self.at {
            url.push_str(&format!("&after={at}"));
        }
        let response = self.http.get(url).timeout(TIMEOUT).send().await?;
        response.error_for_status()?.json().await
    }

    async fn tell(&self, news: &News) -> reqwest::Result<()> {
        let url = format!("{}/v1/wake", self.url);
        let sent = self.http.post(url).timeout(TELLING).json(&json!({ "news": [news] }));
        sent.send().await?.error_for_status().map(|_| ())
    }
}

#[async_trait]
impl Wake for OverHttp {
    async fn tell(&self, news: News) {
        let link = self.link.lock().await.clone();
        let Some(link) = link else {
            if let Some(otherwise) = &self.otherwise {
                otherwise.tell(news).await;
            }
            return;
        };
        if let Err(error) = link.tell(&news).await {
            tracing::debug!(url = link.url, error = %error.without_url(), "news was not taken");
        }
    }

    async fn listen(&self) -> Heard {
        let present = self.link.lock().await.clone();
        let Some(mut present) = present else {
            let found = self.find().await;
            let mut pause = self.pause.lock().await;
            let is_found = found.is_some();
            *self.link.lock().await = found;
            if is_found {
                *pause = PAUSES.0;
            } else {
                self.store.env().clock.sleep(self.store.env().jitter(*pause)).await;
                *pause = (*pause * 2).min(PAUSES.1);
            }
            return Heard::default();
        };
        match present.listen().await {
            Ok(heard) => {
                present.at = Some(heard.at);
                *self.link.lock().await = Some(present);
                heard
            }
            Err(error) => {
                tracing::debug!(url = present.url, error = %error.without_url(), "a gateway is gone");
                *self.link.lock().await = None;
                Heard::default()
            }
        }
    }
}
