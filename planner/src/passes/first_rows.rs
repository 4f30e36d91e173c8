//! What the passes over `ORDER BY … LIMIT` look at: the first key of the order, and its column in the files.

use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::sorts::sort::SortExec;
use dunlin_plan::best_first::{FirstKey, has_places};
use dunlin_plan::operators::column_of_table;

/// The first key of an order, and the rows that are wanted of it. `None` if all are wanted, or if the key is no column.
pub(super) fn first_rows(sort: &SortExec) -> Option<(FirstKey, usize)> {
    let rows = sort.fetch().filter(|rows| *rows > 0)?;
    let first = sort.expr().first();
    let column = first.expr.downcast_ref::<Column>()?.index();
    let (descending, nulls_first) = (first.options.descending, first.options.nulls_first);
    Some((FirstKey { column, descending, nulls_first }, rows))
}

/// The column of the table that a scan gives as `column`, if all its rows are read, from Parquet files, and footers tell
/// its first and its last value.
pub(super) fn column_of_files(scan: &FileScanConfig, column: usize) -> Option<usize> {
    let is_parquet = scan.file_source.downcast_ref::<ParquetSource>().is_some();
    if !is_parquet || scan.limit.is_some() {
        return None;
    }
    let column = column_of_table(scan, column)?;
    let schema = scan.file_source.table_schema().table_schema();
    has_places(schema.fields().get(column)?.data_type()).then_some(column)
}
