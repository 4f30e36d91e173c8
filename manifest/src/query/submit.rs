//! Writing a query: the steps after which it exists, even if the writing process then dies.
//!
//! ```text
//!   idem ─> active (hint) ─> plans ─> root ─> end? ─> leaf manifests ─> bell (hint)
//!                                      └─ from here on the query exists
//! ```

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::model::encoding::{RECORD_VERSION, encode};
use crate::model::ids::QueryId;
use crate::model::keys;
use crate::model::records::{Idem, Root};
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::query::hints::{retire, ring};
use crate::store::control::{ControlStore, StoreError};
use crate::store::create::{self, CreateError, Decision};
use crate::store::object::ObjectControlStore;

/// Plan objects written at once.
const WRITES: usize = 16;

/// A planned query, ready to be written.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its id.
    pub query: QueryId,
    /// Its root.
    pub root: Root,
    /// Plan objects by name.
    pub plans: Vec<(String, Bytes)>,
    /// SHA-256 of the client's idempotency key and of the canonical request.
    pub idem: Option<(String, String)>,
}

/// The result of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The query: the submitted one, or the one that an earlier submit of the same request created.
    pub query: QueryId,
    /// True if an earlier submit created it.
    pub replayed: bool,
}

/// Why a submit failed, or why its result is not known.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request, by query {query}")]
    IdemMismatch {
        /// The query of that request.
        query: QueryId,
    },
    /// An earlier submit with this key died before it wrote the root. Submit again with this id.
    #[error("query {query} was announced and never written")]
    Orphaned {
        /// The id that the earlier submit announced.
        query: QueryId,
    },
    /// A request to the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not known whether the query exists.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl SubmitError {
    /// Whether the same submit may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::IdemMismatch { .. } => false,
            Self::Orphaned { .. } => true,
            Self::Store(error) => error.is_retryable(),
            Self::Create(error) => error.is_retryable(),
        }
    }
}

/// The query of an idempotency key, if the key was used before.
///
/// # Errors
/// [`SubmitError::IdemMismatch`] for another request, [`SubmitError::Orphaned`] if its root is missing.
pub async fn find(
    store: &ObjectControlStore,
    key: &str,
    request: &str,
) -> Result<Option<QueryId>, SubmitError> {
    let key = keys::idem(key);
    let Some(idem) = create::load::<Idem>(store, &key).await? else {
        return Ok(None);
    };
    existing(store, &key, &idem, request).await.map(Some)
}

async fn existing(
    store: &ObjectControlStore,
    key: &str,
    idem: &Idem,
    request: &str,
) -> Result<QueryId, SubmitError> {
    let Some(query) = QueryId::parse(&idem.query) else {
        return Err(SubmitError::Store(StoreError::Malformed {
            key: key.to_owned(),
            reason: format!("{:?} is no query id", idem.query),
        }));
    };
    if idem.request != request {
        return Err(SubmitError::IdemMismatch { query });
    }
    let there = store.get(&keys::root(&query)).await?.is_some()
        || store.get(&keys::end(&query)).await?.is_some();
    if there { Ok(query) } else { Err(SubmitError::Orphaned { query }) }
}

/// Writes a query.
///
/// # Errors
/// See [`SubmitError`].
pub async fn submit(
    store: &ObjectControlStore,
    submission: Submission,
) -> Result<Submitted, SubmitError> {
    let env = store.env();
    let Submission { query, root, plans, idem } = submission;
    if let Some((key, request)) = idem {
        let record = Idem {
            v: RECORD_VERSION,
            nonce: env.nonce(),
            query: query.to_string(),
            request: request.clone(),
        };
        let key = keys::idem(&key);
        let body = encode(&record);
        if let Decision::Lost(body) = create::decide(store, env, &key, body, &record.nonce).await? {
            let earlier: Idem = create::decode(&key, &body)?;
            match existing(store, &key, &earlier, &request).await {
                // This same submission uses the announced id again.
                Err(SubmitError::Orphaned { query: announced }) if announced == query => {}
                Err(error) => return Err(error),
                Ok(query) => return Ok(Submitted { query, replayed: true }),
            }
        }
    }
    store.put(&keys::active(&query), Bytes::new()).await?;
    stream::iter(plans)
        .map(|(name, bytes)| {
            let key = keys::plan(&query, &name);
            async move { store.put(&key, bytes).await }
        })
        .buffer_unordered(WRITES)
        .try_collect::<()>()
        .await?;
    let body = encode(&root);
    let nonce = root.nonce.clone();
    let replayed = match create::decide(store, env, &keys::root(&query), body, &nonce).await? {
        Decision::Won => false,
        Decision::Lost(_) => true,
    };
    if store.get(&keys::end(&query)).await?.is_some() {
        // The query was swept as an orphan, or cancelled, before the root was written.
        retire(store, &query).await;
        return Ok(Submitted { query, replayed });
    }
    // From here on any process can continue. A sweeper repairs what fails now.
    if let Err(error) = open_leaves(store, &query, root, replayed).await {
        tracing::warn!(%query, %error, "the first stages are left to a sweeper");
    }
    ring(store, env).await;
    Ok(Submitted { query, replayed })
}

async fn open_leaves(
    store: &ObjectControlStore,
    query: &QueryId,
    root: Root,
    replayed: bool,
) -> Result<(), AdvanceError> {
    let handle = if replayed {
        // The root of another writer won, so that root is the valid one.
        match QueryHandle::open(store.clone(), query).await? {
            Some(handle) => handle,
            None => return Ok(()),
        }
    } else {
        QueryHandle::with_root(store.clone(), query, std::sync::Arc::new(root))
    };
    let mut view = handle.look(false).await?;
    handle.advance(&mut view).await.map(|_| ())
}
