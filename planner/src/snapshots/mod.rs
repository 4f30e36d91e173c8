//! Tables whose rows are no files: what the process that plans knows, or finds out then.
//!
//! ```text
//!   planner ──conditions, limit──> Snapshots (the gateway) ──batches──> rows in the plan ──> any route, any worker
//! ```
//! The rows are read once, when the statement is planned, and travel in its plan. So a statement over them is like any
//! other: it joins with tables, runs on workers, and gives the same answer however often a task of it runs. This crate
//! does not know what the tables hold. It is given them with [`crate::Planner::seeing`].

mod newest;
mod provider;
mod wanted;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::SchemaProvider;
use datafusion::catalog::memory::MemorySchemaProvider;
use datafusion::error::Result;

pub(crate) use newest::newest;
use provider::SnapshotTable;
pub use wanted::Wanted;

/// The schema of the tables.
pub const SYSTEM_SCHEMA: &str = "system";

/// What a table is called, and its columns.
#[derive(Clone, Debug)]
pub struct SnapshotSchema {
    /// Its name in [`SYSTEM_SCHEMA`].
    pub name: &'static str,
    /// Its columns.
    pub columns: SchemaRef,
    /// The column by which its rows come, the greatest value first, if they do: then the first rows of that order are
    /// read alone.
    pub greatest_first: Option<&'static str>,
}

/// Where the rows of the tables come from, for one statement of one client.
#[async_trait]
pub trait Snapshots: Send + Sync + std::fmt::Debug {
    /// The tables that there are.
    fn tables(&self) -> &[SnapshotSchema];

    /// The rows of a table that pass all conditions of `wanted`. With a limit they may be fewer: the first ones by the
    /// order of the table.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    async fn read(&self, table: &str, wanted: &Wanted) -> Result<Vec<RecordBatch>, SnapshotError>;
}

/// Why a table has no rows to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A store does not answer, or holds what it should not.
    #[error("{0}")]
    Store(String),
    /// It would be too much for one statement: what, and which condition helps.
    #[error("{0}")]
    TooMuch(String),
    /// The client may not see it.
    #[error("{0}")]
    Forbidden(String),
}

/// The tables as a schema of one statement's catalog.
pub(crate) fn schema(snapshots: &Arc<dyn Snapshots>) -> Result<Arc<dyn SchemaProvider>> {
    let schema = MemorySchemaProvider::new();
    for table in snapshots.tables() {
        let provider = SnapshotTable::new(table.clone(), Arc::clone(snapshots));
        schema.register_table(table.name.to_owned(), Arc::new(provider))?;
    }
    Ok(Arc::new(schema))
}

#[cfg(test)]
mod tests;
