//! Scans with several files in a partition declare an order only if it is certain.
//!
//! ```text
//!  files 1, 2, null and 3, 4:
//!
//!  DataSourceExec: output_ordering=[k]   ==>   DataSourceExec
//! ```
//!
//! Whether one file's rows come before the next file's rows is decided by their smallest and largest values, which do
//! not include nulls. So files `1, 2, null` and `3, 4` seemed ordered one after the other, and a sort above them was
//! left out (decision 0010). An order of several files is kept here only if none of its keys is null.

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::operators::file_scan;
use std::sync::Arc;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("honest_orders", honest_orders)
}

fn honest_orders(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(config) = file_scan(&node) else { return Ok(Transformed::no(node)) };
    let sure: Vec<LexOrdering> = config
        .output_ordering
        .iter()
        .filter(|order| config.file_groups.iter().all(|group| is_sure(group, order)))
        .cloned()
        .collect();
    if sure.len() == config.output_ordering.len() {
        return Ok(Transformed::no(node));
    }
    let config = FileScanConfigBuilder::from(config.clone()).with_output_ordering(sure).build();
    Ok(Transformed::yes(DataSourceExec::from_data_source(config)))
}

fn is_sure(group: &FileGroup, order: &LexOrdering) -> bool {
    let no_nulls = |file: &PartitionedFile| {
        order.iter().all(|key| {
            let column = key.expr.downcast_ref::<Column>();
            let known =
                file.statistics.as_ref().zip(column).and_then(|(statistics, column)| {
                    statistics.column_statistics.get(column.index())
                });
            known.is_some_and(|column| column.null_count == Precision::Exact(0))
        })
    };
    group.len() < 2 || group.iter().all(no_nulls)
}
