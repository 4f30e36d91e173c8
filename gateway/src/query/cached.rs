//! Answers that are there already: the same statement over the same files has the answer of the query before it.
//!
//! ```text
//!   plan ─> identity: stages, plans, versions of all files, owner ─> use/answers/<identity> ─> a query
//!                                                                                              │ is it of the same identity,
//!                                                                                              │ young enough, SUCCEEDED?
//!           run it, and note it there <── no ──────────────────────────────────────────────────┤
//!                                                                          its rows <── yes ───┘
//! ```
//! Nothing is stale: a file that was replaced has another version, and so the statement another identity. What is noted is a
//! hint: the query's own records tell whether it fits.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::{RECORD_VERSION, encode};
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{
    Adaptive, EndStatus, EngineFence, Pin, ResultSpec, Root, Route, StageSpec,
};
use dunlin_manifest::store::ControlStore;
use dunlin_manifest::store::create::load;
use serde::{Deserialize, Serialize};

use super::error::{CoreError, ErrorKind};
use super::handles::Handles;

/// Where the query of a statement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It was submitted now. `missed`: its answer was looked for among those that are there.
    New { missed: bool },
    /// A request with the same idempotency key has submitted it before.
    Replayed,
    /// It has the same answer.
    Cached,
}

impl Source {
    /// It was run, and nothing else is to be said.
    pub(crate) const RUN: Self = Self::New { missed: false };

    /// Why there is no answer. A query that an earlier request has submitted was there: its records are kept for a shorter
    /// time than the key that named it.
    pub(crate) fn gone(self, error: CoreError) -> CoreError {
        match error.kind {
            ErrorKind::NoSuchQuery(_) if self == Self::Replayed => {
                CoreError { kind: ErrorKind::Expired, ..error }
            }
            _ => error,
        }
    }
}

/// Everything that decides the rows of a query.
#[derive(Serialize)]
struct Identity<'a> {
    v: u32,
    owner: &'a Option<String>,
    session: &'a std::collections::BTreeMap<String, String>,
    engine: &'a EngineFence,
    route: Route,
    stages: &'a [StageSpec],
    result: &'a ResultSpec,
    pins: &'a [Pin],
    adaptive: &'a Adaptive,
}

/// `use/answers/<identity>`: the latest query of this identity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    v: u32,
    query: String,
}

/// Finds queries whose answers can be given again.
#[derive(Debug)]
pub(crate) struct Cached {
    handles: Arc<Handles>,
    /// The greatest age of such a query; zero: none is given again.
    most: Duration,
}

impl Cached {
    pub(crate) fn new(handles: Arc<Handles>, most: Duration) -> Self {
        Self { handles, most }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.most.is_zero()
    }

    /// The query that has the answer of this identity, if there is one. A store that does not answer is no reason not to run
    /// the query.
    pub(crate) async fn find(&self, identity: &str) -> Option<Arc<QueryHandle>> {
        match self.look(identity).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "it is not known whether there is an answer already");
                None
            }
        }
    }

    async fn look(&self, identity: &str) -> Result<Option<Arc<QueryHandle>>, CoreError> {
        let key = keys::answer(identity);
        let Some(Noted { query, .. }) = load(self.handles.store(), &key).await? else {
            return Ok(None);
        };
        let Some(query) = QueryId::parse(&query) else { return Ok(None) };
        let age = self.handles.env().clock.wall_ms().saturating_sub(query.unix_ms());
        if Duration::from_millis(age) > self.most {
            return Ok(None);
        }
        let handle = self.handles.open(&query).await?;
        if self::identity(&handle.root)? != identity {
            return Ok(None);
        }
        let end = handle.ended().await?;
        Ok(end.filter(|end| end.status == EndStatus::Succeeded).map(|_| handle))
    }

    /// Notes a query that was submitted. The next one finds it when it has succeeded.
    pub(crate) async fn note(&self, identity: &str, query: &QueryId) {
        let noted = Noted { v: RECORD_VERSION, query: query.to_string() };
        let written = self.handles.store().put(&keys::answer(identity), encode(&noted)).await;
        if let Err(error) = written {
            tracing::debug!(%query, %error, "the answer of this query will not be found again");
        }
    }
}

/// The digest of everything that decides the rows of a query.
///
/// # Errors
/// It has no form, which is a defect.
pub(crate) fn identity(root: &Root) -> Result<String, CoreError> {
    let identity = Identity {
        v: root.v,
        owner: &root.owner,
        session: &root.session,
        engine: &root.engine,
        route: root.route,
        stages: &root.stages,
        result: &root.result,
        pins: &root.pins,
        adaptive: &root.adaptive,
    };
    let text = serde_json::to_vec(&identity).map_err(CoreError::internal)?;
    Ok(blake3::hash(&text).to_hex().to_string())
}
