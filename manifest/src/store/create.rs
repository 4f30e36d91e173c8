//! The two kinds of create: decisions and derived records.
//!
//! A **decision** holds 128 fresh random bits. Only the answer "created" of the store is trusted. `AlreadyExists` may
//! mean this writer's own earlier write, if its response was lost and the client sent it again. A 409 may mean that
//! nobody won. So every other answer is settled by reading the object back:
//!
//! ```text
//!   create ─ created ───────────────────────> Won
//!      └── anything else ─> GET ─ my nonce ─> Won
//!                            ├─ another ────> Lost
//!                            └─ 404 ─> the identical bytes again, with backoff ─…─> Unknown
//! ```
//! After Unknown, nothing is cleaned up and no success is claimed: the write may still arrive.
//!
//! A **derived** record is a pure function of existing records, so a writer that finds one compares the bytes.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::env::Env;
use crate::model::encoding;
use crate::store::control::{ControlStore, Put, REQUEST_BUDGET, StoreError};

/// First and longest pause between two sends of a create.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The result of creating a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The object holds this writer's bytes.
    Won,
    /// The object holds another writer's bytes: these.
    Lost(Bytes),
}

/// The result of creating a derived record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// Written by this call, or perhaps by this call: the store's answer was lost, and these bytes are there. Whoever has
    /// written a record tells others of it, and if it is told twice nothing is lost.
    Created,
    /// The record existed already, with the same bytes.
    Adopted,
}

/// A create without a clear result.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The object may be written already, or may be written later. Nothing may be concluded.
    #[error("it is not known whether {key} was created")]
    Unknown {
        /// The key.
        key: String,
        /// The store's last error.
        #[source]
        last: Option<StoreError>,
    },
    /// The object holds other bytes, although only one content is possible: the store or the engine broke a promise.
    #[error("{key} holds other bytes than its inputs give")]
    Conflict {
        /// The key.
        key: String,
    },
}

impl CreateError {
    /// Whether another try of the same create may give a clear result.
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
/// [`CreateError::Unknown`] if the time budget ends before the store gives a clear answer.
pub async fn decide(
    store: &dyn ControlStore,
    env: &Env,
    key: &str,
    body: Bytes,
    nonce: &str,
) -> Result<Decision, CreateError> {
    settle(store, env, key, body, |found, _| {
        if nonce_of(found).is_some_and(|found| found == nonce) {
            Ok(Decision::Won)
        } else {
            Ok(Decision::Lost(found.clone()))
        }
    })
    .await
    .map(|settled| settled.unwrap_or(Decision::Won))
}

/// Creates a derived record, or finds it.
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
    settle(store, env, key, body, |found, is_clear| {
        if *found == mine {
            Ok(if is_clear { Derived::Adopted } else { Derived::Created })
        } else {
            Err(CreateError::Conflict { key: key.to_owned() })
        }
    })
    .await
    .map(|settled| settled.unwrap_or(Derived::Created))
}

/// `Ok(None)`: this call created the object. `judge` is given what was found, and whether the store has clearly refused
/// every create of this call.
async fn settle<T>(
    store: &dyn ControlStore,
    env: &Env,
    key: &str,
    body: Bytes,
    judge: impl Fn(&Bytes, bool) -> Result<T, CreateError>,
) -> Result<Option<T>, CreateError> {
    let start = env.clock.monotonic();
    let mut pause = BACKOFF.0;
    let mut is_clear = true;
    loop {
        let mut last = match store.put_if_absent(key, body.clone()).await {
            Ok(Put::Created) => return Ok(None),
            Ok(Put::NotCreated) => None,
            Err(error) => {
                is_clear = false;
                Some(error)
            }
        };
        match store.get(key).await {
            Ok(Some(got)) => return judge(&got.body, is_clear).map(Some),
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
