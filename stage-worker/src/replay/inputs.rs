//! Whether all that a task reads of the exchange is in the store, before it is run: the engine's error for an object that
//! was deleted would not say whose rows it held.

use dunlin_manifest::ids::{StageId, TaskId};
use dunlin_manifest::keys;
use dunlin_manifest::query::{AdvanceError, Blocks, QueryHandle};
use dunlin_manifest::records::{End, EndStatus, InputMode, StageSpec};
use dunlin_manifest::store::below;
use dunlin_manifest::store::create::load;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use super::error::ReplayError;

/// Requests that are sent at once.
const READS: usize = 32;

/// Whether there is such a task, and whether all that it reads of the exchange is in the store.
pub(super) async fn check_inputs(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<(), ReplayError> {
    let root = &handle.root;
    let planned = root.stages.iter().find(|spec| spec.id == stage).ok_or_else(|| {
        ReplayError::NoSuchTask(format!(
            "the query has {} stages, from 0 on; there is no stage {stage}",
            root.stages.len()
        ))
    })?;
    let state = |error: AdvanceError| ReplayError::State(error.to_string());
    let Some(decided) = handle.manifest(stage).await.map_err(state)? else {
        let unsealed = planned.inputs.iter().map(|input| input.stage);
        for input in unsealed {
            if handle.seal(input).await.map_err(state)?.is_none() {
                return Err(unsealed_input(handle, stage, input).await?);
            }
        }
        return Err(ReplayError::State(format!("what stage {stage} runs cannot be told")));
    };
    let tasks = decided.manifest.tasks.len();
    if decided.manifest.absorbed {
        let by = planned.absorbed_by.map_or_else(String::new, |by| format!(" of stage {by}"));
        return Err(ReplayError::NoSuchTask(format!(
            "stage {stage} has no tasks of its own: the tasks{by} do its work"
        )));
    }
    if task as usize >= tasks {
        return Err(ReplayError::NoSuchTask(format!(
            "stage {stage} has {tasks} tasks, from 0 on; there is no task {task}"
        )));
    }
    let spec = planned.decided(decided.manifest.broadcast);
    let partitions = &decided.manifest.tasks[task as usize].partitions;
    let mut inputs: Vec<(StageId, Option<Vec<u32>>)> = Vec::new();
    let mut reads: Vec<(StageSpec, Option<Vec<u32>>)> = vec![(spec, Some(partitions.clone()))];
    while let Some((spec, own)) = reads.pop() {
        for input in &spec.inputs {
            let Some(seal) = handle.seal(input.stage).await.map_err(state)? else {
                return Err(unsealed_input(handle, stage, input.stage).await?);
            };
            if seal.seal.absorbed {
                // The task runs all of that stage first.
                let below = root.stages.iter().find(|spec| spec.id == input.stage);
                reads.extend(below.map(|spec| (spec.clone(), None)));
                continue;
            }
            let buckets = match (input.mode, &own) {
                (InputMode::Partitioned, Some(own)) => {
                    let bucket = |partition: &u32| partition.checked_sub(input.offset);
                    Some(own.iter().filter_map(bucket).collect())
                }
                _ => None,
            };
            inputs.push((input.stage, buckets));
        }
    }
    for (input, buckets) in inputs {
        check_data(handle, input, buckets.as_deref()).await?;
    }
    Ok(())
}

/// Why an input of a stage has no seal.
async fn unsealed_input(
    handle: &QueryHandle,
    stage: StageId,
    input: StageId,
) -> Result<ReplayError, ReplayError> {
    let end = load::<End>(handle.store(), &keys::end(&handle.query)).await?;
    let is_done = end.is_some_and(|end| end.status == EndStatus::Succeeded);
    Ok(match is_done {
        true => ReplayError::Gone {
            what: format!("the seal of stage {input}, which stage {stage} reads,"),
            key: keys::seal(&handle.query, input),
        },
        false => ReplayError::NoSuchTask(format!(
            "stage {stage} never began: stage {input}, which it reads, was not done"
        )),
    })
}

/// Whether the exchange data of a stage is in the store: all of it, or these buckets.
async fn check_data(
    handle: &QueryHandle,
    input: StageId,
    buckets: Option<&[u32]>,
) -> Result<(), ReplayError> {
    let state = |error: AdvanceError| ReplayError::State(error.to_string());
    let Some(sealed) = handle.seal(input).await.map_err(state)? else { return Ok(()) };
    let mut objects: Vec<String> = Vec::new();
    for task in &sealed.seal.tasks {
        let is_read = |object: u32| {
            let of = task.output.slices.iter().filter(|slice| slice.object == Some(object));
            let mut buckets_of = of.map(|slice| slice.bucket);
            buckets.is_none_or(|wanted| buckets_of.any(|bucket| wanted.contains(&bucket)))
        };
        let all = (0_u32..).zip(&task.output.objects);
        objects.extend(all.filter(|(at, _)| is_read(*at)).map(|(_, object)| object.key.clone()));
    }
    if let Some(blocks) = Blocks::of(handle.store(), &handle.query, &sealed.seal) {
        // Which buckets are in which object is not in the heads of blocks.
        let winners = blocks.winners().await.map_err(state)?;
        objects.extend(winners.into_iter().flat_map(|task| task.output.objects).map(|it| it.key));
    }
    let (store, prefix) = (handle.store().data_store(), handle.store().data_prefix());
    let looked = stream::iter(objects).map(|key| async move {
        match store.head(&below(prefix, key.as_str())).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => {
                Err(ReplayError::Gone { what: format!("the exchange data of stage {input}"), key })
            }
            Err(error) => Err(ReplayError::State(error.to_string())),
        }
    });
    looked.buffered(READS).try_collect().await
}
