//! The two creates.
//!
//! A **decision** carries 128 fresh random bits. The store's answer to a create is not trusted beyond
//! "created": `AlreadyExists` may be one's own earlier write whose response was lost and which the client
//! retried, and a 409 may mean that nobody won. So every other answer is settled by reading back:
//!
//! ```text
//!   create ─ created ───────────────────────> Won
//!      └── anything else ─> GET ─ my nonce ─> Won
//!                            ├─ another ────> Lost
//!                            └─ 404 ─> the identical bytes again, with backoff ─…─> Unknown
//! ```
//! Unknown never cleans up and never claims success: the write may still land.
//!
//! A **derived** record is a pure function of records already there, so whoever finds it there compares.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::env::Env;
use crate::model::encoding;
use crate::store::control::{ControlStore, Put, REQUEST_BUDGET, StoreError};

/// First and longest pause between two sends of a create.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The object holds this writer's bytes.
    Won,
    /// The object holds another's: these.
    Lost(Bytes),
}

/// What came of a derived record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// Written by this call.
    Created,
    /// It was there, byte for byte.
    Adopted,
}

/// A create that was not settled.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It may have landed, or may land later. Nothing may be concluded.
    #[error("it is not known whether {key} was created")]
    Unknown {
        /// The key.
        key: String,
        /// The store's last word.
        #[source]
        last: Option<StoreError>,
    },
    /// Other bytes lie where only one text is possible: the store or the engine broke a promise.
    #[error("{key} holds other bytes than its inputs give")]
    Conflict {
        /// The key.
        key: String,
    },
}

impl CreateError {
    /// Whether the same create may be settled later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Reads bytes found at `key` as a record of this version.
///
/// # Errors
/// [`StoreError::Malformed`] for bytes that this version did not write.
pub fn decode<T: DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, StoreError> {
    encoding::decode(body)
        .map_err(|error| StoreError::Malformed { key: key.to_owned(), reason: error.to_string() })
}

/// Reads a record; `None` if it is not there.
///
/// # Errors
/// The store's, or bytes that this version did not write.
pub async fn load<T: DeserializeOwned>(
    store: &dyn ControlStore,
    key: &str,
) -> Result<Option<T>, StoreError> {
    match store.get(key).await? {
        Some(got) => decode(key, &got.body).map(Some),
        None => Ok(None),
    }
}

/// Creates a decision whose body holds `nonce` in its field of that name.
///
/// # Errors
/// [`CreateError::Unknown`] if the budget ends before the store gives a clear picture.
pub async fn decide(
    store: &dyn ControlStore,
    env: &Env,
    key: &str,
    body: Bytes,
    nonce: &str,
) -> Result<Decision, CreateError> {
    settle(store, env, key, body, |found| {
        if nonce_of(found).is_some_and(|found| found == nonce) {
            Ok(Decision::Won)
        } else {
            Ok(Decision::Lost(found.clone()))
        }
    })
    .await
    .map(|settled| settled.unwrap_or(Decision::Won))
}

/// Creates a derived record, or finds it there.
///
/// # Errors
/// [`CreateError::Conflict`] if other bytes are there, [`CreateError::Unknown`] as for [`decide`].
pub async fn derive(
    store: &dyn ControlStore,
    env: &Env,
    key: &str,
    body: Bytes,
) -> Result<Derived, CreateError> {
    let mine = body.clone();
    settle(store, env, key, body, |found| {
        if *found == mine {
            Ok(Derived::Adopted)
        } else {
            Err(CreateError::Conflict { key: key.to_owned() })
        }
    })
    .await
    .map(|settled| settled.unwrap_or(Derived::Created))
}

/// `Ok(None)` = created by this very call.
async fn settle<T>(
    store: &dyn ControlStore,
    env: &Env,
    key: &str,
    body: Bytes,
    judge: impl Fn(&Bytes) -> Result<T, CreateError>,
) -> Result<Option<T>, CreateError> {
    let start = env.clock.monotonic();
    let mut pause = BACKOFF.0;
    loop {
        let mut last = match store.put_if_absent(key, body.clone()).await {
            Ok(Put::Created) => return Ok(None),
            Ok(Put::NotCreated) => None,
            Err(error) => Some(error),
        };
        match store.get(key).await {
            Ok(Some(got)) => return judge(&got.body).map(Some),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        let spent = env.clock.monotonic().saturating_sub(start);
        if spent + pause >= REQUEST_BUDGET {
            return Err(CreateError::Unknown { key: key.to_owned(), last });
        }
        env.clock.sleep(env.jitter(pause)).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

fn nonce_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Nonce {
        nonce: String,
    }
    serde_json::from_slice::<Nonce>(body).ok().map(|record| record.nonce)
}
