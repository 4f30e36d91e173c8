//! Stores and workers for tests of the protocol: workers that claim and commit, and compute nothing.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{
    Adaptive, Claim, Commit, DataObject, End, EngineFence, ErrorCode, Fail, FailClass, InputMode,
    Limits, Output, RECORD_VERSION, ResultSpec, Root, Route, Slice, StageId, StageInput, StageSpec,
    TaskMetrics, TaskOutput,
};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_manifest::store::create::{self, Decision};
use dunlin_manifest::submit::{Submission, submit};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use tempfile::TempDir;

/// A state in memory, below a prefix.
pub(crate) fn memory(env: &Env) -> ObjectControlStore {
    ObjectControlStore::new(Arc::new(InMemory::new()), Path::from("team/state"), env.clone())
}

/// A state in a folder of its own, which goes when the guard does.
pub(crate) fn folder(env: &Env) -> (ObjectControlStore, TempDir) {
    let guard = TempDir::new().unwrap();
    let inner = LocalFileSystem::new_with_prefix(guard.path()).unwrap();
    (ObjectControlStore::new(Arc::new(inner), Path::default(), env.clone()), guard)
}

/// The same state in another world.
pub(crate) fn with_env(store: &ObjectControlStore, env: Env) -> ObjectControlStore {
    ObjectControlStore::new(Arc::clone(store.object_store()), store.prefix().clone(), env)
}

const PLAN: &[u8] = b"a plan that nobody decodes";

/// A stage of which each partition is a task.
pub(crate) fn stage(id: StageId, partitions: u32, inputs: &[(StageId, InputMode)]) -> StageSpec {
    StageSpec {
        id,
        name: format!("stage {id}"),
        plan: blake3::hash(PLAN).to_hex().to_string(),
        partitions,
        inputs: inputs.iter().map(|&(stage, mode)| StageInput { stage, mode, offset: 0 }).collect(),
        output: Output::Partitions,
        scan_bytes: Vec::new(),
        task_bytes: 0,
        one_task: false,
        key_filter: false,
        empty_with: Vec::new(),
        shares: None,
        broadcast: None,
        absorbed_by: None,
    }
}

/// A scan of three partitions, a join of four, and the answer.
pub(crate) fn three_stages() -> Vec<StageSpec> {
    let mut answer = stage(2, 2, &[(1, InputMode::Whole)]);
    answer.output = Output::Result;
    answer.one_task = true;
    let mut join = stage(1, 4, &[(0, InputMode::Partitioned)]);
    join.task_bytes = 10;
    vec![stage(0, 3, &[]), join, answer]
}

/// One task.
pub(crate) fn one_task() -> Vec<StageSpec> {
    vec![stage(0, 1, &[])]
}

/// The fence of the processes of these tests.
pub(crate) fn fence() -> EngineFence {
    let text = "test".to_owned();
    EngineFence { engine: text.clone(), hash: text.clone(), build: text }
}

/// A query that is ready to be submitted.
pub(crate) fn submission(env: &Env, stages: Vec<StageSpec>) -> Submission {
    let query = QueryId::new(env);
    let root = Root {
        v: RECORD_VERSION,
        nonce: env.nonce(),
        query: query.to_string(),
        sql: "select 1".to_owned(),
        session: BTreeMap::new(),
        engine: fence(),
        route: Route::Fleet,
        route_reason: "test".to_owned(),
        stages,
        result: ResultSpec { schema: String::new() },
        pins: Vec::new(),
        limits: Limits::default(),
        adaptive: Adaptive::default(),
        plans: BTreeMap::new(),
        explain: String::new(),
        owner: None,
        workgroup: None,
        pool: None,
        write: None,
        trace: None,
        code: None,
    };
    let plans = vec![(blake3::hash(PLAN).to_hex().to_string(), Bytes::from_static(PLAN))];
    Submission { query, root, plans, idem: None }
}

/// Submits such a query.
pub(crate) async fn submitted(store: &ObjectControlStore, stages: Vec<StageSpec>) -> QueryId {
    let submission = submission(store.env(), stages);
    let query = submission.query.clone();
    let done = submit(store, submission).await.unwrap();
    assert_eq!((&done.query, done.replayed), (&query, false));
    query
}

/// A process's own view of a query.
pub(crate) async fn handle(store: &ObjectControlStore, query: &QueryId) -> QueryHandle {
    QueryHandle::open(store.clone(), query, &fence()).await.unwrap().unwrap()
}

/// Claims an attempt: its nonce, if it was won.
pub(crate) async fn claim(handle: &QueryHandle, open: OpenTask) -> Option<String> {
    let store = handle.store();
    let nonce = store.env().nonce();
    let record = Claim { v: RECORD_VERSION, nonce: nonce.clone(), worker: "test".to_owned() };
    let key = keys::claim(&handle.query, open.stage, open.task, open.attempt);
    let body = encode(&record);
    let won = create::decide(store, store.env(), &key, body, &nonce).await.unwrap();
    (won == Decision::Won).then_some(nonce)
}

/// Commits a claimed attempt: one slice of 10 bytes and one row for each partition.
pub(crate) async fn commit(handle: &QueryHandle, open: OpenTask, claim: &str) -> Decision {
    let store = handle.store();
    let OpenTask { stage, task, attempt } = open;
    let decided = handle.manifest(stage).await.unwrap().unwrap();
    let slices: Vec<Slice> = (0u64..)
        .zip(&decided.manifest.tasks[task as usize].partitions)
        .map(|(n, &bucket)| Slice {
            bucket,
            object: Some(0),
            offset: 10 * n,
            len: 10,
            rows: 1,
            xxh3: "0123456789abcdef".to_owned(),
        })
        .collect();
    let (rows, bytes) = (slices.len() as u64, 10 * slices.len() as u64);
    let query = &handle.query;
    let writer = keys::Writer { workgroup: None, query, stage, task, attempt, nonce: claim };
    let key = writer.data(0);
    let record = Commit {
        v: RECORD_VERSION,
        nonce: store.env().nonce(),
        task,
        attempt,
        claim: claim.to_owned(),
        manifest: decided.digest.clone(),
        worker: "test".to_owned(),
        output: TaskOutput {
            objects: vec![DataObject { key, len: bytes }],
            slices,
            inline: String::new(),
            rows,
            bytes,
        },
        metrics: TaskMetrics { wall_us: 7, scan_bytes: 100, ..TaskMetrics::default() },
    };
    let key = keys::commit(&handle.query, stage, task);
    let body = encode(&record);
    create::decide(store, store.env(), &key, body, &record.nonce).await.unwrap()
}

/// Writes that an attempt failed.
pub(crate) async fn fail(handle: &QueryHandle, open: OpenTask, class: FailClass) {
    let store = handle.store();
    let record = Fail {
        v: RECORD_VERSION,
        nonce: store.env().nonce(),
        worker: "sim".to_owned(),
        alone: true,
        class,
        code: ErrorCode::ExecutionFailed,
        message: format!("attempt {} broke", open.attempt),
        began_ms: 0,
        ended_ms: 0,
    };
    let key = keys::fail(&handle.query, open.stage, open.task, open.attempt);
    let body = encode(&record);
    let decision = create::decide(store, store.env(), &key, body, &record.nonce).await.unwrap();
    assert_eq!(decision, Decision::Won);
}

/// Looks, advances, and gives what may be claimed; the query must not have ended.
pub(crate) async fn open(handle: &QueryHandle) -> Vec<OpenTask> {
    handle.look(false).await.unwrap();
    let advanced = handle.advance().await.unwrap();
    assert_eq!(advanced.ended, None);
    advanced.open
}

/// Looks and advances; the query must end.
pub(crate) async fn ended(handle: &QueryHandle) -> Arc<End> {
    handle.look(false).await.unwrap();
    handle.advance().await.unwrap().ended.unwrap()
}

/// Works on a query until it has ended.
pub(crate) async fn drive(handle: &QueryHandle) -> Arc<End> {
    let work = async {
        loop {
            handle.look(false).await.unwrap();
            let advanced = handle.advance().await.unwrap();
            if let Some(end) = advanced.ended {
                return end;
            }
            for open in advanced.open {
                if let Some(nonce) = claim(handle, open).await {
                    assert_eq!(commit(handle, open, &nonce).await, Decision::Won);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the query does not end")
}

/// The end as it is stored.
pub(crate) async fn stored_end(store: &ObjectControlStore, query: &QueryId) -> Option<End> {
    create::load(store, &keys::end(query)).await.unwrap()
}
