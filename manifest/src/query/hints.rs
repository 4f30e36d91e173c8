//! The hints: the bell that wakes idle workers, and the list of queries that may need care. Losing one costs time and
//! never an answer, so none of them is retried.

use bytes::Bytes;

use crate::env::Env;
use crate::model::ids::QueryId;
use crate::model::keys;
use crate::store::control::{ControlStore, StoreError};

/// Takes an ended query off the list of active ones. A hint: failing to is harmless.
pub async fn retire(store: &dyn ControlStore, query: &QueryId) {
    if let Err(error) = store.delete(&keys::active(query)).await {
        tracing::debug!(%query, %error, "an ended query stays on the list of active ones for now");
    }
}

/// Rings the bell: idle workers look again. A hint.
pub async fn ring(store: &dyn ControlStore, env: &Env) {
    if let Err(error) = store.put(keys::BELL, Bytes::from(env.nonce())).await {
        tracing::debug!(%error, "the bell could not be rung");
    }
}

/// The active queries, by the hints.
///
/// # Errors
/// The store's.
pub async fn active(store: &dyn ControlStore) -> Result<Vec<QueryId>, StoreError> {
    let listed = store.list(keys::ACTIVE).await?;
    Ok(listed.iter().filter_map(|entry| keys::parse_active(&entry.key)).collect())
}
