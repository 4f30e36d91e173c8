//! The control requests over `object_store`, each within its time budget.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{Either, select};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::env::Env;
use crate::model::view::Listed;
use crate::model::vouch::RootKey;
use crate::store::control::{
    Changed, ControlStore, Got, MAX_RECORD, Put, REQUEST_BUDGET, StoreError,
};

/// [`ControlStore`] over `object_store`, below a prefix. It also knows where data is: usually at the same place.
#[derive(Clone, Debug)]
pub struct ObjectControlStore {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    data: Arc<dyn ObjectStore>,
    data_prefix: Path,
    /// Listings of the records' store come in the order of their keys.
    sorted: bool,
    root_key: RootKey,
    env: Env,
}

impl ObjectControlStore {
    /// The state below `prefix` in `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: Path, env: Env) -> Self {
        let (data, data_prefix) = (Arc::clone(&inner), prefix.clone());
        Self { inner, prefix, data, data_prefix, sorted: false, env, root_key: RootKey::default() }
    }

    /// The same state, in which queries count only if somebody with this key has vouched for them.
    #[must_use]
    pub fn with_root_key(self, root_key: RootKey) -> Self {
        Self { root_key, ..self }
    }

    /// The key that vouches for queries.
    #[must_use]
    pub fn root_key(&self) -> &RootKey {
        &self.root_key
    }

    /// The same state, where listings come in the order of their keys, as those of buckets do. A folder's do not.
    #[must_use]
    pub fn sorted(self, sorted: bool) -> Self {
        Self { sorted, ..self }
    }

    /// Whether listings come in the order of their keys.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// The same records, with the data below `prefix` in another store.
    #[must_use]
    pub fn with_data(self, store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { data: store, data_prefix: prefix, ..self }
    }

    /// The same state through another view of its stores, for example one that counts.
    #[must_use]
    pub fn through(&self, wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        let inner = wrap(Arc::clone(&self.inner));
        let data = if Arc::ptr_eq(&self.inner, &self.data) {
            Arc::clone(&inner)
        } else {
            wrap(Arc::clone(&self.data))
        };
        Self { inner, data, ..self.clone() }
    }

    /// The store of the records.
    #[must_use]
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// The prefix of the records in their store.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The store of exchange data and answers.
    #[must_use]
    pub fn data_store(&self) -> &Arc<dyn ObjectStore> {
        &self.data
    }

    /// The prefix of exchange data and answers in their store.
    #[must_use]
    pub fn data_prefix(&self) -> &Path {
        &self.data_prefix
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Path of a key in the store.
    #[must_use]
    pub fn full_path(&self, key: &str) -> Path {
        below(&self.prefix, key)
    }

    /// Reads a part of an object, or what there is of it; `None` if there is no object.
    ///
    /// # Errors
    /// The store's.
    pub async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        let path = self.full_path(key);
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let request = async { self.inner.get_opts(&path, options).await?.bytes().await };
        match self.within("get", key, request).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads parts of an object that exists. Neighbouring parts are one request.
    ///
    /// # Errors
    /// The store's.
    pub async fn get_ranges(
        &self,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StoreError> {
        let path = self.full_path(key);
        self.within("get", key, self.inner.get_ranges(&path, ranges)).await
    }

    /// The keys below `prefix` that are greater than `after` and less than `before`: the first `most` of them if listings
    /// come in the order of their keys, and the last `most` otherwise. True if these are all.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_between(
        &self,
        prefix: &str,
        after: Option<&str>,
        before: Option<&str>,
        most: usize,
    ) -> Result<(Vec<String>, bool), StoreError> {
        let path = self.full_path(prefix);
        let skip = self.skipped();
        let request = async {
            let mut listed = match after {
                Some(after) => self.inner.list_with_offset(Some(&path), &self.full_path(after)),
                None => self.inner.list(Some(&path)),
            };
            let (mut keys, mut all) = (BTreeSet::new(), true);
            while let Some(meta) = listed.try_next().await? {
                let key = &meta.location.as_ref()[skip..];
                if before.is_some_and(|before| key >= before) {
                    if self.sorted {
                        break;
                    }
                    continue;
                }
                if keys.len() == most {
                    all = false;
                    if self.sorted {
                        break;
                    }
                    // Only the newest are kept, so that the memory does not grow with the folder.
                    if keys.first().is_some_and(|first: &String| first.as_str() > key) {
                        continue;
                    }
                    keys.pop_first();
                }
                keys.insert(key.to_owned());
            }
            Ok((keys.into_iter().collect(), all))
        };
        match self.within("list", prefix, request).await {
            Err(error) if missing(&error) => Ok((Vec::new(), true)),
            listed => listed,
        }
    }

    /// Bytes of a location before the key.
    fn skipped(&self) -> usize {
        match self.prefix.as_ref().len() {
            0 => 0,
            length => length + 1,
        }
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
        let skip = self.skipped();
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
            // A folder in which nothing was written yet.
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

/// The path of what is named `rest` below a folder: the text of a path, whose unsafe characters are encoded, or a path.
#[must_use]
pub fn below(folder: &Path, rest: impl Into<Path>) -> Path {
    folder.parts().chain(rest.into().parts()).collect()
}
