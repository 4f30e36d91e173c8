#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::collect;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

/// Rows of a file of the large table: enough that each is worth two requests.
const ROWS: i64 = 400_000;

/// Keys that are spread, so that neither ranges nor pages say where a key is.
fn spread(row: i64) -> i64 {
    (row * 7_919) % 100_003
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// `large`: two files, the second without the column `late`. `small`: a few rows.
async fn tables(folder: &TempDir) -> SessionContext {
    let large = folder.path().join("large");
    std::fs::create_dir(&large).unwrap();
    for file in 0..2 {
        let rows = || file * ROWS..(file + 1) * ROWS;
        let keys = || rows().map(|row| (row % 1_000 != 0).then(|| spread(row)));
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(Int64Array::from_iter(keys()))),
            ("v", Arc::new(Int64Array::from_iter_values(rows().map(|row| row * 31 % 1_009)))),
            (
                "word",
                Arc::new(StringArray::from_iter(keys().map(|key| Some(format!("w{}", key?))))),
            ),
            (
                "f",
                Arc::new(Float64Array::from_iter(
                    keys().map(|key| Some(if key? % 2 == 0 { -0.0 } else { 0.5 })),
                )),
            ),
        ];
        if file == 0 {
            columns.push((
                "late",
                Arc::new(Int32Array::from_iter_values(rows().map(|row| (row % 50) as i32))),
            ));
        }
        write(&large.join(format!("{file}.parquet")), columns);
    }
    let some = || [5_i64, 17, 17, 99_999, -4].into_iter().map(Some).chain([None]);
    write(
        &folder.path().join("small.parquet"),
        vec![
            ("k", Arc::new(Int64Array::from_iter(some()))),
            (
                "n",
                Arc::new(Int32Array::from_iter(
                    some().map(|key| Some(i32::try_from(key?).unwrap())),
                )),
            ),
            (
                "word",
                Arc::new(StringArray::from_iter(some().map(|key| Some(format!("w{}", key?))))),
            ),
            ("f", Arc::new(Float64Array::from_iter(some().map(|_| Some(0.0))))),
            ("day", Arc::new(Date32Array::from_iter_values(0..6))),
            (
                "price",
                Arc::new(
                    Decimal128Array::from_iter_values(0..6).with_precision_and_scale(9, 2).unwrap(),
                ),
            ),
        ],
    );
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .set_bool("datafusion.execution.enable_file_stream_work_stealing", false)
        .set_bool("datafusion.optimizer.enable_join_dynamic_filter_pushdown", false)
        .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
    let context = SessionContext::new_with_config(config);
    let options = ParquetReadOptions::default;
    context.register_parquet("large", large.to_str().unwrap(), options()).await.unwrap();
    let small = folder.path().join("small.parquet");
    context.register_parquet("small", small.to_str().unwrap(), options()).await.unwrap();
    context
}

/// The rows of a plan, in one order, and how many rows its scans left out before they decoded them.
async fn run(plan: Arc<dyn ExecutionPlan>, context: &SessionContext) -> (Vec<String>, usize) {
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    (lines, left_out(&plan))
}

fn left_out(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let metrics = plan.metrics().unwrap_or_default();
    let own = metrics.sum_by_name("pushdown_rows_pruned").map_or(0, |count| count.as_usize());
    own + plan.children().into_iter().map(left_out).sum::<usize>()
}

/// What is asked, and whether the scan of `large` can leave rows out.
const STATEMENTS: [(&str, bool); 16] = [
    ("select l.v, l.word, s.day from small s join large l on s.k = l.k", true),
    (
        "select l.v, s.price from small s join large l on s.n = l.k and s.word = l.word where l.v < 500",
        true,
    ),
    (
        "select l.v, s.price from small s join large l on s.k = l.k and s.word = l.word where l.v < 500",
        true,
    ),
    ("select l.v, l.f from large l where l.word in (select word from small)", true),
    (
        "select count(*), sum(l.v) from small s join large l on s.k = l.k join small t on t.word = l.word",
        true,
    ),
    ("select s.day, l.late from small s join large l on s.k = l.k and l.late is null", true),
    ("select s.day, l.v from small s join large l on s.n = l.late", true),
    (
        "select s.day, l.v from small s join large l on s.k is not distinct from l.k where l.v = 3",
        true,
    ),
    ("select s.day, count(*) from small s join large l on s.f = l.f group by s.day", true),
    (
        "select u.v, s.day from small s join (select k, v from large where v > 7 union all select k, v + 1 from large) u on u.k = s.k",
        true,
    ),
    (
        "select s.day, l.v from (select * from small where n = 12345) s join large l on s.k = l.k",
        false,
    ),
    (
        "select s.day, l.v from small s right join (select * from large where v = 5) l on s.k = l.k",
        false,
    ),
    (
        "select l.v from large l where l.v = 5 and l.k not in (select k from small where k is not null)",
        false,
    ),
    ("select s.day, l.v from small s join (select k + 1 as k, v from large) l on s.k = l.k", false),
    (
        "select s.day, l.v from small s join (select k, v from large order by v, k limit 1000) l on s.k = l.k",
        false,
    ),
    (
        "select s.day from small s where exists (select 1 from large l where l.k = s.k and l.v <> s.n)",
        true,
    ),
];

#[tokio::test]
async fn rows_are_the_same_and_scans_leave_out_what_cannot_match() {
    let folder = tempfile::tempdir().unwrap();
    let context = tables(&folder).await;
    for (sql, leaves_out) in STATEMENTS {
        let plan =
            || async { context.sql(sql).await.unwrap().create_physical_plan().await.unwrap() };
        let (expected, none) = run(plan().await, &context).await;
        let (found, pruned) =
            run(sifted(plan().await, &|_, _| None, false).unwrap(), &context).await;
        assert_eq!(found, expected, "{sql}");
        assert_eq!(none, 0, "{sql}");
        assert_eq!(pruned > 0, leaves_out, "{sql}: {pruned} rows were left out");
    }
}

/// A join of partitions that are not exchanged: it matches what is in partitions of the same number.
async fn by_partition(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let without = |node: Arc<dyn ExecutionPlan>| {
        Ok(match node.downcast_ref::<RepartitionExec>() {
            Some(exchange) => Transformed::yes(Arc::clone(exchange.input())),
            None => Transformed::no(node),
        })
    };
    plan.transform_up(without).data().unwrap()
}

#[tokio::test]
async fn a_task_of_one_partition_knows_the_keys_of_its_build_side_and_another_task_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let context = tables(&folder).await;
    for setting in ["", "_rows"] {
        let setting =
            format!("set datafusion.optimizer.hash_join_single_partition_threshold{setting} = 0");
        context.sql(&setting).await.unwrap();
    }
    for (join, drops) in
        [("join", true), ("left join", true), ("right join", false), ("full join", false)]
    {
        let sql = format!(
            "select l.v as a, r.v as b from (select k, v from large where v < 3) l {join} large r on l.k = r.k"
        );
        let plan = by_partition(&context, &sql).await;
        assert_eq!(partition_count(&plan), 2, "{sql}");
        let rows = async |plan: &Arc<dyn ExecutionPlan>, partition| {
            let stream = plan.execute(partition, context.task_ctx()).unwrap();
            let rows = datafusion::physical_plan::common::collect(stream).await.unwrap();
            let text = pretty_format_batches(&rows).unwrap().to_string();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        for partition in 0..2 {
            let one = sifted(by_partition(&context, &sql).await, &|_, _| None, true).unwrap();
            assert_eq!(rows(&one, partition).await, rows(&plan, partition).await, "{sql}");
            assert_eq!(left_out(&one) > 0, drops, "{sql}");
        }
        // All partitions, one after the other, and behind an operator that reads all of them.
        let all = sifted(Arc::clone(&plan), &|_, _| None, false).unwrap();
        let behind: Arc<dyn ExecutionPlan> =
            Arc::new(CoalescePartitionsExec::new(by_partition(&context, &sql).await));
        let (expected, _) = run(plan, &context).await;
        assert_eq!(run(all, &context).await, (expected.clone(), 0), "{sql}");
        let behind = sifted(behind, &|_, _| None, true).unwrap();
        assert_eq!(run(behind, &context).await, (expected, 0), "{sql}");
    }
}
