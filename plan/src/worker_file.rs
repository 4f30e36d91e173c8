//! The parts of `dunlin.toml` that a worker reads which is a process of its own, or a function.

use serde::Deserialize;

use crate::config::{FunctionsConfig, StateConfig, StoreParams, WorkerConfig};
use crate::stores::Reach;

/// What a worker that is a process of its own reads of `dunlin.toml`. It has no use for the other parts, and knows nothing of
/// them: a worker that is older than its gateway starts with the gateway's file.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkerFile {
    /// Where the state is.
    pub state: StateConfig,
    /// What the process may use.
    #[serde(default)]
    pub worker: WorkerConfig,
    /// Functions that are called for the next stage.
    #[serde(default)]
    pub functions: Option<FunctionsConfig>,
    /// Where the tables are.
    #[serde(default)]
    pub tables: Vec<TablePlace>,
}

/// Where a table is.
#[derive(Clone, Debug, Deserialize)]
pub struct TablePlace {
    /// Its name, for messages.
    pub name: String,
    /// A file or folder.
    pub location: String,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

impl WorkerFile {
    /// The stores of the tables.
    pub fn reaches(&self) -> impl Iterator<Item = Reach<'_>> {
        self.tables.iter().map(|table| Reach {
            owner: &table.name,
            location: &table.location,
            params: &table.params,
        })
    }
}
