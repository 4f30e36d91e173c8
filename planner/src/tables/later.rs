//! Tables whose columns are declared, those of their folders too. No file is needed to know the columns. So the files are
//! listed once the filters of the statement are known, and folders that they rule out are not.
//!
//! ```text
//!  other tables:   list all files ──> columns ──> logical plan ──> files whose folders pass the filters
//!  these:          columns ──> logical plan, filters ──> list the folders that may pass them ──> the same files
//! ```
//! A statement lists a table once, for all its scans together: each sees the files of the same moment.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use object_store::ObjectMeta;
use parking_lot::Mutex;

use super::error::TableError;
use super::looking::Reading;
use super::sieve::Sieve;

/// A file of a table, with the values of the columns from its folders.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) meta: ObjectMeta,
    pub(super) values: Vec<ScalarValue>,
}

/// The files of a table, and how they are read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) files: Vec<Listed>,
    pub(super) reading: Reading,
}

/// What lists the files of a table.
#[async_trait]
pub(super) trait Lists: Debug + Send + Sync {
    /// The table's name.
    fn name(&self) -> &str;

    /// The table's files, without those in folders that the sieve leaves out.
    async fn list(&self, sieve: Option<&Sieve>, state: &SessionState) -> Result<Found, TableError>;
}

/// The files of a table for one statement.
#[derive(Debug)]
pub(super) struct Later {
    table: Arc<dyn Lists>,
    folders: Vec<FieldRef>,
    found: Mutex<Option<ForScans>>,
}

/// What has been listed, and for which scans: the filters of each over the columns of folders.
#[derive(Debug)]
struct ForScans {
    scans: Vec<Vec<Expr>>,
    found: Arc<Found>,
}

/// True for a filter that the values of these columns of folders decide.
pub(super) fn is_decided(folders: &[FieldRef], filter: &Expr) -> bool {
    let names: Vec<&str> = folders.iter().map(|it| it.name().as_str()).collect();
    !names.is_empty() && expr_applicable_for_cols(&names, filter)
}

impl Later {
    pub(super) fn new(table: Arc<dyn Lists>, folders: Vec<FieldRef>) -> Self {
        Self { table, folders, found: Mutex::default() }
    }

    /// The table's name.
    pub(super) fn name(&self) -> &str {
        self.table.name()
    }

    /// Lists the files that these scans need. Each scan is its filters over columns of folders.
    pub(super) async fn list(
        &self,
        scans: Vec<Vec<Expr>>,
        state: &SessionState,
    ) -> Result<Arc<Found>, TableError> {
        let sieve = Sieve::of(&self.folders, &scans, state)?;
        let found = Arc::new(self.table.list(sieve.as_ref(), state).await?);
        *self.found.lock() = Some(ForScans { scans, found: Arc::clone(&found) });
        Ok(found)
    }

    /// The files for a scan with these filters over columns of folders. If they were not listed for it, all are listed.
    pub(super) async fn of_scan(
        &self,
        filters: &[Expr],
        state: &dyn Session,
    ) -> datafusion::error::Result<Arc<Found>> {
        if let Some(ForScans { scans, found }) = self.found.lock().as_ref()
            // A scan with more filters needs fewer files.
            && scans.iter().any(|scan| scan.iter().all(|filter| filters.contains(filter)))
        {
            return Ok(Arc::clone(found));
        }
        let state = state.as_any().downcast_ref::<SessionState>().ok_or_else(|| {
            DataFusionError::Internal("a scan is planned without its session".to_owned())
        })?;
        let listed = self.list(vec![Vec::new()], state).await;
        listed.map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests;
