//! A worker reads again where the tables are, when its process is sent SIGHUP: a gateway may have been given tables in buckets
//! that the worker did not know. Nothing else changes, and attempts in progress keep what they began with.

use anyhow::Result;
use dunlin_config::Sources;
use dunlin_manifest::env::Env;
use dunlin_plan::config::StateConfig;
use dunlin_plan::stores::Stores;
use dunlin_plan::worker_file::WorkerFile;
use dunlin_worker::Worker;
use tokio::runtime::Handle;
use tokio::signal::unix::Signal;

use crate::options::tree;
use crate::report::report;

/// Reloads at each signal, until the process ends.
pub(crate) async fn run(worker: Worker, sources: Sources, state: StateConfig, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        match tables(&sources, &state).await {
            Ok((tables, stores)) => {
                worker.use_tables(stores);
                tracing::info!(tables, "the places of the tables were reloaded");
            }
            Err(error) => tracing::error!(
                "the configuration cannot be reloaded, and the earlier one stays in force: {}",
                report(&error)
            ),
        }
    }
}

async fn tables(sources: &Sources, state: &StateConfig) -> Result<(usize, Stores)> {
    let file: WorkerFile = tree(sources).await?.read()?;
    let stores = file.stores_beside(state, &Handle::current())?;
    Ok((file.tables.len(), stores.hedged(Env::system())))
}
