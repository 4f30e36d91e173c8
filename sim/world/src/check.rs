//! What must hold when a query has ended: its rows, its records, and what is left after collecting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use dunlin_exact::Table;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::query::{Blocks, Keep, QueryHandle, collect};
use dunlin_manifest::records::{Commit, End, EndStatus, ErrorCode};
use dunlin_manifest::store::{ObjectControlStore, create};
use dunlin_plan::fence;
use dunlin_plan::wire::schema_from_text;
use dunlin_shuffle::{ExchangeInputs, ReadGovernor, StageData};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::prepared::{Prepared, Query};
use crate::scenario::Scenario;
use crate::store::Store;

/// Memory for reading an answer.
const MEMORY: usize = 64 << 20;
/// After this long nothing of an ended query is kept.
pub(crate) const AGES: Duration = Duration::from_secs(41 * 24 * 3_600);

/// What is wrong with the end of a query, if anything is.
pub(crate) async fn ended(
    control: &ObjectControlStore,
    id: &QueryId,
    query: &Query,
    scenario: &Scenario,
) -> Result<Arc<End>, String> {
    let end: Option<End> = create::load(control, &keys::end(id)).await.map_err(text)?;
    let end = end.ok_or("the end that was seen is gone")?;
    match (end.status, &end.error) {
        (EndStatus::Succeeded, _) if query.writes => {}
        (EndStatus::Succeeded, _) => compared(query, &rows(control, id, &end).await?)?,
        (EndStatus::Cancelled, _) if scenario.is_cancelled() => {}
        (EndStatus::Cancelled, _) => return Err("cancelled, and nobody has asked for it".into()),
        // The gateway that cancelled a write died before it could say so, and the tasks found it out.
        (EndStatus::Failed, Some(error))
            if error.code == ErrorCode::Cancelled && query.writes && scenario.is_cancelled() => {}
        // Deaths and bad stores may end a query with one of these, if they are many.
        (EndStatus::Failed, Some(error))
            if matches!(
                error.code,
                ErrorCode::WorkerLost | ErrorCode::StoreUnavailable | ErrorCode::ExchangeFailed
            ) => {}
        (EndStatus::Failed, error) => return Err(format!("FAILED: {error:?}")),
    }
    records(control, id, &end).await?;
    Ok(Arc::new(end))
}

/// The same where objects were damaged: whoever finds it may say so in any words, but no row may be wrong.
pub(crate) async fn damaged(
    control: &ObjectControlStore,
    id: &QueryId,
    query: &Query,
) -> Result<(EndStatus, Option<ErrorCode>), String> {
    let end: Option<End> = match create::load(control, &keys::end(id)).await {
        Ok(end) => end,
        Err(_) => return Ok((EndStatus::Failed, Some(ErrorCode::Internal))),
    };
    // The root cannot be read, and the client was told so.
    let Some(end) = end else { return Ok((EndStatus::Failed, Some(ErrorCode::Internal))) };
    let code = end.error.as_ref().map(|error| error.code.clone());
    if end.status != EndStatus::Succeeded || query.writes {
        return Ok((end.status, code));
    }
    match rows(control, id, &end).await {
        // The reader says that the answer is damaged.
        Err(_) => Ok((EndStatus::Failed, Some(ErrorCode::ExchangeFailed))),
        Ok(rows) => compared(query, &rows).map(|()| (end.status, code)),
    }
}

/// Whether these are the rows of the query.
fn compared(query: &Query, rows: &[RecordBatch]) -> Result<(), String> {
    match query.expected.difference(&Table::new(rows), query.is_ordered) {
        Some(difference) => Err(format!("WRONG ROWS: {difference}")),
        None => Ok(()),
    }
}

/// The rows of the answer.
async fn rows(
    control: &ObjectControlStore,
    id: &QueryId,
    end: &End,
) -> Result<Vec<RecordBatch>, String> {
    let fence = fence::current().map_err(text)?;
    let handle = QueryHandle::open(control.clone(), id, &fence).await.map_err(text)?;
    let handle = handle.ok_or("the query has no root")?;
    let seal = match &end.answer {
        Some(answer) => Arc::new(answer.clone()),
        None => {
            let last = handle.root.stages.last().ok_or("no stages")?;
            let sealed =
                handle.seal(last.id).await.map_err(text)?.ok_or("the result has no seal")?;
            if end.seal.as_ref().is_some_and(|named| *named != sealed.digest) {
                return Err("the end names another seal".to_owned());
            }
            sealed.seal
        }
    };
    let schema = schema_from_text(&handle.root.result.schema).map_err(text)?;
    let data = StageData::of(&seal, Blocks::of(control, id, &seal)).map_err(text)?;
    data.load(0..data.buckets()).await.map_err(text)?;
    let data = Arc::new(data);
    let inputs = ExchangeInputs::new(
        Arc::clone(control.data_store()),
        control.data_prefix().clone(),
        control.env().clone(),
        ReadGovernor::default(),
    )
    .with_stage(seal.stage, Arc::clone(&data));
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(MEMORY));
    let mut rows = vec![RecordBatch::new_empty(Arc::clone(&schema))];
    for bucket in 0..data.buckets() {
        let opened = inputs.open(seal.stage, bucket, Arc::clone(&schema), &pool).map_err(text)?;
        rows.extend(opened.try_collect::<Vec<_>>().await.map_err(text)?);
    }
    Ok(rows)
}

/// The keys of all objects of the state.
async fn listed(control: &ObjectControlStore) -> Result<Vec<String>, String> {
    let listed = control.object_store().list(Some(control.prefix()));
    let objects: Vec<_> = listed.try_collect().await.map_err(text)?;
    let prefix = format!("{}/", control.prefix());
    let keys = objects.iter().filter_map(|meta| meta.location.as_ref().strip_prefix(&prefix));
    Ok(keys.map(str::to_owned).collect())
}

/// The invariants, as the records show them.
async fn records(control: &ObjectControlStore, id: &QueryId, end: &End) -> Result<(), String> {
    let mut attempts: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    let mut commits = Vec::new();
    for key in listed(control).await? {
        match keys::parse(&key) {
            Some((of, _)) if of != *id => return Err(format!("{key} is of another query")),
            Some((_, Key::Claim(stage, task, attempt))) => {
                attempts.entry((stage, task)).or_default().push(attempt);
            }
            Some((_, Key::Commit(stage, task))) => commits.push((stage, task, key)),
            _ => {}
        }
    }
    for ((stage, task), mut claimed) in attempts {
        claimed.sort_unstable();
        if !claimed.iter().copied().eq(0..claimed.len() as u32) {
            return Err(format!("attempts of task {stage}.{task} are {claimed:?}"));
        }
    }
    for (stage, task, key) in commits {
        let commit: Option<Commit> = create::load(control, &key).await.map_err(text)?;
        let commit = commit.ok_or_else(|| format!("{key} is gone"))?;
        if commit.task != task {
            return Err(format!("{key} is of task {}", commit.task));
        }
        for object in &commit.output.objects {
            let path = control.full_path(&object.key);
            let there = control.data_store().head(&path).await.map_err(|error| {
                format!("the commit of {stage}.{task} names {}: {error}", object.key)
            })?;
            if there.size != object.len {
                return Err(format!("{} has {} bytes, not {}", object.key, there.size, object.len));
            }
        }
    }
    if end.status == EndStatus::Succeeded && end.answer.is_none() && end.seal.is_none() {
        return Err("it has succeeded and names no answer".to_owned());
    }
    Ok(())
}

/// The files of a query that writes: all rows if it has succeeded, and otherwise none.
pub(crate) fn written(
    prepared: &Prepared,
    store: &Arc<Store>,
    query: &Query,
    status: EndStatus,
) -> Result<(), String> {
    let files = store.files();
    let made = match files.is_empty() {
        true => None,
        false => Some(prepared.files(store.calm())?),
    };
    match (status, made) {
        (EndStatus::Succeeded, None) => Err("it has succeeded, and there is no file".to_owned()),
        (EndStatus::Succeeded, Some(made)) => match query.expected.difference(&made, false) {
            Some(difference) => Err(format!("WRONG ROWS in files: {difference}")),
            None => Ok(()),
        },
        (_, Some(made)) if made.row_count() > 0 => {
            Err(format!("it has not succeeded, and its files have {} rows", made.row_count()))
        }
        _ => Ok(()),
    }
}

/// What is left of a query long after its end. The clock has moved on by [`AGES`].
pub(crate) async fn left(control: &ObjectControlStore) -> Result<(), String> {
    // The end goes after everything else, and a hint goes once there is an end.
    for _ in 0..3 {
        collect(control, &Keep::default(), false).await.map_err(text)?;
    }
    let names = listed(control).await?;
    let left: Vec<_> = names
        .iter()
        .filter(|key| !["bell/", "gate/", "probe/"].iter().any(|mark| key.starts_with(mark)))
        .collect();
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("left after collecting: {left:?}")),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
