//! Planners that see other tables, and the tables that one sees.

use std::sync::Arc;

use super::Planner;
use crate::catalog::TableName;
use crate::error::PlanError;
use crate::grants::Grants;
use crate::sight::Sight;
use crate::snapshots::Snapshots;

impl Planner {
    /// All tables that may be named: those of the configuration, which are not read, and those that CREATE TABLE AS has
    /// made.
    ///
    /// # Errors
    /// A place of such tables that cannot be listed.
    pub async fn tables(&self) -> Result<Vec<TableName>, PlanError> {
        let mut tables = self.inner.tables.all().await?;
        tables.retain(|table| self.sight.grants.allow(&table.name));
        Ok(tables)
    }

    /// The same planner, whose statements may also name these tables.
    #[must_use]
    pub fn seeing(&self, snapshots: Arc<dyn Snapshots>) -> Self {
        let sight = Sight { snapshots: Some(snapshots), ..self.sight.clone() };
        Self { inner: Arc::clone(&self.inner), sight }
    }

    /// The same planner, for which there are only the tables that these grants allow.
    #[must_use]
    pub fn granting(&self, grants: Grants) -> Self {
        let sight = Sight { grants, ..self.sight.clone() };
        Self { inner: Arc::clone(&self.inner), sight }
    }
}
