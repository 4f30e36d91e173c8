//! The object store as the protocol needs it: one small trait, and the one implementation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{Either, select};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::env::Env;

/// Time that one control request may take in all. Far below `object_store`'s 180 s: a worker that waits
/// minutes for a claim is as good as dead.
pub const REQUEST_BUDGET: Duration = Duration::from_secs(10);

/// Records larger than this are not read: the protocol writes none.
pub const MAX_RECORD: u64 = 64 << 20;

/// What came of a create.
#[derive(Debug)]
pub enum Put {
    /// The object is there, with these bytes.
    Created,
    /// The store did not say that it was created: somebody's object may be there, perhaps this one,
    /// perhaps nobody's. Only reading it back tells.
    NotCreated,
}

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its bytes.
    pub body: Bytes,
    /// Its entity tag.
    pub e_tag: Option<String>,
    /// When the store stamped it, in milliseconds by the store's own clock.
    pub modified_ms: i64,
}

/// What a conditional read found.
#[derive(Clone, Debug)]
pub enum Changed {
    /// The object still has that tag.
    NotModified,
    /// There is no object.
    Missing,
    /// Another version.
    Got(Got),
}

/// An entry of a LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key below the state's prefix.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// When the store stamped it, in milliseconds by the store's own clock.
    pub modified_ms: i64,
}

/// A control request failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store said no, or nothing.
    #[error("{operation} {key}: {source}")]
    Request {
        /// What was asked.
        operation: &'static str,
        /// Of which key.
        key: String,
        /// The store's error.
        source: Box<object_store::Error>,
    },
    /// No answer within [`REQUEST_BUDGET`].
    #[error("{operation} {key}: no answer within 10 s")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// Of which key.
        key: String,
    },
    /// A record that cannot be what the protocol wrote.
    #[error("{key} is not a record of this version: {reason}")]
    Malformed {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request { source, .. } => !matches!(
                **source,
                object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::NotImplemented { .. }
                    | object_store::Error::NotSupported { .. }
            ),
            Self::Timeout { .. } => true,
            Self::Malformed { .. } => false,
        }
    }
}

/// The requests of the protocol. What it needs from a store, and what the probe checks:
///
/// * a create-if-absent of one key has at most one winner, whoever else creates it at the same time;
/// * an object that was created or put is seen at once by every reader;
/// * a LIST shows every object that was there before it began, and none that was deleted before;
/// * an object's stamp is the store's own.
#[async_trait]
pub trait ControlStore: Send + Sync + std::fmt::Debug {
    /// Creates `key` unless it exists.
    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Put, StoreError>;
    /// Writes a hint: overwrites.
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError>;
    /// Reads an object; `None` if there is none.
    async fn get(&self, key: &str) -> Result<Option<Got>, StoreError>;
    /// Reads an object unless it still has this tag.
    async fn get_if_changed(&self, key: &str, e_tag: Option<&str>) -> Result<Changed, StoreError>;
    /// All keys below a prefix that ends in `/`, in no order.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;
    /// Deletes a hint; deleting what is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
}

/// [`ControlStore`] over `object_store`, below a prefix.
#[derive(Clone, Debug)]
pub struct ObjectControlStore {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    env: Env,
}

impl ObjectControlStore {
    /// The state below `prefix` in `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: Path, env: Env) -> Self {
        Self { inner, prefix, env }
    }

    /// The same state through another view of the store (one that counts, say).
    #[must_use]
    pub fn through(&self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { inner: wrap(Arc::clone(&self.inner)), ..self.clone() }
    }

    /// The store, for data.
    #[must_use]
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// The state's prefix in the store.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Path of a key in the store.
    #[must_use]
    pub fn full_path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        key: &str,
        request: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<T, StoreError> {
        let request = std::pin::pin!(request);
        match select(request, self.env.clock.sleep(REQUEST_BUDGET)).await {
            Either::Left((Ok(value), _)) => Ok(value),
            Either::Left((Err(source), _)) => Err(StoreError::Request {
                operation,
                key: key.to_owned(),
                source: Box::new(source),
            }),
            Either::Right(_) => Err(StoreError::Timeout { operation, key: key.to_owned() }),
        }
    }
}

fn missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Request { source, .. } if matches!(**source, object_store::Error::NotFound { .. }))
}

#[async_trait]
impl ControlStore for ObjectControlStore {
    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Put, StoreError> {
        let path = self.full_path(key);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let request = self.inner.put_opts(&path, PutPayload::from_bytes(body), options);
        match self.within("create", key, request).await {
            Ok(_) => Ok(Put::Created),
            Err(StoreError::Request { source, .. })
                if matches!(
                    *source,
                    object_store::Error::AlreadyExists { .. }
                        | object_store::Error::Precondition { .. }
                ) =>
            {
                Ok(Put::NotCreated)
            }
            Err(error) => Err(error),
        }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let path = self.full_path(key);
        let request = self.inner.put(&path, PutPayload::from_bytes(body));
        self.within("put", key, request).await.map(|_| ())
    }

    async fn get(&self, key: &str) -> Result<Option<Got>, StoreError> {
        match self.get_if_changed(key, None).await? {
            Changed::Got(got) => Ok(Some(got)),
            Changed::Missing | Changed::NotModified => Ok(None),
        }
    }

    async fn get_if_changed(&self, key: &str, e_tag: Option<&str>) -> Result<Changed, StoreError> {
        let path = self.full_path(key);
        let options =
            GetOptions { if_none_match: e_tag.map(ToOwned::to_owned), ..GetOptions::default() };
        let request = async {
            let result = self.inner.get_opts(&path, options).await?;
            let meta = result.meta.clone();
            if meta.size > MAX_RECORD {
                return Ok((meta, None));
            }
            let body = result.bytes().await?;
            Ok((meta, Some(body)))
        };
        match self.within("get", key, request).await {
            Ok((meta, Some(body))) => Ok(Changed::Got(Got {
                body,
                e_tag: meta.e_tag,
                modified_ms: meta.last_modified.timestamp_millis(),
            })),
            Ok((meta, None)) => Err(StoreError::Malformed {
                key: key.to_owned(),
                reason: format!("{} bytes are more than any record has", meta.size),
            }),
            Err(error) if missing(&error) => Ok(Changed::Missing),
            Err(StoreError::Request { source, .. })
                if matches!(*source, object_store::Error::NotModified { .. }) =>
            {
                Ok(Changed::NotModified)
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let path = self.full_path(prefix);
        let skip = match self.prefix.as_ref().len() {
            0 => 0,
            length => length + 1,
        };
        let request = async { self.inner.list(Some(&path)).try_collect::<Vec<_>>().await };
        match self.within("list", prefix, request).await {
            Ok(entries) => Ok(entries
                .into_iter()
                .map(|meta| Listed {
                    key: meta.location.as_ref()[skip..].to_owned(),
                    size: meta.size,
                    modified_ms: meta.last_modified.timestamp_millis(),
                })
                .collect()),
            // A folder that nobody has written to yet.
            Err(error) if missing(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.full_path(key);
        match self.within("delete", key, self.inner.delete(&path)).await {
            Err(error) if !missing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}
