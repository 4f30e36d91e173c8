#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::ops::Range;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

/// A file with the keys of a range, each three times, and a NULL if there is to be one.
fn write(folder: &TempDir, table: &str, name: usize, keys: Range<i64>, with_null: bool) {
    let keys = || keys.clone().flat_map(|key| [Some(key); 3]).chain(with_null.then_some(None));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int64Array::from_iter(keys()))),
        ("v", Arc::new(Int64Array::from_iter(keys().map(|key| Some(key.unwrap_or(0) % 5))))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let folder = folder.path().join(table);
    std::fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(format!("{name}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// `apart`: ranges that do not meet; `touching`: that have one value together; `empty`: with NULLs.
async fn tables(folder: &TempDir) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(4)
        .with_collect_statistics(true)
        .with_round_robin_repartition(false)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold", 0)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold_rows", 0)
        .set_bool("datafusion.optimizer.repartition_file_scans", false);
    let context = SessionContext::new_with_config(config);
    for table in ["apart", "touching", "nulls"] {
        for file in 0..4 {
            let first = i64::try_from(file).unwrap() * 100;
            let more = i64::from(table == "touching");
            write(
                folder,
                table,
                file,
                first..first + 100 + more,
                table == "nulls" && file % 2 == 0,
            );
        }
        let path = folder.path().join(table);
        let options = ParquetReadOptions::default();
        context.register_parquet(table, path.to_str().unwrap(), options).await.unwrap();
    }
    context
}

async fn rows(plan: Arc<dyn ExecutionPlan>, context: &SessionContext) -> Vec<String> {
    let rows = collect(plan, context.task_ctx()).await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn an_aggregate_of_clustered_files_has_no_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let context = tables(&folder).await;
    for (sql, in_one_step) in [
        ("select k, count(*), sum(v) from apart group by k", true),
        ("select v, k, max(k) from apart where v > 1 group by v, k having count(*) > 2", true),
        ("select distinct j from (select k as j, v + 1 as w from apart) t", true),
        (
            "select k, count(distinct v) filter (where v < 3) from apart group by k order by k limit 7",
            true,
        ),
        (
            "select n, count(*) from (select k, count(*) as n from apart group by k) t group by n",
            true,
        ),
        ("select v, count(*) from apart group by v", false),
        ("select k + 1, count(*) from apart group by k + 1", false),
        ("select k, count(*) from touching group by k", false),
        ("select k, count(*) from nulls group by k", false),
        ("select k, v, count(*) from apart group by rollup (k, v)", false),
        (
            "select a.k, n from (select k, count(*) as n from apart group by k) a join touching t on a.k = t.k",
            false,
        ),
        (
            "select k, count(*) from (select k from apart union all select k from apart) t group by k",
            false,
        ),
    ] {
        let plan =
            || async { context.sql(sql).await.unwrap().create_physical_plan().await.unwrap() };
        let changed = Clustered.optimize(plan().await, &ConfigOptions::default()).unwrap();
        let text = displayable(changed.as_ref()).indent(false).to_string();
        assert_eq!(
            text.contains("mode=SinglePartitioned, gby=[") && !same(&plan().await, &changed),
            in_one_step,
            "{sql}\n{text}"
        );
        assert_eq!(rows(changed, &context).await, rows(plan().await, &context).await, "{sql}");
    }
}

fn same(one: &Arc<dyn ExecutionPlan>, other: &Arc<dyn ExecutionPlan>) -> bool {
    let text = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    text(one) == text(other)
}
