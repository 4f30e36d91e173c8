//! The expected answer: from a single DataFusion process with its own settings, over rows in memory.
//!
//! The engine reads every file once, whole, and without a filter. What files tell of themselves can make its answers wrong
//! (decision 0035), and rows in memory tell nothing. It has the rules of the planner that put statements right (decision 0037),
//! which have tests of their own with rows that are written down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{
    CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext,
};
use dunlin_planner::analyzer_rules;
use tokio::sync::OnceCell;

use crate::place::TableOf;

/// Plain DataFusion over a set of tables.
pub struct Reference {
    tables: Vec<TableOf>,
    /// Their rows, read once for all contexts.
    held: OnceCell<Vec<(TableReference, Arc<MemTable>)>>,
    /// One context for each number of partitions.
    contexts: Mutex<BTreeMap<usize, SessionContext>>,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Reference {
    /// The reference over some tables.
    #[must_use]
    pub fn over(tables: &[TableOf]) -> Self {
        Self { tables: tables.to_vec(), held: OnceCell::new(), contexts: Mutex::default() }
    }

    /// The answer at a number of partitions: at least one batch, which may be empty.
    ///
    /// # Errors
    /// The engine's own.
    pub async fn rows(&self, sql: &str, partitions: usize) -> Result<Vec<RecordBatch>> {
        answer(&self.context(partitions).await?, sql).await
    }

    /// The context at a number of partitions; its tables are registered once.
    async fn context(&self, partitions: usize) -> Result<SessionContext> {
        if let Some(known) = self.contexts.lock().unwrap().get(&partitions) {
            return Ok(known.clone());
        }
        let config = SessionConfig::new().with_target_partitions(partitions);
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_analyzer_rules(analyzer_rules())
            .build();
        let context = SessionContext::new_with_state(state);
        let held = async || {
            let mut all = Vec::new();
            for table in &self.tables {
                all.push(held(table).await?);
            }
            Ok::<_, DataFusionError>(all)
        };
        for (name, rows) in self.held.get_or_try_init(held).await? {
            context.register_table(name.clone(), Arc::clone(rows) as _)?;
        }
        Ok(self.contexts.lock().unwrap().entry(partitions).or_insert(context).clone())
    }
}

/// What a context answers: at least one batch, which may be empty.
///
/// # Errors
/// The engine's own.
pub async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    // The columns come from the physical plan. Those of a frame have the types from before coercion.
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let mut rows = vec![RecordBatch::new_empty(plan.schema())];
    rows.extend(collect(plan, context.task_ctx()).await?);
    Ok(rows)
}

/// The rows of a table, as its files have them.
async fn held(table: &TableOf) -> Result<(TableReference, Arc<MemTable>)> {
    let name = TableReference::bare(table.name.to_lowercase());
    let files = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    register_files(&files, table, name.clone()).await?;
    let plan = files.table(name.clone()).await?.create_physical_plan().await?;
    let (schema, rows) = (plan.schema(), collect(plan, files.task_ctx()).await?);
    Ok((name, Arc::new(MemTable::try_new(schema, vec![rows])?)))
}

async fn register_files(
    context: &SessionContext,
    table: &TableOf,
    name: TableReference,
) -> Result<()> {
    let address = table.address();
    match table.format {
        "csv" => {
            // As Dunlin reads CSV: a quoted value may contain a newline.
            let options = CsvReadOptions::new().newlines_in_values(true);
            context.register_csv(name, address, options).await
        }
        "json" => context.register_json(name, address, JsonReadOptions::default()).await,
        _ => context.register_parquet(name, address, ParquetReadOptions::default()).await,
    }
}
