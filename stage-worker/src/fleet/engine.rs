//! What runs in the engine's place: it reads what a plan must know before its rows, sleeps, and puts one object.
//!
//! ```text
//!   blocks of the inputs ─> sleep, as long as the task computes ─> claim won, inputs settled ─> PUT data
//! ```
//! It exists because the simulation asks what the protocol costs, and not what a plan does. The exchanged data is not
//! read: how many GETs it takes is the exchange's matter. The blocks are the protocol's, so they are asked for as
//! [`Blocks`](dunlin_manifest::query::Blocks) asks for them (heads once for each process, rows for each task), and then
//! dropped: 1,000 processes that decode and keep them would need 100 GB.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::records::{BlockRef, ErrorCode, FailClass, TaskMetrics};
use dunlin_manifest::store::{ObjectControlStore, below};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::compute::Engine;
use crate::failure::AttemptError;
use crate::fleet::shape::Shape;
use crate::run::{Attempt, Rows};
use crate::shared::Shared;

/// As `Blocks`: heads read at once, and the bytes of a first read.
const READS: usize = 32;
const WHOLE: u64 = 256 << 10;
/// Bytes of a row.
const ROW: u64 = 512;

/// The stand-in of one process.
#[derive(Debug)]
struct StandIn {
    shape: Shape,
    /// False if heads are not read at all.
    reads_heads: bool,
    heads: Mutex<HashMap<u32, Arc<OnceCell<()>>>>,
}

/// An engine for one process.
pub(super) fn engine(shape: Shape, reads_heads: bool) -> Engine {
    let stand_in = Arc::new(StandIn { shape, reads_heads, heads: Mutex::default() });
    Engine::stand_in(move |shared, attempt| {
        let stand_in = Arc::clone(&stand_in);
        async move { stand_in.run(&shared, &attempt).await }.boxed()
    })
}

impl StandIn {
    async fn run(
        &self,
        shared: &Shared,
        attempt: &Attempt,
    ) -> Result<(Rows, TaskMetrics), AttemptError> {
        let (stage, task) = (attempt.part.spec.id, attempt.task);
        for input in &attempt.part.spec.inputs {
            self.read_blocks(shared, attempt, input.stage).await?;
        }
        let number = attempt.name.split('-').nth(1).and_then(|number| number.parse().ok());
        let time = self.shape.attempt_time(stage, task, number.unwrap_or_default());
        shared.env.clock.sleep(time).await;
        let target = &attempt.part.target;
        target.ready.clone().await.map_err(failed)?;
        let key = (target.key_of)(0);
        let data = target.store.put(&below(&target.prefix, key.as_str()), PutPayload::new()).await;
        data.map_err(|error| failed(error.to_string()))?;
        let tasks = &attempt.decided.manifest.tasks;
        let partitions = tasks.get(task as usize).map_or(&[][..], |task| &task.partitions);
        let output = self.shape.output(stage, task, partitions, &key);
        Ok((Rows::Written(output), TaskMetrics::default()))
    }

    async fn read_blocks(
        &self,
        shared: &Shared,
        attempt: &Attempt,
        stage: u32,
    ) -> Result<(), AttemptError> {
        let query = QueryId::parse(&attempt.root.query);
        let query = query.ok_or_else(|| failed("the query has no id".to_owned()))?;
        let known = shared.queries.lock().get(&query).cloned();
        let seal = known.and_then(|known| known.handle.known_seal(stage));
        let seal = seal.ok_or_else(|| failed("the input is not sealed".to_owned()))?.seal;
        let Some(blocks) = seal.blocks.as_ref().filter(|_| self.reads_heads) else { return Ok(()) };
        let target = &attempt.part.target;
        let (store, prefix) = (Arc::clone(&target.store), target.prefix.clone());
        let control = ObjectControlStore::new(store, prefix, shared.env.clone());
        let once = Arc::clone(self.heads.lock().entry(stage).or_default());
        let key = |group| match blocks.all {
            Some(_) => keys::all_groups(&query, stage),
            None => keys::group_seal(&query, stage, group),
        };
        let refs = blocks.all.as_ref().map_or(blocks.refs.as_slice(), std::slice::from_ref);
        let first = |block: &BlockRef| if block.len <= WHOLE { block.len } else { block.head };
        let heads = (0u32..).zip(refs).map(|(group, block)| (key(group), 0..first(block)));
        let heads: Vec<(String, Range<u64>)> = heads.collect();
        once.get_or_try_init(|| read(&control, heads)).await?;
        // The row of the task's bucket, where the first read has not brought it.
        let long = (0u32..).zip(refs).filter(|(_, block)| block.len > WHOLE);
        let rows = long.map(|(group, block)| (key(group), block.head..block.head + ROW));
        read(&control, rows.collect()).await
    }
}

/// Reads these ranges.
async fn read(
    control: &ObjectControlStore,
    ranges: Vec<(String, Range<u64>)>,
) -> Result<(), AttemptError> {
    let mut reads = Vec::with_capacity(ranges.len());
    for (key, range) in ranges {
        reads.push(async move {
            let read = control.get_range(&key, range).await;
            let read = read.map_err(|error| failed(error.to_string()))?;
            read.map(|_| ()).ok_or_else(|| failed(format!("{key} is not there")))
        });
    }
    stream::iter(reads).buffered(READS).try_collect().await
}

fn failed(message: String) -> AttemptError {
    AttemptError { class: FailClass::Store, code: ErrorCode::StoreUnavailable, message }
}
