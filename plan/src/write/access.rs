//! What a task that writes needs beside its plan.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use dunlin_manifest::env::Env;
use dunlin_manifest::meter::Meter;
use object_store::ObjectStore;

use super::files::Shared;
use super::spec::WriteSpec;
use crate::stores::Stores;

/// What a task that writes needs beside its plan. The worker puts it into the session.
#[derive(Debug)]
pub struct WriteAccess {
    stores: Stores,
    meter: Arc<Meter>,
    /// Unique to this attempt of this task.
    name: String,
    pub(super) env: Env,
    /// Partitions of the stage, and how many of them run in this task.
    partitions: (usize, usize),
    pub(super) shared: tokio::sync::Mutex<Option<Shared>>,
}

impl WriteAccess {
    /// The access of an attempt that is called `name`. Of its stage's partitions, `(all, own)`, it runs `own`.
    #[must_use]
    pub fn new(
        stores: Stores,
        meter: Arc<Meter>,
        env: Env,
        name: String,
        partitions: (usize, usize),
    ) -> Self {
        Self { stores, meter, name, env, partitions, shared: tokio::sync::Mutex::default() }
    }

    /// How many partitions of a write with `of` partitions run in this task: its own, if the stage ends with the write,
    /// and all, if the stage gathers them.
    pub(super) fn running(&self, of: usize) -> usize {
        let (all, own) = self.partitions;
        if of == all { own } else { of }
    }

    pub(super) fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context.session_config().get_extension::<Self>().ok_or_else(|| {
            DataFusionError::Internal("a plan that writes runs outside of a task".to_owned())
        })
    }

    pub(super) fn store(&self, address: &str) -> Result<Arc<dyn ObjectStore>> {
        let store = self.stores.get(address).ok_or_else(|| {
            DataFusionError::Execution(format!(
                "this worker's configuration does not name {address}, which the statement writes to; give gateway and workers the same [[writing]] entries"
            ))
        })?;
        Ok(self.stores.view(store, Some(&self.meter)))
    }

    /// Where files go, and what their names have: one of the partitions, or all that run in this task.
    pub(super) fn files(
        &self,
        spec: &WriteSpec,
        partition: Option<usize>,
    ) -> Result<(Arc<dyn ObjectStore>, String)> {
        let name = match partition {
            Some(partition) => format!("{}-p{partition}", self.name),
            None => self.name.clone(),
        };
        Ok((self.store(&spec.store)?, name))
    }
}
