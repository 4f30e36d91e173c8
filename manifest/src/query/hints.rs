//! The hints: the bell that wakes idle workers, and the list of queries that may need work. A lost hint costs time
//! and never changes an answer, so no hint is retried.

use bytes::Bytes;

use crate::env::Env;
use crate::model::ids::QueryId;
use crate::model::keys;
use crate::store::control::{ControlStore, StoreError};

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
    Ok(listed.iter().filter_map(|entry| keys::parse_active(&entry.key)).collect())
}
