//! What runs in the engine's place: it reads what a plan must know before its rows, sleeps, and puts one object.
//!
//! ```text
//!   heads of the blocks of the inputs ─> sleep, as long as the task computes ─> claim won, inputs settled ─> PUT data
//!   (once for each process and stage)
//! ```
//! It exists because the simulation asks what the protocol costs, and not what a plan does. The rows themselves are not
//! read: how many GETs they take is the exchange's matter. The heads are the protocol's, so they are asked for as
//! [`Blocks`](dunlin_manifest::query::Blocks) asks for them, and then dropped: 1,000 processes that decode and keep them
//! would need 100 GB.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::records::{ErrorCode, FailClass, TaskMetrics};
use dunlin_manifest::store::ObjectControlStore;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::compute::Engine;
use crate::fleet::shape::Shape;
use crate::run::{Attempt, AttemptError, Rows};
use crate::shared::Shared;

/// As `Blocks`: heads read at once, and the bytes of a first read.
const READS: usize = 32;
const WHOLE: u64 = 256 << 10;

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
            self.read_heads(&shared.env, attempt, input.stage).await?;
        }
        shared.env.clock.sleep(self.shape.run_time(stage, task)).await;
        let target = &attempt.part.target;
        target.ready.clone().await.map_err(failed)?;
        let key = (target.key_of)(0);
        let data = target.store.put(&path(&target.prefix, &key), PutPayload::new()).await;
        data.map_err(|error| failed(error.to_string()))?;
        let tasks = &attempt.decided.manifest.tasks;
        let partitions = tasks.get(task as usize).map_or(&[][..], |task| &task.partitions);
        let output = self.shape.output(stage, task, partitions, &key);
        Ok((Rows::Written(output), TaskMetrics::default()))
    }

    async fn read_heads(
        &self,
        env: &Env,
        attempt: &Attempt,
        stage: u32,
    ) -> Result<(), AttemptError> {
        if !self.reads_heads {
            return Ok(());
        }
        let once = Arc::clone(self.heads.lock().entry(stage).or_default());
        once.get_or_try_init(|| self.heads_of(env, attempt, stage)).await?;
        Ok(())
    }

    async fn heads_of(&self, env: &Env, attempt: &Attempt, stage: u32) -> Result<(), AttemptError> {
        let query = QueryId::parse(&attempt.root.query);
        let query = query.ok_or_else(|| failed("the query has no id".to_owned()))?;
        let target = &attempt.part.target;
        let (store, prefix) = (Arc::clone(&target.store), target.prefix.clone());
        let control = ObjectControlStore::new(store, prefix, env.clone());
        let reads = (0..self.shape.blocks()).map(|group| {
            let (control, key) = (control.clone(), keys::group_seal(&query, stage, group));
            async move {
                let head = control.get_range(&key, 0..WHOLE).await;
                let head = head.map_err(|error| failed(error.to_string()))?;
                head.map(|_| ()).ok_or_else(|| failed(format!("{key} is not there")))
            }
        });
        stream::iter(reads).buffered(READS).try_collect().await
    }
}

fn path(prefix: &Path, key: &str) -> Path {
    prefix.parts().chain(Path::from(key).parts()).collect()
}

fn failed(message: String) -> AttemptError {
    AttemptError { class: FailClass::Retry, code: ErrorCode::StoreUnavailable, message }
}
