//! What a client says of its query that changes nothing about how it runs: tags, and how much of the answer it wants.
//!
//! It is a hint beside the query (`use/<Q>/asked`), written before the query exists, and only if there is anything to say.
//! So no record of the protocol knows of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::{RECORD_VERSION, encode};
use dunlin_manifest::store::create::load;
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::cut::AnswerLimits;
use super::error::CoreError;

/// Queries whose hints are kept in memory. A hint never changes once its query exists.
const KEPT: usize = 4_096;
/// Most tags of a query.
pub(crate) const MOST_TAGS: usize = 16;
/// Longest name of a tag, in bytes.
pub(crate) const LONGEST_NAME: usize = 64;
/// Longest value of a tag, in bytes.
pub(crate) const LONGEST_VALUE: usize = 256;

/// Tags by name.
pub(crate) type Tags = BTreeMap<String, String>;

/// What a client said of its query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remarks {
    /// Words by which people find it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: Tags,
    /// How much of the answer is wanted.
    #[serde(default, skip_serializing_if = "AnswerLimits::is_none")]
    pub(crate) limits: AnswerLimits,
}

impl Remarks {
    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.limits.is_none()
    }
}

/// The object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    v: u32,
    remarks: Remarks,
}

/// What clients said of their queries, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    known: Mutex<HashMap<QueryId, Arc<Remarks>>>,
}

impl Asked {
    /// Writes what a client says of a query that will be submitted now.
    pub(super) async fn write(
        &self,
        store: &ObjectControlStore,
        query: &QueryId,
        remarks: &Remarks,
    ) -> Result<(), CoreError> {
        if remarks.is_empty() {
            return Ok(());
        }
        let hint = Hint { v: RECORD_VERSION, remarks: remarks.clone() };
        Ok(store.put(&keys::asked(query), encode(&hint)).await?)
    }

    /// Remembers what was said of a query that now exists, so that its own client's next requests read nothing.
    pub(super) fn remember(&self, query: &QueryId, remarks: Remarks) -> Arc<Remarks> {
        let remarks = Arc::new(remarks);
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(query.clone(), Arc::clone(&remarks));
        remarks
    }

    /// What was said of a query that exists. A hint that cannot be read says nothing.
    pub(super) async fn of(&self, store: &ObjectControlStore, query: &QueryId) -> Arc<Remarks> {
        if let Some(known) = self.known.lock().get(query) {
            return Arc::clone(known);
        }
        match load::<Hint>(store, &keys::asked(query)).await {
            Ok(found) => {
                self.remember(query, found.map_or_else(Remarks::default, |hint| hint.remarks))
            }
            Err(error) => {
                tracing::debug!(%query, %error, "what the client said of a query cannot be read");
                Arc::default()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_manifest::env::Env;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    #[tokio::test]
    async fn what_was_said_is_found_by_another_process_and_nothing_is_written_for_nothing() {
        let store =
            ObjectControlStore::new(Arc::new(InMemory::new()), Path::from("x"), Env::system());
        let (query, plain) = (QueryId::at(1, &[1; 10]), QueryId::at(1, &[2; 10]));
        let remarks = Remarks {
            tags: Tags::from([("team".to_owned(), "finance".to_owned())]),
            limits: AnswerLimits { rows: Some(3), bytes: None },
        };
        Asked::default().write(&store, &query, &remarks).await.unwrap();
        Asked::default().write(&store, &plain, &Remarks::default()).await.unwrap();
        assert_eq!(store.list("use/").await.unwrap().len(), 1);
        let other = Asked::default();
        assert_eq!(*other.of(&store, &query).await, remarks);
        assert!(other.of(&store, &plain).await.is_empty());
        // It is read once.
        store.delete(&keys::asked(&query)).await.unwrap();
        assert_eq!(*other.of(&store, &query).await, remarks);
    }
}
