//! Writing a query: the steps after which it exists, even if the writing process then dies.
//!
//! ```text
//!   idem ─> (live/<Q> ‖ large plans) ─> (root ‖ end?)
//!                                          └─ from here on the query exists
//! ```
//! The bell is rung by the caller, beside its answer to the client.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::{join, try_join};
use futures::{StreamExt, TryStreamExt, stream};

use crate::model::encoding::{RECORD_VERSION, encode};
use crate::model::ids::QueryId;
use crate::model::keys;
use crate::model::records::{Idem, Root};
use crate::query::hints::retire;
use crate::store::control::{ControlStore, MAX_RECORD, StoreError};
use crate::store::create::{self, CreateError, Decision};
use crate::store::object::ObjectControlStore;

/// Plan objects written at once.
const WRITES: usize = 16;
/// The most bytes of plans that the root holds. Larger ones are objects of their own.
const ROOT_PLANS: usize = 256 << 10;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// The query: the submitted one, or the one that an earlier submit of the same request created.
    pub query: QueryId,
    /// True if an earlier submit created it.
    pub replayed: bool,
    /// The root, if this submit wrote it.
    pub root: Option<Arc<Root>>,
}

impl Submitted {
    fn replayed(query: QueryId) -> Self {
        Self { query, replayed: true, root: None }
    }
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
    /// The record of the query would be larger than any that is read.
    #[error(
        "the query's record would have {bytes} bytes, and {MAX_RECORD} is the most; {files} files of the tables are in it: write fewer and larger files, or name fewer tables"
    )]
    TooLarge {
        /// Bytes of the record.
        bytes: u64,
        /// Files that the query reads.
        files: usize,
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
            Self::IdemMismatch { .. } | Self::TooLarge { .. } => false,
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
    let Submission { query, mut root, plans, idem } = submission;
    let large = pack(&mut root, plans);
    store.root_key().sign(&mut root);
    let record = encode(&root);
    let bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
    if bytes > MAX_RECORD {
        return Err(SubmitError::TooLarge { bytes, files: root.pins.len() });
    }
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
                Ok(query) => return Ok(Submitted::replayed(query)),
            }
        }
    }
    let hint = keys::active(&query);
    let announced = store.put(&hint, Bytes::new());
    let written = stream::iter(large)
        .map(|(name, bytes)| {
            let key = keys::plan(&query, &name);
            async move { store.put(&key, bytes).await }
        })
        .buffer_unordered(WRITES)
        .try_collect::<()>();
    // A query without its hint would never be found if this process died, so the hint is there before the root.
    try_join(announced, written).await?;
    let (key, end_key) = (keys::root(&query), keys::end(&query));
    let decided = create::decide(store, env, &key, record, &root.nonce);
    let (decided, end) = join(decided, store.get(&end_key)).await;
    let decided = decided?;
    if matches!(end, Ok(Some(_))) {
        // The query was swept as an orphan, or cancelled, before the root was written.
        retire(store, &query).await;
    }
    Ok(match decided {
        Decision::Won => Submitted { query, replayed: false, root: Some(Arc::new(root)) },
        Decision::Lost(_) => Submitted::replayed(query),
    })
}

/// Puts the small plans into the root, and returns the others.
fn pack(root: &mut Root, mut plans: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
    plans.sort_by_key(|(_, bytes)| bytes.len());
    let mut room = ROOT_PLANS;
    plans
        .into_iter()
        .filter(|(name, bytes)| {
            let fits = bytes.len() <= room;
            if fits {
                room -= bytes.len();
                root.plans.insert(name.clone(), STANDARD.encode(bytes));
            }
            !fits
        })
        .collect()
}
