//! The tables that clients see: their names at this moment, and their columns when somebody asks for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_planner::Grants;
use parking_lot::{Mutex, RwLock};

use crate::query::catalog::whole_table;
use crate::query::intake::Intake;
use crate::query::system::schemas;

/// How long the columns of a table are believed. Clients ask for them many times in a row.
const BELIEVED: Duration = Duration::from_secs(10);

/// The schema `public`.
pub(crate) struct Names {
    intake: Arc<Intake>,
    grants: Grants,
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    listed: RwLock<Vec<String>>,
    columns: Mutex<HashMap<String, (Duration, SchemaRef)>>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// The tables that these grants allow. `now`: the time, by a clock that does not jump.
    pub(crate) fn new(
        intake: Arc<Intake>,
        grants: Grants,
        now: Box<dyn Fn() -> Duration + Send + Sync>,
    ) -> Self {
        Self { intake, grants, now, listed: RwLock::default(), columns: Mutex::default() }
    }

    /// Lists the tables. Those of the configuration cost nothing.
    pub(crate) async fn refresh(&self) -> Result<(), crate::query::error::CoreError> {
        let tables = self.intake.tables(&self.grants).await?;
        let mut names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
        names.sort();
        *self.listed.write() = names;
        Ok(())
    }

    /// The columns of a table; none if it cannot be read now.
    pub(crate) async fn columns(&self, name: &str) -> SchemaRef {
        let now = (self.now)();
        if let Some((read, columns)) = self.columns.lock().get(name)
            && now.saturating_sub(*read) < BELIEVED
        {
            return Arc::clone(columns);
        }
        let planner = self.intake.live().planner.granting(self.grants.clone());
        let found = async { planner.signature(&planner.parse(&whole_table(name))?, &[]).await };
        let columns = match found.await {
            Ok(found) => found.columns,
            Err(error) => {
                tracing::debug!(table = name, %error, "a table is shown without its columns");
                Arc::new(Schema::empty())
            }
        };
        let mut known = self.columns.lock();
        known.retain(|_, (read, _)| now.saturating_sub(*read) < BELIEVED);
        known.insert(name.to_owned(), (now, Arc::clone(&columns)));
        columns
    }
}

#[async_trait]
impl SchemaProvider for Names {
    fn table_names(&self) -> Vec<String> {
        self.listed.read().clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        let columns = self.columns(name).await;
        Ok(Some(Arc::new(OnlyColumns { name: name.to_owned(), columns })))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.listed.read().iter().any(|listed| listed == name)
    }
}

/// The schema `system`, whose tables are always the same.
#[derive(Debug)]
pub(crate) struct SystemNames;

#[async_trait]
impl SchemaProvider for SystemNames {
    fn table_names(&self) -> Vec<String> {
        schemas().iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let found = schemas().iter().find(|table| table.name == name);
        Ok(found.map(|table| {
            let (name, columns) = (format!("system.{name}"), Arc::clone(&table.columns));
            Arc::new(OnlyColumns { name, columns }) as Arc<dyn TableProvider>
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        schemas().iter().any(|table| table.name == name)
    }
}

/// A table whose rows are elsewhere.
#[derive(Debug)]
struct OnlyColumns {
    name: String,
    columns: SchemaRef,
}

#[async_trait]
impl TableProvider for OnlyColumns {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::NotImplemented(format!(
            "a statement that asks the catalog or the session cannot read the table {} as well; send two statements",
            self.name
        )))
    }
}
