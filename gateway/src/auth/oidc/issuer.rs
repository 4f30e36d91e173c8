//! The keys of the issuer: read when they are needed, kept, and read again.
//!
//! ```text
//!   token ──key id──> known ──> key                  read 10 minutes ago? once more, beside the request
//!               └──> unknown ──> read ──> key or none     at most once in 10 s, all requests together
//! ```
//! A request whose key is known waits for nobody, so an issuer that does not answer keeps out only keys that were never
//! seen. What was read last is what counts: a key that is no longer there has been withdrawn.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Clock;
use futures::future::{Either, select};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::task::JoinHandle;
use url::Url;

use super::jwks::KeySet;
use super::options::{AddressError, KeysAt, address};
use super::web::{Documents, ReadError};

/// Keys are read again after so long.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Pause between two attempts to read them.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest time of an attempt. It is shorter than [`PAUSE`], so that who has waited for it begins no other one.
const LONGEST: Duration = Duration::from_secs(5);
/// If nobody asked for so long, keys may have been withdrawn meanwhile, and are read before one is used: a process may have
/// been frozen. While requests come, attempts are never so far apart.
const ASLEEP: Duration = Duration::from_secs(60 * 60);

/// Why the keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssuerError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("it did not answer within {} s", LONGEST.as_secs())]
    Slow,
    #[error("the document cannot be read: {0}")]
    Document(#[from] serde_json::Error),
    #[error("the document is that of another issuer, {0:?}")]
    Another(String),
    #[error("the document's jwks_uri {0}")]
    Address(#[from] AddressError),
}

/// The issuer, and its keys as far as they are known.
#[derive(Debug)]
pub(super) struct Issuer {
    name: String,
    at: KeysAt,
    documents: Arc<dyn Documents>,
    known: Mutex<Known>,
    /// One attempt at a time.
    attempt: tokio::sync::Mutex<()>,
}

/// What is known, and since when, by the process's clock.
#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    read: Option<Duration>,
    tried: Option<Duration>,
}

/// A key that has signed a token, if the token is what it claims to be.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// The part of an issuer's document that matters here.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Known {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Found> {
        let found = self.keys.find(id, algorithm)?;
        Some(Found { key: found.key.clone(), algorithms: found.algorithms.clone() })
    }
}

fn passed(since: Option<Duration>, now: Duration, time: Duration) -> bool {
    since.is_none_or(|since| now.saturating_sub(since) >= time)
}

impl Issuer {
    pub(super) fn new(name: String, at: KeysAt, documents: Arc<dyn Documents>) -> Self {
        let (known, attempt) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { name, at, documents, known, attempt }
    }

    /// Whether this is the same issuer, whose keys are in the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.at) == (&other.name, &other.at)
    }

    /// The key of this id that may have signed by this algorithm.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        clock: &Arc<dyn Clock>,
    ) -> Option<Found> {
        let known = self.known.lock().clone();
        let found = known.find(id, algorithm);
        let now = clock.monotonic();
        if found.is_none() || passed(known.tried, now, ASLEEP) {
            let _ = self.begin(clock).await;
            return self.known.lock().find(id, algorithm);
        }
        if passed(known.read, now, FRESH) && passed(known.tried, now, PAUSE) {
            drop(self.begin(clock));
        }
        found
    }

    /// Reads the keys in a task of its own: a client that leaves must not end what others wait for.
    fn begin(self: &Arc<Self>, clock: &Arc<dyn Clock>) -> JoinHandle<()> {
        let (issuer, clock) = (Arc::clone(self), Arc::clone(clock));
        tokio::spawn(async move { issuer.read(clock.as_ref()).await })
    }

    /// Reads the keys, unless somebody has just tried.
    async fn read(&self, clock: &dyn Clock) {
        let _attempt = self.attempt.lock().await;
        {
            let (mut known, now) = (self.known.lock(), clock.monotonic());
            if !passed(known.tried, now, PAUSE) {
                return;
            }
            known.tried = Some(now);
        }
        match self.keys(clock).await {
            Ok(keys) => {
                if keys.len() == 0 {
                    tracing::warn!(issuer = self.name, "the issuer has no keys that can be used");
                }
                let mut known = self.known.lock();
                (known.keys, known.read) = (Arc::new(keys), Some(clock.monotonic()));
            }
            Err(error) => tracing::warn!(
                issuer = self.name,
                %error,
                "the keys of the issuer cannot be read; those that are known stay in use"
            ),
        }
    }

    /// Reads the keys now.
    pub(super) async fn keys(&self, clock: &dyn Clock) -> Result<KeySet, IssuerError> {
        let reading = std::pin::pin!(self.published());
        match select(reading, clock.sleep(LONGEST)).await {
            Either::Left((keys, _)) => keys,
            Either::Right(_) => Err(IssuerError::Slow),
        }
    }

    async fn published(&self) -> Result<KeySet, IssuerError> {
        let url = match &self.at {
            KeysAt::Url(url) => url.clone(),
            KeysAt::Discovery(url) => self.discovered(url).await?,
        };
        Ok(KeySet::parse(&self.documents.get(&url).await?)?)
    }

    /// Where the issuer's own document says that its keys are.
    async fn discovered(&self, url: &Url) -> Result<Url, IssuerError> {
        let document = self.documents.get(url).await?;
        let Discovery { issuer, jwks_uri } = serde_json::from_slice(&document)?;
        if issuer != self.name {
            return Err(IssuerError::Another(issuer.chars().take(200).collect()));
        }
        Ok(address(&jwks_uri)?)
    }
}
