//! The parts of `dunlin.toml` that a worker reads which is a process of its own, or a function.

use serde::Deserialize;

use crate::StoreError;
use crate::config::{FunctionsConfig, Locations, StateConfig, StoreParams, WorkerConfig};
use crate::stores::{Reach, Stores};

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
    /// Places that statements may write to.
    #[serde(default)]
    pub writing: Vec<WritingPlace>,
    /// Whether statements may name files in other stores.
    #[serde(default)]
    pub files: FilesPlace,
}

/// A place that statements may write to.
#[derive(Clone, Debug, Deserialize)]
pub struct WritingPlace {
    /// A folder.
    pub location: String,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

/// Whether statements may name files.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct FilesPlace {
    /// They may.
    #[serde(default)]
    pub enabled: bool,
}

/// Where a table is.
#[derive(Clone, Debug, Deserialize)]
pub struct TablePlace {
    /// Its name, for messages.
    pub name: String,
    /// Files, folders or patterns.
    pub location: Locations,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

impl WorkerFile {
    /// Opens the stores of the state and of the tables. `io` is the runtime on which network I/O runs.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open_stores(&self, io: &tokio::runtime::Handle) -> Result<Stores, StoreError> {
        self.stores_beside(&self.state, io)
    }

    /// As [`Self::open_stores`], with another state.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn stores_beside(
        &self,
        state: &StateConfig,
        io: &tokio::runtime::Handle,
    ) -> Result<Stores, StoreError> {
        let reaches = self.tables.iter().flat_map(|table| {
            let reach = |location| Reach { owner: &table.name, location, params: &table.params };
            table.location.iter().map(reach)
        });
        let writing = self.writing.iter().map(|place| Reach {
            owner: "[[writing]]",
            location: &place.location,
            params: &place.params,
        });
        let stores = Stores::open(state, reaches.chain(writing), io)?;
        Ok(if self.files.enabled { stores.and_others(io) } else { stores })
    }
}
