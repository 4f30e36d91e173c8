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

/// `apart` and `other`: ranges that do not meet; `touching`: that have one value together; `nulls`: with NULLs. `halves`
/// and `late` are as `other`, but in two files, and from the second hundred on.
async fn tables(folder: &TempDir) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(4)
        .with_collect_statistics(true)
        .with_round_robin_repartition(false)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold", 0)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold_rows", 0)
        // As all sessions of ours: a file is read by its partition.
        .set_bool("datafusion.execution.enable_file_stream_work_stealing", false)
        .set_bool("datafusion.optimizer.repartition_file_scans", false);
    let context = SessionContext::new_with_config(config);
    for table in ["apart", "other", "touching", "nulls", "late"] {
        for file in 0..4 {
            let first = i64::try_from(file).unwrap() * 100 + i64::from(table == "late") * 100;
            let more = i64::from(table == "touching");
            write(
                folder,
                table,
                file,
                first..first + 100 + more,
                table == "nulls" && file % 2 == 0,
            );
        }
    }
    write(folder, "halves", 0, 0..200, false);
    write(folder, "halves", 1, 200..400, false);
    for table in ["apart", "other", "touching", "nulls", "late", "halves"] {
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

/// Exchanges by hash.
fn exchanges(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let text = displayable(plan.as_ref()).indent(false).to_string();
    text.matches("partitioning=Hash").count()
}

/// What is asked, how many exchanges are left, and how many there were.
const JOINS: [(&str, usize, usize); 24] = [
    ("select * from apart a join other b on a.k = b.k", 0, 2),
    ("select a.v, b.v, a.k from apart a join other b on a.k = b.k and a.v < b.v", 0, 2),
    ("select * from apart a join other b on a.k = b.k and a.v = b.v where b.v > 2", 0, 2),
    ("select * from apart a left join (select * from other where k % 3 = 0) b on a.k = b.k", 0, 2),
    ("select * from (select * from apart where k < 250) a full join other b on a.k = b.k", 0, 2),
    (
        "select * from apart a where exists (select 1 from other b where b.k = a.k and b.v = 1)",
        0,
        2,
    ),
    (
        "select * from apart a where not exists (select 1 from other b where b.k = a.k and b.v <> a.v)",
        0,
        2,
    ),
    ("select * from apart a join other b on a.k = b.k join apart c on c.k = b.k", 0, 3),
    ("select a.k, count(*), sum(b.v) from apart a join other b on a.k = b.k group by a.k", 0, 2),
    ("select a.v, count(*), sum(b.v) from apart a join other b on a.k = b.k group by a.v", 1, 3),
    (
        "select a.k, n, b.v from (select k, count(*) as n from apart group by k) a join other b on a.k = b.k",
        0,
        2,
    ),
    ("select * from apart a where k in (select k from other group by k having sum(v) > 5)", 0, 2),
    // A row without a match has no key of the other side, and these are in all partitions.
    (
        "select b.k, count(*) from apart a left join (select * from other where k < 150) b on a.k = b.k group by b.k",
        1,
        3,
    ),
    // Ranges that meet, NULLs, fewer files, other files, other keys, other values.
    ("select * from apart a join touching b on a.k = b.k", 2, 2),
    ("select * from apart a join nulls b on a.k = b.k", 2, 2),
    ("select * from apart a join halves b on a.k = b.k", 2, 2),
    ("select * from apart a join late b on a.k = b.k", 2, 2),
    ("select * from apart a join other b on a.k = b.k + 100", 2, 2),
    ("select * from apart a join other b on a.v = b.v and a.k < b.k", 2, 2),
    ("select * from apart a join other b on a.k = b.v", 2, 2),
    ("select * from apart a join (select k + 0 as k from other) b on a.k = b.k", 2, 2),
    (
        "select * from apart a join (select k from other union all select k from apart) b on a.k = b.k",
        2,
        2,
    ),
    // What is above needs the rows placed by hash.
    ("select * from apart a join other b on a.k = b.k join touching c on c.k = b.k", 3, 3),
    (
        "select *, row_number() over (partition by b.k order by a.v, b.v) from apart a join other b on a.k = b.k",
        2,
        2,
    ),
];

#[tokio::test]
async fn a_join_of_tables_that_are_clustered_alike_has_no_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let context = tables(&folder).await;
    for (sql, left, before) in JOINS {
        let plan =
            || async { context.sql(sql).await.unwrap().create_physical_plan().await.unwrap() };
        let changed = Clustered.optimize(plan().await, &ConfigOptions::default()).unwrap();
        let changed = together(changed).unwrap();
        let text = displayable(changed.as_ref()).indent(false).to_string();
        assert_eq!(
            (exchanges(&changed), exchanges(&plan().await)),
            (left, before),
            "{sql}\n{text}"
        );
        assert_eq!(rows(changed, &context).await, rows(plan().await, &context).await, "{sql}");
    }
}

#[tokio::test]
async fn files_that_meet_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    // Eight files against four, of which each has the keys of two.
    for file in 0..8 {
        write(&folder, "many", file, file as i64 * 50..file as i64 * 50 + 50, false);
    }
    let context = tables(&folder).await;
    let path = folder.path().join("many");
    let options = ParquetReadOptions::default();
    context.register_parquet("many", path.to_str().unwrap(), options).await.unwrap();
    for (sql, left) in [
        ("select a.k, b.v from many a join other b on a.k = b.k", 0),
        ("select a.k, b.v from other a join many b on a.k = b.k join apart c on c.k = a.k", 0),
    ] {
        let plan =
            || async { context.sql(sql).await.unwrap().create_physical_plan().await.unwrap() };
        let changed = Clustered.optimize(plan().await, &ConfigOptions::default()).unwrap();
        let changed = together(changed).unwrap();
        let text = displayable(changed.as_ref()).indent(false).to_string();
        assert_eq!(exchanges(&changed), left, "{sql}\n{text}");
        assert_eq!(rows(changed, &context).await, rows(plan().await, &context).await, "{sql}");
    }
}

fn same(one: &Arc<dyn ExecutionPlan>, other: &Arc<dyn ExecutionPlan>) -> bool {
    let text = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    text(one) == text(other)
}
