//! The hints: the bell that wakes idle workers, and the list of queries that may need work. A lost hint costs time
//! and never changes an answer, so no hint is retried.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::Env;
use crate::model::encoding::{RECORD_VERSION, encode};
use crate::model::ids::QueryId;
use crate::model::keys;
use crate::store::control::{ControlStore, StoreError};
use crate::store::create;

/// A gateway writes its hint again after this time.
pub const GATE_PERIOD: Duration = Duration::from_secs(60);
/// A hint that is so much older than the newest one belongs to a gateway that is gone.
const GATE_IS_OLD_MS: i64 = 5 * 60_000;
/// Gateways that a worker tries.
const GATES_TRIED: usize = 4;

/// `gate/<id>`: where a gateway can be reached by workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    v: u32,
    url: String,
}

/// Writes where the gateway `id` can be reached. Removes the hints of gateways that are gone.
pub async fn open_gate(store: &dyn ControlStore, id: &str, url: &str) {
    let gate = Gate { v: RECORD_VERSION, url: url.to_owned() };
    if let Err(error) = store.put(&keys::gate(id), encode(&gate)).await {
        tracing::debug!(%error, "the gateway's address could not be written");
        return;
    }
    let Ok(listed) = store.list(keys::GATES).await else { return };
    let newest = listed.iter().map(|entry| entry.modified_ms).max().unwrap_or_default();
    for old in listed.iter().filter(|entry| newest - entry.modified_ms > GATE_IS_OLD_MS) {
        let _ = store.delete(&old.key).await;
    }
}

/// Removes the hint of a gateway that stops.
pub async fn close_gate(store: &dyn ControlStore, id: &str) {
    if let Err(error) = store.delete(&keys::gate(id)).await {
        tracing::debug!(%error, "the gateway's address stays for now");
    }
}

/// Asks the gateway that has a connection to end what the connection runs.
///
/// # Errors
/// The store's.
pub async fn ask_to_stop(store: &dyn ControlStore, connection: &str) -> Result<(), StoreError> {
    store.put(&keys::stop(connection), Bytes::from_static(b"stop")).await
}

/// Whether another gateway was asked to end what a connection runs. Says so once.
///
/// # Errors
/// The store's.
pub async fn is_asked_to_stop(
    store: &dyn ControlStore,
    connection: &str,
) -> Result<bool, StoreError> {
    if store.get(&keys::stop(connection)).await?.is_none() {
        return Ok(false);
    }
    forget_stop(store, connection).await;
    Ok(true)
}

/// Deletes what [`ask_to_stop`] has written.
pub async fn forget_stop(store: &dyn ControlStore, connection: &str) {
    if let Err(error) = store.delete(&keys::stop(connection)).await {
        tracing::debug!(%error, "a wish to stop stays for now");
    }
}

/// The addresses of gateways, the one with the newest hint first.
///
/// # Errors
/// The store's.
pub async fn gateways(store: &dyn ControlStore) -> Result<Vec<String>, StoreError> {
    Ok(gates(store, GATES_TRIED).await?.into_iter().map(|gate| gate.url).collect())
}

/// A gateway that has written where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSeen {
    /// Its name: a new one each time it starts.
    pub id: String,
    /// Where it can be reached by workers.
    pub url: String,
    /// When it last wrote this, in milliseconds by the store's clock.
    pub seen_ms: i64,
}

/// Gateways, the one with the newest hint first, at most so many.
///
/// # Errors
/// The store's.
pub async fn gates(store: &dyn ControlStore, most: usize) -> Result<Vec<GateSeen>, StoreError> {
    let mut listed = store.list(keys::GATES).await?;
    listed.sort_by_key(|entry| std::cmp::Reverse(entry.modified_ms));
    let mut found = Vec::new();
    for entry in listed.into_iter().take(most) {
        // It may be gone by now, or be of another version.
        if let Ok(Some(Gate { url, .. })) = create::load(store, &entry.key).await {
            let id = entry.key.strip_prefix(keys::GATES).unwrap_or(&entry.key).to_owned();
            found.push(GateSeen { id, url, seen_ms: entry.modified_ms });
        }
    }
    Ok(found)
}

/// Removes an ended query from the list of active queries. This is a hint: a failure does no harm.
pub async fn retire(store: &dyn ControlStore, query: &QueryId) {
    if let Err(error) = store.delete(&keys::active(query)).await {
        tracing::debug!(%query, %error, "an ended query stays on the list of active ones for now");
    }
}

/// Rings the bell, so that idle workers look for work. This is a hint.
pub async fn ring(store: &dyn ControlStore, env: &Env) {
    if let Err(error) = store.put(keys::BELL, Bytes::from(env.nonce())).await {
        tracing::debug!(%error, "the bell could not be rung");
    }
}

/// The active queries, as the hints list them.
///
/// # Errors
/// The store's.
pub async fn active(store: &dyn ControlStore) -> Result<Vec<QueryId>, StoreError> {
    let listed = store.list(keys::ACTIVE).await?;
    let queries = listed.iter().filter_map(|entry| keys::parse(&entry.key));
    Ok(queries.map(|(query, _)| query).collect())
}
